"""z and labels that a program gives to `Generator`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from gantool.runtime import Generator, Spec
from gantool.runtime.errors import UsageError
from gantool.runtime.latents import latents
from gantool.runtime.seeds import Row, parse_seeds
from gantool.runtime.spec import Batch, Images, Labels, Latents

NAMES = ("a", "b", "c")
LATENT = 3


class Shown:
    """A backend whose image is z, scaled, and the label: [n, 3] -> [n, 1, 4, 1]. Batches have 1 to 4 images."""

    name = "none"

    def __init__(
        self, classes: int | None = 3, distribution: str = "normal", soft: bool = False, least: int = 1
    ) -> None:
        names = NAMES if classes else ()
        self.spec = Spec(
            LATENT,
            1,
            4,
            1,
            least,
            max_batch=4,
            classes=classes,
            soft_labels=soft,
            class_names=names,
            distribution=distribution,
        )

    def infer(self, z: Latents, label: Labels | None = None) -> Images:
        assert z.dtype == np.float32
        if self.spec.soft_labels:  # shows the mean class, times 10
            assert label is not None
            assert label.dtype == np.float32
            assert self.spec.min_batch <= len(label) == len(z)
            label = np.rint(label @ np.arange(0, 10 * label.shape[1], 10))
        column = np.full((len(z), 1), 9) if label is None else label[:, None]
        return np.hstack([np.clip(z * 20 + 100, 0, 255), column]).astype(np.uint8).reshape(-1, 1, 4, 1)

    def infer_each(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Images]]:
        return ((batch, self.infer(batch.z, batch.label)) for batch in batches)

    def close(self) -> None:
        pass


def labels_of(images: Images) -> list[int]:
    found: list[int] = images[:, 0, 3, 0].tolist()
    return found


def test_the_z_of_seeds_gives_their_images() -> None:
    for generator in (Generator(Shown()), Generator(Shown(0, "uniform"))):
        asked = "0,5-9,1+2,3~9"
        for scale in (1.0, 0.5):
            z = generator.z(asked, scale)
            assert z.shape == (15, LATENT)
            assert z.dtype == np.float32
            label = None if generator.spec.classes == 0 else "b"
            images = generator.images(asked, truncation=scale, label=label)
            same = generator.images(z=z, label=None if generator.spec.classes == 0 else 1)
            np.testing.assert_array_equal(same, images)
    np.testing.assert_array_equal(generator.z([3]), latents([3], LATENT, "uniform"))


def test_seeds_as_a_program_writes_them() -> None:
    generator = Generator(Shown())
    expected_seeds = list(parse_seeds("0,1+2,3~9@2of8"))
    expected = generator.images(expected_seeds)
    forms: list[Any] = [[0, "1+2", "3~9@2of8"], "0,1+2,3~9@2of8", (np.int64(0), *expected_seeds[1:])]
    for given in forms:
        np.testing.assert_array_equal(generator.images(given), expected)
    keys = [key for batch, _ in generator.stream("0,1+2", batch=1) for key in batch]
    assert keys == list(parse_seeds("0,1+2"))
    keys = [key for batch, _ in generator.stream(z=np.zeros((5, LATENT)), batch=2) for key in batch]
    assert keys == [Row(number) for number in range(5)]
    resampled = generator.z(range(50), resample=0.5)
    assert np.abs(resampled).max() <= 0.5
    np.testing.assert_array_equal(generator.images(range(50), resample=0.5), generator.images(z=resampled))


def test_labels_in_every_form() -> None:
    generator = Generator(Shown())
    z = np.zeros((7, LATENT))
    assert labels_of(generator.images(z=z)) == [0, 1, 2, 0, 1, 2, 0]
    assert labels_of(generator.images(z=z, label="C")) == [2] * 7
    for label in ([2, 0, 1, 1, 0, 2, 2], np.array([2, 0, 1, 1, 0, 2, 2], np.uint8)):
        assert labels_of(generator.images(z=z, label=label, batch=3)) == [2, 0, 1, 1, 0, 2, 2]
        assert labels_of(generator.images(range(7), label=label)) == [2, 0, 1, 1, 0, 2, 2]
        assert labels_of(generator.images(iter(range(7)), label=label)) == [2, 0, 1, 1, 0, 2, 2]
    assert labels_of(generator.images([1, 2], label=["b", "A"])) == [1, 0]
    assert labels_of(generator.images([1], label=np.array(2))) == [2]
    assert labels_of(generator.images([1, 2], label=np.array("c"))) == [2, 2]
    assert labels_of(generator.images("4+1,4~0@1of3")) == [1, 1]
    assert len(generator.images([], label=[])) == 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "`seeds`: give seeds or `z`"),
        ({"seeds": [0], "z": np.zeros((1, LATENT))}, "`z` and `seeds`: give one"),
        ({"z": np.zeros(LATENT)}, "z[None]"),
        ({"z": np.zeros((2, 4))}, "`z` is float64 [2, 4]: this engine takes numbers, float32 [N, 3]"),
        ({"z": np.zeros((2, LATENT), complex)}, "`z` is complex128"),
        ({"z": [["a"] * LATENT]}, "`z` is <U1"),
        ({"z": [[1.0], [1.0, 2.0]]}, "`z`"),
        ({"z": [[0, 0, 0], [0, np.nan, 0]]}, "`z`: row 1 has NaN"),
        ({"z": [[1e300, 0, 0]]}, "`z`: row 0 has NaN, infinity or a number beyond float32"),
        ({"z": np.zeros((1, LATENT)), "truncation": 0.5}, "leave `truncation`"),
        ({"z": np.zeros((1, LATENT)), "resample": 0.5}, "leave `truncation`"),
        ({"seeds": [0], "resample": 0.5, "truncation": 0.5}, "give one of them"),
        ({"seeds": [0], "resample": 0.0}, "`resample` 0: give a number from 0.01"),
        ({"seeds": [0], "resample": float("nan")}, "`resample` nan"),
        ({"seeds": [0], "truncation": float("inf")}, "`truncation` inf: give a finite number"),
        ({"seeds": [0, 1], "label": [0]}, "`label` has 1 classes for 2 images"),
        ({"seeds": [0], "label": [3]}, "`label` 3: the classes of this engine are 0 a, 1 b, 2 c"),
        ({"seeds": [0], "label": [-1]}, "`label` -1"),
        ({"seeds": [0], "label": ["d"]}, "`label` d"),
        ({"seeds": [0, 1], "label": ["a", "3"]}, "`label` 3: the classes of this engine are 0 a, 1 b, 2 c"),
        ({"seeds": [0, 1], "label": ["a", 2**63]}, f"`label` {2**63}: the classes"),
        ({"seeds": [0], "label": [0.5]}, "`label` float64 [1]: this engine takes one whole number an image"),
        ({"seeds": [0], "label": [[0]]}, "`label` int64 [1, 1]"),
        ({"seeds": [0, 1], "label": [["a", "b"]]}, "`label` <U1 [1, 2]: give whole numbers"),
        (
            {"seeds": [0], "label": [[0.5, 0.5, 0]]},
            "not the shares of classes; an engine that mixes classes comes from `gantool export --soft",
        ),
        ({"seeds": [0], "label": [[0], [0, 1]]}, "`label`"),
        ({"seeds": ["1+"]}, "`seeds` '1+'"),
        ({"seeds": "1,a"}, "`seeds` '1,a'"),
        ({"seeds": ["1,2"]}, "2 images, expected one"),
    ],
)
def test_what_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        Generator(Shown()).images(**given)
    assert says in str(caught.value)


def test_soft_labels_mix_classes_and_take_numbers_and_names() -> None:
    generator = Generator(Shown(soft=True, least=3))  # batches are padded to 3
    assert labels_of(generator.images(range(5))) == [0, 10, 20, 0, 10]
    assert labels_of(generator.images(range(5), label="b")) == [10] * 5
    assert labels_of(generator.images([7, 8], label=[2, 0])) == [20, 0]
    assert labels_of(generator.images(range(5), label=[0, 0.5, 0.5])) == [15] * 5
    rows = np.array([[1, 0, 0], [0, 0, 1], [0.5, 0, 0.5], [0, 0.1, 0.9], [0, 2, 0]])
    for label in (rows, rows.tolist(), rows.astype(np.float16)):
        assert labels_of(generator.images(iter(range(5)), label=label, batch=2)) == [0, 20, 10, 19, 20]


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (
            [[0.5, 0.5]],
            "`label` float64 [1, 2]: give the share of each of the 3 classes, [N, 3], or [3] for all",
        ),
        ([0.5, 0.5], "`label` float64 [2]: give the share of each"),
        ([[0.5, np.nan, 0.5]], "`label` has NaN, infinity or a number beyond float32 among its shares"),
        ([0.5, 1e39, 0.5], "`label` has NaN, infinity or a number beyond float32 among its shares"),
        ([[1.0, 0, 0], [0, 1, 0]], "`label` has 2 classes for 1 images"),
        (["nobody", "a"], "`label` has 2 classes for 1 images"),
        ([3], "`label` 3: the classes of this engine are 0 a, 1 b, 2 c"),
        ([[[1.0, 0, 0]]], "`label` float64 [1, 1, 3]"),
    ],
)
def test_soft_labels_that_are_refused(label: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        Generator(Shown(soft=True)).images([0], label=label)
    assert says in str(caught.value)


def test_labels_of_seeds_without_a_length_are_counted_at_the_end() -> None:
    for label in ([0], [0, 1, 2]):
        with pytest.raises(UsageError, match="`label` has . classes, and there are"):
            Generator(Shown()).images(iter([0, 1]), label=label)


def test_resample_is_not_for_a_uniform_z() -> None:
    with pytest.raises(UsageError, match="uniform; `truncation` does the same"):
        Generator(Shown(3, "uniform")).images([0], resample=0.5)


def test_no_label_for_a_generator_without_classes() -> None:
    for label in (0, "a", [0]):
        with pytest.raises(UsageError, match="takes no label"):
            Generator(Shown(0)).images([0], label=label)
    with pytest.raises(UsageError, match="does not say how many classes"):
        Generator(Shown(None)).images([0])
    assert labels_of(Generator(Shown(None)).images([0], label=[7])) == [7]

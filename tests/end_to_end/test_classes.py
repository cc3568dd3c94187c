"""Classes by name, from the checkpoint through graph and sidecar to the images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import run_gantool
from end_to_end.test_networks import save_lived_in
from gantool.runtime import Generator, Spec
from gantool.runtime.artifacts.sidecar import read_sidecar
from gantool.runtime.errors import UsageError
from gantool.runtime.spec import Backend, Batch, Images, Labels, Latents

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with c.safetensors, g.onnx and g.rtx.plan, of three classes."""
    folder = tmp_path_factory.mktemp("conditional")
    save_lived_in(folder / "c.safetensors", {"classes": 3})
    run_gantool("export", "c.safetensors", "--engine", "rtx", cwd=folder, check=True)
    return folder


def test_a_class_by_name_is_that_of_its_number(conditional: Path) -> None:
    with Generator.load(conditional / "g.onnx", provider="cpu") as generator:
        assert generator.spec.class_names == NAMES
        expected = generator.images(range(4), label=1)
        for label in ("b", "B", "1"):
            np.testing.assert_array_equal(generator.images(range(4), label=label), expected)
        for other in ("d", "3", 3, -1, "²"):
            with pytest.raises(UsageError, match="the classes of this engine are 0 a, 1 b, 2 c"):
                generator.generate([], label=other)


def test_the_command_line_takes_names(conditional: Path, tmp_path: Path) -> None:
    engine = ("--engine", conditional / "g.onnx", "--seeds", "0-3", "--format", "npy")
    result = run_gantool("generate", *engine, "--class", "B", "-o", "name", cwd=tmp_path, check=True)
    assert "4 images of 16×16×1, class 1 (b) in name" in result.stdout
    run_gantool("generate", *engine, "--class", "1", "-o", "number", cwd=tmp_path, check=True)
    assert (tmp_path / "name/images.npy").read_bytes() == (tmp_path / "number/images.npy").read_bytes()
    result = run_gantool("generate", *engine, "--class", "bb", cwd=tmp_path)
    assert result.returncode == 2
    assert "--class bb: did you mean b? the classes of this engine are 0 a, 1 b, 2 c" in result.stderr


def test_a_plan_has_the_names_in_its_sidecar(conditional: Path) -> None:
    sidecar = read_sidecar(conditional / "g.rtx.plan")
    assert sidecar
    assert (sidecar.metadata.classes, sidecar.metadata.class_names) == (3, NAMES)


def test_inspect_and_verify_show_them(conditional: Path) -> None:
    for name in ("c.safetensors", "g.onnx", "g.rtx.plan"):
        result = run_gantool("inspect", name, cwd=conditional, check=True)
        assert any(
            line.split() == ["classes", "3:", "0", "a,", "1", "b,", "2", "c"]
            for line in result.stdout.splitlines()
        )
    result = run_gantool("verify", "g.onnx", "c.safetensors", cwd=conditional, check=True)
    assert "classes, by seed mod 3: 0 a, 1 b, 2 c" in result.stdout


class Labelled:
    """A backend that gives the label as the image."""

    name = "none"

    def __init__(self, names: tuple[str, ...], classes: int | None) -> None:
        self.spec = Spec(2, height=1, width=1, channels=1, classes=classes, class_names=names)

    def infer(self, z: Latents, label: Labels | None = None) -> Images:  # noqa: ARG002
        assert label is not None
        return label.astype(np.uint8).reshape(-1, 1, 1, 1)

    def infer_each(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Images]]:
        return ((batch, self.infer(batch.z, batch.label)) for batch in batches)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("names", "classes", "label", "number"),
    [
        (("Straße", "7", "0"), 3, "STRASSE", 0),
        (("Straße", "7", "0"), 3, "0", 2),  # a name comes before a number
        (("Straße", "7", "0"), 3, 0, 0),
        (("cat", "Cat"), 2, "Cat", 1),
        (("cat", "Cat"), 2, "CAT", 0),
        ((), 3, "2", 2),
        ((), None, "2", 2),
    ],
)
def test_which_class_is_meant(
    names: tuple[str, ...], classes: int | None, label: str | int, number: int
) -> None:
    backend: Backend = Labelled(names, classes)
    assert Generator(backend).images([0], label=label).item() == number


def test_without_names_a_number_is_asked_for() -> None:
    with pytest.raises(UsageError, match="does not name its classes; give a number"):
        Generator(Labelled((), 3)).generate([], label="shoes")

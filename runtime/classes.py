"""Classes of a conditional generator: numbers from names, the class of a seed, names that are safe for files."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import accumulate
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gantool.runtime.errors import UsageError
from gantool.runtime.seeds import MAX_SEED, Seed, first_seed
from gantool.runtime.spec import Labels, Spec

T = TypeVar("T")
_SHOWN = 20  # classes in an error message
_LONGEST = 60  # bytes of a class in the name of a file
_RESERVED = re.compile(
    r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE
)  # Windows opens devices for these names
_GOLDEN = 2654435769  # 2**32 divided by the golden ratio: its multiples fill the circle evenly
_CIRCLE = 2**32


def class_number(label: int | str | None, names: tuple[str, ...]) -> int | None:
    """Return the number of a class from its number or its name, upper or lower case.

    Raises UsageError, which lists the names, for an unknown name.
    """
    if not isinstance(label, str):
        return label
    if (found := _by_name(label, names)) is not None:
        return found
    if label.isascii() and label.isdecimal() and len(label) < 20:
        return int(label)
    if not names:
        raise UsageError(f"`label` {label}: this engine does not name its classes; give a number, from 0")
    from difflib import get_close_matches  # here, so that every command starts faster

    folded = {name.casefold(): name for name in names[::-1]}
    near = get_close_matches(label.casefold(), folded, 1)
    hint = f"did you mean {folded[near[0]]}? " if near else ""
    raise UsageError(f"`label` {label}: {hint}the classes of this engine are {_named(names)}")


def _by_name(label: str, names: tuple[str, ...]) -> int | None:
    """Return the number of the class of this name; the same case comes first, then the first of equal names."""
    pairs = list(enumerate(names))[::-1]
    numbers = {name: number for number, name in pairs}
    folded = {name.casefold(): number for number, name in pairs}
    return numbers.get(label, folded.get(label.casefold()))


def _named(names: tuple[str, ...]) -> str:
    """Return the classes as text: "0 cat, 1 dog"."""
    shown = [f"{number} {name}" for number, name in enumerate(names[:_SHOWN])]
    if len(names) > _SHOWN:
        shown.append(f"... {len(names) - 1} {names[-1]}")
    return ", ".join(shown)


def parse_classes(text: str, spec: Spec) -> tuple[int, ...]:
    """Parse `Shoes`, `0-4`, `Shoes,Bags,2` or `all` into the numbers of classes, each once, in the order given.

    A name comes before a number, a range and the word all. Raises UsageError for what the engine does not have.
    """
    text, names, classes = text.strip(), spec.class_names, spec.classes
    if classes == 0:
        raise UsageError(f"`label` {text} is for conditional generators: this engine takes no label")
    if (whole := _by_name(text, names)) is not None:  # the name may have a comma in it
        return (whole,)
    if text.casefold() == "all":
        return every_class(spec)
    found: dict[int, None] = {}
    for part in map(str.strip, text.split(",")):
        if not part:
            raise UsageError(f"`label` {text!r}: a class is missing; write them as in Shoes,2,5-7, or all")
        match = re.fullmatch(r"([0-9]{1,9})-([0-9]{1,9})", part)
        if match and _by_name(part, names) is None:
            low, high = int(match[1]), int(match[2])
            if low > high:
                raise UsageError(f"`label` {text}: the range {part} runs backwards; write {high}-{low}")
            labels([], classes, high, names)  # raises UsageError before a range of billions is made
            found.update(dict.fromkeys(range(low, high + 1)))
        else:
            number = class_number(part, names)
            labels([], classes, number, names)
            found[number] = None  # type: ignore[index]  # it is None only for None
    return tuple(found)


def every_class(spec: Spec) -> tuple[int, ...]:
    """Return the numbers of all classes. Raises UsageError if the engine does not say how many it has."""
    labels([], spec.classes)
    return tuple(range(spec.classes or 0))


def labels(
    seeds: Iterable[Seed], classes: int | None, label: int | None = None, names: tuple[str, ...] = ()
) -> NDArray[np.int64]:
    """Return the class of each seed's image, int64 [N]: `label` for all, or `seed % classes`.

    A mix has the class of its first seed. `classes` is None if the number of classes is unknown; then `label` is
    required. `names` are for error messages. Raises UsageError for a class that the engine does not have.
    """
    if label is None and classes is None:
        raise UsageError("the engine does not say how many classes it has: choose one with `label`")
    if label is not None and not 0 <= label < (MAX_SEED if classes is None else classes):
        known = "counted from 0" if classes is None else _named(names) if names else f"0 to {classes - 1}"
        raise UsageError(f"`label` {label}: the classes of this engine are {known}")
    if label is None and classes:
        return np.array([first_seed(seed) % classes for seed in seeds], np.int64)
    return np.array([label for _ in seeds], np.int64)


class Shares:
    """The class of a seed, if classes have the shares of the training data.

    p = seed * 2654435769 mod 2**32 places the seed on a circle, on which consecutive seeds are spread evenly. The
    class is the first one, c, with p * total < (counts[0] + ... + counts[c]) * 2**32, in whole numbers.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        self._total = sum(counts)
        self._ends = [end * _CIRCLE for end in accumulate(counts)]

    def __call__(self, seed: int) -> int:
        """Return the class of a seed."""
        return bisect_right(self._ends, seed * _GOLDEN % _CIRCLE * self._total)


def labels_of_data(seeds: Iterable[int], counts: Sequence[int]) -> NDArray[np.int64] | None:
    """Return the class of each seed, int64 [N], for comparisons with data that has `counts` of each class.

    None if there are no counts: then seeds have the classes that they always have.
    """
    if not counts:
        return None
    if len({*counts}) == 1:
        return labels(seeds, len(counts))
    shares = Shares(counts)
    return np.array([shares(seed) for seed in seeds], np.int64)


# Of a call: a class, its name, or one class an image; of engines with soft labels also the shares of all classes.
Label: TypeAlias = "int | str | ArrayLike | None"
OfImage: TypeAlias = "int | NDArray[np.float32]"  # a class, or the share of each class, [classes]


def labeller(
    label: Label, spec: Spec, count: int | None = None
) -> Callable[[Iterable[T]], Iterable[tuple[T, OfImage | None]]]:
    """Return a function that pairs seeds with their classes, as `Generator.stream` takes `label`.

    `count` is the number of seeds, if it is known. Raises UsageError for a label that the engine does not take. The
    function raises it for another number of labels than seeds.
    """
    if spec.classes == 0:
        if label is not None:
            raise UsageError(f"`label` {label} is for conditional generators: this engine takes no label")
        return lambda seeds: ((seed, None) for seed in seeds)
    if label is None or isinstance(label, (str, int)):
        number = class_number(label, spec.class_names)
        labels([], spec.classes, number, spec.class_names)
        if number is not None:
            return lambda seeds: ((seed, number) for seed in seeds)
        classes = spec.classes or 1
        return lambda seeds: ((seed, first_seed(seed) % classes) for seed in seeds)  # type: ignore[arg-type]
    array = _label_array(label, spec, count)
    if array.ndim == 0:
        return labeller(int(array), spec)
    if array.ndim == 1 and array.dtype.kind == "f":  # one mix for all images
        mix = array.astype(np.float32)
        return lambda seeds: ((seed, mix) for seed in seeds)
    return lambda seeds: _paired(seeds, array)


def label_rows(of_images: Sequence[OfImage], spec: Spec) -> Labels:
    """Return the label of a batch as the engine takes it: int64 [N], or float32 [N, classes] of soft labels."""
    if not spec.soft_labels:
        return np.array(of_images, np.int64)
    return shares_of(of_images, spec.classes or 0)


def shares_of(of_images: Sequence[OfImage], classes: int) -> NDArray[np.float32]:
    """Return the share of each class, float32 [N, classes]: one-hot for the number of a class."""
    rows = np.zeros((len(of_images), classes), np.float32)
    for row, label in zip(rows, of_images, strict=True):
        if isinstance(label, np.ndarray) and label.ndim:
            row[:] = label
        else:
            row[label] = 1
    return rows


def _label_array(label: ArrayLike, spec: Spec, count: int | None) -> Labels:
    """Return one class an image, int64 [N], or shares, float32 [N, classes] or [classes]. Raises UsageError."""
    try:
        numbers = np.asarray(label)
    except ValueError as error:
        raise UsageError(f"`label`: {error}; give whole numbers, [N]") from error
    if numbers.dtype.kind == "f" and numbers.ndim in (1, 2) and numbers.size:
        shares = _shares(numbers, spec)
        if shares.ndim == 2:
            _check_count(shares, count)
        return shares
    if numbers.ndim > 1 or (numbers.dtype.kind not in "iuUS" and numbers.size):
        shape = ", ".join(map(str, numbers.shape))
        raise UsageError(f"`label` {numbers.dtype} [{shape}]: give whole numbers, [N], one for each image")
    if numbers.ndim:
        _check_count(numbers, count)
    if numbers.dtype.kind in "US":
        number_of = cache(partial(class_number, names=spec.class_names))  # each name is looked up once
        found = [number_of(str(name)) for name in numbers.ravel()]
        numbers = np.array(found, object).reshape(numbers.shape)  # a number in a text has any size
    for number in (numbers.min(initial=0), numbers.max(initial=0)):
        labels([], spec.classes, int(number), spec.class_names)
    return numbers.astype(np.int64)


def _check_count(given: NDArray[Any], count: int | None) -> None:
    """Raise UsageError for another number of rows than of images, if that is known."""
    if count not in (None, len(given)):
        raise UsageError(f"`label` has {len(given):,} classes for {count:,} images: give one for each")


def _shares(given: NDArray[Any], spec: Spec) -> NDArray[np.float32]:
    """Return shares of classes, float32 [N, classes] or [classes]. Raises UsageError."""
    shape = ", ".join(map(str, given.shape))
    if not spec.soft_labels:
        raise UsageError(
            f"`label` {given.dtype} [{shape}]: this engine takes one whole number an image, [N], not the shares of "
            "classes; an engine that mixes classes comes from `gantool export --soft-labels`"
        )
    if given.shape[-1] != spec.classes:
        raise UsageError(
            f"`label` {given.dtype} [{shape}]: give the share of each of the {spec.classes} classes, "
            f"[N, {spec.classes}], or [{spec.classes}] for all images"
        )
    with np.errstate(over="ignore"):
        shares = given.astype(np.float32)
    if not np.isfinite(shares).all():
        raise UsageError(
            "`label` has NaN, infinity or a number beyond float32 among its shares: give finite ones"
        )
    return shares


def _paired(seeds: Iterable[T], numbers: Labels) -> Iterator[tuple[T, OfImage]]:
    left: Iterator[OfImage] = iter(numbers.tolist() if numbers.ndim == 1 else list(numbers))
    for seed in seeds:
        if (number := next(left, None)) is None:
            raise UsageError(
                f"`label` has {len(numbers):,} classes, and there are more images: give one for each"
            )
        yield seed, number
    if next(left, None) is not None:
        raise UsageError(
            f"`label` has {len(numbers):,} classes, and there are fewer images: give one for each"
        )


def safe_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return a name for each class that Linux, macOS and Windows take as a folder, unique in any case of letters.

    Letters and digits of any script, `-` and `_` stay; anything else becomes `_`. A class without such a name has
    its number.
    """
    safe: list[str] = []
    taken = {str(number) for number in range(len(names))}
    for number, name in enumerate(names):
        text = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", name)).strip("_")
        text = text.encode()[:_LONGEST].decode(errors="ignore").lstrip("-")
        if not text or text == str(number):
            text = str(number)
        elif text.casefold() in taken or _RESERVED.fullmatch(text):
            text = f"{text}_{number}"
        while text.casefold() in taken and text != str(number):
            text += "_"
        taken.add(text.casefold())
        safe.append(text)
    return tuple(safe)

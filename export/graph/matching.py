"""Which input is z and which the label, and which output is the images: of PyTorch modules and ONNX graphs alike.

Names decide before shapes do, word by word: a label that has as many columns as z would be taken for z without a
trace, and of a depth map and an image of one size only the name says which is which.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

Layout = Literal["NCHW", "NHWC", "NHW"]


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LABEL = _set(
    "label labels class classes cls y c cond condition conditions conditional conditioning onehot category "
    "categories categorical digit digits target targets"
)
_Z = _set("z noise latent latents style styles")
_MAYBE_Z = _set("input inputs")
_SETTING = _set(
    "psi truncation trunc training train alpha step steps stage seed temperature cutoff timestep timesteps sigma"
)
_IMAGES = _set(
    "image images img imgs rgb fake fakes sample samples picture pictures photo photos generated xhat recon "
    "reconstruction reconstructed"
)
_NOT_IMAGES = _set(
    "depth depths disparity mask masks alpha attention attn normal normals flow seg segmentation heatmap feature "
    "features feat feats latent latents noise logits score scores edge edges"
)


@dataclass(frozen=True)
class Output:
    """One tensor of what a generator returns."""

    way: tuple[Any, ...]  # keys, indices and names of fields that lead to it; of a graph, its name
    values: Any  # a tensor of torch or an array


@dataclass(frozen=True)
class Images:
    """An output that may be images."""

    output: Output
    layout: Layout
    size: tuple[int, int, int]  # C, H, W

    @property
    def area(self) -> int:
        """The pixels of one image."""
        return self.size[1] * self.size[2]


def words(name: str) -> set[str]:
    """Return the words of a name in small letters, each two neighbours as one word too: one_hot gives onehot."""
    found = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    return {*found, *(one + two for one, two in pairwise(found))}


def says_label(name: str) -> bool:
    """Whether a name is that of a label, and not of z too."""
    return _says(name, _LABEL, _Z)


def says_z(name: str) -> bool:
    """Whether a name is that of z, and not of a label too."""
    return _says(name, _Z, _LABEL)


def says_setting(name: str) -> bool:
    """Whether a name is that of something that stays the same from image to image, as a truncation."""
    return _says(name, _SETTING, _LABEL | _Z)


def label_of(one: str, two: str) -> int | None:
    """Return which of two inputs, 0 or 1, is the label, by its name or by that of z; None if neither says."""
    for these, not_these, is_label in (
        (_LABEL, _Z, True),
        (_Z, _LABEL, False),
        (_MAYBE_Z, _LABEL, False),
    ):
        says = [_says(name, these, not_these) for name in (one, two)]
        if says[0] != says[1]:
            return says.index(is_label)
    return None


def _says(name: str, these: frozenset[str], not_these: frozenset[str]) -> bool:
    return not (found := words(name)).isdisjoint(these) and found.isdisjoint(not_these)


def pick(outputs: Iterable[Output], rows: int) -> tuple[Images, ...]:
    """Return the images among what a generator made of `rows` z: () if there are none, several if none stands out.

    Four axes come before three, 1 or 3 channels before 4. Of several, those that are named as images, then colour
    before a grey map of the same size or a smaller one, then the largest of a pyramid.
    """
    read = [images for output in outputs if (images := _read(output, rows)) is not None]
    kinds = (
        [images for images in read if images.layout != "NHW" and images.size[0] != 4],
        [images for images in read if images.size[0] == 4],
        [images for images in read if images.layout == "NHW"],
    )
    found = next((kind for kind in kinds if kind), [])
    if not found:
        return ()
    ranks = [_rank(images) for images in found]
    found = [images for images, rank in zip(found, ranks, strict=True) if rank == min(ranks)]
    colour = [images for images in found if images.size[0] == 3]
    largest = max(images.area for images in found)
    if len({images.size[0] for images in found}) > 1:
        if max(images.area for images in colour) < largest:
            return tuple(found)
        found = colour
    found = [images for images in found if images.area == largest]
    exact = [images for images in found if _names(images) and _names(images) <= _IMAGES]
    found = exact if len(exact) == 1 else found
    first = found[0].output.values
    same = all(
        images.output.values.shape == first.shape and bool((images.output.values == first).all())
        for images in found
    )
    return tuple(found[:1] if same else found)


def _read(output: Output, rows: int) -> Images | None:
    """Read a tensor as images if its shape allows it; where two readings fit, channels come first."""
    if not output.values.shape or output.values.shape[0] != rows:
        return None
    sides = tuple(int(side) for side in output.values.shape[1:])
    if len(sides) == 2 and min(sides) > 1:
        return Images(output, "NHW", (1, *sides))
    if len(sides) != 3:
        return None
    first, second, last = sides
    for channels in ((1, 3), (4,)):
        if first in channels and min(second, last) > 1:
            return Images(output, "NCHW", (first, second, last))
        if last in channels and (
            min(first, second) > 4 or first == second > 1
        ):  # else features, [N, 512, 3, 3]
            return Images(output, "NHWC", (last, first, second))
    return None


def _names(images: Images) -> set[str]:
    return {word for key in images.output.way if isinstance(key, str) for word in words(key)}


def _rank(images: Images) -> int:
    """Return 0 for the name of an image, 2 for that of something else, 1 for any other."""
    names = _names(images)
    return 2 if names & _NOT_IMAGES else 0 if names & _IMAGES else 1


def how_to_mend(shapes: Sequence[tuple[int, ...]], rows: int) -> str:
    """Say what to change in a generator whose outputs, of these shapes, hold no images; "" if that is not known."""
    if len(shapes) != 1:
        return ""
    (shape,) = shapes
    if len(shape) == 4 and shape[1] == 4:
        return "Four channels are RGBA, and gantool writes 1 or 3: return images[:, :3]"
    if len(shape) == 4 and shape[3] == 4:
        return "Four channels are RGBA, and gantool writes 1 or 3: return images[..., :3]"
    if len(shape) == 2:
        for channels in (1, 3):
            side = math.isqrt(shape[1] // channels)
            if side > 3 and side * side * channels == shape[1]:
                return f"They are flat: end forward with images.view(-1, {channels}, {side}, {side})"
    if len(shape) == 4 and shape[0] != rows:
        return "The batch comes first: [N, C, H, W]"
    return ""

"""Tell z from the label, and images from other outputs, for PyTorch modules and ONNX graphs.

The words of a name decide before the shape does. By shape alone, a label with as many columns as z could pass for
z, and a depth map for a grey image of the same size.
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
    "image images img imgs rgb rgba fake fakes sample samples picture pictures photo photos generated xhat recon "
    "reconstruction reconstructed"
)
_NOT_IMAGES = _set(
    "depth depths disparity mask masks alpha attention attn normal normals flow seg segmentation heatmap feature "
    "features feat feats latent latents noise logits score scores edge edges"
)


RGBA_NOTE = "gantool takes its four channels as RGBA, whose colours are not multiplied by alpha"


@dataclass(frozen=True)
class Output:
    """One output tensor of a generator."""

    path: tuple[Any, ...]  # keys, indices and attribute names in the output; for a graph, the output's name
    values: Any  # a torch tensor or a NumPy array


@dataclass(frozen=True)
class ImageOutput:
    """An output that may be images."""

    output: Output
    layout: Layout
    size: tuple[int, int, int]  # C, H, W

    @property
    def area(self) -> int:
        """The pixels of one image."""
        return self.size[1] * self.size[2]


def words(name: str) -> set[str]:
    """Return the words of a name in lower case, also each two neighbours joined: one_hot gives onehot."""
    found = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    return {*found, *(one + two for one, two in pairwise(found))}


def is_label_name(name: str) -> bool:
    """Return whether a name has a word for a label, and none for z."""
    return _has_word(name, _LABEL, _Z)


def is_z_name(name: str) -> bool:
    """Return whether a name has a word for z, and none for a label."""
    return _has_word(name, _Z, _LABEL)


def is_setting_name(name: str) -> bool:
    """Return whether a name has a word for a setting that is the same for all images, as truncation is."""
    return _has_word(name, _SETTING, _LABEL | _Z)


def label_index(one: str, two: str) -> int | None:
    """Return the index (0 or 1) of the label among two input names; None if the names do not tell."""
    for wanted, unwanted, is_label in (
        (_LABEL, _Z, True),
        (_Z, _LABEL, False),
        (_MAYBE_Z, _LABEL, False),
    ):
        hits = [_has_word(name, wanted, unwanted) for name in (one, two)]
        if hits[0] != hits[1]:
            return hits.index(is_label)
    return None


def _has_word(name: str, wanted: frozenset[str], unwanted: frozenset[str]) -> bool:
    return not (found := words(name)).isdisjoint(wanted) and found.isdisjoint(unwanted)


def pick_images(outputs: Iterable[Output], rows: int) -> tuple[ImageOutput, ...]:
    """Return the outputs that hold the images of `rows` samples: () for none, several if the choice is ambiguous.

    Prefers four axes to three, and 1 or 3 channels to 4, which are RGBA. Among several: first by name, then colour
    over grey of the same size or smaller, then the largest of a pyramid.
    """
    read = [images for output in outputs if (images := _as_images(output, rows)) is not None]
    kinds = (
        [images for images in read if images.layout != "NHW" and images.size[0] != 4],
        [images for images in read if images.size[0] == 4],
        [images for images in read if images.layout == "NHW"],
    )
    found = next((kind for kind in kinds if kind), [])
    if not found:
        return ()
    ranks = [_name_rank(images) for images in found]
    found = [images for images, rank in zip(found, ranks, strict=True) if rank == min(ranks)]
    colour = [images for images in found if images.size[0] == 3]
    largest = max(images.area for images in found)
    if len({images.size[0] for images in found}) > 1:
        if max(images.area for images in colour) < largest:
            return tuple(found)
        found = colour
    found = [images for images in found if images.area == largest]
    exact = [images for images in found if _path_words(images) and _path_words(images) <= _IMAGES]
    found = exact if len(exact) == 1 else found
    first = found[0].output.values
    same = all(
        images.output.values.shape == first.shape and bool((images.output.values == first).all())
        for images in found
    )
    return tuple(found[:1] if same else found)


def _as_images(output: Output, rows: int) -> ImageOutput | None:
    """Return the output as images if its shape allows it. If two layouts fit, take NCHW."""
    if not output.values.shape or output.values.shape[0] != rows:
        return None
    sides = tuple(int(side) for side in output.values.shape[1:])
    if len(sides) == 2 and min(sides) > 1:
        return ImageOutput(output, "NHW", (1, *sides))
    if len(sides) != 3:
        return None
    first, second, last = sides
    for channels in ((1, 3), (4,)):
        if first in channels and min(second, last) > 1:
            return ImageOutput(output, "NCHW", (first, second, last))
        if last in channels and (
            min(first, second) > 4 or first == second > 1
        ):  # otherwise it is a feature map, [N, 512, 3, 3]
            return ImageOutput(output, "NHWC", (last, first, second))
    return None


def _path_words(images: ImageOutput) -> set[str]:
    return {word for key in images.output.path if isinstance(key, str) for word in words(key)}


def _name_rank(images: ImageOutput) -> int:
    """Return 0 for the name of an image, 2 for the name of something else, 1 if the name does not tell."""
    names = _path_words(images)
    return 2 if names & _NOT_IMAGES else 0 if names & _IMAGES else 1


def advice_from_shapes(shapes: Sequence[tuple[int, ...]], rows: int) -> str:
    """Return what to change in a generator whose outputs, of these shapes, are not images; "" if unknown."""
    if len(shapes) != 1:
        return ""
    (shape,) = shapes
    if len(shape) == 2:
        for channels in (1, 3):
            side = math.isqrt(shape[1] // channels)
            if side > 3 and side * side * channels == shape[1]:
                return f"They are flat: end forward with images.view(-1, {channels}, {side}, {side})"
    if len(shape) == 4 and shape[0] != rows:
        return "The batch comes first: [N, C, H, W]"
    return ""

"""Feature extractors: each turns images into vectors, to compare images by.

classifier   The default, which needs no downloads: a small network, trained once to classify the data and kept in
             the cache. If the images have no labels, it learns to predict by how much an image was rotated: 0, 90,
             180 or 270 degrees (Gidaris, Singh and Komodakis 2018, arXiv:1803.07728).
FILE.onnx    A graph with one input, images as uint8 [N, H, W, C] or float32 [N, C, H, W] in [-1, 1]. The vectors
             are its first output.
inception    The network of the usual FID, from the package torch-fidelity, which downloads its weights.

The vector of a transparent image is its vector on white and its vector on black, side by side.

Distances of different extractors are not comparable. A classifier also differs from machine to machine: to compare
across machines, copy its file from cache to cache, or use an ONNX file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gantool.runtime.backends.session import open_session
from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError
from gantool.runtime.outputs.images import over_colour
from gantool.runtime.process.apart import level_that_works
from gantool.runtime.process.cpus import limit
from gantool.runtime.progress import task
from gantool.runtime.spec import Images
from gantool.train.data.dataset import ImageData
from gantool.train.metrics.classifier import BACKGROUNDS, class_count, prepare, trained_classifier

Vectors = NDArray[np.float32]  # [N, F]

_BATCH = 500  # images per pass of an extractor


@dataclass(frozen=True)
class Extractor:
    """Turns images, uint8 [N, H, W, C], into vectors."""

    name: str  # used in metric-<name>.jsonl: classifier, inception or the stem of an ONNX file
    vectors: Callable[[Images], Vectors]
    logits: Callable[[Images], NDArray[np.float32]] | None = (
        None  # [N, classes]; None if it does not classify
    )
    warning: str = ""  # why its distances are unreliable


def find_extractor(name: str, data: ImageData) -> Extractor:
    """Return the extractor called `name`: "classifier", "inception" or the path of an ONNX file."""
    if name == "classifier":
        found = _classifier(data)
    elif name == "inception":
        found = _inception()
    elif name.endswith(".onnx"):
        found = _onnx(Path(name))
    else:
        raise UsageError(f"`features` {name}: give classifier, inception or the path of an .onnx file")
    return _on_both_backgrounds(found) if data.images.shape[3] == 4 else found


def _on_both_backgrounds(opaque: Extractor) -> Extractor:
    """Return an extractor of images of four channels from one of images of three."""
    logits = opaque.logits

    def vectors(images: Images) -> Vectors:
        return np.concatenate(
            [opaque.vectors(over_colour(images, each)) for each in BACKGROUNDS], 1
        )  # [N, 2F]

    def sum_of_logits(images: Images) -> NDArray[np.float32]:
        assert logits is not None
        total: NDArray[np.float32] = sum(logits(over_colour(images, each)) for each in BACKGROUNDS)  # type: ignore[assignment]
        return total

    return replace(opaque, vectors=vectors, logits=sum_of_logits if logits else None)


def _classifier(data: ImageData) -> Extractor:
    network = trained_classifier(data)

    def vectors(images: Images) -> Vectors:
        with torch.no_grad():
            return np.concatenate([network(prepare(part)).numpy() for part in _parts(images)])

    def logits(images: Images) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.concatenate([network.head(network(prepare(part))).numpy() for part in _parts(images)])

    warning, labels = "", data.labels
    chance = np.bincount(labels.values).max() / len(data.images) if labels else 1 / class_count(data)
    if network.right <= (1 + chance) / 2:
        warning = (
            f"the classifier is right about {network.right:.0%} of the images, a guess about {chance:.0%}: its "
            "distances are unreliable; use another extractor, a FILE.onnx"
        )
    return Extractor("classifier", vectors, logits if labels else None, warning)


def _parts(images: Images) -> Iterator[Images]:
    with task("extracting features", len(images), "images") as done:
        for start in range(0, len(images), _BATCH):
            yield images[start : start + _BATCH]
            done.update(min(start + _BATCH, len(images)))


def _onnx(path: Path) -> Extractor:
    if not path.is_file():
        raise GantoolError(f"`features` {path}: there is no such file")
    level = level_that_works(path)
    try:
        session: Any = open_session(path, limit(), level)
    except ModuleNotFoundError as error:
        raise MissingDependencyError("onnxruntime", "cpu", "`features` FILE.onnx") from error
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        raise GantoolError(f"`features` {path} is not a graph that ONNX Runtime can run: {error}") from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _ONNX_TYPES:
        found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
        raise GantoolError(
            f"`features` {path} takes {found}: expected one input, images as uint8 [N, H, W, C] or as "
            "float32 [N, C, H, W] in [-1, 1]"
        )
    wanted = inputs[0]
    whole = _ONNX_TYPES[wanted.type]

    def vectors(images: Images) -> Vectors:
        out = []
        for part in _parts(images):
            pixels = _as_input(part, wanted.shape, whole)
            try:
                result = session.run([session.get_outputs()[0].name], {wanted.name: pixels})[0]
            except Exception as error:
                raise GantoolError(
                    f"`features` {path} does not take images {pixels.shape}: {error}"
                ) from error
            out.append(np.asarray(result, np.float32).reshape(len(part), -1))  # [n, F]
        return np.concatenate(out)

    return Extractor(path.stem, vectors)


_ONNX_TYPES = {"tensor(uint8)": True, "tensor(float)": False}  # type of the input -> whether it is uint8


def _as_input(images: Images, shape: list[int | str | None], whole: bool) -> NDArray[Any]:
    """Convert images to the channels, size and type of a graph's input. `whole`: uint8, not float32."""
    height, width, channels = shape[1:] if whole else (*shape[2:], shape[1])
    if channels == 3 and images.shape[3] == 1:
        images = images.repeat(3, axis=3)
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()  # [N, C, H, W]
    if isinstance(height, int) and isinstance(width, int) and pixels.shape[2:] != (height, width):
        pixels = nn.functional.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
    if whole:
        return pixels.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    return (pixels / 127.5 - 1).numpy()


def _inception() -> Extractor:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            error.name or "torch-fidelity", "inception", "`features` inception"
        ) from error
    try:
        network = FeatureExtractorInceptionV3("inception", ["2048"]).eval()
    except Exception as error:  # a download can fail in many ways
        raise GantoolError(
            f"the weights of Inception are not available ({error}): leave out `features`, or give an ONNX file"
        ) from error

    def vectors(images: Images) -> Vectors:
        colour = images.repeat(3, axis=3) if images.shape[3] == 1 else images
        with torch.no_grad():
            parts = [
                network(torch.from_numpy(np.ascontiguousarray(part)).permute(0, 3, 1, 2))[0].numpy()
                for part in _parts(colour)
            ]
        return np.concatenate(parts)  # [N, 2048]

    return Extractor("inception", vectors)

"""Feature extractors: each turns images into vectors, to compare images by.

classifier   The default, which needs no downloads: a small network, trained once to classify the data and kept in
the
             cache. If the images have no labels, it learns to predict by how much an image was rotated: 0, 90, 180
             or 270 degrees (Gidaris, Singh and Komodakis 2018, arXiv:1803.07728).
FILE.onnx    A graph with one input, images as uint8 [N, H, W, C] or float32 [N, C, H, W] in [-1, 1]. The vectors
are
             its first output.
inception    The network of the usual FID, from the package torch-fidelity, which downloads its weights.

Distances of different extractors are not comparable. A classifier also differs from machine to machine: to compare
across machines, copy its file from cache to cache, or use an ONNX file.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

from gantool.runtime.backends.session import open_session
from gantool.runtime.cache import cache_dir
from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError
from gantool.runtime.files import atomic
from gantool.runtime.process.apart import level_that_works
from gantool.runtime.process.cpus import limit
from gantool.runtime.progress import task, track
from gantool.runtime.spec import Images
from gantool.train.data.dataset import ImageData
from gantool.train.data.streams import own_stream

Vectors = NDArray[np.float32]  # [N, F]

_VERSION = 2  # of the classifier: raise it when the same data give a different classifier
_SIDE = 32  # larger images are scaled down to this size
_LEAST = 8  # pixels per side, which the three strides of 2 reduce to one
_SEEN = 60_000  # training images at most
_EPOCHS = 30  # passes over the data at most
_BATCH = 500  # images per pass of an extractor

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extractor:
    """Turns images into vectors."""

    name: str  # used in metric-<name>.jsonl: classifier, inception or the stem of an ONNX file
    vectors: Callable[[Images], Vectors]
    classes: Callable[[Images], NDArray[np.int64]] | None = None  # [N]; None if it does not classify
    warning: str = ""  # why its distances are unreliable


def find_extractor(name: str, data: ImageData) -> Extractor:
    """Return the extractor called `name`: "classifier", "inception" or the path of an ONNX file."""
    if name == "classifier":
        return _classifier(data)
    if name == "inception":
        return _inception()
    if not name.endswith(".onnx"):
        raise UsageError(f"`features` {name}: give classifier, inception or the path of an .onnx file")
    return _onnx(Path(name))


class _Classifier(nn.Module):
    """images, float32 [N, C, 32, 32] in [-1, 1] -> vectors, [N, 64]; `head` turns them into logits."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((channels, 32), (32, 64), (64, 128)):
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False),  # [N, outputs, h/2, w/2]
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(64), nn.ReLU(inplace=True))
        self.head = nn.Linear(64, classes)
        self.right: Tensor  # accuracy at the end of training; saved with the weights
        self.register_buffer("right", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.body(images)
        return out


def _classifier(data: ImageData) -> Extractor:
    labelled = data.labels is not None
    classes = len(data.labels.classes) if data.labels else 4
    height, width, channels = data.images.shape[1:]
    if min(height, width) < _LEAST:
        raise GantoolError(
            f"the classifier needs images of at least {_LEAST} pixels per side, these are {width}×{height}"
        )
    with own_stream(0):  # initialize weights, which loading or training then replaces
        network = _Classifier(channels, classes)
        network(_prepare(np.zeros((2, height, width, channels), np.uint8)))
    path = cache_dir() / "features" / f"classifier-{_key(data)}.safetensors"
    if _load(network, path):
        _log.debug("classifier from the cache: %s", path)
    else:
        what = f"the {classes} classes of {data.name}" if labelled else f"rotations of {data.name}"
        _log.info("training a small classifier to predict %s (once; kept in %s)", what, path)
        with own_stream(0):
            network.right.fill_(_fit(network, data, classes))
        _log.info("classifier accuracy on its last training images: %s", f"{network.right:.0%}")
        with suppress(OSError), atomic(path) as part:  # if it cannot be saved, train again next time
            part.write_bytes(save(network.state_dict()))
    network.eval()

    def vectors(images: Images) -> Vectors:
        with torch.no_grad():
            return np.concatenate([network(_prepare(part)).numpy() for part in _parts(images)])

    def predicted(images: Images) -> NDArray[np.int64]:
        with torch.no_grad():
            parts = [network.head(network(_prepare(part))).argmax(1).numpy() for part in _parts(images)]
        return np.concatenate(parts)

    warning = ""
    chance = np.bincount(data.labels.values).max() / len(data.images) if data.labels else 1 / classes
    if network.right <= (1 + chance) / 2:
        warning = (
            f"the classifier is right about {network.right:.0%} of the images, a guess about {chance:.0%}: its "
            "distances are unreliable; use another extractor, a FILE.onnx"
        )
    return Extractor("classifier", vectors, predicted if labelled else None, warning)


def _key(data: ImageData) -> str:
    digest = hashlib.sha256(f"{_VERSION} {data.images.shape}".encode())
    digest.update(np.ascontiguousarray(data.images).data)
    if data.labels:
        digest.update(data.labels.values.tobytes())
    return digest.hexdigest()[:16]


def _load(network: nn.Module, path: Path) -> bool:
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError):  # missing or damaged: train it again
        return False
    return True


def _fit(network: _Classifier, data: ImageData, classes: int) -> float:
    """Train the classifier; return its accuracy over the last tenth of the steps."""
    # initialize again: the pass that determined the shapes changed the running statistics
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.BatchNorm2d)):
            layer.reset_parameters()
    batch = 128
    steps = max(min(_SEEN, _EPOCHS * len(data.images)) // batch, 10)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    right: list[float] = []
    network.train()
    for _ in track(range(steps), "training the classifier", steps, "steps"):
        chosen = torch.randint(len(data.images), (batch,)).numpy()
        images = _prepare(data.images[chosen])  # [B, C, 32, 32]
        if data.labels:
            truth = torch.from_numpy(data.labels.values[chosen])
        else:
            truth = torch.randint(classes, (batch,))
            images = torch.stack(
                [torch.rot90(image, int(turns), (1, 2)) for image, turns in zip(images, truth, strict=True)]
            )
        logits = network.head(network(images))
        loss = cross_entropy(logits, truth)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        right.append((logits.argmax(1) == truth).float().mean().item())
    return float(np.mean(right[-max(steps // 10, 1) :]))


def _parts(images: Images) -> Iterator[Images]:
    with task("extracting features", len(images), "images") as done:
        for start in range(0, len(images), _BATCH):
            yield images[start : start + _BATCH]
            done.update(min(start + _BATCH, len(images)))


def _prepare(images: Images) -> Tensor:
    """Return images as float32 [N, C, h, h] in [-1, 1], scaled down to squares of at most 32 pixels per side."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    side = min(_SIDE, *pixels.shape[2:])
    if pixels.shape[2:] != (side, side):
        pixels = adaptive_avg_pool2d(pixels, side)
    return pixels


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

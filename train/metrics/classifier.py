"""The default feature extractor: a small network that is trained once to classify the data.

It sees images of up to 128 pixels at their full size, so that it also sees the finest pattern, such as a
checkerboard. Each doubling over 32 pixels adds a layer in front.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

from gantool.runtime.cache import cache_dir
from gantool.runtime.errors import GantoolError
from gantool.runtime.files import atomic
from gantool.runtime.outputs.images import over_colour
from gantool.runtime.progress import track
from gantool.runtime.spec import Images
from gantool.train.data.dataset import ImageData
from gantool.train.data.streams import own_stream

BACKGROUNDS = ((255, 255, 255), (0, 0, 0))  # what is white on white shows on black
LARGEST = 128  # pixels of the shorter side; larger images are scaled down

_VERSION = 2  # raise it when the same data give a different classifier
_LEAST = 8  # pixels per side, which three strides of 2 reduce to one
_SEEN = 60_000  # training images at most
_EPOCHS = 30  # passes over the data at most
_BATCH = 128

_log = logging.getLogger(__name__)


class Classifier(nn.Module):
    """images, float32 [N, C, h, w] in [-1, 1] -> vectors, [N, 64]; `head` turns them into logits."""

    def __init__(self, channels: int, side: int, classes: int) -> None:
        """`side`: pixels of the shorter side."""
        super().__init__()
        # [16, 32, 64, 128] for 64 pixels; 32 pixels and fewer have three layers
        widths = [32 >> doublings for doublings in range(_doublings(side), 0, -1)] + [32, 64, 128]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([channels, *widths]):
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


def trained_classifier(data: ImageData) -> Classifier:
    """Return a classifier of the data in eval mode, from the cache if it is there.

    If the images have no labels, it predicts by how much an image was rotated. Images of four channels are laid on
    white or black at random. Raises GantoolError for images of fewer than 8 pixels per side.
    """
    height, width, channels = data.images.shape[1:]
    if min(height, width) < _LEAST:
        raise GantoolError(
            f"the classifier needs images of at least {_LEAST} pixels per side, these are {width}×{height}"
        )
    classes = class_count(data)
    seen = 3 if channels == 4 else channels
    with own_stream(0):  # initialize weights, which loading or training then replaces
        network = Classifier(seen, min(height, width), classes)
        network(scaled_down(torch.zeros(2, seen, height, width)))
    path = cache_dir() / "features" / f"classifier-{_key(data)}.safetensors"
    if _load(network, path):
        _log.debug("classifier from the cache: %s", path)
    else:
        what = f"the {classes} classes of {data.name}" if data.labels else f"rotations of {data.name}"
        _log.info("training a small classifier to predict %s (once; kept in %s)", what, path)
        with own_stream(0):
            network.right.fill_(_fit(network, data, classes))
        _log.info("classifier accuracy on its last training images: %s", f"{network.right:.0%}")
        with suppress(OSError), atomic(path) as part:  # if it cannot be saved, train again next time
            part.write_bytes(save(network.state_dict()))
    return network.eval()


def class_count(data: ImageData) -> int:
    """Return the number of classes: of the labels, or of rotations. Turning by 90° would swap unequal sides."""
    if data.labels:
        return len(data.labels.classes)
    height, width = data.images.shape[1:3]
    return 4 if height == width else 2


def prepare(images: Images) -> Tensor:
    """Return uint8 images of one or three channels as float32 [N, C, h, w] in [-1, 1], large ones scaled down."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    return scaled_down(pixels / 127.5 - 1)


def scaled_down(pixels: Tensor) -> Tensor:
    """Average pixels, [N, C, H, W], until the shorter side has at most LARGEST."""
    height, width = pixels.shape[2:]
    shorter = min(height, width)
    if shorter <= LARGEST:
        return pixels
    return adaptive_avg_pool2d(pixels, (height * LARGEST // shorter, width * LARGEST // shorter))


def _doublings(side: int) -> int:
    """Return how often 32 pixels are doubled until they are the shorter side: 1 for 64 to 127."""
    return max((min(side, LARGEST) // 32).bit_length() - 1, 0)


def _key(data: ImageData) -> str:
    digest = hashlib.sha256(f"{_VERSION} {data.images.shape}".encode())
    if min(data.images.shape[1:3]) > 32:
        digest.update(b"full size")  # until version 2, these were scaled down to 32 pixels
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


def _fit(network: Classifier, data: ImageData, classes: int) -> float:
    """Train the classifier; return its accuracy over the last tenth of the steps."""
    # initialize again: the pass that determined the shapes changed the running statistics
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.BatchNorm2d)):
            layer.reset_parameters()
    steps = max(min(_SEEN, _EPOCHS * len(data.images)) // _BATCH, 10)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    right: list[float] = []
    network.train()
    for _ in track(range(steps), "training the classifier", steps, "steps"):
        chosen = torch.randint(len(data.images), (_BATCH,)).numpy()
        images = prepare(_on_any_background(data.images[chosen]))  # [B, C, h, w]
        if data.labels:
            truth = torch.from_numpy(data.labels.values[chosen])
        else:
            truth = torch.randint(classes, (_BATCH,))
            turns = truth * (4 // classes)  # quarter turns
            images = torch.stack(
                [torch.rot90(image, int(turn), (1, 2)) for image, turn in zip(images, turns, strict=True)]
            )
        logits = network.head(network(images))
        loss = cross_entropy(logits, truth)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        right.append((logits.argmax(1) == truth).float().mean().item())
    return float(np.mean(right[-max(steps // 10, 1) :]))


def _on_any_background(images: Images) -> Images:
    """Lay each image of four channels on white or black."""
    if images.shape[3] != 4:
        return images
    white = (torch.rand(len(images)) < 0.5).numpy()[:, None, None, None]
    return np.where(white, *(over_colour(images, each) for each in BACKGROUNDS))

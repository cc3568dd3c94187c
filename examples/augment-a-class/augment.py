"""Does a generator help a classifier that has ten real images of each class? See README.md.

    python augment.py pick ten              # ten real images of each class of Fashion-MNIST, in folders
    python augment.py score ten             # accuracy of a classifier on them
    python augment.py score ten generated   # and with generated images added

Accuracy is on the 10,000 test images, the mean of three trainings that differ in their seed.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from gantool.train.data.fashion_mnist import CLASSES, SYSTEM_FOLDER

DATA = SYSTEM_FOLDER  # Debian's package dataset-fashion-mnist, with the test images
SIDE = 28
SEEDS = 3
STEPS, BATCH = 600, 64
REAL_SHARE = 0.5  # of a batch, if there are generated images too


def idx(path: Path) -> NDArray[np.uint8]:
    """Read a file of Fashion-MNIST: images [N, 28, 28] or labels [N]."""
    data = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def pick(source: Path, out: Path, count: int) -> None:
    """Write the first `count` images of each class to a folder for each class."""
    images, labels = (idx(source / f"train-{name}.gz") for name in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    for number, name in enumerate(CLASSES):
        folder = out / f"{number}-{name.replace('/', '-')}"
        folder.mkdir(parents=True)
        for index in np.flatnonzero(labels == number)[:count]:
            Image.fromarray(images[index]).save(folder / f"{index:05d}.png")


def read(folder: Path) -> tuple[Tensor, Tensor]:
    """Return the images of a folder with a folder for each class, [N, 1, 28, 28], and their classes, [N]."""
    images, labels = [], []
    for number, each in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for path in sorted(each.glob("*.png")):
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
            labels.append(number)
    return prepared(np.stack(images)), torch.tensor(labels)


def prepared(images: NDArray[np.uint8]) -> Tensor:
    """Return images as float32 [N, 1, 28, 28] in [-1, 1]."""
    return torch.tensor(images)[:, None].float() / 127.5 - 1


def classifier() -> nn.Module:
    """Return a small convolutional network with dropout."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 32), (32, 64)):
        layers += [
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.LazyLinear(len(CLASSES)))


def shifted(images: Tensor) -> Tensor:
    """Move a batch by up to two pixels and mirror half of it: what anybody would do with few images."""
    down, right = torch.randint(-2, 3, (2,)).tolist()
    images = images.roll((down, right), (2, 3))
    return torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images)


def accuracy(
    real: tuple[Tensor, Tensor],
    generated: tuple[Tensor, Tensor] | None,
    test: tuple[Tensor, Tensor],
    seed: int,
) -> float:
    """Train a classifier, and return its accuracy on the test images."""
    torch.manual_seed(seed)
    network = classifier()
    network(real[0][:2])
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS)
    of_real = BATCH if generated is None else round(BATCH * REAL_SHARE)
    for _ in range(STEPS):
        parts = [(real, of_real), *([] if generated is None else [(generated, BATCH - of_real)])]
        chosen = [(source, torch.randint(len(source[1]), (count,))) for source, count in parts]
        images = shifted(torch.cat([source[0][index] for source, index in chosen]))
        labels = torch.cat([source[1][index] for source, index in chosen])
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        right = [
            (network(part).argmax(1) == of).float().sum()
            for part, of in zip(test[0].split(1000), test[1].split(1000), strict=True)
        ]
    return float(sum(right)) / len(test[1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    picking = commands.add_parser("pick")
    picking.add_argument("out", type=Path)
    picking.add_argument("--count", type=int, default=10)
    scoring = commands.add_parser("score")
    scoring.add_argument("real", type=Path)
    scoring.add_argument("generated", type=Path, nargs="?")
    options = parser.parse_args()
    if options.command == "pick":
        pick(DATA, options.out, options.count)
        return
    test = (
        prepared(idx(DATA / "t10k-images-idx3-ubyte.gz")),
        torch.from_numpy(idx(DATA / "t10k-labels-idx1-ubyte.gz").astype(np.int64)),
    )
    real, generated = read(options.real), options.generated and read(options.generated)
    scores = [accuracy(real, generated, test, seed) for seed in range(SEEDS)]
    print(f"{np.mean(scores):.1%} ({min(scores):.1%} to {max(scores):.1%})")


if __name__ == "__main__":
    main()

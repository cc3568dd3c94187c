"""Does a generator help a classifier that has few images of one class? See README.md.

python augment.py pick theirs --start 1000 --count 1000    # 1,000 images of each class of Fashion-MNIST
python augment.py pick few --small dress                   # ten images of one class, 500 of each other one
python augment.py score few --small dress                  # a classifier, tested on the 10,000 test images
python augment.py score few generated --small dress        # with generated images of the class
"""

from __future__ import annotations

import argparse
import gzip
import random
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from gantool.train.data.fashion_mnist import CLASSES, SYSTEM_FOLDER

FEW = 10  # images of the small class
SEEDS, STEPS, BATCH = 5, 500, 60


def fashion(part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images, [N, 28, 28], and labels, [N], of Debian's package dataset-fashion-mnist."""
    if not SYSTEM_FOLDER.is_dir():
        raise SystemExit(f"{SYSTEM_FOLDER} is missing: apt-get install dataset-fashion-mnist")
    images, labels = (
        np.frombuffer(gzip.decompress((SYSTEM_FOLDER / f"{part}-{name}.gz").read_bytes()), np.uint8)
        for name in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    return images[16:].reshape(-1, 28, 28), labels[8:]


def pick(out: Path, small: str | None, start: int, count: int) -> None:
    """Write `count` images of each class, ten of the small one, to folders, from image `start` of the class on."""
    images, labels = fashion("train")
    for number, name in enumerate(CLASSES):
        (out / name).mkdir(parents=True)
        end = start + (FEW if name == small else count)
        for index in np.flatnonzero(labels == number)[start:end]:
            Image.fromarray(images[index]).save(out / name / f"{index:05d}.png")


def read(folder: Path) -> Tensor:
    """Return the images of a folder, [N, 1, 28, 28] in [-1, 1]."""
    opened = [
        np.asarray(Image.open(path).convert("L").resize((28, 28))) for path in sorted(folder.glob("*.png"))
    ]
    return torch.tensor(np.stack(opened))[:, None].float() / 127.5 - 1


def shifted(images: Tensor) -> Tensor:
    """Move a batch by up to two pixels and mirror half of it: what anybody would do with few images."""
    down, right = torch.randint(-2, 3, (2,)).tolist()
    return torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images).roll(
        (down, right), (2, 3)
    )


def train(sources: list[list[Tensor]], seed: int) -> nn.Module:
    """Train a classifier on as many images of each class, half of them from each source of a class."""
    torch.manual_seed(seed)
    random.seed(seed)
    layers = [nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * 7 * 7, len(CLASSES)))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS)
    for _ in range(STEPS):
        labels = torch.arange(BATCH) % len(CLASSES)
        of = [random.choice(sources[label]) for label in labels]
        images = shifted(torch.stack([random.choice(each) for each in of]))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def score(real: Path, generated: Path | None, small: str) -> None:
    """Print the accuracy on all test images, and on those of the small class."""
    sources = [[read(real / name)] for name in CLASSES]
    if generated:
        sources[CLASSES.index(small)].append(read(generated))
    images, labels = (torch.tensor(each) for each in fashion("t10k"))
    results = []
    for seed in range(SEEDS):
        with torch.enable_grad():
            network = train(sources, seed)
        right = network(images[:, None].float() / 127.5 - 1).argmax(1) == labels
        results.append((right.float().mean(), right[labels == CLASSES.index(small)].float().mean()))
    for name, values in zip(("all", small), np.array(results).T, strict=True):
        print(f"{name}: {values.mean():.1%} ({values.min():.1%} to {values.max():.1%})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    picks, scores = commands.add_parser("pick"), commands.add_parser("score")
    picks.add_argument("out", type=Path)
    picks.add_argument("--small", choices=CLASSES)
    picks.add_argument("--start", type=int, default=0)
    picks.add_argument("--count", type=int, default=500)
    scores.add_argument("real", type=Path)
    scores.add_argument("generated", type=Path, nargs="?")
    scores.add_argument("--small", choices=CLASSES, required=True)
    given = parser.parse_args()
    if given.command == "pick":
        pick(given.out, given.small, given.start, given.count)
    else:
        score(given.real, given.generated, given.small)

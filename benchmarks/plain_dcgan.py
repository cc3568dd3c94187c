"""The baseline of benchmarks/train.py: a DCGAN as a plain script has it, with nothing done for speed.

Eager PyTorch, float32, batch 128, width 64, transposed convolutions from a 1×1 input on, binary cross-entropy, Adam
at 0.0002. Every --every seconds of training it writes 5,000 images as images-SECONDS.npy; making them is not
counted.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gantool.models.config import square
from gantool.runtime.outputs.images import to_uint8
from gantool.train.data.dataset import load_images

LATENT, WIDTH, BATCH, SAMPLES = 100, 64, 128, 5000


def generator() -> nn.Sequential:
    """z [N, 100, 1, 1] -> images [N, 1, 32, 32]."""
    return nn.Sequential(
        nn.ConvTranspose2d(LATENT, WIDTH * 4, 4, 1, 0, bias=False),  # [N, 256, 4, 4]
        nn.BatchNorm2d(WIDTH * 4),
        nn.ReLU(True),
        nn.ConvTranspose2d(WIDTH * 4, WIDTH * 2, 4, 2, 1, bias=False),  # [N, 128, 8, 8]
        nn.BatchNorm2d(WIDTH * 2),
        nn.ReLU(True),
        nn.ConvTranspose2d(WIDTH * 2, WIDTH, 4, 2, 1, bias=False),  # [N, 64, 16, 16]
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(True),
        nn.ConvTranspose2d(WIDTH, 1, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def discriminator() -> nn.Sequential:
    """images [N, 1, 32, 32] -> probability of "real" [N]."""
    return nn.Sequential(
        nn.Conv2d(1, WIDTH, 4, 2, 1, bias=False),  # [N, 64, 16, 16]
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(WIDTH, WIDTH * 2, 4, 2, 1, bias=False),  # [N, 128, 8, 8]
        nn.BatchNorm2d(WIDTH * 2),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(WIDTH * 2, WIDTH * 4, 4, 2, 1, bias=False),  # [N, 256, 4, 4]
        nn.BatchNorm2d(WIDTH * 4),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(WIDTH * 4, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
        nn.Flatten(0),
    )


def initialize(layer: nn.Module) -> None:
    """As the DCGAN paper has it."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


def sample(network: nn.Module) -> np.ndarray:
    """Return uint8 [5000, 32, 32, 1]."""
    network.eval()
    with torch.no_grad():
        parts = [network(torch.randn(500, LATENT, 1, 1)).numpy() for _ in range(SAMPLES // 500)]
    network.train()
    return to_uint8(np.concatenate(parts))


def main() -> None:
    """Train for --seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--every", type=float, default=60)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    pixels = torch.from_numpy(np.array(load_images("fashion-mnist", square(32)).images)).permute(0, 3, 1, 2)
    loader = DataLoader(TensorDataset(pixels.float() / 127.5 - 1), BATCH, shuffle=True, drop_last=True)
    g, d = generator().apply(initialize), discriminator().apply(initialize)
    g_optimizer = torch.optim.Adam(g.parameters(), 0.0002, (0.5, 0.999))
    d_optimizer = torch.optim.Adam(d.parameters(), 0.0002, (0.5, 0.999))
    criterion = nn.BCELoss()
    seconds, seen, due = 0.0, 0, arguments.every
    started = time.perf_counter()
    while True:
        for (real,) in loader:
            ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
            d.zero_grad()
            criterion(d(real), ones).backward()
            fake = g(torch.randn(len(real), LATENT, 1, 1))
            criterion(d(fake.detach()), zeros).backward()
            d_optimizer.step()
            g.zero_grad()
            criterion(d(fake), ones).backward()
            g_optimizer.step()
            seen += len(real)
            now = time.perf_counter()
            seconds, started = seconds + now - started, now
            if seconds >= due:
                np.save(arguments.out / f"images-{seconds:07.2f}.npy", sample(g))
                print(json.dumps({"seconds": round(seconds, 2), "images": seen}), flush=True)
                due += arguments.every
                started = time.perf_counter()
            if seconds >= arguments.seconds:
                return


if __name__ == "__main__":
    main()

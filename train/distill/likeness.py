"""How near a student is to its teacher, seed by seed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from gantool.models import load_checkpoint
from gantool.models.alpha import premultiplied
from gantool.models.quantize import QuantizedGenerator
from gantool.models.sampling import sample_images
from gantool.models.slim import thin_config, thinned
from gantool.runtime.files import atomic
from gantool.runtime.outputs.image_files import save_image
from gantool.runtime.outputs.images import eight_bits, sheet
from gantool.runtime.outputs.psnr import differences, psnr
from gantool.runtime.spec import Images
from gantool.train.distance import distance
from gantool.train.distill.teacher import Teacher

SEEDS = range(64)
MOST_PSNR = 99.0  # of equal images
SHOWN, COLUMNS = 32, 8  # pairs in the sheet
JSON_NAME, SHEET_NAME = "likeness.json", "likeness.png"


@dataclass(frozen=True)
class Likeness:
    """A student's images beside its teacher's, of the same seeds."""

    width: int  # of the student
    psnr: float  # dB, the mean over the seeds
    worst_psnr: float
    apart: float  # mean distance of pixels and features; 0: the same images, 1: as far apart as those of two seeds

    def __str__(self) -> str:
        decibels = f"{self.psnr:.1f} dB, the worst {self.worst_psnr:.1f}"
        return f"PSNR {decibels}; distance {self.apart:.3f}, where 1 is that of two seeds"


def compare(teacher: Teacher, checkpoint: Path) -> list[Likeness]:
    """Compare a student with its teacher, at each width that it has; write likeness.json, and a sheet of pairs."""
    z, classes = teacher.inputs(SEEDS)
    wanted = eight_bits(teacher.generate(z, classes))
    loaded = load_checkpoint(checkpoint)
    student, limits = loaded.generator, loaded.metadata.int8_limits
    if limits:
        student = QuantizedGenerator(student, limits)
    thin = (thinned(student, thin_config(student.config, share)) for share in student.config.elastic)
    found, first = [], None
    for generator in (student, *thin):
        made = sample_images(generator, SEEDS, of_class=classes)
        found.append(_likeness(generator.config.width, wanted, made))
        first = made if first is None else first
    assert first is not None
    with atomic(checkpoint.with_name(JSON_NAME)) as part:
        part.write_text(json.dumps([asdict(each) for each in found], indent=2) + "\n", encoding="utf-8")
    pairs = np.stack([wanted, first], 1)[:SHOWN].reshape(-1, *first.shape[1:])
    save_image(checkpoint.with_name(SHEET_NAME), sheet(pairs, columns=COLUMNS))
    return found


def _likeness(width: int, wanted: Images, made: Images) -> Likeness:
    decibels = np.minimum(psnr(*differences(wanted, made)), MOST_PSNR)
    of_pairs, of_others = (
        float(distance(_floats(made), _floats(np.roll(wanted, shift, 0))).mean()) for shift in (0, 1)
    )
    apart = round(of_pairs / max(of_others, 1e-12), 4)
    return Likeness(width, round(float(decibels.mean()), 2), round(float(decibels.min()), 2), apart)


def _floats(images: Images) -> torch.Tensor:
    return premultiplied(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1)

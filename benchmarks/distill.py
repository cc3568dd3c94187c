"""Quality by multiply-adds: from scratch, pruned, distilled, in INT8. Writes benchmarks/distill.md.

    python benchmarks/distill.py [--seconds 600] [--icons .emoji] [--teacher RUN]

--teacher is the run of a teacher of Fashion-MNIST that has trained for that time; else one is trained first.
--icons is a folder of icons, which are laid on white, for the preset small.

Every run has one core for itself, and as many run side by side as there are cores. The Fréchet distance to the data
is by the classifier of `gantool evaluate`, at full size. The time of autotuning and of measuring is not counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

import gantool
from gantool.models import NetworkConfig, load_checkpoint
from gantool.models.cost import cost, widest
from gantool.models.sampling import sample_images
from gantool.runtime.outputs.psnr import differences, psnr
from gantool.runtime.spec import Images
from gantool.runtime.web.axis import Axis
from gantool.runtime.web.charts import Chart, Curve, svg
from gantool.train.data.dataset import load_images
from gantool.train.distill.likeness import MOST_PSNR
from gantool.train.distill.student import pruned
from gantool.train.distill.teacher import load_teacher
from gantool.train.metrics.extractors import Extractor, find_extractor
from gantool.train.metrics.scores import frechet
from train import processor

HERE = Path(__file__).parent
SHARES = (0.25, 0.0625)
SAMPLES = 5000
RANDOM = "distilled from random weights"
INT8 = ("--int8", "--int8-ends", "--engine", "none", "--min-psnr", 10)


@dataclass(frozen=True)
class Subject:
    """A data set, and the preset of its teacher."""

    title: str
    name: str  # of its files
    data: str
    preset: str
    background: str | None = None  # behind transparent images
    teacher: Path | None = None  # a run that has trained for as long; None: train one


@dataclass(frozen=True)
class Row:
    """A generator, and its images beside the data and beside those of the teacher, of the same seeds."""

    how: str
    share: float  # of the teacher's multiply-adds, as measured
    width: int
    weights: int
    kimg: float | None  # None: not trained
    distance: float  # to the data
    apart: float  # to the teacher
    psnr: float  # dB, mean over the seeds


class Cores:
    """The cores of the machine; each command has one for itself."""

    def __init__(self) -> None:
        self.free: SimpleQueue[int] = SimpleQueue()
        self.all = sorted(os.sched_getaffinity(0))
        for core in self.all:
            self.free.put(core)

    def gantool(self, folder: Path, *arguments: object) -> Path:
        """Run a command on one core; return the only run in `folder`."""
        core = self.free.get()
        try:
            command = ["taskset", "-c", str(core), sys.executable, "-m", "gantool", *map(str, arguments)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            folder.mkdir(parents=True)
            with (folder / "log").open("wb") as log:
                subprocess.run(command, cwd=folder, check=True, env=environment, stdout=log, stderr=log)
        finally:
            self.free.put(core)
        (run,) = folder.glob("runs/*")
        return run


@dataclass(frozen=True)
class Measured:
    """What the generators of one data set are compared with."""

    extractor: Extractor
    real: Any  # feature vectors of the data
    images: Images  # of the teacher, seeds 0 to SAMPLES - 1
    vectors: Any
    macs: int

    def row(self, how: str, config: NetworkConfig, kimg: float | None, images: Images) -> Row:
        """Measure the images of seeds 0 to SAMPLES - 1."""
        vectors, own = self.extractor.vectors(images), cost(config)
        decibels = np.minimum(psnr(*differences(self.images, images)), MOST_PSNR)
        distance, apart = frechet(self.real, vectors), frechet(self.vectors, vectors)
        share = own.macs / self.macs
        return Row(how, share, config.width, own.weights, kimg, distance, apart, float(decibels.mean()))


def measured(subject: Subject, folder: Path, seconds: float, cores: Cores) -> tuple[list[Row], float]:
    """Train a teacher and all that is compared with it; return the rows, and what two samples of it differ by."""
    limits = ("--minutes", seconds / 60, "--kimg", 100_000)
    background = ("--background", subject.background) if subject.background else ()
    train = ("train", "--data", subject.data, "--preset", subject.preset, *background, *limits)
    run = subject.teacher or cores.gantool(folder / "teacher", *train)
    checkpoint = load_checkpoint(run / "generator.safetensors")
    teacher, config = checkpoint.generator, checkpoint.generator.config
    macs = cost(config).macs
    jobs: list[tuple[str, list[object]]] = [
        ("INT8, trained", ["distill", run, "--quantize", "int8", *limits])
    ]
    students = [student for share in SHARES if (student := widest(config, share * macs, None))]
    for share, student in zip(SHARES, students, strict=True):
        jobs += [
            ("from scratch", [*train, "--width", student.width]),
            ("distilled", ["distill", run, "--macs", share, *limits]),
        ]
    jobs.append((RANDOM, ["distill", run, "--macs", SHARES[-1], "--no-prune", *limits]))
    with ThreadPoolExecutor(len(cores.all)) as pool:
        runs = list(
            pool.map(lambda number: cores.gantool(folder / str(number), *jobs[number][1]), range(len(jobs)))
        )

    data = load_images(subject.data, config.size, config.channels, subject.background)
    extractor = find_extractor("classifier", data)
    real = extractor.vectors(data.images[:: max(len(data.images) // 10_000, 1)])
    images, other = (sample_images(teacher, range(start, start + SAMPLES)) for start in (0, SAMPLES))
    against = Measured(extractor, real, images, extractor.vectors(images), macs)
    rows = [against.row("teacher", config, checkpoint.metadata.images_seen / 1000, images)]
    for student in students:
        start = pruned(load_teacher(run / "generator.safetensors", torch.device("cpu")), student)
        assert start is not None
        images = sample_images(start, range(SAMPLES))
        rows.append(against.row("pruned, not trained", student, None, images))
    rows.append(against.row("INT8, calibrated", config, None, _in_int8(run, folder / "calibrated")))
    for (how, _), each in zip(jobs, runs, strict=True):
        trained = load_checkpoint(each / "generator.safetensors")
        if how == "INT8, trained":
            images = _in_int8(each, folder / "quantized")
        else:
            images = sample_images(trained.generator, range(SAMPLES))
        rows.append(against.row(how, trained.generator.config, trained.metadata.images_seen / 1000, images))
    rows.sort(key=lambda row: -row.share)
    return rows, frechet(against.vectors, extractor.vectors(other))


def _in_int8(run: Path, folder: Path) -> Images:
    """Export a run with all layers in INT8; return the images of ONNX Runtime."""
    folder.mkdir()
    command = [sys.executable, "-m", "gantool", "export", run, *INT8, "-o", folder / "g"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    with gantool.Generator.load(folder / "g.int8.onnx") as generator:
        return generator.images(range(SAMPLES))


def section(subject: Subject, rows: list[Row], apart: float) -> Iterator[str]:
    """Yield the lines of one data set."""
    (teacher,) = (row for row in rows if row.how == "teacher")
    yield from (f"## {subject.title}", "")
    yield (
        "| | width | multiply-adds | weights | kimg | distance | of the teacher's | distance to the teacher | "
        "PSNR to the teacher |"
    )
    yield "| --- " * 9 + "|"
    for row in rows:
        likeness = "" if row is teacher else f"{row.psnr:.1f} dB"
        kimg = "" if row.kimg is None else f"{row.kimg:.0f}"
        near = "" if row is teacher else f"{row.apart:.4f}" if row.apart < 1 else f"{row.apart:.1f}"
        numbers = f"{row.width} | {row.share:.3f} | {row.weights:,} | {kimg} | {row.distance:.1f}"
        yield f"| {row.how} | {numbers} | {row.distance / teacher.distance:.2f} | {near} | {likeness} |"
    yield from ("", f"Two samples of the teacher, {SAMPLES:,} images each, differ by {apart:.2f}.", "")
    yield from (f"![distance by multiply-adds](distill-{subject.name}.svg)", "")


def plot(subject: Subject, rows: list[Row]) -> None:
    """Draw the distance by multiply-adds."""
    curves = [
        Curve(how, sorted((row.share, row.distance) for row in rows if row.how in (how, "teacher")))
        for how in ("from scratch", "distilled", RANDOM, "INT8, trained")
    ]
    axes = Axis("multiply-adds, the teacher's are 1", log=True), Axis("Fréchet distance", zero=True)
    chart = svg(Chart("Fréchet distance by multiply-adds", curves, *axes))
    (HERE / f"distill-{subject.name}.svg").write_text(chart, encoding="utf-8")


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--icons", type=Path, metavar="FOLDER")
    parser.add_argument("--teacher", type=Path, metavar="RUN")
    arguments = parser.parse_args()
    teacher = arguments.teacher and arguments.teacher.resolve()
    subjects = [Subject("Fashion-MNIST, 32×32", "fashion-mnist", "fashion-mnist", "dcgan32", teacher=teacher)]
    if arguments.icons:
        icons = str(arguments.icons.resolve())
        subjects.append(Subject("Emoji on white, 64×64 RGB", "icons", icons, "small", "white"))
    cores, count = Cores(), os.cpu_count()
    lines = [
        "# Distilling",
        "",
        f"{date.today()}, {processor()}, one core of {count} a run, {len(cores.all)} side by side, load average "
        f"{os.getloadavg()[0]:.1f} at the start; torch {version('torch')}. Teacher, students and the networks from "
        f"scratch train {arguments.seconds / 60:.0f} minutes each, with the defaults of their commands. Fréchet "
        f"distance to the data by the classifier of `gantool evaluate`, {SAMPLES:,} images.",
        "",
    ]
    with tempfile.TemporaryDirectory() as name:
        for subject in subjects:
            rows, apart = measured(subject, Path(name) / subject.name, arguments.seconds, cores)
            lines += section(subject, rows, apart)
            plot(subject, rows)
            (HERE / "distill.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

"""Quality by multiply-adds, from scratch and distilled, after the same time: writes benchmarks/distill.md.

    python benchmarks/distill.py [--seconds 600] [--icons .emoji] [--teacher RUN]

--teacher is the run of a teacher of Fashion-MNIST that has trained for that time; else one is trained first.

Every run has one core for itself, and as many run side by side as there are cores. The Fréchet distance to the data
is by the classifier of `gantool evaluate`, at full size. The time of autotuning and of measuring is not counted.
"""

from __future__ import annotations

import argparse
import json
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

from gantool.models import load_checkpoint
from gantool.models.cost import cost, widest
from gantool.models.sampling import sample_images
from gantool.runtime.web.axis import Axis
from gantool.runtime.web.charts import Chart, Curve, svg
from gantool.train.data.dataset import load_images
from gantool.train.metrics.extractors import Extractor, find_extractor
from gantool.train.metrics.scores import scores
from train import processor

HERE = Path(__file__).parent
SHARES = (0.25, 0.0625)
SAMPLES = 5000


@dataclass(frozen=True)
class Subject:
    """A data set, and the preset of its teacher."""

    title: str
    name: str  # of its files
    data: str
    preset: str
    teacher: Path | None = None  # a run that has trained for as long; None: train one


@dataclass(frozen=True)
class Row:
    """A generator that was trained."""

    how: str
    share: float  # of the teacher's multiply-adds, as measured
    width: int
    weights: int
    kimg: float
    distance: float
    psnr: float | None  # to the teacher, of a student


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


def measured(subject: Subject, folder: Path, seconds: float, cores: Cores) -> tuple[list[Row], float]:
    """Train a teacher, students and their networks from scratch; return them, and what two samples differ by."""
    limits = ("--minutes", seconds / 60, "--kimg", 100_000)
    train = ("train", "--data", subject.data, "--preset", subject.preset, *limits)
    run = subject.teacher or cores.gantool(folder / "teacher", *train)
    teacher = load_checkpoint(run / "generator.safetensors").generator
    whole = cost(teacher.config)
    jobs: list[tuple[str, list[object]]] = []
    for share in SHARES:
        config = widest(teacher.config, share * whole.macs, None)
        assert config is not None
        scratch = [*train, "--width", config.width]
        jobs += [("from scratch", scratch), ("distilled", ["distill", run, "--macs", share, *limits])]

    with ThreadPoolExecutor(len(cores.all)) as pool:
        made = pool.map(
            lambda number: cores.gantool(folder / str(number), *jobs[number][1]), range(len(jobs))
        )
        runs = [("teacher", run), *zip((how for how, _ in jobs), made, strict=True)]
    data = load_images(subject.data, teacher.config.size, teacher.config.channels)
    extractor = find_extractor("classifier", data)
    real = extractor.vectors(data.images[:: max(len(data.images) // 10_000, 1)])
    rows = [_row(how, each, whole.macs, extractor, real) for how, each in runs]
    samples = (sample_images(teacher, range(start, start + SAMPLES)) for start in (0, SAMPLES))
    return rows, scores(*(extractor.vectors(each) for each in samples)).fd


def _row(how: str, run: Path, macs: int, extractor: Extractor, real: Any) -> Row:
    checkpoint = load_checkpoint(run / "generator.safetensors")
    own = cost(checkpoint.generator.config)
    distance = scores(real, extractor.vectors(sample_images(checkpoint.generator, range(SAMPLES)))).fd
    likeness = run / "likeness.json"
    psnr = json.loads(likeness.read_text())[0]["psnr"] if likeness.is_file() else None
    width, kimg = checkpoint.generator.config.width, checkpoint.metadata.images_seen / 1000
    return Row(how, own.macs / macs, width, own.weights, kimg, distance, psnr)


def section(subject: Subject, rows: list[Row], apart: float) -> Iterator[str]:
    """Yield the lines of one data set."""
    teacher = rows[0]
    yield from (f"## {subject.title}", "")
    yield "| | width | multiply-adds | weights | kimg | distance | of the teacher's | PSNR to the teacher |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for row in rows:
        psnr = "" if row.psnr is None else f"{row.psnr:.1f} dB"
        ratio = row.distance / teacher.distance
        numbers = f"{row.width} | {row.share:.3f} | {row.weights:,} | {row.kimg:.0f}"
        yield f"| {row.how} | {numbers} | {row.distance:.1f} | {ratio:.2f} | {psnr} |"
    yield from ("", f"Two samples of the teacher, {SAMPLES:,} images each, differ by {apart:.1f}.", "")
    yield from (f"![distance by multiply-adds](distill-{subject.name}.svg)", "")


def plot(subject: Subject, rows: list[Row]) -> None:
    """Draw the distance by multiply-adds."""
    curves = [
        Curve(how, sorted((row.share, row.distance) for row in rows if row.how in (how, "teacher")))
        for how in ("from scratch", "distilled")
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
    parser.add_argument("--icons", type=Path, help="also a folder of icons, with the preset small")
    parser.add_argument("--teacher", type=Path, metavar="RUN")
    arguments = parser.parse_args()
    teacher = arguments.teacher and arguments.teacher.resolve()
    subjects = [Subject("Fashion-MNIST, 32×32", "fashion-mnist", "fashion-mnist", "dcgan32", teacher)]
    if arguments.icons:
        subjects.append(Subject("Emoji, 64×64 RGBA", "icons", str(arguments.icons.resolve()), "small"))
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

"""Budgets as people write them, and the choice among measured rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import run_gantool
from gantool.runtime.errors import EngineMismatchError, UsageError
from gantool.runtime.tune import quality
from gantool.runtime.tune.options import Budget, TuneOptions
from gantool.runtime.tune.quality import Judged, Scale
from gantool.runtime.tune.result import Tuned, table
from gantool.runtime.tune.rows import Candidate, Row
from gantool.runtime.tune.units import ENERGIES, SIZES, TIMES, quantity, size_text

PSNR, DISTANCE = Scale("PSNR", "of the reference", True), Scale("distance", "to the data", False)


def row(name: str, quality: float | None, ms: float, megabytes: float = 1.0, mj: float | None = None) -> Row:
    candidate = Candidate(Path(f"{name}.onnx"), name, "runs/00000", ".onnx", "gantool export runs/00000")
    where = ("cpu", None, 1, "ONNX Runtime, CPU")
    return Row(candidate, *where, ms, ms, (ms, ms, ms), 1000 / ms, mj, round(megabytes * 1e6), quality)


def tuned(*rows: Row, scale: Scale = DISTANCE, **budget: float) -> Tuned:
    return Tuned(rows, Budget(**budget), Judged(scale, {}), (), ())


def best(*rows: Row, scale: Scale = DISTANCE, **budget: float) -> str | None:
    found = tuned(*rows, scale=scale, **budget).best
    return None if found is None else found.candidate.name


def test_the_reference_does_not_round_to_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = {"openvino": 100, "cpu": 101}
    monkeypatch.setattr(quality, "_stored", lambda _: None)
    monkeypatch.setattr(quality, "_is_full", lambda _: True)
    monkeypatch.setattr(
        quality, "_images", lambda row, count: np.full((count, 2, 2, 1), levels[row.provider], np.uint8)
    )
    rows = [
        replace(row("g", None, 1), provider=name, runs_on=runs_on)
        for name, runs_on in (("openvino", "OpenVINO, CPU in BF16"), ("cpu", "ONNX Runtime, CPU"))
    ]
    found = quality.judge(rows, None)
    assert found.values[quality.key_of(rows[1])] == quality.EQUAL > found.values[quality.key_of(rows[0])]


@pytest.mark.parametrize(
    ("units", "text", "value"),
    [
        (TIMES, "5ms", 5),
        (TIMES, " 0.25 s ", 250),
        (TIMES, "800us", 0.8),
        (TIMES, ".5ms", 0.5),
        (SIZES, "2MB", 2),
        (SIZES, "300kB", 0.3),
        (SIZES, "1MiB", 1.048576),
        (ENERGIES, "5mJ", 5),
        (ENERGIES, "1.5J", 1500),
    ],
)
def test_units(units: dict[str, float], text: str, value: float) -> None:
    assert quantity("x", units)(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("units", "text", "says"),
    [
        (TIMES, "5", "the unit is missing; give one of ms, s, us, µs, as in 5ms"),
        (TIMES, "5MS", "MS is not a unit of it; did you mean 5ms?"),
        (TIMES, "fast", "give a number and its unit, as in 5ms"),
        (TIMES, "-5ms", "give a number and its unit"),
        (TIMES, "1e3ms", "give a number and its unit"),
        (SIZES, "2mb", "did you mean 2MB?"),
        (ENERGIES, "5mj", "did you mean 5mJ?"),
        (ENERGIES, "5ms", "ms is not a unit of it; give one of mJ, J"),
    ],
)
def test_wrong_units(units: dict[str, float], text: str, says: str) -> None:
    with pytest.raises(UsageError) as told:
        quantity("latency", units)(text)
    assert f"`latency` {text}" in str(told.value)
    assert says in str(told.value)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--latency 5", "--latency 5: the unit is missing"),
        ("--latency 0ms", "--latency 0: give a number over 0"),
        ("--fps -1", "--fps -1: give a number over 0"),
        ("--batch 0", "--batch 0: write whole numbers from 1 to 99999"),
        ("--precision fp8", "--precision fp8: choose fp32, fp16, bf16, int8"),
        ("--lowering fast", "--lowering fast: choose none, subpixel"),
        ("--apply", "--apply needs a budget: add --latency, --fps, --size, --energy or --quality"),
        ("--features x.onnx", "--features needs --data"),
        ("--bundle front --latency 5ms", "--bundle measures nothing: give the budget on the device"),
        ("--bundle front --json", "--bundle measures nothing: leave out --apply, --html and --json"),
    ],
)
def test_bad_flags(flags: str, says: str, tmp_path: Path) -> None:
    result = run_gantool("tune", "g.onnx", *flags.split(), cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert says in result.stderr


def test_sizes_are_short() -> None:
    assert [size_text(count) for count in (900, 1500, 1525452)] == ["900 B", "1.5 kB", "1.53 MB"]


def test_larger_batches_are_for_the_rate() -> None:
    assert TuneOptions().batches == (1,)
    assert TuneOptions(Budget(fps=100.0)).batches == (1, 8, 32)
    assert TuneOptions(Budget(fps=100.0, latency=5.0)).batches == (1,)
    assert TuneOptions(Budget(fps=100.0), batch=(4,)).batches == (4,)


def test_the_best_images_within_the_budget() -> None:
    teacher, half, quarter = row("teacher", 10, ms=8), row("half", 12, ms=4), row("quarter", 15, ms=2)
    assert best(teacher, half, quarter, latency=5.0) == "half"
    assert best(teacher, half, quarter, fps=400.0) == "quarter"
    assert best(teacher, half, quarter, latency=9.0) == "teacher"
    assert best(teacher, half, quarter, latency=1.0) is None
    assert best(teacher, half, quarter) is None  # without a budget


def test_good_enough_is_the_cheapest_that_is() -> None:
    teacher, half, quarter = row("teacher", 10, ms=8), row("half", 12, ms=4), row("quarter", 15, ms=2)
    assert best(teacher, half, quarter, quality=13.0) == "half"
    assert best(teacher, half, quarter, quality=13.0, latency=3.0) is None
    assert best(row("a", 30, 5), row("b", 41, 9), row("c", 45, 7), scale=PSNR, quality=40.0) == "c"


def test_what_is_equally_good_is_decided_by_the_cost() -> None:
    assert best(row("none", 99, 9), row("cpu", 61, 6), row("int8", 33, 2), scale=PSNR, latency=9.0) == "cpu"
    assert best(row("none", 10.0, 9), row("cpu", 10.1, 6), latency=9.0) == "cpu"
    assert best(row("none", 10.0, 9), row("cpu", 10.3, 6), latency=9.0) == "none"
    small = row("small", 10.1, ms=9, megabytes=0.5)
    assert best(row("large", 10.0, 8), small, size=2.0) == "large"  # both fit: the faster one
    assert best(row("large", 10.0, 8), small, size=0.9) == "small"


def test_energy_needs_a_meter_to_be_kept_to() -> None:
    assert best(row("gpu", 10, ms=1, mj=4.0), row("cpu", 9, ms=9), energy=5.0) == "gpu"


def test_the_front_is_what_nothing_beats() -> None:
    slow, fast, bad, large = row("slow", 10, 8), row("fast", 12, 4), row("bad", 13, 5), row("large", 12, 4, 9)
    small, unknown = row("small", 14, 9, 0.1), row("unknown", None, 1)
    every = (slow, fast, bad, large, small, unknown)
    names = [each.candidate.name for each in tuned(*every).front]
    assert sorted(names) == ["fast", "large", "slow"]  # equal figures: neither beats the other
    assert [each.candidate.name for each in tuned(*every, size=5.0).front] == ["fast", "slow", "small"]
    shown = table(tuned(*every, size=5.0)).splitlines()
    assert " ".join(shown[2].split()) == "* slow ONNX Runtime, CPU 1 8.000 8.000 125.0 1 MB 10.00"
    assert shown[-1] == "3 more rows cost more and are not better"


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        (
            {"latency": 1.0},
            [
                "`latency`: at most 1 ms. quarter comes nearest, with 2 ms (ONNX Runtime, CPU, batch 1), 2 times",
                "gantool distill runs/00000 --macs 0.25",
            ],
        ),
        ({"fps": 600.0}, ["at least 600 images/s. quarter comes nearest, with 500 images/s", "--macs 0.75"]),
        (
            {"latency": 3.0, "quality": 13.0},
            [
                "`quality` 13: of all that keeps to the rest, quarter has the best images, with distance 15.00.",
                "half comes nearest, with 4 ms",
                "--macs 0.5",
            ],
        ),
        (
            {"latency": 9.0, "quality": 5.0},
            [
                "teacher has the best images, with distance 10.00. Train longer (gantool train --resume latest)"
            ],
        ),
        (
            {"latency": 1.0, "quality": 5.0},
            ["of all files, teacher has the best images", "quarter comes nearest, with 2 ms", "--macs 0.25"],
        ),
        ({"size": 0.5}, ["`size`: at most 500 kB. ", "with 1 MB", "2 times", "--macs 0.25"]),
    ],
)
def test_where_nothing_fits_it_says_by_how_much(budget: dict[str, float], says: list[str]) -> None:
    rows = (row("teacher", 10, ms=8), row("half", 12, ms=4), row("quarter", 15, ms=2))
    found = tuned(*rows, scale=DISTANCE, **budget)
    with pytest.raises(EngineMismatchError) as told:
        found.check()
    for text in says:
        assert text in str(told.value)
    assert found.commands(Path("tuned"), applied=False) == []


def test_a_file_of_another_size_does_not_fit() -> None:
    found = tuned(row("teacher", 10, ms=8), row("other", None, ms=1), latency=5.0)
    with pytest.raises(EngineMismatchError, match="teacher comes nearest, with 8 ms"):
        found.check()


def test_the_commands_make_the_file_and_run_it() -> None:
    found = tuned(row("a b", 10, ms=8), latency=9.0)
    assert found.commands(Path("out/g"), applied=False) == [
        "gantool export runs/00000 -o out/g",
        "gantool generate --engine out/g.onnx --batch 1 --provider cpu",
    ]
    assert found.commands(Path("out/g"), applied=True) == [
        "gantool generate --engine out/g.onnx --batch 1 --provider cpu"
    ]

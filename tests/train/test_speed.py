"""The tuner: what it measures, what it keeps, and for how long."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from conftest import run_gantool
from gantool.models import NetworkConfig, square
from gantool.runtime.process import cpus
from gantool.train import autotune as speed
from gantool.train.autotune import Tuned, best_rate, fastest
from gantool.train.distributed import single_device
from gantool.train.options import TrainingOptions
from helpers.logs import logged

OPTIONS = TrainingOptions(NetworkConfig(size=square(16), width=2, latent=4), "boxes", batch=4, device="cpu")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache of its own, on a machine that is idle."""
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))
    monkeypatch.setattr(speed, "_TURN", 0.01)
    others(monkeypatch, 0.0)
    return tmp_path / "speed.json"


def others(monkeypatch: pytest.MonkeyPatch, used: float) -> None:
    """Have other programs use so many CPUs."""
    monkeypatch.setattr(cpus.Others, "cpus", lambda _: used)


def tuned(options: TrainingOptions = OPTIONS) -> tuple[Tuned, list[str]]:
    with logged() as notes:
        return fastest(options, single_device("cpu"), None), notes


def change(cache: Path, **values: Any) -> None:
    """Change the figures that are kept."""
    (key, figures), *_ = json.loads(cache.read_text()).items()
    cache.write_text(json.dumps({key: {**figures, **values}}))


@pytest.mark.usefixtures("cache")
def test_one_thread_is_tried_in_every_precision() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        _, notes = tuned()
        most = torch.get_num_threads()  # one, where there is one CPU
    finally:
        torch.set_num_threads(before)
    for precision in ("fp32", "bf16"):
        for layout in ("channels_last", "contiguous"):
            for threads in {1, most}:
                assert f"{precision} {layout} threads={threads} " in notes[-1]


def test_a_way_is_not_given_up_after_one_slow_turn(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of its own: the fastest way meets a busy moment in its first turn."""
    now, calls = 0.0, 0

    def stub(options: TrainingOptions, *_: Any) -> Any:
        nonlocal now, calls
        fast = options.precision == "bf16" and options.channels_last
        calls += fast
        now += 3.0 if fast and calls <= 2 else 0.02 if fast else 0.05
        return SimpleNamespace(generator=torch.zeros(()))

    clock = SimpleNamespace(perf_counter=lambda: now, monotonic=lambda: now, time=time.time, sleep=time.sleep)
    monkeypatch.setattr(speed, "step", stub)
    monkeypatch.setattr(speed, "time", clock)
    chosen, _ = tuned()
    assert (chosen.options.precision, chosen.options.channels_last) == ("bf16", True)
    assert json.loads(cache.read_text()).popitem()[1]["rates"]["bf16 channels_last threads=1"] == 200


def test_old_figures_are_called_old_and_used(cache: Path) -> None:
    chosen, notes = tuned()
    assert notes[0].startswith("measuring")
    assert "measured" not in notes[1]
    change(cache, when=time.time() - 2.5 * 24 * 3600)
    again, notes = tuned()
    assert [note.split()[0] for note in notes] == ["speed:"]
    assert "(measured 2 days ago)" in notes[0]
    assert again.options == chosen.options


def test_figures_of_a_busy_machine_are_measured_again_when_it_is_idle(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others(monkeypatch, 1000.0)
    chosen, notes = tuned()
    assert "while other programs used 1000.0 CPUs" in notes[-1]
    assert chosen.options.threads_up_to == min(torch.get_num_threads(), cpus.cores())
    assert len(tuned()[1]) == 1  # still busy: no news
    change(cache, when=time.time() - 2 * 24 * 3600)
    assert len(tuned()[1]) == 2
    others(monkeypatch, 0.0)
    chosen, notes = tuned()
    assert len(notes) == 2
    assert "while other" not in notes[-1]
    assert chosen.options.threads_up_to == chosen.options.threads
    assert len(tuned()[1]) == 1


@pytest.mark.parametrize("found", [None, 0.1, 10.0])
def test_figures_that_a_run_finds_far_off_are_forgotten(cache: Path, found: float | None) -> None:
    chosen, _ = tuned()
    chosen.check(chosen.rate * 0.5)
    assert json.loads(cache.read_text())
    chosen.check(found and found * chosen.rate)
    assert bool(json.loads(cache.read_text())) is (found is None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"KEY": {"fp32 channels_last": 812.5}}',  # as version 3 wrote it
        '{"KEY": {"rates": {}, "when": 1, "others": 0, "seconds": 1, "whole": true}}',
        '{"KEY": {"rates": {"fp64 sideways": 1}, "when": 1, "others": 0, "seconds": 1, "whole": true}}',
        '{"KEY": {"rates": {"fp32": "1"}, "when": 1, "others": 0, "seconds": 1, "whole": true}}',
        '{"KEY": {"rates": [1], "when": 1, "others": 0, "seconds": 1, "whole": true}}',
        '{"KEY": 5}',
    ],
)
def test_a_cache_that_another_gantool_wrote(cache: Path, text: str) -> None:
    key = tuned()[0].key
    cache.write_text(text.replace("KEY", key))
    assert tuned()[1][0].startswith("measuring")
    assert len(tuned()[1]) == 1


@pytest.mark.usefixtures("cache")
def test_little_time_is_spent_on_a_short_run_and_more_on_a_longer_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speed, "_TURN", 0.05)
    first, notes = tuned(replace(OPTIONS, minutes=0.01))
    assert "in a hurry" in notes[-1]
    assert first.options.threads_up_to == min(torch.get_num_threads(), cpus.cores())
    assert len(tuned(replace(OPTIONS, minutes=0.01))[1]) == 1
    _, notes = tuned(replace(OPTIONS, minutes=20.0))
    assert len(notes) == 2


def test_the_best_rate_of_a_run(tmp_path: Path) -> None:
    stats = tmp_path / "stats.jsonl"
    assert best_rate(stats) is None
    stats.write_text('{"sec_per_kimg": 4.0}\n{"sec_per_kimg": 2.0}\n')
    assert best_rate(stats) == 500
    with stats.open("a") as file:  # of a run that was killed, and damage
        file.write('{"sec_per_kimg": 0}\n[1]\n{"sec_per_kimg": "1"}\n{"sec_per_kimg": NaN}\n{"sec_per_ki')
    assert best_rate(stats) == 500
    stats.write_bytes(b"\xff half a li")
    assert best_rate(stats) is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone has it")
def test_a_run_on_one_cpu_has_one_thread(tmp_path: Path) -> None:
    """And measuring counts as training: `--minutes` is the time of both."""
    first = min(os.sched_getaffinity(0))
    flags = ("train", "--width", "2", "--size", "16", "--kimg", "0.1", "--tick", "0.05")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {first})  # for what this starts, as `taskset -c` does
    try:
        for more in ((), ("--no-autotune",)):
            run_gantool(*flags, *more, "--minutes", "1", cwd=tmp_path, check=True)
    finally:
        os.sched_setaffinity(0, before)
    for run in (tmp_path / "runs").iterdir():
        assert json.loads((run / "training_options.json").read_text())["threads"] == 1
        ticks = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
        assert {tick["threads"] for tick in ticks} == {1}

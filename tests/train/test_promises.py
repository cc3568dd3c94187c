"""What a run keeps to: it outlives its terminal, saves by time, has its own number, and says where it stands."""

from __future__ import annotations

import errno
import io
import json
import os
import pwd
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import training
from field.cases import gantool
from gantool.models import load_checkpoint
from gantool.runtime.cache import cache_dir
from gantool.runtime.runs import new_run, newest_run, run_number
from gantool.train import callbacks, session
from gantool.train.run_dir import fakes_kimg, fakes_name

SMALL = "--no-autotune --device cpu --width 4 --size 16 --batch 16"


def only(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


@pytest.mark.parametrize("end", ["the reader", "the reader and the terminal"])
def test_a_report_that_nobody_reads_ends_nothing(tmp_path: Path, end: str) -> None:
    kimg = "0.3" if end == "the reader" else "1000"
    process = training(*SMALL.split(), "--tick", "0.064", "--kimg", kimg, cwd=tmp_path, until="tick 1")
    assert process.stderr
    process.stderr.close()
    if end != "the reader":
        process.send_signal(signal.SIGHUP)
    assert process.wait() == (0 if end == "the reader" else 130)
    log = (only(tmp_path) / "log.txt").read_text()
    assert ("done at 0.3" if end == "the reader" else "interrupted at") in log
    assert (only(tmp_path) / "training_state.pt").exists()


@pytest.mark.slow
def test_nohup_is_respected(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gantool", "train", *SMALL.split(), "--kimg", "1", "--tick", "0.064"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert process.stderr
    while "tick 1" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    _, rest = process.communicate()
    assert (process.returncode, "done at 1.0" in rest) == (0, True)


class Full(io.StringIO):
    """A disk without room."""

    def write(self, text: str) -> int:  # noqa: ARG002
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_logs_on_a_full_disk_end_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def open_(path: Path, mode: str = "r", **options: str | None) -> object:
        return Full() if mode == "a" else real(path, mode, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", open_)
    answer = gantool(f"train {SMALL} --kimg 0.1 --tick 0.032", tmp_path)
    assert answer.code == 0, answer.err
    assert "note: cannot write: No space left on device; training goes on" in answer.err
    assert (only(tmp_path) / "training_state.pt").exists()


def test_a_snapshot_that_finds_no_room_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = callbacks.save_state, []  # type: ignore[attr-defined]

    def save_state(path: Path, *rest: object) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(callbacks, "save_state", save_state)
    answer = gantool(f"train {SMALL} --kimg 0.2 --tick 0.032 --snap 2", tmp_path)
    assert answer.code == 0, answer.err
    assert "note: cannot write" in answer.err
    assert "No space left on device; training goes on" in answer.err
    assert len(calls) > 2


def test_states_and_samples_come_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "EARLY", (1e-9,))  # so after the first step
    gantool(f"train {SMALL} --kimg 0.08", tmp_path)
    names = sorted(path.name for path in only(tmp_path).glob("fakes*.png"))
    assert names == ["fakes000000.png", "fakes000000_016.png", "fakes000000_080.png"]
    assert (only(tmp_path) / "training_state.previous.pt").exists()
    monkeypatch.setattr(callbacks, "OFTEN", 0.0)  # after each step
    gantool("train --resume latest --kimg 0.13", tmp_path)
    names = sorted(path.name for path in only(tmp_path).glob("fakes*.png"))
    assert names[2:] == [f"fakes000000_{seen:03d}.png" for seen in (80, 96, 112, 128, 144)]


def test_names_of_samples_sort_as_their_numbers_do() -> None:
    seen = [0, 16, 999, 1000, 1001, 1900, 40_000, 40_016, 41_000, 2_000_000, 123_456_789]
    names = [fakes_name(each) for each in seen]
    assert sorted(names) == names
    assert len(set(names)) == len(seen)
    assert [fakes_kimg(Path(name)) for name in names] == [each / 1000 for each in seen]


def test_runs_that_start_at_once_have_numbers_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            outdir = tmp_path / str(number)
            folders = list(pool.map(lambda index: new_run(outdir, f"data{index % 3}"), range(8)))  # noqa: B023
            assert sorted(run_number(each) or 0 for each in folders) == list(range(8))
            assert sorted(outdir.iterdir()) == sorted(folders)  # nothing else stays
    (folders[0] / "a").touch()
    (tmp_path / "19/notes").mkdir()
    (tmp_path / "19/notes/a").touch()
    assert newest_run(tmp_path / "19", "a") == folders[0]
    (tmp_path / "19/100000-x").mkdir()
    assert run_number(new_run(tmp_path / "19", "y")) == 100_001


def test_a_run_of_days_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = f"train {SMALL} --tick 0.032 --kimg 0.1"
    assert "takes" not in gantool(flags, tmp_path).err
    monkeypatch.setattr(session, "LONG", 0.0)
    monkeypatch.setattr(session, "SURE", 0.0)
    assert gantool(flags, tmp_path).err.count("of 0.1 kimg takes 0 hours") == 1
    assert "takes" not in gantool(f"{flags} --minutes 9", tmp_path).err


def test_lines_of_a_run_have_its_rate_and_what_is_left(tmp_path: Path) -> None:
    answer = gantool(f"train {SMALL} --tick 0.032 --kimg 0.1", tmp_path)
    first = next(line for line in answer.err.splitlines() if line.startswith("tick 1 "))
    for part in ("kimg 0.0", " img/s ", "loss D ", " G ", "data ", "left "):
        assert part in first
    assert "1 kimg is 1,000 training images" in answer.err
    assert first in (only(tmp_path) / "log.txt").read_text()


@pytest.mark.slow
def test_the_better_checkpoint_is_proposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "SAMPLES", 200)
    flags = f"train {SMALL} --tick 0.1 --kimg 0.5 --metric-every 0.1 --ema-kimg 0"
    answer = gantool(f"{flags} --lr 0.05", tmp_path)
    measured = [
        json.loads(line) for line in (only(tmp_path) / "metric-classifier.jsonl").read_text().splitlines()
    ]
    best = min(measured, key=lambda line: line["fd"])
    name = "generator" if best is measured[-1] else "best"
    assert f"gantool export runs/00000-fashion-mnist-dcgan32/{name}.safetensors --fp16" in answer.err
    if name == "best":
        assert (
            f"distance {best['fd']:.2f}; the last that was measured has {measured[-1]['fd']:.2f}"
            in answer.err
        )
        assert (
            load_checkpoint(only(tmp_path) / "best.safetensors").metadata.images_seen == best["kimg"] * 1000
        )


def test_a_user_without_a_home_has_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "GANTOOL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = gantool(f"train {SMALL} --kimg 0.05", tmp_path)
    assert answer.code == 0, answer.err
    assert cache_dir().parent == tmp_path

"""What is measured while training: the distance, alarms, speed; and the page of `gantool plot`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import run_gantool
from gantool.models import NetworkConfig, load_checkpoint, square
from gantool.runtime.errors import pip_install
from gantool.runtime.process.cpus import cores
from gantool.train import autotune, callbacks
from gantool.train.autotune import fastest
from gantool.train.callbacks import CollapseAlarm
from gantool.train.data.dataset import ImageData
from gantool.train.data.labels import Labels
from gantool.train.distributed import single_device
from gantool.train.monitors import CollapseMonitor, diversity
from gantool.train.options import TrainingOptions, from_preset
from gantool.train.session import Session
from gantool.train.state import TrainingState
from helpers.logs import logged
from helpers.pages import Report


def test_the_distance_is_measured_and_the_best_checkpoint_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "SAMPLES", 200)  # of 5,000, for speed
    flags = ("--no-autotune", "--width", "4", "--size", "16", "--tick", "0.2", "--snap", "1")
    result = run_gantool(
        "train",
        *flags,
        "--kimg",
        "1.2",
        "--metric-every",
        "0.4",
        "--augment",
        "diff",
        cwd=tmp_path,
        check=True,
    )
    (run,) = (tmp_path / "runs").iterdir()
    measured = [json.loads(line) for line in (run / "metric-classifier.jsonl").read_text().splitlines()]
    assert [round(each["kimg"], 1) for each in measured] == [0.4, 0.8, 1.2]
    best = min(measured, key=lambda each: each["fd"])
    assert load_checkpoint(run / "best.safetensors").metadata.images_seen == best["kimg"] * 1000
    assert "the best so far" in result.stderr
    stats = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert all(0 <= each["data_wait"] <= 1 for each in stats)
    page = Path(run_gantool("plot", run, cwd=tmp_path, check=True).stdout.strip()).read_text()
    report = Report(page)
    assert report.elements["svg"] == 6
    sheets = report.pictures()
    assert next(iter(sheets)) == "Images of the same seeds over the run, 0 kimg"
    for shown, sheet in zip(sheets.values(), sorted(run.glob("fakes*.png")), strict=True):
        with Image.open(sheet) as made:
            assert (shown == np.asarray(made.convert("RGB"))).all()
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")  # nothing is fetched
    run_gantool("plot", run, "-o", "curves.png", cwd=tmp_path, check=True)
    with Image.open(tmp_path / "curves.png") as image:
        assert (image.format, image.width) == ("PNG", 1960)
        assert image.height > 1000  # two rows of charts, and the samples
        image.load()
    result = run_gantool("plot", run, "-o", "curves.pdf", cwd=tmp_path)
    assert (result.returncode, "ends in .html or .png" in result.stderr) == (2, True)
    with monkeypatch.context() as absent:
        absent.setitem(sys.modules, "matplotlib.figure", None)
        result = run_gantool("plot", run, "-o", "no.png", cwd=tmp_path)
    assert (result.returncode, pip_install("plot") in result.stderr) == (5, True)
    assert not (tmp_path / "no.png").exists()
    result = run_gantool("plot", tmp_path, cwd=tmp_path)
    assert (result.returncode, "holds no stats.jsonl" in result.stderr) == (1, True)


def test_tensorboard_gets_the_numbers_of_each_tick(tmp_path: Path) -> None:
    flags = ("--no-autotune", "--width", "4", "--size", "16", "--tick", "0.1", "--kimg", "0.3")
    run_gantool("train", *flags, "--tensorboard", cwd=tmp_path, check=True)
    (events,) = tmp_path.glob("runs/*/events.out.tfevents.*")
    lines = (events.parent / "stats.jsonl").read_text().splitlines()
    found = EventAccumulator(str(events.parent)).Reload().Scalars("loss_d")
    assert [each.step for each in found] == [json.loads(line)["kimg"] * 1000 for line in lines]
    assert [each.value for each in found] == pytest.approx(
        [json.loads(line)["loss_d"] for line in lines], rel=1e-3
    )


def test_alarms_ring_once_and_again_after_all_was_well() -> None:
    rng = np.random.default_rng(0)
    varied = rng.integers(0, 256, (64, 8, 8, 1)).astype(np.uint8)
    alike = np.repeat(varied[:1], 64, axis=0)
    monitor = CollapseMonitor(diversity(varied))
    assert monitor.after_snapshot(5, alike) is None  # early
    assert monitor.after_snapshot(30, varied) is None
    assert "becoming alike" in (monitor.after_snapshot(31, alike) or "")
    assert monitor.after_snapshot(32, alike) is None
    assert monitor.after_snapshot(33, varied) is None
    assert monitor.after_snapshot(34, alike)
    assert "classifies 100% of images correctly" in (monitor.after_tick(30, 1.0) or "")
    assert monitor.after_tick(31, 0.8) is None
    of_student = CollapseMonitor(diversity(varied), student=True)
    for alarm in (of_student.after_snapshot(30, alike), of_student.after_tick(30, 1.0)):
        assert alarm
        assert "augment" not in alarm  # which gantool distill does not take


def test_an_alarm_rings_when_most_classes_have_one_image(tmp_path: Path) -> None:
    """A class of one image in the data says nothing about what the generator makes of it."""
    rng = np.random.default_rng(0)
    counts = (30, 30, 30, 1, 1)
    values = np.repeat(np.arange(len(counts)), counts)
    images = rng.integers(0, 256, (len(values), 8, 8, 1)).astype(np.uint8)
    options = from_preset({"classes": len(counts), "size": "16"})
    data = ImageData(images, "set", (), Labels(values, tuple("abcde")))
    session = Session(options, data, tmp_path)
    of_seeds = np.arange(64) % len(counts)
    good = rng.integers(0, 256, (64, 8, 8, 1)).astype(np.uint8)
    monitor = CollapseAlarm(session, cast("TrainingState", None)).monitor
    assert monitor.of_classes.keys() == {0, 1, 2}
    assert monitor.after_snapshot(30, good, of_seeds) is None
    one_alike = np.where((of_seeds == 0)[:, None, None, None], good[:1], good)
    assert monitor.after_snapshot(31, one_alike, of_seeds) is None
    alike = good[of_seeds]
    alarm = monitor.after_snapshot(32, alike, of_seeds) or ""
    assert "images of a class are alike: they differ 0.00" in alarm
    assert alarm.endswith("start again with `r1` 1")  # the preset has 0.5
    assert monitor.after_snapshot(33, alike, of_seeds) is None
    monitor.after_snapshot(34, np.repeat(good[:1], 64, axis=0), of_seeds)
    assert monitor.active == {"diversity", "classes"}


def test_speed_is_measured_once_and_leaves_the_random_state_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "_TURN", 0.01)  # seconds
    options = TrainingOptions(
        NetworkConfig(size=square(16), width=3, latent=9), "boxes", batch=6, device="cpu"
    )
    before = torch.get_rng_state()
    with logged() as notes:
        chosen = fastest(options, single_device("cpu"), None).options
    assert torch.equal(before, torch.get_rng_state())
    assert [note.split()[0] for note in notes] == ["measuring", "speed:"]
    with logged() as notes:
        assert fastest(options, single_device("cpu"), None).options == chosen
    assert [note.split()[0] for note in notes] == ["speed:"]
    layout = "channels_last" if chosen.channels_last else "contiguous"
    assert f"chosen: {chosen.precision} {layout}" in notes[0]


def test_fewer_threads_are_tried_and_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "_TURN", 0.01)  # seconds
    options = TrainingOptions(
        NetworkConfig(size=square(16), width=3, latent=8), "boxes", batch=6, device="cpu"
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with logged() as notes:
            fastest(options, single_device("cpu"), None)
        assert "threads=1" in notes[-1]
        assert torch.get_num_threads() == min(2, cores())
    finally:
        torch.set_num_threads(before)

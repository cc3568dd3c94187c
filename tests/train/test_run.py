"""The functions behind the commands: what they return, what they log, and that they print nothing."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from conftest import run_gantool, training
from gantool.models import load_checkpoint
from gantool.runtime.errors import GantoolError, UsageError
from gantool.train.data.prepare import prepare
from gantool.train.evaluate import evaluate
from gantool.train.options import LaunchOptions, TrainingOptions, from_preset
from gantool.train.plot import plot
from gantool.train.preflight import dry_run
from gantool.train.requests import DataOptions, EvaluateOptions, PlotOptions
from gantool.train.run import train
from helpers.commands import on_a_terminal
from helpers.logs import logged

TINY = {"preset": "dcgan16", "width": 2, "batch": 16, "kimg": 0.16, "tick": 0.032, "device": "cpu"}
FLAGS = (*(f"--{name}={value}" for name, value in TINY.items()), "--no-autotune")


@pytest.fixture
def there(tmp_path: Path) -> LaunchOptions:
    return LaunchOptions(outdir=tmp_path / "runs", autotune=False)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of 20 images, one of them twice, and a damaged one."""
    rng = np.random.default_rng(0)
    for number in range(20):
        path = tmp_path / "images" / ("cats" if number % 2 else "dogs") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32), np.uint8)).save(path)
    (tmp_path / "images/cats/twice.png").write_bytes((tmp_path / "images/cats/1.png").read_bytes())
    (tmp_path / "images/dogs/bad.png").write_bytes(b"no image")
    return tmp_path / "images"


def options(**more: object) -> TrainingOptions:
    return from_preset({**TINY, **more})


def test_train_returns_the_run_and_prints_nothing(
    there: LaunchOptions, capfd: pytest.CaptureFixture[str]
) -> None:
    with logged() as lines:
        run = train(options(), there)
    assert capfd.readouterr() == ("", "")
    assert run.folder == there.outdir / "00000-fashion-mnist-dcgan16"
    assert (run.kimg, run.distance, run.interrupted) == (0.16, None, False)
    assert run.best == run.checkpoint == run.folder / "generator.safetensors"
    assert run.checkpoint.is_file()
    assert sum(line.startswith("tick ") for line in lines) == 5
    text = (run.folder / "log.txt").read_text()
    assert text.splitlines() == "\n".join(lines[-8:]).splitlines()  # from the first line of the run on


def test_the_log_has_all_lines_whatever_is_shown(
    there: LaunchOptions, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run = train(options(), there)
    assert not [record for record in caplog.records if record.levelno < logging.WARNING]
    assert "without augmentation the discriminator memorizes them" in caplog.text
    text = (run.folder / "log.txt").read_text()
    assert (text.count("\ntick "), text.count("done at 0.2")) == (5, 1)
    assert logging.getLogger("gantool").level == logging.NOTSET


def test_a_resumed_run_equals_an_unbroken_one_of_the_command_line(
    there: LaunchOptions, tmp_path: Path
) -> None:
    train(options(kimg=0.08), there)
    again = LaunchOptions(outdir=there.outdir, resume="latest")
    run = train(options(kimg=0.16), again, ["kimg"])
    assert run.kimg == 0.16
    (tmp_path / "other").mkdir()
    run_gantool("train", *FLAGS, "--precision", "fp32", cwd=tmp_path / "other", check=True)
    (other,) = tmp_path.glob("other/runs/*/generator.safetensors")
    ours, theirs = load_file(run.checkpoint), load_file(other)
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(UsageError, match="`resume` goes on with the settings of .*: leave out `batch`"):
        train(options(), again, ["batch", "kimg"])
    with pytest.raises(UsageError, match="already has 0.2 of 0.1 kimg: give `kimg`"):
        train(options(kimg=0.1), again, ["kimg"])


def test_a_measured_run_says_what_to_export(there: LaunchOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantool.train.callbacks.SAMPLES", 64)
    run = train(options(metric_every=0.064, snap=1), there)
    lines = [json.loads(line) for line in (run.folder / "metric-classifier.jsonl").read_text().splitlines()]
    best = min(lines, key=lambda line: line["fd"])
    assert run.distance == pytest.approx(lines[-1]["fd"], abs=1e-4)
    assert run.best.name == ("generator" if best is lines[-1] else "best") + ".safetensors"


def test_what_cannot_be_trained(there: LaunchOptions, images: Path) -> None:
    with pytest.raises(GantoolError, match="nowhere: there is no such file or folder"):
        train(options(data="nowhere"), there)
    conditional = LaunchOptions(outdir=there.outdir, conditional=True)
    with pytest.raises(UsageError, match="`conditional`: .* has no labels"):
        train(options(data=str(images / "cats")), conditional)
    with pytest.raises(UsageError, match="`device` abacus: choose auto, cpu"):
        train(options(device="abacus"), there)
    assert not there.outdir.exists()


def test_the_options_of_a_run_before_it_begins(
    there: LaunchOptions, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images.parent)
    conditional = LaunchOptions(outdir=there.outdir, conditional=True)
    planned = dry_run(options(data="images"), conditional, ())
    assert (planned.data, planned.network.channels, planned.network.classes) == (str(images), 1, 2)
    assert dry_run(options(channels=3), there, ["channels"]).network.channels == 3


def test_a_checkpoint_knows_how_many_images_each_class_had(images: Path, there: LaunchOptions) -> None:
    (images / "dogs/0.png").unlink()
    conditional = LaunchOptions(outdir=there.outdir, autotune=False, conditional=True)
    metadata = load_checkpoint(train(options(data=str(images)), conditional).checkpoint).metadata
    assert metadata.class_names == ("cats", "dogs")
    assert metadata.class_counts == (11, 9)


def test_a_data_set_and_its_scores_are_values(
    images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with logged(logging.WARNING) as warnings:
        made = prepare(DataOptions(str(images), out=tmp_path / "d.zip"))
    assert (made.count, made.files, made.size, made.channels) == (20, 22, (32, 32), 1)
    assert made.duplicates == ("cats/twice.png",)
    assert warnings == [f"left out {made.skipped[0]}"]
    assert made.labels
    assert made.labels.classes == ("cats", "dogs")
    assert (made.path.is_file(), made.sheet.is_file()) == (True, True)
    with logged() as lines:
        scores = evaluate(EvaluateOptions(made.path, data=str(made.path), out=tmp_path / "out"))
    assert (scores.measured.samples, scores.measured.scores.copies) == (20, 1)
    assert any(line.startswith("decoded 20 images") for line in lines)
    assert capfd.readouterr() == ("", "")


def test_plot_returns_its_path(trained: Path, tmp_path: Path) -> None:
    (run,) = trained.glob("runs/*")
    assert plot(PlotOptions(run, tmp_path / "p.html")) == tmp_path / "p.html"
    with pytest.raises(UsageError, match="`out` p.pdf: give a name that ends in"):
        plot(PlotOptions(run, Path("p.pdf")))


def test_quiet_leaves_warnings_and_the_log(tmp_path: Path) -> None:
    result = run_gantool("train", *FLAGS, "--quiet", cwd=tmp_path, check=True)
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if "the machine is busy" not in line]
    assert [line.split(":")[0] for line in lines] == [
        "the images are 28×28; this preset makes 16×16 (to keep more of them",
        "200 images are few",
    ]
    (log,) = tmp_path.glob("runs/*/log.txt")
    assert "\ntick 5 " in log.read_text()


def test_verbose_says_how_a_run_computes(tmp_path: Path) -> None:
    err = run_gantool("train", *FLAGS, "-v", cwd=tmp_path, check=True).stderr
    for text in (
        " s train.launch: ",
        "parameters in the generator",
        "steps run on",
        " s train.callbacks: saved kimg 0.2",
    ):
        assert text in err
    (log,) = tmp_path.glob("runs/*/log.txt")
    assert "parameters" not in log.read_text()


def test_lines_name_flags(tmp_path: Path) -> None:
    err = run_gantool("train", *FLAGS, cwd=tmp_path, check=True).stderr
    assert "(to keep more of them: --preset small --size 28)" in err
    assert "(--preset small, or --augment ada)" in err
    assert "`" not in err


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo terminal")
def test_a_terminal_shows_the_bar_of_a_run(tmp_path: Path) -> None:
    code, out, shown = on_a_terminal("train", *FLAGS, "--kimg", "2", folder=tmp_path)
    assert (code, out) == (0, "")
    for text in ("training", " kimg/s", " of 2 kimg", "tick 5 ", "done at 2.0"):
        assert text in shown
    code, out, shown = on_a_terminal("train", "--resume", "latest", "--kimg", "3", "-q", folder=tmp_path)
    assert (code, out) == (0, "")
    assert "kimg" not in shown


def test_two_processes_say_each_line_once(tmp_path: Path) -> None:
    result = run_gantool("train", *FLAGS, "-v", "--devices", "2", cwd=tmp_path, check=True, process=True)
    for text in ("tick 5 ", "images are few", "parameters in the generator", "done at 0.2"):
        assert result.stderr.count(text) == 1


def test_an_interrupted_run_says_so_last(tmp_path: Path) -> None:
    process = training(*FLAGS, "--kimg", "1000", cwd=tmp_path, until="tick 2")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "gantool: interrupted"
    assert err.count("interrupted at") == 1


def test_a_program_that_is_interrupted_has_its_run(tmp_path: Path) -> None:
    script = f"""
import logging, os, signal
from gantool.train.options import LaunchOptions, from_preset
from gantool.train.run import train

class Stops(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("tick 2 "):
            os.kill(os.getpid(), signal.SIGINT)

logging.getLogger("gantool").addHandler(Stops())
logging.getLogger("gantool").setLevel(logging.INFO)
run = train(from_preset({TINY | {"kimg": 1000.0}!r}), LaunchOptions(autotune=False))
print(run.interrupted, run.kimg, run.checkpoint.is_file())
"""
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    interrupted, kimg, there = result.stdout.split()
    assert (interrupted, there) == ("True", "True")
    assert 0.064 <= float(kimg) < 0.16  # the step that runs, and perhaps the one after it

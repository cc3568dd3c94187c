"""The loop through its public door, the command line."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from conftest import run_gantool, training
from gantool.models import load_checkpoint
from gantool.train.losses import LOSSES
from gantool.train.prefetch import Sampler

SMALL = ("--no-autotune", "--width", "4", "--batch", "32", "--tick", "0.064", "--snap", "3")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = folder.glob("runs/*/generator.safetensors")
    return load_file(path)


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_what_a_run_leaves(trained: Path) -> None:
    (run,) = (trained / "runs").iterdir()
    assert run.name == "00000-fashion-mnist-dcgan32"
    names = {path.name for path in run.iterdir()}
    expected = {
        "training_options.json",
        "stats.jsonl",
        "log.txt",
        "fakes000000.png",
        "fakes000000_512.png",
        "fakes000001_008.png",
        "generator.safetensors",
        "training_state.pt",
        "training_state.previous.pt",
    }
    assert expected <= names
    assert all(name.startswith("fakes") for name in names - expected)  # a slow machine also saves by time
    options = json.loads((run / "training_options.json").read_text())
    assert options["network"]["width"] == 8
    assert (options["lr"], options["batch"], options["optimizer"]) == (0.0008, 16, "adam")
    stats = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert [each["tick"] for each in stats] == list(range(1, len(stats) + 1))
    assert stats[-1]["kimg"] == pytest.approx(1.008)
    assert "tick 1     kimg 0.3 " in (run / "log.txt").read_text()
    with Image.open(run / "fakes000001_008.png") as sheet:
        assert (sheet.size, sheet.mode) == ((256, 256), "L")
    assert load_checkpoint(run / "generator.safetensors").metadata.images_seen == 1008


def test_training_changes_the_images(trained: Path) -> None:
    sheets = [np.asarray(Image.open(path), np.float64) for path in sorted(trained.glob("runs/*/fakes*.png"))]
    assert np.abs(sheets[0] - sheets[-1]).mean() > 1


@pytest.mark.parametrize(
    "preset", ["dcgan32", pytest.param("dcgan5-32", marks=pytest.mark.slow)]
)  # the second draws random numbers for dropout, too
def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path, preset: str) -> None:
    flags = ("train", "--preset", preset, *SMALL, "--mirror")
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    run_gantool(*flags, "--kimg", "0.48", cwd=tmp_path / "whole", check=True)
    run_gantool(*flags, "--kimg", "0.224", cwd=tmp_path / "broken", check=True)
    (run,) = (tmp_path / "broken/runs").iterdir()
    of_evaluate, of_a_run = '{"source": "g.onnx", "fd": 1}\n', '{"kimg": 0.4, "fd": 1}\n'
    (run / "metric-classifier.jsonl").write_text(of_evaluate + of_a_run)
    run_gantool("train", "--resume", "latest", "--kimg", "0.48", cwd=tmp_path / "broken", check=True)
    assert (run / "metric-classifier.jsonl").read_text() == of_evaluate  # the other is yet to come
    (stats,) = tmp_path.glob("broken/runs/*/stats.jsonl")
    ticks = [json.loads(line) for line in stats.read_text().splitlines()]
    assert [each["tick"] for each in ticks] == list(range(1, len(ticks) + 1))  # they go on counting
    assert ticks[-1]["kimg"] == 0.48
    (options,) = tmp_path.glob("broken/runs/*/training_options.json")
    assert json.loads(options.read_text())["kimg"] == 0.48
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    assert len(list((tmp_path / "broken/runs").iterdir())) == 1


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
def test_an_interrupted_run_saves_and_can_be_resumed(tmp_path: Path, number: signal.Signals) -> None:
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    process = training(*SMALL, "--kimg", "1000", cwd=tmp_path / "broken", until="tick 2")
    process.send_signal(number)
    _, rest = process.communicate()
    assert process.returncode == 130
    assert "interrupted at" in rest
    assert "gantool train --resume runs/00000-fashion-mnist-dcgan32" in rest
    (path,) = (tmp_path / "broken").glob("runs/*/generator.safetensors")
    seen = load_checkpoint(path).metadata.images_seen
    kimg = str((seen + 200) / 1000)
    run_gantool("train", "--resume", "latest", "--kimg", kimg, cwd=tmp_path / "broken", check=True)
    run_gantool("train", *SMALL, "--kimg", kimg, cwd=tmp_path / "whole", check=True)
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """kill -9 leaves no moment to save; a state that is damaged on top falls back on the one before."""
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    flags = (*SMALL, "--snap", "1", "--augment", "ada", "--r1", "1", "--lazy", "2")
    process = training(*flags, "--kimg", "1000", cwd=tmp_path / "broken", until="tick 4")
    process.kill()
    process.communicate()
    (run,) = (tmp_path / "broken/runs").iterdir()
    previous = torch.load(run / "training_state.previous.pt", weights_only=True)["images_seen"]
    (run / "training_state.pt").write_bytes((run / "training_state.pt").read_bytes()[:5000])
    kimg = str((previous + 300) / 1000)
    result = run_gantool("train", "--resume", "latest", "--kimg", kimg, cwd=tmp_path / "broken", check=True)
    assert "going on from" in result.stderr
    run_gantool("train", *flags, "--kimg", kimg, cwd=tmp_path / "whole", check=True)
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    ticks = [json.loads(line)["tick"] for line in (run / "stats.jsonl").read_text().splitlines()]
    assert ticks == list(range(1, len(ticks) + 1))


def test_a_state_of_a_newer_gantool_is_refused(tmp_path: Path) -> None:
    run_gantool("train", *SMALL, "--kimg", "0.05", cwd=tmp_path, check=True)
    (state,) = tmp_path.glob("runs/*/training_state.pt")
    torch.save({**torch.load(state, weights_only=True), "format": 9}, state)
    result = run_gantool("train", "--resume", "latest", "--kimg", "1", cwd=tmp_path)
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert "format 9, this gantool reads 3: install a newer one" in result.stderr


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    run_gantool("train", *SMALL, "--kimg", "0.2", cwd=tmp_path, check=True)
    good = weights(tmp_path)
    (options,) = tmp_path.glob("runs/*/training_options.json")
    options.write_text(options.read_text().replace('"lr": 0.0008', '"lr": 1e30'))
    (state,) = tmp_path.glob("runs/*/training_state.pt")
    content = torch.load(state, weights_only=True)
    for optimizer in ("generator_optimizer", "discriminator_optimizer"):
        content[optimizer]["param_groups"][0]["lr"] = 1e30
    torch.save(content, state)
    result = run_gantool("train", "--resume", "latest", "--kimg", "1", cwd=tmp_path)
    assert result.returncode == 1
    assert "training diverged" in result.stderr
    assert "lower --lr (it is 1e+30)" in result.stderr
    assert "Traceback" not in result.stderr
    assert_same(weights(tmp_path), good)


def test_sgd_uniform_pooling_rgb_run(tmp_path: Path) -> None:
    flags = (
        "--optimizer",
        "sgd",
        "--distribution",
        "uniform",
        "--downsampling",
        "pooling",
        "--channels",
        "3",
    )
    run_gantool(
        "train", *SMALL, *flags, "--latent", "7", "--size", "16", "--kimg", "0.1", cwd=tmp_path, check=True
    )
    (path,) = tmp_path.glob("runs/*/generator.safetensors")
    metadata = load_checkpoint(path).metadata
    assert metadata.image == (16, 16, 3)
    assert (metadata.latent, metadata.distribution) == (7, "uniform")


def test_dry_run_prints_the_resolved_config_and_makes_nothing(tmp_path: Path) -> None:
    result = run_gantool("train", "-n", "--preset", "dcgan64", "--lr", "0.001", cwd=tmp_path, check=True)
    options = json.loads(result.stdout)
    assert (options["network"]["size"], options["network"]["channels"], options["lr"]) == (64, 1, 0.001)
    assert not list(tmp_path.iterdir())


def test_runs_are_numbered(tmp_path: Path) -> None:
    for _ in range(2):
        run_gantool("train", *SMALL, "--kimg", "0.05", cwd=tmp_path, check=True)
    assert sorted(path.name[:5] for path in (tmp_path / "runs").iterdir()) == ["00000", "00001"]


@given(count=st.integers(1, 30), batch=st.integers(1, 50), start=st.integers(0, 200), seed=st.integers(0, 5))
def test_each_epoch_shows_each_image_once(count: int, batch: int, start: int, seed: int) -> None:
    position = 0
    shown: list[int] = []
    sampler = Sampler(count, seed)
    while position < start + batch:
        shown.extend(sampler.indices(position, batch))
        position += batch
    for epoch in range(position // count):
        assert sorted(shown[epoch * count : (epoch + 1) * count]) == list(range(count))
    # from any position on, a new sampler shows the same
    np.testing.assert_array_equal(Sampler(count, seed).indices(start, batch), shown[start : start + batch])


def test_losses_are_the_cross_entropies_of_the_paper() -> None:
    real, fake = torch.tensor([0.3, -2.0, 5.0]), torch.tensor([-0.7, 1.0, -4.0])
    loss = LOSSES["non-saturating"]
    expected = -(real.sigmoid().log() + (1 - fake.sigmoid()).log()).mean()
    torch.testing.assert_close(loss.discriminator(real, fake), expected)
    torch.testing.assert_close(loss.generator(fake, None), -fake.sigmoid().log().mean())
    assert torch.isfinite(loss.generator(torch.tensor([-1e4]), None))

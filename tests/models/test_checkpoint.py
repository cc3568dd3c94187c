from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gantool.models import (
    Generator,
    NetworkConfig,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
    square,
)
from gantool.runtime.errors import GantoolError

CONFIG = NetworkConfig(size=square(16), latent=5, width=2, distribution="uniform")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "generator.safetensors"
    save_checkpoint(path, Generator(CONFIG).eval(), 12_800, "shapes")
    return path


def rewrite(path: Path, **changes: Any) -> None:
    """Change fields of the metadata in the header."""
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["gantool"])
    save_file(load_file(path), path, {"gantool": json.dumps({**metadata, **changes})})


def test_round_trip(path: Path) -> None:
    torch.manual_seed(0)
    expected = Generator(CONFIG).eval()
    loaded = load_checkpoint(path)
    z = torch.randn(4, 5)
    assert torch.equal(loaded.generator(z), expected(z))
    assert not loaded.generator.training
    assert (loaded.metadata.latent, loaded.metadata.distribution) == (5, "uniform")
    assert loaded.metadata.image == (16, 16, 1)
    assert (loaded.metadata.images_seen, loaded.metadata.data) == (12_800, "shapes")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2, "gantool": "9.9"}, "format 2, this gantool reads 1.*9.9"),
        ({"config": {**CONFIG.to_json(), "architecture": "stylegan"}}, "'stylegan' is unknown: choose dcgan"),
        ({"config": {**CONFIG.to_json(), "width": 3}}, "cannot build"),
        ({"config": {**CONFIG.to_json(), "width": 10**9}}, "not a whole number from 1 to 8192"),
        ({"config": None}, "'config' is None"),
        (
            {"config": {**CONFIG.to_json(), "size": 256, "width": 8192}},
            "cannot build",
        ),  # terabytes, if believed
        (
            {"config": {**CONFIG.to_json(), "size": 16.0}},
            "size 16.0 is neither a whole number nor height and width",
        ),
        ({"images_seen": None}, "'images_seen' is None"),
        ({"latent": {"size": 5, "distribution": "normal"}}, "that of 'config'"),
    ],
)
def test_what_it_does_not_know_is_refused(path: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(path, **changes)
    with pytest.raises(GantoolError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_safetensors_of_something_else(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(GantoolError, match="gantool train did not write"):
        load_checkpoint(tmp_path / "other.safetensors")


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "was-executed",)

    torch.save({"generator": Evil()}, tmp_path / "model.pth")
    with pytest.raises(GantoolError, match="pickle"):
        load_checkpoint(tmp_path / "model.pth")
    assert not (tmp_path / "was-executed").exists()


def test_nan_weights_are_refused(path: Path) -> None:
    generator = load_checkpoint(path).generator
    torch.nn.init.constant_(next(generator.parameters()), float("nan"))
    save_checkpoint(path, generator, 1, "shapes")
    with pytest.raises(GantoolError, match="NaN"):
        load_checkpoint(path)


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_never_gives_anything_but_a_clear_error(path: Path, data: st.DataObject) -> None:
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    position = data.draw(st.integers(0, min(cut, 1500)))
    damaged = bytearray(whole[:cut])
    if position < cut:
        damaged[position] ^= data.draw(st.integers(1, 255))
    other = path.with_name("damaged.safetensors")
    other.write_bytes(damaged)
    with pytest.raises(GantoolError):
        load_checkpoint(other)


def test_newest_checkpoint_is_of_the_highest_run(path: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with pytest.raises(GantoolError, match="gantool train"):
        newest_checkpoint(runs)
    for name in ("00002-a", "00010-b", "notes"):
        (runs / name).mkdir(parents=True)
        (runs / name / path.name).write_bytes(path.read_bytes())
    (runs / "00011-stopped-at-once").mkdir()
    assert newest_checkpoint(runs).parent.name == "00010-b"

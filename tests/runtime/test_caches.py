"""gantool cache: what is kept, and only that, goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from field.cases import gantool


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache folder with something of each kind, and something of somebody else."""
    folder = tmp_path / "cache"
    for name in (
        f"images/{'a' * 32}.npy",
        "images/mine.png",  # of a folder that is shared with others
        "fashion-mnist/train-images-idx3-ubyte.gz",
        "speed.json",
        "features/classifier-c.safetensors",
        "other/file",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(2048))
    (tmp_path / "elsewhere").write_bytes(bytes(5))
    (folder / f"images/{'b' * 32}.npy").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("GANTOOL_CACHE", str(folder))
    return folder


def test_what_is_kept(kept: Path, tmp_path: Path) -> None:
    answer = gantool("cache", tmp_path)
    assert answer.code == 0
    assert answer.out.startswith(f"{kept}\n")
    assert "gantool cache --clear" in answer.out
    found = json.loads(gantool("cache --json", tmp_path).out)
    assert found["folder"] == str(kept)
    counts = {row["kind"]: row["files"] for row in found["kept"]}
    assert counts == {"data": 3, "features": 1, "speed": 1, "kernels": 0, "graphs": 0, "web": 0, "errors": 0}
    assert json.loads(gantool("cache speed --json", tmp_path).out)["kept"][0]["bytes"] == 2048


def test_one_kind_goes(kept: Path, tmp_path: Path) -> None:
    answer = gantool("cache --clear data", tmp_path)
    assert (answer.code, "3 files" in answer.out) == (0, True)
    assert sorted(path.name for path in kept.iterdir()) == ["features", "images", "other", "speed.json"]
    assert [path.name for path in (kept / "images").iterdir()] == ["mine.png"]
    assert (tmp_path / "elsewhere").exists()


def test_all_goes_but_what_is_not_of_gantool(kept: Path, tmp_path: Path) -> None:
    assert gantool("cache --clear", tmp_path).code == 0
    assert sorted(path.name for path in kept.iterdir()) == ["images", "other"]
    assert gantool("cache --clear", tmp_path).code == 0  # nothing is left
    assert "gantool cache --clear" not in gantool("cache", tmp_path).out


def test_a_kind_that_is_not_there(kept: Path, tmp_path: Path) -> None:
    answer = gantool("cache images --clear", tmp_path)
    assert (answer.code, "cache images is unknown: choose data, features" in answer.err) == (2, True)
    assert (kept / "images").exists()

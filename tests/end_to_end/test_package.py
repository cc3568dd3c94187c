"""What `pip install gantool` brings: all of every room, be the wheel made from the tree or from the sdist."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("runtime", "models", "train", "export")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the wheel of the tree, and that of its sdist."""
    folder = tmp_path_factory.mktemp("built")
    _build(ROOT, folder / "tree", "sdist", "wheel")
    (sdist,) = (folder / "tree").glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        tar.extractall(folder, filter="data")
    _build(folder / sdist.name.removesuffix(".tar.gz"), folder / "sdist", "wheel")
    (of_tree,), (of_sdist,) = ((folder / name).glob("*.whl") for name in ("tree", "sdist"))
    return of_tree, of_sdist


def _build(source: Path, to: Path, *targets: str) -> None:
    flags = [flag for target in targets for flag in ("-t", target)]
    command = [sys.executable, "-m", "hatchling", "build", *flags, "-d", str(to)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)


def test_all_of_every_room_is_in_both_wheels(built: tuple[Path, Path]) -> None:
    files = (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file())
    rooms = (path.relative_to(ROOT).as_posix() for path in files if path.parent.name != "__pycache__")
    front = ("__init__.py", "__main__.py", "py.typed")
    expected = {f"gantool/{name}" for name in (*rooms, *front)}
    for wheel in built:
        with ZipFile(wheel) as opened:
            names = {name for name in opened.namelist() if ".dist-info/" not in name}
        assert names == expected


def test_an_installed_wheel_generates(built: tuple[Path, Path], exported: Path, tmp_path: Path) -> None:
    wheel = built[1]
    site = tmp_path / "site"
    install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run([sys.executable, *install], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    run = [sys.executable, "-m", "gantool", "generate", "-e", str(exported / "g.onnx"), "--seeds", "0"]
    subprocess.run(run, cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "images/seed0000.png").exists()
    where = [sys.executable, "-c", "import gantool; print(gantool.__file__, gantool.__version__)"]
    result = subprocess.run(where, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert Path(result.stdout.split()[0]).is_relative_to(site)

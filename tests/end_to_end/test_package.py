"""What `pip install gantool` brings: all of every room, be the wheel made from the tree or from the sdist."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from helpers.pythons import has_index, interpreter
from helpers.release import page, use

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
    expected = {f"gantool/{name}" for name in (*rooms, *front, "_version.py")}
    for wheel in built:
        with ZipFile(wheel) as opened:
            names = {name for name in opened.namelist() if ".dist-info/" not in name}
        assert names == expected


def test_the_wheel_of_the_sdist_is_that_of_the_tree(built: tuple[Path, Path]) -> None:
    of_tree, of_sdist = built
    assert (of_tree.name, of_tree.read_bytes()) == (of_sdist.name, of_sdist.read_bytes())


def test_the_sdist_has_every_file_of_the_repository(built: tuple[Path, Path]) -> None:
    """Its tests read examples, workflows and files of earlier commits, which .gitignore could leave out."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs the repository, to list its files")
    (sdist,) = built[0].parent.glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    links = {f"src/gantool/{room}" for room in ROOMS}
    assert {*listed.splitlines()} - names == links


def test_the_page_on_pypi_has_no_dead_links(built: tuple[Path, Path]) -> None:
    assert "<code>gantool train</code>" in page(built[0])


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
    script = """import sys
before = set(sys.modules)
import gantool
assert gantool.__version__ == gantool.__version__
print(gantool.__file__, gantool.__version__, "importlib.metadata" in set(sys.modules) - before)"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    file, version, asked = result.stdout.split()
    assert Path(file).is_relative_to(site)
    assert version == wheel.name.split("-")[1]
    assert asked == "False"  # it costs each start 30 ms
    command = [sys.executable, "-m", "gantool", "--version"]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == f"gantool {version}"


@pytest.mark.slow
def test_the_wheel_runs_in_the_python_of_jetpack_6(built: tuple[Path, Path], tmp_path: Path) -> None:
    python = interpreter("3.10")
    if python is None or not has_index():
        pytest.skip("no Python 3.10, or no package index: see make release-check")
    assert use(python, built[1], tmp_path).startswith("generates as before")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return the files that give a version, in a folder of their own."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_the_version_is_that_of_the_tag(source: Path, tmp_path: Path) -> None:
    git(source, "init", "--quiet")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "-m", "first")
    assert version_of(source).startswith("0.1.dev")  # no tag yet
    git(source, "tag", "v1.2.3")
    assert version_of(source) == "1.2.3"
    git(source, "commit", "--quiet", "--allow-empty", "-m", "second")
    assert version_of(source).startswith("1.2.4.dev1+g")
    git(tmp_path, "clone", "--quiet", "--depth", "1", "--no-tags", source.as_uri(), "shallow")
    assert version_of(tmp_path / "shallow").startswith("0.1.dev")


def test_a_copy_without_git_has_a_version_too(source: Path) -> None:
    assert version_of(source) == "0.1.dev0"


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=gantool", "-c", "user.email=gantool@example.org")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def version_of(folder: Path) -> str:
    command = [sys.executable, "-m", "hatchling", "version"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()

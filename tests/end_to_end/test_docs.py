"""What README and docs say: their links lead somewhere, their flags exist, their quick commands run."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantool.__main__ import run

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for folder in ("", "docs", "benchmarks") for path in (ROOT / folder).glob("*.md"))
MANUAL = [
    path for path in PAGES if path.parent == ROOT / "docs" or path.name in ("README.md", "CONTRIBUTING.md")
]
README_WORDS = 900

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
FLAG = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")
COMMAND = re.compile(r"^ {2}([a-z]+) {2,}", re.MULTILINE)
# of pip, make's python, pytest, git and the like
NOT_OURS = {"-c", "-m", "-n", "-k", "-x", "-e", "--system-site-packages", "--side-by-side"}
QUICK = ("data", "train", "generate", "inspect", "verify", "plot", "cache")


@dataclass(frozen=True)
class Line:
    """A command of gantool on a page."""

    page: Path
    words: tuple[str, ...]  # what follows `gantool`
    starts: bool = True  # False: torchrun does

    def __str__(self) -> str:
        return f"{self.page.name}: gantool {' '.join(self.words)}"


def text_of(page: Path) -> str:
    """Return a page without its fenced code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    titles = (re.sub(r"[^\w\s-]", "", title.lower()) for title in HEADING.findall(text_of(page)))
    return {title.strip().replace(" ", "-") for title in titles}


def lines_of(page: Path) -> list[Line]:
    """Return the commands of gantool in the console blocks of a page."""
    found = []
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language != "sh":
            continue
        for line in block.splitlines():
            for part in re.split(r"&&|\|", re.sub(r"(^|\s)# .*", "", line)):
                words = shlex.split(part.replace("$(which gantool)", "gantool"))
                if "gantool" in words:
                    at = words.index("gantool")
                    found.append(Line(page, tuple(words[at + 1 :]), starts=at == 0))
    return found


LINES = [line for page in MANUAL for line in lines_of(page)]


@cache
def help_of(command: str, capture: pytest.CaptureFixture[str]) -> str:
    capture.readouterr()
    assert run([command, "--help"] if command else ["--help"]) == 0
    return capture.readouterr().out


def flags_of(command: str, capture: pytest.CaptureFixture[str]) -> set[str]:
    return set(FLAG.findall(help_of(command, capture)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for target in LINK.findall(text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_the_files_of_the_tree_that_the_manual_names_exist() -> None:
    for page in MANUAL:
        for code in CODE.findall(text_of(page)):
            if re.fullmatch(
                r"(runtime|models|train|export|src|tests|benchmarks|docs)/[\w./-]+\.(py|c|md)", code
            ):
                assert (ROOT / code).is_file(), f"{page.name}: {code}"


def test_every_page_of_docs_is_linked_from_the_readme_or_a_page_that_is() -> None:
    seen, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        targets = (target.partition("#")[0] for target in LINK.findall(text_of(page)))
        waiting += [(page.parent / target).resolve() for target in targets if target and ":" not in target]
    assert set(PAGES) <= seen


def test_the_readme_is_short_and_begins_with_the_test_command_and_the_status() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= README_WORDS
    first_screen = "\n".join(text.splitlines()[:40])
    assert "make test" in first_screen
    assert "docs/testing-status.md" in first_screen


def test_the_manual_names_commands_and_flags_that_exist(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    commands = set(COMMAND.findall(help_of("", capfd)))
    assert len(commands) > 10
    names = commands | flags_of("", capfd)
    wrong = [str(line) for line in LINES if line.words[0] not in names]
    assert wrong == []
    for line in LINES:
        if line.words[0] in commands:
            given = {name for word in line.words[1:] if FLAG.fullmatch(name := word.partition("=")[0])}
            assert given <= flags_of(line.words[0], capfd), line
    known = set.union(*(flags_of(command, capfd) for command in commands)) | NOT_OURS
    for page in MANUAL:
        for code in CODE.findall(text_of(page)):
            words = code.split()
            if words[0] == "gantool" and len(words) > 1 and not words[1].startswith("-"):
                assert words[1] in commands, f"{page.name}: {code}"
                assert set(FLAG.findall(code)) <= flags_of(words[1], capfd), f"{page.name}: {code}"
            elif words[0] not in ("pip", "pytest", "make", "git", "model_signing"):
                assert set(FLAG.findall(code)) <= known, f"{page.name}: {code}"


def test_the_readme_has_a_row_for_every_command(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    rows = re.findall(r"^\| `gantool ([a-z]+)`", text_of(ROOT / "README.md"), re.MULTILINE)
    assert sorted(rows) == sorted(COMMAND.findall(help_of("", capfd)))


@pytest.fixture(scope="module")
def reader(trained: Path, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the commands of the manual work on, small enough to be quick."""
    folder = tmp_path_factory.mktemp("reader") / "work"
    shutil.copytree(exported, folder)
    shutil.copytree(trained / "runs", folder / "runs")
    rng = np.random.default_rng(0)
    for source in ("icons", "animals"):
        for name in ("circle", "square"):
            (folder / source / name).mkdir(parents=True)
            for index in range(40):
                pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
                Image.fromarray(pixels).save(folder / source / name / f"{index}.png")
    return folder


def is_quick(line: Line) -> bool:
    """Say whether a command needs neither a GPU, nor time, nor what is not in the folder of `reader`."""
    heavy = ("--devices", "--tensorboard", "-", "g.plan", "g.tar", "0-999999", "--clear")
    classes = ("--class", "--per-class")  # the generator of the folder has none
    missing = ("z.npy", "--direction", "--c2pa-key", "--sign", "pub.pem", "signed/seed0003.png")
    return line.starts and line.words[0] in QUICK and not {*heavy, *classes, *missing} & {*line.words}


def test_the_quick_commands_of_the_manual_run(
    reader: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(reader)
    first = ("data", "generate")  # others read what they write, into `images` the shortest one
    quick = sorted(
        {line.words for line in LINES if is_quick(line)},
        key=lambda words: (first.index(words[0]) if words[0] in first else len(first), len(words), words),
    )
    assert len(quick) > 20
    for words in quick:
        added = ["--dry-run"] if words[0] == "train" and "--dry-run" not in words else []
        assert run([*words, *added]) == 0, (words, capfd.readouterr().err)

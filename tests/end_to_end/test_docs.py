"""What the manual says: links lead somewhere, flags and messages exist. test_docs_run.py runs its blocks."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from gantool.__main__ import run
from helpers.manual import MANUAL as RUN
from helpers.manual import ROOT, blocks_of
from helpers.messages import GAP, unknown_parts

PAGES = sorted(path for pages in ("*.md", "docs/*.md", "benchmarks/*.md") for path in ROOT.glob(pages))
MANUAL = [*RUN, ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("examples/*/README.md"))]
README_WORDS = 900
README_WIDTH = 120

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
FLAG = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")
COMMAND = re.compile(r"^ {2}([a-z]+) {2,}", re.MULTILINE)
# of g++, pip, pytest, git and the like
NOT_OURS = {
    *("-ffp-contract", "-ffast-math", "-c", "-m", "-n", "-k", "-x", "-e"),
    *("--system-site-packages", "--side-by-side"),
}


@dataclass(frozen=True)
class Line:
    """A command of gantool on a page."""

    page: Path
    words: tuple[str, ...]  # what follows `gantool`

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: gantool {' '.join(self.words)}"


def text_of(page: Path) -> str:
    """Return a page without its fenced code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    titles = (re.sub(r"[^\w\s-]", "", title.lower()) for title in HEADING.findall(text_of(page)))
    return {title.strip().replace(" ", "-") for title in titles}


def lines_of(page: Path) -> list[Line]:
    """Return the commands of gantool in the console blocks of a page, those that do not run too."""
    found = []
    for block in blocks_of(page):
        for line in block.lines if block.language == "sh" else []:
            for part in re.split(r"&&|\|", line):
                words = shlex.split(part.replace("$(which gantool)", "gantool"))
                if "gantool" in words[:-1]:
                    found.append(Line(page, tuple(words[words.index("gantool") + 1 :])))
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


def test_the_readme_is_short_and_begins_with_what_matters() -> None:
    text = COMMENT.sub("", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(text.split()) <= README_WORDS
    assert [line for line in text.splitlines() if len(line) > README_WIDTH] == []
    assert "no pytorch" in "\n".join([line for line in text.splitlines() if line][:3]).lower()
    assert "make test" in text
    assert "status.md" in text


def test_the_messages_of_the_manual_are_those_of_the_code() -> None:
    text = text_of(ROOT / "docs/troubleshooting.md")
    messages = [code for code in CODE.findall(text) if GAP in code]
    assert len(messages) > 30
    assert {message: parts for message in messages if (parts := unknown_parts(message))} == {}


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

"""The blocks of code in the manual: what readers copy, and the tests run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
MANUAL = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = ("sh", "python")  # languages of blocks that run; others show what was printed
NOT_RUN = "<!-- not run: "
TEST = re.compile(r"tests/[\w/]+\.py")

_BLOCK = re.compile(r"(?:^<!-- not run: ([^\n]*) -->\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"(^|\s)#\s.*")
_SHELL = re.compile(r"[|<>&$;]")

# The values that the tests give to flags. The autotuner takes a twentieth of the minutes.
_RESUMED = {"--kimg": "1.2", "--minutes": "0.02"}  # the runs of the tests are at 1 kimg at most
_SHORT = {
    "train": {"--kimg": "0.1", "--minutes": "1"},
    "distill": {"--kimg": "0.1", "--minutes": "1"},
    "evaluate": {"--samples": "64"},
    "project": {"--steps": "3"},
    "bench": {"--seconds": "0.05", "--batch": "1"},
    "tune": {
        "--seconds": "0.02",
        "--precision": "fp32,fp16",
        "--lowering": "none",
        "--provider": "cpu",
        "--batch": "1",
        "--engine-threads": "1",
    },
}
# A busy machine keeps to these, too.
_EASY = {"--latency": "1000s", "--fps": "0.001"}


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int  # of its first line of code
    language: str
    code: str
    why_not: str  # why no test runs it; "" if one does

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether a test runs it."""
        return self.language in CODE and not self.why_not

    @property
    def lines(self) -> list[str]:
        """The lines of a console block, without comments and empty ones."""
        return [line for text in self.code.splitlines() if (line := _COMMENT.sub("", text).strip())]


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start(3)) + 1, match[2], match[3], (match[1] or "").strip())
        for match in _BLOCK.finditer(text)
    ]


def steps_of(block: Block) -> list[str]:
    """Return each command of gantool of a console block, and what stands between two of them as one script."""
    grouped = groupby(block.lines, lambda line: bool(command_of(line)))
    return [step for alone, lines in grouped for step in (lines if alone else ["\n".join(lines)])]


def command_of(line: str) -> list[str]:
    """Return the words after `gantool` of a line that is such a command alone; [] for any other line."""
    if "\n" in line or _SHELL.search(line):
        return []
    program, *words = shlex.split(line)
    return words if program == "gantool" else []


def shortened(words: list[str]) -> list[str]:
    """Return the words of a command of gantool, with less to train, to measure and to generate."""
    command, *rest = words
    if command == "tune":
        rest = [_EASY.get(before, word) for before, word in zip(words, rest, strict=False)]
    short = _RESUMED if command == "train" and "--resume" in rest else _SHORT.get(command, {})
    for flag in short.keys() & {*rest}:
        at = rest.index(flag)
        del rest[at : at + 2]
    rest = [re.sub(r"^0-\d{4,}$", "0-99", word) for word in rest]
    return [command, *rest, *(word for pair in short.items() for word in pair)]


def shortened_code(code: str) -> str:
    """Return Python code that trains and scores less."""
    code = re.sub(
        r'"kimg": ([\d.]+)', lambda found: f'"kimg": {float(found[1]) / 20_000}, "minutes": 1.0', code
    )
    return re.sub(r"samples=\d+", "samples=64", code)

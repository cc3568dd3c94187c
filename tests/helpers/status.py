"""Rewrite the counted part of docs/status.md, from pytest and reports: status.py [TESTS REPORTS PAGE]."""

from __future__ import annotations

import platform
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

START, END = "<!-- written by make status -->", "<!-- end -->"
REPORTS = {"make test": "test.xml", "make slow": "slow.xml"}
# what only some machines have -> what a file of tests that uses it imports, asks for or names
USES = {
    "TensorRT-RTX, to build engines": r"\btensorrt_rtx\b|engine\W{1,4}rtx\b|\b(exported|work): Path",
    "stand-ins for the CUDA driver, TensorRT or its builder": r"standin|fake_tensorrt|fake_builder",
    "OpenVINO": r"\bopenvino\b",
    "Chromium": r"helpers\.browser|helpers\.generator_page",
    "exiftool": r"\bexiftool\b",
    "Triton's server": r"helpers\.triton_server",
    "ROS 2": r"helpers\.ros\b|helpers import ros",
    "Ray, with a cluster of two nodes": r"ray_cluster",
    "SLURM, on two network namespaces": r"helpers\.slurm import .*\bslurm\b",
    "OpenCV": r"\bcv2\b",
    "GStreamer": r"\bgst-launch",
}


@dataclass(frozen=True)
class Test:
    """A collected test."""

    file: Path
    marks: frozenset[str]


class Collector:
    """A plugin of pytest that keeps what it collects."""

    tests: Sequence[Test] = ()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.tests = [
            Test(item.path, frozenset(mark.name for mark in item.iter_markers())) for item in session.items
        ]


def main(
    tests: Path = Path("tests"), reports: Path = Path("build"), page: Path = Path("docs/status.md")
) -> int:
    """Rewrite the part of the page between START and END; return the exit code."""
    collector = Collector()
    if code := pytest.main(["--collect-only", "-qq", str(tests)], [collector]):
        return int(code)
    before, rest = page.read_text(encoding="utf-8").split(START)
    _, after = rest.split(END)
    runs = [_run(made, reports / name) for made, name in REPORTS.items() if (reports / name).is_file()]
    parts = [START, *_counted(collector.tests, tests.resolve()), *runs, END]
    page.write_text(before + "\n\n".join(parts) + after, encoding="utf-8")
    return 0


def _counted(tests: Sequence[Test], folder: Path) -> list[str]:
    rooms = Counter(test.file.relative_to(folder).parts[0] for test in tests)
    slow = Counter(test.file.relative_to(folder).parts[0] for test in tests if "slow" in test.marks)
    lines = ["| tests of | number | of them slow |", "| --- | --- | --- |"]
    lines += [f"| `tests/{room}` | {rooms[room]:,} | {slow[room]:,} |" for room in sorted(rooms)]
    lines.append(f"| all | {len(tests):,} | {slow.total():,} |")
    sources = {test.file: test.file.read_text(encoding="utf-8") for test in tests}
    uses = ["| files of tests that use | files | tests in them |", "| --- | --- | --- |"]
    for use, pattern in USES.items():
        files = {file for file, text in sources.items() if re.search(pattern, text)}
        uses.append(f"| {use} | {len(files)} | {sum(test.file in files for test in tests):,} |")
    on_gpus = sum("gpu" in test.marks for test in tests)
    return ["\n".join(lines), "\n".join(uses), f"Tests that need an NVIDIA GPU: {on_gpus}."]


def _run(command: str, report: Path) -> str:
    """Return what became of a run, with the reasons for which tests were skipped."""
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
    count = {key: int(suite.attrib[key]) for key in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    passed = count["tests"] - failed - count["skipped"]
    day = datetime.fromisoformat(suite.attrib["timestamp"]).date()
    where = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    line = f"`{command}` on {day}, {where}: {passed:,} passed, {failed} failed, {count['skipped']} skipped."
    reasons = Counter(each.get("message", "") for each in suite.iter("skipped"))
    return "\n".join(
        [
            line,
            *(["\nSkipped:\n"] if reasons else []),
            *(f"- {many}: {why}" for why, many in reasons.most_common()),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))

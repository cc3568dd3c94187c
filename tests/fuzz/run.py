"""Run fuzz targets with atheris, two side by side: `python -m fuzz.run SECONDS [TARGET ...]`.

Prints the executions and the coverage of each: the edges of gantool's code that its inputs reach. Exits with 1 upon
a finding, whose input stays in `.fuzz/`, and with 5 without atheris. `.fuzz/` keeps all inputs for the next run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fuzz.harness import ROOT, names

PLACE = ROOT / ".fuzz"
_AT_ONCE = 2
_FOUND = ("crash-", "timeout-", "oom-", "leak-")  # how libFuzzer names the input of a finding
_LINES = 30  # of the log of a finding


@dataclass(frozen=True)
class Result:
    """One target, after its time."""

    name: str
    executions: int
    edges: int
    seconds: int
    finding: str = ""  # the end of its log, with the path of the input; "" without one

    def __str__(self) -> str:
        counts = f"{self.executions:>11,} executions  {self.edges:>6,} edges  {self.seconds:>5} s"
        return f"{self.name:<12} {counts}{'  FINDING' if self.finding else ''}"


def main() -> int:
    """Run the targets that are named, or all."""
    if find_spec("atheris") is None:
        print(
            "make fuzz needs atheris, which has wheels for Linux on x86_64: pip install atheris",
            file=sys.stderr,
        )
        return 5
    seconds, *chosen = sys.argv[1:]
    if unknown := {*chosen} - {*names()}:
        print(f"{', '.join(unknown)} is not a target: choose {', '.join(names())}", file=sys.stderr)
        return 2
    PLACE.mkdir(exist_ok=True)
    findings = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for found in pool.map(lambda name: fuzz(name, int(seconds)), chosen or names()):
            print(found, flush=True)
            findings += [found.finding] if found.finding else []
    print(*findings, sep="\n\n")
    return 1 if findings else 0


def fuzz(name: str, seconds: int) -> Result:
    """Fuzz one target in a process of its own."""
    log = PLACE / f"{name}.log"
    before = {*_findings(name)}
    command = [sys.executable, "-m", "fuzz.one", name, str(PLACE), str(seconds)]
    paths = os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests")))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as file:
        code = subprocess.run(command, env=environment, stdout=file, stderr=file, check=False).returncode
    said = log.read_text(errors="replace")
    new = {*_findings(name)} - before
    finding = ""
    if new or code:
        where = ", ".join(str(path.relative_to(ROOT)) for path in new) or "no input"
        finding = f"{name}: {where}\n" + "\n".join(_telling(said)[-_LINES:])
    executions, edges, took = (_last(each, said) for each in (r"^#(\d+)", r"cov: (\d+)", r"in (\d+) second"))
    return Result(name, executions, edges, took, finding)


def _findings(name: str) -> list[Path]:
    """Return the inputs of findings that lie there."""
    return [path for kind in _FOUND for path in PLACE.glob(f"{name}-{kind}*")]


def _last(pattern: str, text: str) -> int:
    """Return the last number that a pattern finds; 0 for none."""
    found = re.findall(pattern, text, re.MULTILINE)
    return int(found[-1]) if found else 0


def _telling(said: str) -> list[str]:
    """Return the lines of a log without those of progress."""
    return [
        line for line in said.splitlines() if not re.match(r"#\d+|INFO:|MS: |0x|artifact_prefix|Base64", line)
    ]


if __name__ == "__main__":
    sys.exit(main())

"""`gantool bench`: engines side by side, one row for each file, provider and batch."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

import typer

from gantool.runtime.artifacts.plan import identify
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.generator import check_engine_threads
from gantool.runtime.process import child
from gantool.runtime.process.cpus import Others, cores

Row = dict[str, Any]


def bench(
    files: list[Path],
    batches: str,
    providers: list[str],
    seconds: float,
    threads: int | None,
    as_json: bool,
) -> None:
    """Run `gantool bench`: print a table, or JSON, of each engine, measured in a process of its own.

    Exits with the code of the first engine that did not run, after measuring the others.
    """
    sizes = parse_batches(batches)
    if not 0 < seconds <= 3600:
        raise UsageError(f"--seconds {seconds:g}: give a number above 0, at most 3600")
    check_engine_threads(threads)
    kinds = {file: identify(file) for file in files}  # before minutes of work
    busy = _load_before()
    rows: list[Row] = []
    failed = 0
    for file in files:
        for provider in providers if kinds[file] == "onnx" else ["auto"]:
            for row in _measured(file, provider, sizes, seconds, threads if kinds[file] == "onnx" else None):
                if "error" in row:
                    typer.echo(f"{file} is skipped: {row['error']}", err=True)
                    failed = failed or row["exit_code"]
                elif "takes" in row:
                    low, high = row["takes"]
                    typer.echo(
                        f"{file} takes batches of {low} to {high}: {row['batch']} is skipped", err=True
                    )
                else:
                    rows.append({"file": str(file), "provider": provider, **row})
                    if not as_json:
                        _print_row(rows)
    fastest = max(rows, key=lambda row: float(row["images_per_second"]), default=None)
    warnings = [
        *busy,
        *(f"{row['file']}, batch {row['batch']}: {doubt}" for row in rows for doubt in row["doubts"]),
    ]
    if as_json:
        command = fastest and _command(fastest, threads)
        document = {"rows": rows, "fastest": command, "warnings": warnings, "machine": _machine()}
        typer.echo(json.dumps(document, indent=1))
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    if fastest and not as_json:
        typer.echo(f"fastest:\n  {_command(fastest, threads)}")
    if failed:
        raise typer.Exit(failed)


def parse_batches(text: str) -> list[int]:
    """Read `1,8,32`."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and int(part[:9]) > 0 and len(part) < 6 for part in parts):
        raise UsageError(f"--batch {text}: write whole numbers from 1 to 99999, as in 1,8,32")
    return [int(part) for part in parts]


def _measured(
    file: Path, provider: str, sizes: list[int], seconds: float, threads: int | None
) -> Iterator[Row]:
    """Yield the rows that gantool.runtime.bench.measure prints, as they come."""
    batches = ",".join(map(str, sizes))
    arguments = (time.monotonic(), seconds, threads or 0, provider, batches, file)
    command = child.python("gantool.runtime.bench.measure", *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield json.loads(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise GantoolError(
            f"measuring {file} ended with code {process.returncode}: run it alone, with gantool generate -e "
            f"{quote(str(file))}, to see why"
        )


def _print_row(rows: list[Row]) -> None:
    """Print the last row, with the column names above the first."""
    power = rows[0]["watts"] is not None
    width = max(12, *(len(row["file"]) for row in rows))
    if len(rows) == 1:
        names = f"{'engine':{width}}  {'runs on':24} {'batch':>5} {'images/s':>9}"
        names += f" {'p50 ms':>8} {'p90':>8} {'p99':>8} {'compute':>8} {'start':>7} {'memory':>8}" + (
            f" {'W':>6} {'mJ/img':>7}" if power else ""
        )
        typer.echo(names)
    row = rows[-1]
    ms, compute = row["ms"], row["compute_ms"]
    line = f"{row['file']:{width}}  {row['runs_on']:24} {row['batch']:>5} {row['images_per_second']:>9.1f}"
    line += "".join(f" {ms[name]:>8.3f}" for name in ("p50", "p90", "p99"))
    line += f" {compute['p50']:>8.3f}" if compute else f" {'-':>8}"
    peak = "-" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:.0f} MiB"
    line += f" {row['start_seconds']:>5.2f} s {peak:>8}"
    if power:
        line += f" {row['watts']:>6.2f} {row['mj_per_image']:>7.2f}"
    typer.echo(line)


def _command(row: Row, threads: int | None) -> str:
    """Return the command that generates with the engine of this row."""
    provider = "" if row["provider"] == "auto" else f" --provider {row['provider']}"
    limited = (
        f" --engine-threads {threads}" if threads and row["runs_on"].startswith(("ONNX", "OpenVINO")) else ""
    )
    return f"gantool generate --engine {quote(row['file'])} --batch {row['batch']}{provider}{limited}"


def _load_before() -> list[str]:
    """Return a warning if other programs are busy already."""
    others = Others()
    time.sleep(0.2)
    line = others.line()
    return [line] if line else []


def _machine() -> dict[str, Any]:
    """Return what a report of figures should name: the processor, the cores, a Jetson's power mode."""
    import platform
    import shutil

    found: dict[str, Any] = {
        "machine": platform.machine(),
        "cores": cores(),
        "python": platform.python_version(),
    }
    if nvpmodel := shutil.which("nvpmodel"):  # on a Jetson
        result = subprocess.run([nvpmodel, "-q"], capture_output=True, text=True, check=False)
        found["nvpmodel"] = result.stdout.split("\n")[0]
    return found

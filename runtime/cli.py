"""The commands generate, bench and cache. Each loads its own options alone."""

from __future__ import annotations

from pathlib import Path

import typer

from gantool.runtime.commands import Command
from gantool.runtime.flags import Given, build


def generate() -> Command:
    """Generate images with what was named, or with the newest engine of this folder."""
    from gantool.runtime.request import EngineOptions, Request

    def run(given: Given) -> None:
        asked, named = build(Request, given), build(EngineOptions, given)
        import logging

        from gantool.runtime import generate as launch

        engine = named.file or named.engine
        if engine is None:
            from gantool.runtime.newest import engines

            engine = engines(Path())[0]
            logging.getLogger(__name__).info("with %s, the newest engine here", engine)
        made = launch.generate(engine, asked)
        typer.echo(made.text(), err=made.folder is None)

    return Command(run, (EngineOptions, Request), ("Images", "Engine", "Output"))


def bench() -> Command:
    """Measure engines, and print a table."""
    from gantool.runtime.options import BenchOptions

    def run(given: Given) -> None:
        asked = build(BenchOptions, given)
        from gantool.runtime.bench.launch import bench
        from gantool.runtime.bench.timing import Timing, heading, row

        shown: list[Timing] = []

        def show(timing: Timing) -> None:
            shown.append(timing)
            width = max(12, *(len(str(each.file)) for each in shown))
            if len(shown) == 1:
                typer.echo(heading(timing, width))
            typer.echo(row(timing, width))

        made = bench(asked, None if asked.json else show)
        if asked.json:
            import json

            typer.echo(json.dumps(made.to_json(), indent=1))
        for warning in made.warnings:
            typer.echo(f"warning: {warning}", err=True)
        if made.fastest and not asked.json:
            typer.echo(f"fastest:\n  {made.fastest}")
        if made.exit_code:
            raise typer.Exit(made.exit_code)

    return Command(run, (BenchOptions,))


def cache() -> Command:
    """Print what is kept."""
    from gantool.runtime.options import CacheOptions

    def run(given: Given) -> None:
        from gantool.runtime.caches import cache

        asked = build(CacheOptions, given)
        found = cache(asked.kind, asked.clear)
        if asked.json:
            import json

            typer.echo(json.dumps(found.to_json(), indent=2))
        else:
            typer.echo(found.text())

    return Command(run, (CacheOptions,))

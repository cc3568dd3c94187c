"""The commands that run engines. Each imports its own options alone: --help is fast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gantool.runtime.commands import Command
from gantool.runtime.flags import Given, build

if TYPE_CHECKING:
    from gantool.runtime.request import EngineOptions


def generate() -> Command:
    """Generate images with the engine that was given, or with the newest one in the current folder."""
    from gantool.runtime.request import EngineOptions, Request

    def run(given: Given) -> None:
        request, named = build(Request, given), build(EngineOptions, given)
        from gantool.runtime import generate as launch

        made = launch.generate(_engine(named), request)
        typer.echo(made.text(), err=made.folder is None)

    return Command(run, (EngineOptions, Request), ("Images", "Classes", "Engine", "Output"))


def morph() -> Command:
    """Write a film of a walk through the latent space."""
    from gantool.runtime.options import MorphOptions
    from gantool.runtime.request import EngineOptions

    def run(given: Given) -> None:
        options, named = build(MorphOptions, given), build(EngineOptions, given)
        from gantool.runtime.morph import morph

        made = morph(_engine(named), options)
        typer.echo(made.text(), err=made.path is None)

    return Command(run, (EngineOptions, MorphOptions), ("Walk", "Output", "Engine"))


def _engine(named: EngineOptions) -> Path:
    """Return the engine that was given, or the newest one in the current folder."""
    return _newest(named.file or named.engine)


def _newest(engine: Path | None) -> Path:
    if engine is None:
        import logging

        from gantool.runtime.newest import engines

        engine = engines(Path())[0]
        logging.getLogger(__name__).info("using %s, the newest engine here", engine)
    return engine


def serve() -> Command:
    """Serve engines over HTTP until a signal ends it."""
    from gantool.runtime.serve.options import ServeOptions

    def run(given: Given) -> None:
        options = build(ServeOptions, given)
        _ = options.models  # a wrong name is told before anything is loaded
        try:
            from gantool.runtime.serve.run import quiet_signals, serve
        except ModuleNotFoundError as error:
            from gantool.runtime.errors import MissingDependencyError

            raise MissingDependencyError(error.name or "starlette", "serve", "gantool serve") from error
        quiet_signals()
        serve(options, typer.echo)

    return Command(run, (ServeOptions,), ("Engine", "Network", "Load", "Limits", "Log"))


def bench() -> Command:
    """Measure engines, and print a table."""
    from gantool.runtime.options import BenchOptions

    def run(given: Given) -> None:
        options = build(BenchOptions, given)
        from gantool.runtime.bench.launch import bench
        from gantool.runtime.bench.timing import Timing, heading, row

        shown: list[Timing] = []

        def show(timing: Timing) -> None:
            shown.append(timing)
            width = max(12, *(len(str(each.file)) for each in shown))
            if len(shown) == 1:
                typer.echo(heading(timing, width))
            typer.echo(row(timing, width))

        measured = bench(options, None if options.json else show)
        if options.json:
            import json

            typer.echo(json.dumps(measured.to_json(), indent=1))
        for warning in measured.warnings:
            typer.echo(f"warning: {warning}", err=True)
        if measured.fastest and not options.json:
            typer.echo(f"fastest:\n  {measured.fastest}")
        import logging

        for line in measured.energy:
            logging.getLogger(__name__).info(line)
        if options.html is not None:
            logging.getLogger(__name__).info("report: %s", options.html)
        if measured.exit_code:
            raise typer.Exit(measured.exit_code)

    return Command(run, (BenchOptions,))


def authenticate() -> Command:
    """Check that images are as a generator made them."""
    from gantool.runtime.provenance.options import AuthenticateOptions

    def run(given: Given) -> None:
        options = build(AuthenticateOptions, given)
        from gantool.runtime.provenance import authenticate_html
        from gantool.runtime.provenance.authenticate import authenticate
        from gantool.runtime.provenance.verdict import check

        verdicts, pictures = [], authenticate_html.SHOWN if options.html else 0
        for verdict in authenticate(_newest(options.engine), options):
            verdicts.append(verdict if pictures else verdict.without_pictures())
            pictures -= bool(pictures and verdict.pictures)
            if not options.json:
                typer.echo(verdict.line())
        if options.json:
            import json

            typer.echo(json.dumps([verdict.to_json() for verdict in verdicts], indent=1))
        if options.html is not None:
            import logging

            authenticate_html.write(verdicts, options.html)
            logging.getLogger(__name__).info("report: %s", options.html)
        check(verdicts)

    return Command(run, (AuthenticateOptions,))


def cache() -> Command:
    """List or remove the cached files."""
    from gantool.runtime.options import CacheOptions

    def run(given: Given) -> None:
        from gantool.runtime.caches import cache

        options = build(CacheOptions, given)
        found = cache(options.kind, options.clear)
        if options.json:
            import json

            typer.echo(json.dumps(found.to_json(), indent=2))
        else:
            typer.echo(found.text())

    return Command(run, (CacheOptions,))

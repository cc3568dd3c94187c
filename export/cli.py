"""The commands export, refit, inspect, verify, directions and doctor. Each imports only its own options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from gantool.runtime.commands import Command
from gantool.runtime.flags import Given, build

if TYPE_CHECKING:
    from pathlib import Path

    from gantool.export.options import DatasetDistance
    from gantool.export.tune_options import TuneRequest
    from gantool.runtime.spec import Images
    from gantool.runtime.tune.options import TuneOptions
    from gantool.runtime.tune.result import Tuned

# (data set, feature extractor, source of the export) -> a function that returns the Fréchet distance of images
DistanceTo = Callable[[str, str, "Path | None"], "Callable[[Images], float]"]


def export() -> Command:
    """Return the command that exports a generator and prints its files and the next commands."""
    from gantool.export.engine.options import BuildOptions
    from gantool.export.options import ExportOptions, ExportRequest

    groups = (
        *("Output", "Precision", "Engine", "Graph", "Provenance"),
        *("Generators from elsewhere", "Evaluation", "Other"),
    )
    return Command(_export, (ExportRequest, ExportOptions, BuildOptions), groups)


def _export(given: Given, distance_to: DistanceTo) -> None:
    """Check all options before reading a data set or loading a library. `distance_to` comes from `train`."""
    from gantool.export.engine.options import BuildOptions
    from gantool.export.options import ExportOptions, ExportRequest
    from gantool.export.source import origin_of

    asked = build(ExportRequest, given)
    given = {**given, "low": asked.low or given.get("low")}
    options = build(ExportOptions, given)
    origin_of(asked.source, options.foreign)
    build_options = build(BuildOptions, given)

    import logging

    from gantool.export import pipeline
    from gantool.export.summary import stale_notes, summary

    options = replace(options, to_data=_to_data(asked.data, asked.features, asked.source, distance_to))
    made = pipeline.export(asked.source, options, build_options)
    typer.echo(summary(made, build_options))
    for line in stale_notes(made):
        logging.getLogger(__name__).warning(line)


def _to_data(
    data: str | None, features: str | None, source: Path | None, distance_to: DistanceTo
) -> DatasetDistance | None:
    """Return the measure of --data and --features, which reads the data; None without --data."""
    from gantool.export.options import DatasetDistance

    if data is None:
        return None
    extractor = features or "classifier"
    return DatasetDistance(data, extractor, distance_to(data, extractor, source))


def tune() -> Command:
    """Return the command that measures variants of generators, and names the best within a budget."""
    from gantool.export.tune_options import TuneRequest
    from gantool.runtime.tune.options import TuneOptions

    groups = ("Budget", "Variants of runs", "Measurement", "Output")
    return Command(_tune, (TuneRequest, TuneOptions), groups)


def _tune(given: Given, distance_to: DistanceTo) -> None:
    """Print the front, the best and its commands, or what is missing. `distance_to` comes from `train`."""
    from gantool.export.tune_options import TuneRequest
    from gantool.runtime.tune.options import TuneOptions

    request, options = build(TuneRequest, given), build(TuneOptions, given)
    _check_tuning(request, options)

    import logging

    from gantool.export import tune

    source = request.sources[0] if request.sources else None
    to_data = _to_data(request.data, request.features, source, distance_to)
    if request.bundle is not None:
        from shlex import quote

        written = tune.write_bundles(request, to_data)
        typer.echo("\n".join(map(str, written)))
        typer.echo(f"next:\n  gantool tune {quote(str(request.bundle))}  # on the device")
        return
    found = tune.tune(request, options, to_data)
    _show_tuned(found, request)
    if request.html is not None:
        from gantool.runtime.tune import tune_html

        tune_html.write(found, found.commands(request.base, request.apply), request.html)
        _report(request.html)
    for line in found.energy:
        logging.getLogger(__name__).info(line)
    found.check()


def _check_tuning(request: TuneRequest, options: TuneOptions) -> None:
    """Raise UsageError for flags that do not go together."""
    from gantool.runtime.errors import UsageError

    if request.apply and not options.budget:
        raise UsageError("`apply` needs a budget: add `latency`, `fps`, `size`, `energy` or `quality`")
    if request.bundle is not None and options.budget:
        raise UsageError("`bundle` measures nothing: give the budget on the device")


def _show_tuned(found: Tuned, request: TuneRequest) -> None:
    from gantool.runtime.tune.result import table

    if request.json:
        import json

        typer.echo(json.dumps(found.to_json(request.base), indent=1))
    else:
        typer.echo(table(found))
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if found.best is not None and not request.json:
        typer.echo("best:")
        typer.echo("\n".join(f"  {line}" for line in found.commands(request.base, request.apply)))


def inspect() -> Command:
    """Return the command that describes a file."""
    from gantool.export.requests import InspectOptions

    def run(given: Given) -> None:
        import json

        from gantool.export.inspect import inspect

        asked = build(InspectOptions, given)
        found = inspect(asked.file)
        typer.echo(json.dumps(found.to_json(), indent=2) if asked.json else found.text())

    return Command(run, (InspectOptions,))


def verify() -> Command:
    """Return the command that compares the images of files with those of the first."""
    from gantool.export.requests import VerifyOptions

    def run(given: Given) -> None:
        import json

        asked = build(VerifyOptions, given)
        if asked.signature is not None:
            _verify_signatures(asked.files, asked.signature, asked.json)
            return
        from gantool.export.verify import verify

        found = verify(asked.files, asked.seeds, asked.min_psnr)
        rows = [row.to_json() for row in found.rows]
        typer.echo(json.dumps(rows, indent=2) if asked.json else found.table())
        if asked.html is not None:
            from gantool.export import verify_html

            verify_html.write(found, asked.html)
            _report(asked.html)
        found.check()

    return Command(run, (VerifyOptions,))


def _verify_signatures(files: Sequence[Path], public: Path, as_json: bool) -> None:
    import json

    from gantool.runtime.provenance.signature import check, verify_signatures

    found = verify_signatures(files, public)
    rows = [{"file": str(each.file), "signed": not each.problem, "problem": each.problem} for each in found]
    typer.echo(json.dumps(rows, indent=2) if as_json else "\n".join(each.text() for each in found))
    check(found)


def directions() -> Command:
    """Return the command that finds directions in the latent space."""
    from gantool.export.requests import DirectionsOptions

    def run(given: Given) -> None:
        from gantool.export.directions import directions

        typer.echo(directions(build(DirectionsOptions, given)).text())

    return Command(run, (DirectionsOptions,))


def doctor() -> Command:
    """Return the command that reports system info and runs the self-test."""
    from gantool.export.requests import DoctorOptions

    def run(given: Given) -> None:
        import json
        import logging

        from gantool.export.doctor.report import doctor
        from gantool.export.doctor.selftest import selftest

        asked = build(DoctorOptions, given)
        found = doctor(asked.folder)
        if not asked.json:
            typer.echo(found.text())
        if asked.selftest:
            if not asked.json:
                typer.echo("self-test:")
            checks = []
            for one in selftest(images=asked.html is not None):
                checks.append(one)
                if not asked.json:
                    typer.echo(
                        f"  {one.way:<20}  {one.generator:<11}  {one.outcome:<10}  {one.detail}".rstrip()
                    )
            found = replace(found, checks=tuple(checks))
            found.write(asked.out)
            logging.getLogger(__name__).info(f"{asked.out}: attach it to a bug report")
        if asked.json:
            typer.echo(json.dumps(found.to_json(), indent=2))
        if asked.html is not None:
            from gantool.export.doctor import doctor_html

            doctor_html.write(found, asked.html)
            _report(asked.html)
        found.check(asked.out)

    return Command(run, (DoctorOptions,))


def refit() -> Command:
    """Return the command that puts weights into a plan and prints the next command."""
    from gantool.export.requests import RefitOptions

    def run(given: Given) -> None:
        from gantool.export.engine.refit import refit

        asked = build(RefitOptions, given)
        out = asked.out or asked.plan
        refit(asked.plan, asked.graph, out)
        typer.echo(f"next:\n  gantool generate --engine {out}")

    return Command(run, (RefitOptions,))


def _report(path: Path) -> None:
    import logging  # here, so that --help is faster

    logging.getLogger(__name__).info("report: %s", path)

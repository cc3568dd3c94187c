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

    from gantool.runtime.spec import Images

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
    from gantool.export.options import DatasetDistance, ExportOptions, ExportRequest
    from gantool.export.source import origin_of

    asked = build(ExportRequest, given)
    given = {**given, "low": asked.low or given.get("low")}
    options = build(ExportOptions, given)
    origin_of(asked.source, options.foreign)
    build_options = build(BuildOptions, given)

    import logging

    from gantool.export import pipeline
    from gantool.export.summary import stale_notes, summary

    if asked.data is not None:
        features = asked.features or "classifier"
        measure = distance_to(asked.data, features, asked.source)
        options = replace(options, to_data=DatasetDistance(asked.data, features, measure))
    made = pipeline.export(asked.source, options, build_options)
    typer.echo(summary(made, build_options))
    for line in stale_notes(made):
        logging.getLogger(__name__).warning(line)


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

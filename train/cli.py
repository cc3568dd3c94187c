"""The commands train, data, evaluate and plot. Each loads its own options alone, and the rest when it runs."""

from __future__ import annotations

import json
from dataclasses import replace

import typer

from gantool.runtime.commands import Command
from gantool.runtime.flags import Given, build, options, render

INTERRUPTED = 130


def train() -> Command:
    """Train a new run, or go on with one; or print its options."""
    from gantool.train.options import GROUPS, LaunchOptions, TrainingOptions, bare, from_preset

    def run(given: Given) -> None:
        conditional = given.get("conditional", bool(given.get("classes")))  # classes: of a file of options
        how = replace(build(LaunchOptions, given), conditional=conditional)
        ours = {name: given[name] for name in options(TrainingOptions) if name in given and name != "classes"}
        asked = from_preset(ours)
        if how.dry_run:
            from gantool.train.preflight import dry_run

            typer.echo(json.dumps(dry_run(asked, how, ours).to_json(), indent=2))
            if how.resume is None:
                _say(
                    "precision, channels_last, compile and threads are measured when the run starts "
                    "(`autotune=False`: as above)"
                )
            return
        from gantool.train.run import train

        if train(asked, how, ours).interrupted:
            raise typer.Exit(INTERRUPTED)

    return Command(run, (TrainingOptions, LaunchOptions), GROUPS, bare)


def evaluate() -> Command:
    """Compare generated images with real ones, and print the scores."""
    from gantool.train.requests import EvaluateOptions

    def run(given: Given) -> None:
        from gantool.train.evaluate import evaluate

        asked = build(EvaluateOptions, given)
        scores = evaluate(asked)
        typer.echo(json.dumps(scores.to_json()) if asked.json else scores.table())
        _say(f"nearest training images beside generated ones: {scores.nearest}")

    return Command(run, (EvaluateOptions,), ("Data", "Output"))


def plot() -> Command:
    """Draw a run, and print where."""
    from gantool.train.requests import PlotOptions

    def run(given: Given) -> None:
        from gantool.train.plot import plot

        typer.echo(plot(build(PlotOptions, given)))

    return Command(run, (PlotOptions,))


def data() -> Command:
    """Make a data set; print what was made, and the next command."""
    from gantool.train.requests import DataOptions

    def run(given: Given) -> None:
        from gantool.train.data.prepare import next_command, prepare, summary

        made = prepare(build(DataOptions, given))
        typer.echo(render(f"{summary(made)}\n{made.path}, contact sheet {made.sheet}", options(DataOptions)))
        typer.echo(f"next:\n  {next_command(made)}")

    return Command(run, (DataOptions,), ("Images", "Output"))


def _say(text: str) -> None:
    import logging  # not for --help

    logging.getLogger(__name__).info("%s", text)

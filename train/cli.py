"""The commands train, data, evaluate, project and plot. Each imports only its options until it runs."""

from __future__ import annotations

import json
from dataclasses import replace

import typer

from gantool.runtime.commands import Command
from gantool.runtime.flags import Given, build, options, render

INTERRUPTED = 130


def train() -> Command:
    """Train a new run, or resume one; or print its options."""
    from gantool.train.options import (
        GROUPS,
        OF_DISTILLATION,
        LaunchOptions,
        TrainingOptions,
        bare,
        from_preset,
    )

    def run(given: Given) -> None:
        conditional = given.get(
            "conditional", bool(given.get("classes"))
        )  # "classes" is in training_options.json
        launch = replace(build(LaunchOptions, given), conditional=conditional)
        own = {name: given[name] for name in options(TrainingOptions) if name in given and name != "classes"}
        if launch.resume is not None:
            from gantool.train.preflight import run_to_resume

            run_to_resume(launch, own)  # before these options are checked as those of a new run
        training = from_preset(own)
        if launch.dry_run:
            from gantool.train.preflight import dry_run

            typer.echo(json.dumps(dry_run(training, launch, own).to_json(), indent=2))
            if launch.resume is None:
                _log(
                    "the autotuner sets precision, channels_last, compile and threads when the run starts "
                    "(`autotune=False` keeps the values above)"
                )
            return
        from gantool.train.run import train

        if train(training, launch, own).interrupted:
            raise typer.Exit(INTERRUPTED)

    return Command(run, (TrainingOptions, LaunchOptions), GROUPS, bare, OF_DISTILLATION)


def distill() -> Command:
    """Train a student of a teacher, or print its options."""
    from gantool.train.distill.options import RECIPE, TAKEN, DistillOptions
    from gantool.train.options import LaunchOptions, TrainingOptions

    def run(given: Given) -> None:
        from gantool.train.distill.distill import distill, student_options

        asked, launch = build(DistillOptions, given), build(LaunchOptions, given)
        own = {name: given[name] for name in options(TrainingOptions) if name in given and name in TAKEN}
        if launch.dry_run:
            from gantool.train.preflight import plan

            planned = plan(student_options(asked, own), launch, own)  # checks the data, too
            typer.echo(json.dumps(planned.options.resolved().to_json(), indent=2))
        elif distill(asked, launch, **own).interrupted:
            raise typer.Exit(INTERRUPTED)

    others = {*options(TrainingOptions), *options(LaunchOptions)} - {*TAKEN, *options(DistillOptions)}
    # the options of the student come last: its `data` and `width` are not those of a training run
    classes = (TrainingOptions, LaunchOptions, DistillOptions)
    groups = ("Student", "Schedule", "Loss", "Speed", "Output", "Run")
    return Command(run, classes, groups, lambda given: {**RECIPE, **given}, others)


def evaluate() -> Command:
    """Compare generated images with real ones, and print the scores."""
    from gantool.train.requests import EvaluateOptions

    def run(given: Given) -> None:
        from gantool.train.evaluate import evaluate

        options = build(EvaluateOptions, given)
        scores = evaluate(options)
        typer.echo(json.dumps(scores.to_json()) if options.json else scores.table())
        _log(f"nearest training images beside generated ones: {scores.nearest}")
        if options.html is not None:
            _log(f"report: {options.html}")

    return Command(run, (EvaluateOptions,), ("Data", "Output"))


def project() -> Command:
    """Find the latent vectors of pictures; print a line for each."""
    from gantool.train.requests import ProjectOptions

    def run(given: Given) -> None:
        from gantool.train.project import project

        options = build(ProjectOptions, given)
        found = project(options)
        typer.echo(json.dumps(found.to_json()) if options.json else found.text())

    return Command(run, (ProjectOptions,))


def plot() -> Command:
    """Plot a run, and print the path of the plot."""
    from gantool.train.requests import PlotOptions

    def run(given: Given) -> None:
        from gantool.train.plot import plot

        typer.echo(plot(build(PlotOptions, given)))

    return Command(run, (PlotOptions,))


def data() -> Command:
    """Make a data set; print a summary and the next command."""
    from gantool.train.requests import DataOptions

    def run(given: Given) -> None:
        from gantool.train.data.prepare import next_command, prepare, summary

        made = prepare(build(DataOptions, given))
        typer.echo(render(f"{summary(made)}\n{made.path}, contact sheet {made.sheet}", options(DataOptions)))
        typer.echo(f"next:\n  {next_command(made)}")

    return Command(run, (DataOptions,), ("Images", "Output"))


def _log(text: str) -> None:
    import logging  # here, so that --help is faster

    logging.getLogger(__name__).info("%s", text)

"""The commands train, data, evaluate and plot. Each loads its own options alone, and the rest when it runs."""

from __future__ import annotations

import json

import typer

from gantool.runtime.commands import Command
from gantool.runtime.errors import MissingDependencyError
from gantool.runtime.flags import Given, build, options

INTERRUPTED = 130


def train() -> Command:
    """Train a new run, or go on with one."""
    from gantool.train.options import GROUPS, LaunchOptions, TrainingOptions, bare

    return Command(_train, (TrainingOptions, LaunchOptions), GROUPS, bare)


def _train(given: Given) -> None:
    """Plan the run, or the rest of one, before torch is loaded; then train."""
    from gantool.train import preflight
    from gantool.train.options import MEASURED, LaunchOptions, TrainingOptions

    how = build(LaunchOptions, given)
    conditional = given.get("conditional", bool(given.get("classes")))  # classes: of a file of options
    ours = {name: value for name, value in given.items() if name in options(TrainingOptions)}
    ours.pop("classes", None)
    fixed = {**ours, **({"conditional": True} if conditional else {})}
    if how.dry_run:
        if how.resume is None:
            preflight.dry_run(ours, conditional)
        else:
            preflight.show_resume(how.resume, how.outdir, fixed)
        return
    planned = resumed = None
    if how.resume is None:
        planned = preflight.plan(ours, conditional)
        if how.autotune and (again := sorted(MEASURED & ours.keys())):
            typer.echo(f"note: {', '.join(again)} are measured again; --no-autotune keeps them", err=True)
    else:
        resumed = preflight.plan_resume(how.resume, how.outdir, fixed)
    try:
        from gantool.train import launch
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "torch", "train", "gantool train") from error
    try:
        if resumed is not None:
            interrupted = launch.resume(*resumed, devices=how.devices, nodes=how.nodes)
        else:
            assert planned is not None
            interrupted = launch.start(
                planned, how.outdir, devices=how.devices, nodes=how.nodes, autotune=how.autotune
            )
    except RuntimeError as error:  # torch's way to say that memory is short, of a CPU or a GPU
        if "memory" not in str(error):
            raise
        raise MemoryError(str(error).splitlines()[0]) from error
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def evaluate() -> Command:
    """Compare generated images with real ones."""
    from gantool.train.requests import EvaluateOptions

    def run(given: Given) -> None:
        from gantool.train.preflight import check_evaluation

        asked = build(EvaluateOptions, given)
        source = check_evaluation(asked.source, asked.data)
        try:
            from gantool.train.evaluate import evaluate
        except ModuleNotFoundError as error:
            raise MissingDependencyError(error.name or "torch", "train", "gantool evaluate") from error
        scores = evaluate(source, asked.data, asked.features, asked.samples, asked.out)
        typer.echo(json.dumps(scores.to_json()) if asked.json else scores.table())
        typer.echo(f"nearest training images beside generated ones: {scores.nearest}", err=True)

    return Command(run, (EvaluateOptions,), ("Data", "Output"))


def plot() -> Command:
    """Draw a run, and print where."""
    from gantool.train.requests import PlotOptions

    def run(given: Given) -> None:
        from gantool.train.plot import plot

        asked = build(PlotOptions, given)
        typer.echo(plot(asked.run, asked.out))

    return Command(run, (PlotOptions,))


def data() -> Command:
    """Make a data set; print what was left out, what was made, and the next command."""
    from gantool.train.requests import DataOptions

    def run(given: Given) -> None:
        asked = build(DataOptions, given)
        from gantool.train.data.prepare import next_command, prepare, summary

        made = prepare(asked, lambda line: typer.echo(line, err=True))
        for line in (*made.skipped[:10], *(f"{name}: a duplicate" for name in made.duplicates[:10])):
            typer.echo(f"left out {line}", err=True)
        typer.echo(f"{summary(made)}\n{asked.out}, contact sheet {asked.out.with_suffix('.png')}")
        typer.echo(f"next:\n  {next_command(made, asked.out)}")

    return Command(run, (DataOptions,), ("Images", "Output"))

"""`distill`, the function behind `gantool distill`. It checks its input before it imports PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gantool.models.config import CHECKPOINT_NAME
from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError
from gantool.train.distill.options import QUANTIZED, RECIPE, DistillOptions
from gantool.train.options import LaunchOptions, TrainingOptions
from gantool.train.run import Run, train
from gantool.train.run_dir import BEST_NAME, named_or_newest, options_beside

_ALONE = LaunchOptions()


def distill(options: DistillOptions, launch: LaunchOptions = _ALONE, **training: Any) -> Run:
    """Train a student to make the images of a teacher, in a new run as `train` makes it.

    options:  the teacher, and the size of its student
    launch:   how to start the run
    training: fields of TrainingOptions that differ from RECIPE: minutes, kimg, batch, lr ...

    The run is resumed as any other. Raises UsageError if no student fits, and the errors of `train`.
    """
    # rounding to bfloat16 would add to that to INT8
    fixed = ("precision",) if options.quantize else ()
    return train(student_options(options, training), launch, {*training, *fixed})


def student_options(options: DistillOptions, training: dict[str, Any]) -> TrainingOptions:
    """Return the options of the student's run. Raises the errors of `distill` that come before training."""
    path = teacher_path(options.teacher)
    try:
        import torch

        from gantool.train.distill.student import student
        from gantool.train.distill.teacher import load_teacher
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "torch", "train", "gantool distill") from error
    if options.quantize and training.get("precision", "fp32") != "fp32":
        raise UsageError("`quantize` simulates INT8 in fp32: leave out `precision`")
    network = student(load_teacher(path, torch.device("cpu")), options)
    of_teacher = options_beside(path)
    converted: dict[str, Any] = {"data": ""}
    if of_teacher:  # `gantool evaluate` compares the student with the data of its teacher
        converted = {name: getattr(of_teacher, name) for name in ("data", "background", "fit", "levels")}
    if options.data is not None:
        converted["data"] = options.data
    recipe = QUANTIZED if options.quantize else RECIPE
    values = {**recipe, **converted, **training, "teacher": str(path.parent.resolve() / path.name)}
    return TrainingOptions(network, real_data=options.data is not None, **values)


def teacher_path(given: Path | None) -> Path:
    """Return the file of a teacher: of a run, its best checkpoint. Raises GantoolError if there is none."""
    path = named_or_newest(given, CHECKPOINT_NAME)
    if not path.exists():
        raise GantoolError(f"there is no teacher {path}: give a run, a checkpoint, a graph or a plan")
    if not path.is_dir():
        return path
    for name in (BEST_NAME, CHECKPOINT_NAME):
        if (path / name).is_file():
            return path / name
    raise GantoolError(f"{path} holds no {CHECKPOINT_NAME}: give a run, a checkpoint, a graph or a plan")

"""The recipe of a graph's precision: which node computes in what, so that it can be applied again.

It lies as JSON under `gantool_recipe` in the metadata of the graph, and under `recipe` in a plan's sidecar.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from mmap import mmap
from pathlib import Path
from typing import Any, Literal, get_args

from gantool.runtime.artifacts.onnx import RECIPE_KEY, read_json
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.errors import GantoolError, UsageError

FORMAT = 1
Low = Literal["fp16", "bf16"]


@dataclass(frozen=True)
class Recipe:
    """What each node computes in: those of `keep_fp32` in FP32, those of `int8` in INT8, the rest in `low`."""

    low: Low | None = None  # None: FP32
    keep_fp32: dict[str, str] = field(default_factory=dict)  # node -> why
    int8: dict[str, float] = field(default_factory=dict)  # node -> largest magnitude of what it reads

    @property
    def precision(self) -> str:
        """fp32, fp16, bf16 or int8: the lowest that it uses."""
        return "int8" if self.int8 else self.low or "fp32"

    @property
    def on_cpu(self) -> bool:
        """Whether ONNX Runtime runs it on the CPU, where it has no BF16 kernels."""
        return self.low != "bf16"

    def to_json(self) -> dict[str, Any]:
        """Return what graph, sidecar and bundle have, and `read_recipe` reads; {} in FP32."""
        return {} if self == Recipe() else {"format": FORMAT, **asdict(self)}


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a graph, a plan's sidecar or a file of its own.

    Raises GantoolError if it has none, or a damaged one.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        value = value.get("recipe", value) if isinstance(value, dict) else value
    except FileNotFoundError as error:
        raise UsageError(f"--recipe {path}: there is no such file") from error
    except ValueError:  # not text, or not JSON
        if identify(path) != "onnx":
            raise UsageError(f"--recipe {path}: a plan holds no recipe, give {path.name}.json") from None
        value = read_json(path, RECIPE_KEY)
    return _checked(path, value)


def _checked(path: Path, value: Any) -> Recipe:
    match value:
        case {"format": 1, "low": low, "keep_fp32": dict(keep), "int8": dict(int8)} if (
            low in (None, *get_args(Low))
            and all(isinstance(reason, str) for reason in keep.values())
            and all(isinstance(limit, float) and 0 < limit < float("inf") for limit in int8.values())
            and (low or int8)
        ):
            return Recipe(low, dict(keep), dict(int8))
    raise GantoolError(
        f"--recipe {path} holds no recipe of gantool: give a graph or a plan's .json that gantool export made "
        "with --fp16, --bf16 or --int8"
    )


def recipe_of(graph: Path, data: bytes | mmap | None = None) -> Recipe:
    """Return the recipe of a graph of gantool, which for one in FP32 says so; `data` is the file, if read.

    Raises GantoolError for a damaged one.
    """
    value = read_json(graph, RECIPE_KEY, data)
    return _checked(graph, value) if value else Recipe()

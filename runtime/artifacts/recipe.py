"""The precision recipe: the precision of each node of a graph, so that an export can apply it again.

It is stored as JSON, under `gantool_recipe` in the graph's metadata and under `recipe` in a plan's sidecar.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from mmap import mmap
from pathlib import Path
from typing import Any, Literal, get_args

from gantool.runtime.artifacts.onnx import RECIPE_KEY, read_json
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.foreign import parse_json
from gantool.runtime.metadata import is_limit

FORMAT = 1
Low = Literal["fp16", "bf16"]


@dataclass(frozen=True)
class Recipe:
    """The precision of each node: FP32 for those in `keep_fp32`, INT8 for those in `int8`, `low` for the rest."""

    low: Low | None = None  # None: FP32
    keep_fp32: dict[str, str] = field(default_factory=dict)  # node -> reason
    int8: dict[str, float] = field(default_factory=dict)  # node -> largest magnitude of its input

    @property
    def precision(self) -> str:
        """The lowest precision in use: fp32, fp16, bf16 or int8."""
        return "int8" if self.int8 else self.low or "fp32"

    @property
    def on_cpu(self) -> bool:
        """Whether ONNX Runtime can run it on the CPU, for which it has no BF16 kernels."""
        return self.low != "bf16"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that graph, sidecar and bundle store; {} for FP32."""
        return {} if self == Recipe() else {"format": FORMAT, **asdict(self)}


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a graph, a plan's sidecar or a recipe file.

    Raises UsageError if the file is missing or is a plan, GantoolError if it has no valid recipe.
    """
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
        value = value.get("recipe", value) if isinstance(value, dict) else value
    except FileNotFoundError as error:
        raise UsageError(f"--recipe {path}: there is no such file") from error
    except ValueError:  # not text, or not JSON
        if identify(path) != "onnx":
            raise UsageError(f"--recipe {path}: a plan has no recipe, give {path.name}.json") from None
        value = read_json(path, RECIPE_KEY)
    return _checked(path, value)


def _checked(path: Path, value: Any) -> Recipe:
    match value:
        case {"format": 1, "low": low, "keep_fp32": dict(keep), "int8": dict(int8)} if (
            low in (None, *get_args(Low))
            and all(isinstance(reason, str) for reason in keep.values())
            and all(map(is_limit, int8.values()))
            and (low or int8)
        ):
            return Recipe(low, dict(keep), dict(int8))
    raise GantoolError(
        f"--recipe {path} holds no recipe of gantool: give a graph or a plan's .json that gantool export made "
        "with --fp16, --bf16 or --int8"
    )


def recipe_of(graph: Path, data: bytes | mmap | None = None) -> Recipe:
    """Return the recipe of a graph: FP32 for a graph without one.

    `data`: the bytes of the file, if they were already read. Raises GantoolError for a damaged recipe.
    """
    value = read_json(graph, RECIPE_KEY, data)
    return _checked(graph, value) if value else Recipe()

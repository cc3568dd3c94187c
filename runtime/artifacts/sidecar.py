"""The sidecar `g.plan.json` beside a plan `g.plan`: metadata that a plan cannot carry.

The runtime works without it. If it exists, it must have been written for this plan (SHA-256).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gantool.runtime.errors import GantoolError
from gantool.runtime.files import atomic
from gantool.runtime.foreign import parse_json
from gantool.runtime.metadata import Metadata
from gantool.runtime.process.terminal import reason_of, short
from gantool.runtime.signature import Tensor


@dataclass(frozen=True)
class Sidecar:
    """The content of a sidecar: the JSON object as it was read, with unknown fields.

    Each property raises GantoolError if its field is missing or wrong. Code that runs engines ignores the receipt.
    """

    content: dict[str, Any]  # the JSON object, with its keys in the file's order
    path: Path | None = field(default=None, compare=False)  # for error messages

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object as it was read."""
        return dict(self.content)

    @property
    def plan_sha256(self) -> str:
        """The SHA-256 of the plan, as hexadecimal digits."""
        return self._text("plan_sha256")

    @property
    def graph(self) -> str | None:
        """The name of the graph that the plan was built from; None if it is not recorded."""
        name = self.content.get("graph")
        return name if isinstance(name, str) else None

    @property
    def graph_sha256(self) -> str:
        """The SHA-256 of the graph, as hexadecimal digits."""
        return self._text("graph_sha256")

    @property
    def stripped(self) -> bool:
        """Whether the plan was built without its weights."""
        if "stripped" not in self.content:
            raise self._wrong("stripped")
        return bool(self.content["stripped"])

    @property
    def max_batch(self) -> int:
        """The largest batch that the plan takes."""
        match self.content.get("batch"):
            case {"max": int(largest)}:
                return largest
        raise self._wrong("batch")

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The inputs and outputs of the plan."""
        rows = self.content.get("tensors", {})
        try:
            return tuple(
                Tensor.of_tensorrt(name, row["mode"], row["type"], row["shape"]) for name, row in rows.items()
            )
        except (KeyError, TypeError) as error:
            raise self._wrong("tensors") from error

    @property
    def metadata(self) -> Metadata:
        """The generator's metadata, from its checkpoint; empty if the sidecar has none."""
        return Metadata.from_json(self.content.get("metadata", {}), self.path)

    @property
    def precision(self) -> str | None:
        """The precision in the recipe: fp32, fp16, bf16 or int8; None without a recipe."""
        match self.content.get("recipe"):
            case None:
                return None
            case {"int8": {**int8}} if int8:
                return "int8"
            case {"low": "fp16" | "bf16" as low}:
                return str(low)
            case {"low": str()}:
                raise self._wrong("recipe")
        return "fp32"

    def of_refitted(self, plan_sha256: str) -> Sidecar:
        """Return the sidecar of a stripped plan after a refit, when it has its weights."""
        return replace(self, content={**self.content, "plan_sha256": plan_sha256, "stripped": False})

    def _text(self, name: str) -> str:
        if not isinstance(value := self.content.get(name), str):
            raise self._wrong(name)
        return value

    def _wrong(self, name: str) -> GantoolError:
        found = short(repr(self.content[name]), 40) if name in self.content else "missing"
        return _not_one(self.path, f"its {name} is {found}")


def sidecar_path(plan: Path) -> Path:
    """Return `g.plan.json` for `g.plan`."""
    return plan.with_name(plan.name + ".json")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_sidecar(plan: Path) -> Sidecar | None:
    """Return the sidecar of `plan`, or None if there is none.

    Raises GantoolError if the plan's SHA-256 differs from the sidecar's. Without this check, a damaged plan would
    reach the GPU.
    """
    path = sidecar_path(plan)
    if not path.exists():
        return None
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _not_one(path, reason_of(error)) from error
    if wrong := _first_wrong(content):
        raise _not_one(path, wrong)
    sidecar = Sidecar(content, path)
    if sha256(plan) != sidecar.plan_sha256:
        raise GantoolError(
            f"{plan} is not the plan that {path.name} was written for (its SHA-256 differs): it was damaged "
            f"or replaced; copy both files again, or remove {path.name} if the plan was replaced on purpose"
        )
    return sidecar


def write_sidecar(plan: Path, sidecar: Sidecar) -> None:
    """Write the sidecar of `plan`, whole or not at all."""
    with atomic(sidecar_path(plan)) as part:
        part.write_text(json.dumps(sidecar.content, indent=2) + "\n", encoding="utf-8")


def _not_one(path: Path | None, reason: str) -> GantoolError:
    return GantoolError(f"{path} is not a sidecar of gantool ({reason}): remove it, or export again")


def _first_wrong(content: Any) -> str | None:
    """Return the first field of a sidecar that code reads and that has a wrong type or value, in words, or None."""
    match content:
        case {"plan_sha256": str()}:
            pass
        case _:
            return "it has no plan_sha256"
    for name in ("receipt", "tensors", "metadata", "recipe", "parity", "batch"):
        if not isinstance(content.get(name, {}), dict):
            return f"its {name} is {content[name]!r:.40}"
    rows = content.get("tensors", {}).values()
    receipt = content.get("receipt", {})
    match receipt:
        case {"source": str(), "shares": dict() as shares, "layers": list() as layers}:
            rows = [*rows, *layers]
            if not all(isinstance(share, (int, float)) and 0 <= share <= 1 for share in shares.values()):
                return f"its shares are {shares!r:.40}"
            for layer in layers:
                match layer:
                    case {"multiply_adds": int(count)} if 0 <= count < 2**63:
                        pass
                    case _:
                        return f"a layer is {layer!r:.40}"
        case {}:
            if receipt:
                return f"its receipt is {receipt!r:.40}"
    for row in rows:
        if not isinstance(row, dict):
            return f"a tensor is {row!r:.40}"
    return None

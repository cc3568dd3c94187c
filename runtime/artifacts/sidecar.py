"""The sidecar `g.plan.json` beside a plan `g.plan`: what the plan itself does not say.

The runtime works without it. Where it is there, the plan must be the one it speaks of (SHA-256).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import reason_of


def sidecar_path(plan: Path) -> Path:
    """Return `g.plan.json` for `g.plan`."""
    return plan.with_name(plan.name + ".json")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_sidecar(plan: Path) -> dict[str, Any]:
    """Return the sidecar of `plan`, or {} where there is none.

    Raises GantoolError if the plan's bytes are not those that the sidecar was written for: a damaged payload
    is otherwise noticed by no one before the GPU runs it.
    """
    path = sidecar_path(plan)
    if not path.exists():
        return {}
    try:
        sidecar = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise GantoolError(
            f"{path} is not a sidecar of gantool ({reason_of(error)}): remove it, or export again"
        ) from error
    if wrong := _wrong(sidecar):
        raise GantoolError(f"{path} is not a sidecar of gantool ({wrong}): remove it, or export again")
    if sha256(plan) != sidecar["plan_sha256"]:
        raise GantoolError(
            f"{plan} is not the plan that {path.name} was written for (its SHA-256 differs): it was damaged "
            f"or replaced; copy both files again, or remove {path.name} if the plan was replaced on purpose"
        )
    return dict(sidecar)


def precision_of(sidecar: dict[str, Any]) -> str:
    """Return fp32, fp16, bf16 or int8, as the recipe in a sidecar has it; fp32 where there is none."""
    match sidecar.get("recipe"):
        case {"int8": {**int8}} if int8:
            return "int8"
        case {"low": str(low)}:
            return low
    return "fp32"


def _wrong(sidecar: Any) -> str | None:
    """Return what in a sidecar is not as gantool writes it, as far as anything reads it, or None."""
    match sidecar:
        case {"plan_sha256": str()}:
            pass
        case _:
            return "it has no plan_sha256"
    for name in ("receipt", "tensors", "metadata", "recipe", "parity", "batch"):
        if not isinstance(sidecar.get(name, {}), dict):
            return f"its {name} is {sidecar[name]!r:.40}"
    rows = sidecar.get("tensors", {}).values()
    receipt = sidecar.get("receipt", {})
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

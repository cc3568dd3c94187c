"""The sidecar `g.plan.json` beside a plan `g.plan`: what the plan's own bytes do not tell.

The runtime works without it. Where it is there, the plan must be the one it speaks of (SHA-256).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from gantool.runtime.errors import GantoolError


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
        expected = sidecar["plan_sha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise GantoolError(
            f"{path} is no sidecar of gantool ({error!r}): remove it, or export again"
        ) from error
    if sha256(plan) != expected:
        raise GantoolError(
            f"{plan} is not the plan that {path.name} was written for (its SHA-256 differs): it was damaged "
            f"or replaced; copy both files again, or remove {path.name} if the plan was replaced on purpose"
        )
    return dict(sidecar)

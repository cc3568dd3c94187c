"""Say in one line why the user's code failed: the innermost reason, and the line in the user's file."""

from __future__ import annotations

import linecache
import re
import sysconfig
import traceback
from importlib import import_module
from pathlib import Path
from types import TracebackType

_NOT_THEIRS = ("torch", "onnx", "onnxscript", "onnx_ir", "numpy", "safetensors", "sympy")
# As paths, not names: a user's own folder may also be called gantool.
_ROOMS = tuple(
    Path(str(import_module(f"gantool.{room}").__file__)).resolve().parent
    for room in ("export", "models", "runtime")
)
_STDLIB = sysconfig.get_paths()["stdlib"]
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in ')
_MOST = 300  # letters of a reason


def cause_of(error: BaseException, of_export: bool = False) -> str:
    """Return "mine.py:12, `x = self.fc(z)`: RuntimeError: ..."; without the line if it is unknown.

    of_export: the error is from torch.onnx.export, which chains errors and has the user's line in their text.
    """
    chain = _chain(error)
    reason = _reason(chain, of_export)
    place = next((place for each in reversed(chain) if (place := _place(each))), None)
    return f"{place}: {reason}" if place else reason


def _chain(error: BaseException) -> list[BaseException]:
    """Return the error and its causes, the innermost last."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return chain


def _reason(chain: list[BaseException], of_export: bool) -> str:
    innermost = chain[-1] if of_export else chain[0]
    text = str(innermost)
    if of_export and "data-dependent" in text:
        return (
            "a value of z decides what is computed, and a graph cannot branch on data: compute both branches and "
            "choose with torch.where"
        )
    if of_export and "SymbolicTensor" in text:
        operator = re.search(r"aten\.(\w+)", " ".join(map(str, chain)))
        return (
            f"{operator[1] if operator else 'an operator'} has an argument that depends on the batch (such as "
            "groups), and a graph holds it as a constant: compute the same without it, for example scale the "
            "activations"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if of_export and lines and lines[0].startswith("Constraints violated"):
        return f"the batch size is fixed inside ({_short(lines[1:2])}): take it from z.shape[0]"
    return f"{type(innermost).__name__}: {_short(lines[:1])}" if lines else type(innermost).__name__


def _short(lines: list[str]) -> str:
    text = " ".join(lines)
    return text if len(text) <= _MOST else f"{text[:_MOST]} ..."


def _place(error: BaseException) -> str | None:
    """Return the innermost line in a file of the user's: neither a library's nor gantool's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    frames = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    frames += [(name, int(line)) for name, line in _FRAME.findall(str(error))]
    frames += [
        (name, int(line)) for stack in _stacks(error.__traceback__) for name, line in _FRAME.findall(stack)
    ]
    for name, line in reversed(frames):
        if _is_theirs(name):
            code = linecache.getline(name, line).strip()
            return f"{Path(name).name}:{line}, `{code}`" if code else f"{Path(name).name}:{line}"
    return None


def _stacks(trace: TracebackType | None) -> list[str]:
    """Return the stack traces in the user's code of the nodes that torch was translating."""
    found = []
    while trace is not None:
        meta = getattr(trace.tb_frame.f_locals.get("node"), "meta", None)
        if isinstance(meta, dict) and isinstance(stack := meta.get("stack_trace"), str):
            found.append(stack)
        trace = trace.tb_next
    return found


def _is_theirs(name: str) -> bool:
    if name.startswith("<"):
        return False
    path = Path(name)
    if any(path.resolve().is_relative_to(room) for room in _ROOMS):
        return False
    parts = path.parts
    if "site-packages" in parts or "dist-packages" in parts:
        marker = "site-packages" if "site-packages" in parts else "dist-packages"
        return parts[parts.index(marker) + 1].removesuffix(".py") not in _NOT_THEIRS
    return not name.startswith(_STDLIB)

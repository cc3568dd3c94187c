"""The operators that torch.onnx knows, read once: from their sources, that is half of the time of an export."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

_MODULE = "torch.onnx._internal.exporter._registration"


def keep_operators() -> None:
    """Have torch keep its table of each opset from now on, if its exporter is loaded."""
    registry: Any = getattr(sys.modules.get(_MODULE), "ONNXRegistry", None)
    if registry and not hasattr(registry.from_torchlib, "cache_info"):
        registry.from_torchlib = staticmethod(cache(registry.from_torchlib))

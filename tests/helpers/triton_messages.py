"""Triton's own ModelConfig."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType


def load_model_config() -> ModuleType:
    """Load Triton's generated messages by their path: their package wants grpc, which they do not need."""
    package = importlib.util.find_spec("tritonclient")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(next(iter(package.submodule_search_locations))) / "grpc/model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MESSAGES = load_model_config()

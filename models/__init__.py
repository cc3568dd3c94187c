"""The networks and the checkpoint. Names that need torch are imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gantool.models.config import CHECKPOINT_NAME, SIZES, NetworkConfig, Size, config_from_json, square
from gantool.models.presets import DEFAULT_PRESET, PRESETS

if TYPE_CHECKING:
    from gantool.models.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint, save_checkpoint
    from gantool.models.network import Discriminator, Generator

__all__ = [
    "CHECKPOINT_NAME",
    "DEFAULT_PRESET",
    "PRESETS",
    "SIZES",
    "Checkpoint",
    "Discriminator",
    "Generator",
    "NetworkConfig",
    "Size",
    "config_from_json",
    "load_checkpoint",
    "newest_checkpoint",
    "save_checkpoint",
    "square",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "network" if name in ("Discriminator", "Generator") else "checkpoint"
    return getattr(import_module(f"{__name__}.{module}"), name)

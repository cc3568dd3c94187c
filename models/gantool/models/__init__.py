"""The networks, and the checkpoint that carries one."""

from gantool.models.checkpoint import (
    CHECKPOINT_NAME,
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from gantool.models.config import SIZES, NetworkConfig, config_from_json
from gantool.models.network import Discriminator, Generator
from gantool.models.presets import DEFAULT_PRESET, PRESETS

__all__ = [
    "CHECKPOINT_NAME",
    "DEFAULT_PRESET",
    "PRESETS",
    "SIZES",
    "Checkpoint",
    "Discriminator",
    "Generator",
    "NetworkConfig",
    "config_from_json",
    "load_checkpoint",
    "newest_checkpoint",
    "save_checkpoint",
]

"""Networks by name: what `gantool train --preset NAME` builds before flags change it."""

from __future__ import annotations

from gantool.models.config import NetworkConfig

DEFAULT_PRESET = "dcgan32"

PRESETS: dict[str, NetworkConfig] = {
    "dcgan16": NetworkConfig(size=16),
    "dcgan28": NetworkConfig(size=28),
    "dcgan32": NetworkConfig(size=32, width=32),  # learns Fashion-MNIST in minutes on two CPU cores
    "dcgan64": NetworkConfig(size=64),
    "dcgan128": NetworkConfig(size=128),
    "dcgan256": NetworkConfig(size=256, width=32),
    "dcgan5-32": NetworkConfig(architecture="dcgan5", size=32),
}

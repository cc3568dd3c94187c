"""Presets: the network that `gantool train --preset NAME` builds unless flags change it."""

from __future__ import annotations

from gantool.models.config import NetworkConfig, square

DEFAULT_PRESET = "dcgan32"

PRESETS: dict[str, NetworkConfig] = {
    "dcgan16": NetworkConfig(size=square(16)),
    "dcgan28": NetworkConfig(size=square(28)),
    "dcgan32": NetworkConfig(size=square(32), width=32),  # learns Fashion-MNIST in minutes on two CPU cores
    "dcgan64": NetworkConfig(size=square(64)),
    "dcgan128": NetworkConfig(size=square(128)),
    "dcgan256": NetworkConfig(size=square(256), width=32),
    "small": NetworkConfig(size=square(64), width=16, upsampling="resize"),  # 500 to 4,000 images
    "resnet32": NetworkConfig(architecture="resnet", width=32, discriminator_norm="spectral"),
    "resnet64": NetworkConfig(
        architecture="resnet", size=square(64), width=32, discriminator_norm="spectral"
    ),
    "r3gan32": NetworkConfig(architecture="r3gan", width=32, discriminator_norm="none"),
    "r3gan64": NetworkConfig(architecture="r3gan", size=square(64), width=32, discriminator_norm="none"),
    "dcgan5-32": NetworkConfig(architecture="dcgan5", size=square(32)),
}

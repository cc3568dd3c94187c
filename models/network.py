"""Generator and discriminator of any architecture, conditional or not.

The generator maps z, float32 [N, latent], to images, float32 [N, C, H, W] in [-1, 1]. The discriminator maps images
to logits, [N]: the logit of "real". With classes, both also take a label, int64 [N].

The generator embeds the label and appends it to z. The discriminator projects it: it adds the inner product of the
label's embedding and the input of the last layer to the logit (Miyato and Koyama 2018, arXiv:1802.05637).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gantool.models.config import NetworkConfig
from gantool.models.dcgan import (
    discriminator_dcgan,
    discriminator_dcgan5,
    generator_dcgan,
    generator_dcgan5,
    initialize,
)
from gantool.models.r3gan import discriminator_r3gan, generator_r3gan
from gantool.models.resnet import discriminator_resnet, generator_resnet

EMBEDDED = 32  # dimensions of a label's embedding

_GENERATORS = {
    "dcgan": generator_dcgan,
    "dcgan5": generator_dcgan5,
    "resnet": generator_resnet,
    "r3gan": generator_r3gan,
}
_DISCRIMINATORS = {
    "dcgan": discriminator_dcgan,
    "dcgan5": discriminator_dcgan5,
    "resnet": discriminator_resnet,
    "r3gan": discriminator_r3gan,
}


class Generator(nn.Module):
    """z, float32 [N, latent], and with classes a label, int64 [N] -> images, float32 [N, C, H, W]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = _GENERATORS[config.architecture](
            config, config.latent + EMBEDDED * (config.classes > 0)
        )
        if config.architecture.startswith("dcgan"):
            self.apply(initialize)
        if config.classes:
            self.embedding = nn.Embedding(config.classes, EMBEDDED)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the images of z, [N, C, H, W]. A conditional generator needs `label`."""
        if self.config.classes:
            z = torch.cat([z, self.embedding(label)], dim=1)  # [N, latent + 32]
        images: Tensor = self.layers(z)
        return images


class Discriminator(nn.Module):
    """images, float32 [N, C, H, W] in [-1, 1], with classes a label, int64 [N] -> logits, float32 [N]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = _DISCRIMINATORS[config.architecture](config)
        if config.architecture.startswith("dcgan"):
            self.apply(initialize)
        if config.classes:
            last = self.layers[-1]
            assert isinstance(last, nn.Linear)
            self.projection = nn.Embedding(config.classes, last.in_features)
            nn.init.normal_(self.projection.weight, 0, last.in_features**-0.5)
        if config.discriminator_norm == "spectral":
            for layer in self.layers.modules():
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    spectral_norm(layer)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the logit of "real" for each image, given its class."""
        features = self.layers[:-1](images)  # [N, F]
        logits: Tensor = self.layers[-1](features).flatten()
        if self.config.classes:
            logits = logits + (features * self.projection(label)).sum(1)
        return logits

    def probability(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the probability of "real" for each image, [N] in 0..1: the sigmoid of the logit."""
        probability: Tensor = self(images, label).sigmoid()
        return probability

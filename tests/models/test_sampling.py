"""From seeds through a torch generator to images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gantool.models import Generator, NetworkConfig, Size, sampling, square
from gantool.models.sampling import config_inputs, sample_images


@pytest.mark.parametrize("classes", [0, 3])
def test_an_image_is_its_seed_in_any_batch(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    generator = Generator(NetworkConfig(size=square(16), width=2, latent=4, classes=classes)).eval()
    whole = sample_images(generator, range(10))
    assert (whole.shape, whole.dtype.name) == ((10, 16, 16, 1), "uint8")
    monkeypatch.setattr(sampling, "BATCH", 3)
    assert np.abs(sample_images(generator, range(10)).astype(int) - whole).max() <= 1
    (odd,) = sample_images(generator, [7])
    assert np.abs(odd.astype(int) - whole[7]).max() <= 1


def test_rgba_is_straight() -> None:
    """Colours of a network are multiplied by alpha, those of its images are not, and 0 where none is seen."""
    torch.manual_seed(0)
    generator = Generator(NetworkConfig(size=Size(16, 32), channels=4, width=2, latent=4)).eval()
    for layer in generator.modules():  # else all images are nearly the same grey
        if isinstance(layer, torch.nn.ConvTranspose2d):
            torch.nn.init.normal_(layer.weight, 0, 0.3)
    images = sample_images(generator, range(50))
    assert images.shape == (50, 16, 32, 4)
    assert (images[..., :3][images[..., 3] == 0] == 0).all()
    inputs = config_inputs(generator.config, range(50))
    with torch.no_grad():
        made = (generator(*inputs).permute(0, 2, 3, 1).numpy() + 1) * 127.5  # premultiplied
    alpha = images[..., 3:]
    assert np.abs(alpha - made[..., 3:]).max() <= 1
    seen = np.clip(made[..., :3], 0, made[..., 3:])
    assert np.abs(images[..., :3] * (alpha / 255) - seen).max() <= 2


def test_labels_come_with_classes_alone() -> None:
    (z,) = config_inputs(NetworkConfig(size=square(16), latent=4), range(5))
    assert z.shape == (5, 4)
    _, label = config_inputs(NetworkConfig(size=square(16), latent=4, classes=3), range(5))
    assert label.tolist() == [0, 1, 2, 0, 1]

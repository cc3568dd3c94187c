"""One step of training, its losses, penalties and augmentations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gantool.models import NetworkConfig, square
from gantool.models.config import Distribution
from gantool.runtime.errors import UsageError
from gantool.runtime.latents import latents
from gantool.train.augment import PASSES, adapt, augment
from gantool.train.distributed import single_device
from gantool.train.losses import LOSSES
from gantool.train.options import TrainingOptions
from gantool.train.penalties import gradient_penalty, r1_penalty
from gantool.train.state import TrainingState, new_state, sample_latents
from gantool.train.step import step

NETWORK = NetworkConfig(size=square(16), width=2, latent=4)
OPTIONS = TrainingOptions(NETWORK, "boxes", batch=8, device="cpu", lr=0.01)


def alone_state(options: TrainingOptions) -> TrainingState:
    return new_state(options, single_device("cpu"))


def real(classes: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 16, 16, 1)).astype(np.uint8)
    return images, rng.integers(0, classes, 8) if classes else None


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "hinge"},
        {"loss": "hinge", "network": replace(NETWORK, architecture="resnet", discriminator_norm="spectral")},
        {"loss": "wgan-gp", "network": replace(NETWORK, discriminator_norm="none")},
        {"loss": "relativistic", "network": replace(NETWORK, architecture="r3gan")},
        {"r1": 1.0, "lazy": 2, "augment": "diff"},
        {"augment": "ada", "instance_noise": 0.1, "mirror": True},
        {"accumulate": 4},
        {"precision": "bf16"},
        {"precision": "fp16", "r1": 1.0},
        {"network": replace(NETWORK, classes=3)},
        {"network": replace(NETWORK, distribution="truncated")},
        {"network": replace(NETWORK, attention=8), "r1": 1.0, "r2": 1.0, "precision": "bf16"},
        {"network": replace(NETWORK, attention=4, discriminator_norm="spectral"), "gp": 10.0},
        {"network": replace(NETWORK, architecture="resnet", attention=8), "loss": "hinge", "r1": 1.0},
        {"network": replace(NETWORK, architecture="r3gan", attention=8), "loss": "relativistic"},
    ],
    ids=str,
)
def test_a_step_changes_both_networks_and_stays_finite(change: dict[str, Any]) -> None:
    options = replace(OPTIONS, **change)
    state = alone_state(options)
    state.augment_p = 0.5
    before = {
        name: weight.clone()
        for network in (state.generator, state.discriminator)
        for name, weight in network.named_parameters(prefix=type(network).__name__)
    }
    for _ in range(3):
        losses = step(options, state, *real(options.network.classes))
    assert torch.isfinite(losses.discriminator + losses.generator)
    assert 0 <= losses.d_accuracy <= 1
    for network in (state.generator, state.discriminator):
        for name, weight in network.named_parameters(prefix=type(network).__name__):
            assert torch.isfinite(weight).all()
            if weight.dim() > 1:  # the gradients of a bias can cancel out
                assert not torch.equal(weight, before[name]), name
            assert weight.requires_grad


def test_training_draws_the_distribution_of_the_network() -> None:
    """Mean, spread and ends, as z of seeds has them."""
    ends: dict[Distribution, float] = {"normal": np.inf, "uniform": 1, "truncated": 2}
    for distribution, end in ends.items():
        network = replace(NETWORK, latent=200, distribution=distribution)
        options = replace(OPTIONS, network=network)
        z = sample_latents(options, alone_state(options), 1000).numpy()
        wanted = latents(range(1000), 200, distribution)
        assert z.mean() == pytest.approx(0, abs=0.01)
        assert z.std() == pytest.approx(wanted.std(), abs=0.01)
        assert np.abs(z).max() <= end


def test_rates_are_apart_and_warm_up() -> None:
    options = replace(OPTIONS, lr_d=0.04, warmup_kimg=0.032)
    state = alone_state(options)
    rates = []
    for _ in range(5):
        step(options, state, *real())
        state.images_seen += 8
        optimizers = (state.generator_optimizer, state.discriminator_optimizer)
        rates.append([each.param_groups[0]["lr"] for each in optimizers])
    np.testing.assert_allclose(rates, [[0.01 * part, 0.04 * part] for part in (0.25, 0.5, 0.75, 1, 1)])


def test_a_lazy_penalty_comes_every_other_step() -> None:
    """A huge penalty shows in the gradients of the steps that have it."""
    options = replace(OPTIONS, r1=1e6, lazy=2, optimizer="sgd", lr=1e-12)
    state = alone_state(options)
    sizes = []
    for _ in range(4):
        step(options, state, *real())
        gradients = [weight.grad for weight in state.discriminator.parameters() if weight.grad is not None]
        sizes.append(max(each.abs().max().item() for each in gradients))
    assert min(sizes[0], sizes[2]) > 100 * max(sizes[1], sizes[3])


def test_losses_of_known_logits() -> None:
    real_logits, fake = torch.tensor([2.0, 0.5]), torch.tensor([-2.0, 0.5])
    hinge, wasserstein, pairs = (LOSSES[name] for name in ("hinge", "wgan-gp", "relativistic"))
    assert hinge.discriminator(real_logits, fake).item() == pytest.approx((0 + 0.5) / 2 + (0 + 1.5) / 2)
    assert wasserstein.discriminator(real_logits, fake).item() == pytest.approx(-0.75 - 1.25)
    expected = np.mean(np.log1p(np.exp([-4.0, 0.0])))
    assert pairs.discriminator(real_logits, fake).item() == pytest.approx(expected)
    assert pairs.generator(fake, real_logits).item() == pytest.approx(np.mean(np.log1p(np.exp([4.0, 0.0]))))


def test_penalties_of_a_plane() -> None:
    """Logits w·x have the gradient w everywhere."""
    w = torch.tensor([3.0, 4.0])
    images = torch.randn(5, 2, 1, 1)

    def logits(images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ w

    assert r1_penalty(logits, images, gamma=2.0).item() == pytest.approx(25)
    assert gradient_penalty(logits, images, -images, weight=10).item() == pytest.approx(10 * (5 - 1) ** 2)


@given(
    kind=st.sampled_from(["diff", "ada"]),
    size=st.sampled_from([(16, 16), (28, 28), (24, 16), (16, 40)]),
    channels=st.sampled_from([1, 3, 4]),
)
@settings(max_examples=10)
def test_augmented_images_keep_their_shape_and_pass_gradients(
    kind: str, size: tuple[int, int], channels: int
) -> None:
    images = (torch.rand(4, channels, *size) * 2 - 1).requires_grad_()
    changed = augment(images, kind, probability=1.0)
    assert changed.shape == images.shape
    assert torch.isfinite(changed).all()
    changed.sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert (images.grad != 0).float().mean() > 0.2  # the rest was cut out or moved away
    assert augment(images, "none", 1.0) is images
    assert augment(images, "ada", 0.0) is images


def test_ada_follows_overfitting() -> None:
    assert adapt(0.5, 0.9, 1000) == pytest.approx(0.502)
    assert adapt(0.5, 0.1, 1000) == pytest.approx(0.498)
    assert (adapt(0.0, 0.1, 1000), adapt(1.0, 0.9, 1000)) == (0, 1)


def test_ada_begins_after_some_passes_over_the_data() -> None:
    options = replace(OPTIONS, augment="ada")
    state = alone_state(options)
    state.augment_p, state.images_in_data = 0.5, 8
    state.images_seen = PASSES * 8 - 1
    step(options, state, *real())
    assert state.augment_p == 0.5
    state.images_seen += 1
    step(options, state, *real())
    assert state.augment_p != 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "l2"}, "`loss` l2: choose non-saturating, hinge, wgan-gp, relativistic"),
        ({"augment": "much"}, "`augment` much: choose none, diff, ada"),
        ({"r1": -1.0}, "`r1` -1: give 0 or more"),
        ({"lr_d": 0.0}, "`lr_d` 0: give a number over 0"),
        ({"accumulate": 5}, "each micro-batch of a batch of 8 needs two"),
    ],
)
def test_options_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(OPTIONS, **change)

"""Generators that want z and the label in other forms, and return more than images or in other containers (own code).
Each makes 8×8×3 of z [N, 8]; of the labels there are 8 as well."""

import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, fields
from types import SimpleNamespace

import torch
from torch import nn


class Output(OrderedDict):
    """As diffusers and transformers have it: a dictionary, a dataclass and attributes at once."""

    def __post_init__(self):
        for field in fields(self):
            self[field.name] = getattr(self, field.name)

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        super().__setattr__(key, value)


@dataclass
class DecoderOutput(Output):
    sample: torch.Tensor
    commit_loss: torch.Tensor | None = None


@dataclass
class Rendered:
    rgb: torch.Tensor
    depth: torch.Tensor
    features: torch.Tensor


Pair = namedtuple("Pair", "depth fake")


class Net(nn.Module):
    """What is returned is made of the images by `returns`."""

    def __init__(self, returns=lambda x: x, shape=(3, 8, 8)):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(8, math.prod(shape))
        self.table = nn.Linear(8, self.fc.out_features)
        self.returns, self.shape = returns, shape

    def forward(self, z):
        return self.returns(self.images(z))

    def images(self, z, rows=None):
        x = 2 * self.fc(z)
        x = x if rows is None else x + 4 * self.table(rows)
        return torch.tanh(x).view(-1, *self.shape)


def grey(x):
    return x.mean(1, keepdim=True)


def diffusers():
    return Net(lambda x: DecoderOutput(x))


def dataclass_out():
    return Net(lambda x: Rendered(x, grey(x).expand(-1, 3, -1, -1), x.repeat(1, 4, 1, 1)))


def namedtuple_out():
    return Net(lambda x: Pair(-x, x))


def attributes():
    return Net(lambda x: SimpleNamespace(images=[x[..., ::2, ::2], x], w=x.flatten(2), _x=-x))


def depth_beside():
    return Net(lambda x: {"depth": -x, "image": x})


def rendering():  # as of 3D generators
    return Net(lambda x: {"image_raw": x[..., ::2, ::2], "image_depth": grey(x), "image": x})


def mask_beside():
    return Net(lambda x: (grey(x), x, None, x.mean(), x.flatten(2)))


def nested():
    return Net(lambda x: {"losses": {"kl": x.mean()}, "out": ({"x_hat": x}, -x)})


def twins():
    return Net(lambda x: {"a": x, "b": -x})


def larger_grey():
    return Net(lambda x: (x, grey(x).repeat(1, 1, 2, 2)))


def rgba_beside():
    return Net(lambda x: {"rgba": torch.cat([x, grey(x)], 1), "rgb": x})


def no_channels():
    return Net(shape=(8, 24))


def narrow():
    return Net(shape=(3, 64, 3))


def levels():
    return Net(lambda x: (127.5 * x + 127.5).to(torch.uint8))


def channels_last_rgba():
    return Net(shape=(8, 8, 4))


class LabelFirst(Net):
    def forward(self, labels, z):
        return self.images(z, labels)


class AfterPsi(Net):
    def forward(self, z, truncation_psi=0.7, c=None):
        return self.images(truncation_psi * z, c)


class ByKeyword(Net):
    def forward(self, z, *, label=None):
        return self.images(z, label)


class Columns(Net):
    """As DCGANs with labels have it: one-hot [N, 8, 1, 1]."""

    def __init__(self):
        super().__init__()
        self.first = nn.ConvTranspose2d(8, 8, 1)

    def forward(self, z, y):
        return self.images(z, self.first(y).flatten(1))


class FloatNumber(Net):
    """As Keras' Input((1,)) is: float [N, 1]."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(1, 8)

    def forward(self, noise, digit):
        return self.images(noise, torch.cos(3 * self.embed(digit)))


class Psi(Net):
    def forward(self, z, truncation_psi=0.7):
        return self.images(truncation_psi * z)


class Tokens(Net):
    def forward(self, z):
        batch, length, _ = z.shape
        return self.images(z.reshape(batch, length * 8))


class AnyNumber(Net):
    def forward(self, *inputs):
        return self.images(*inputs)


def parallel():
    return nn.DataParallel(Net())


def compiled():
    return torch.compile(Net())


class ZSecond(Net):
    def forward(self, x=None, z=None, return_all=False):
        return self.images(z)


class ZByKeyword(Net):
    def forward(self, *, latent_code):
        return self.images(latent_code)


class InPlace(Net):
    def forward(self, z):
        z.mul_(2).clamp_(-1, 1)
        return self.images(z)


class Exits(Net):
    def forward(self, z):
        raise SystemExit("no GPU")

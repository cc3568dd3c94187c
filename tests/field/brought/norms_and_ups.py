"""Generators that use what people ask about when exporting (own code): weight_norm (hook and parametrization), pixel shuffle,
instance and group norm, bilinear align_corners, bicubic, reflection padding, antialiased resize, einsum, PReLU, Mish."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import weight_norm as wn_old
from torch.nn.utils.parametrizations import weight_norm as wn_new


class Net(nn.Module):
    def __init__(self, up, norm=nn.Identity, wrap=lambda m: m, act=nn.ReLU, pad="zeros"):
        super().__init__()
        self.fc = wrap(nn.Linear(32, 32 * 16))
        self.ups = up
        k = 4 if up == "shuffle" else 1
        self.convs = nn.ModuleList(wrap(nn.Conv2d(32, 32 * k, 3, 1, 1, padding_mode=pad)) for _ in range(3))
        self.norms = nn.ModuleList(norm(32) if norm is not nn.Identity else norm() for _ in range(3))
        self.act = act()
        self.out = wrap(nn.Conv2d(32, 3, 3, 1, 1))

    def forward(self, z):
        x = self.fc(z).view(-1, 32, 4, 4)
        for c, n in zip(self.convs, self.norms):
            if self.ups == "shuffle":
                x = F.pixel_shuffle(c(x), 2)
            else:
                kind = self.ups.split("-")
                extra = {} if kind[0] == "nearest" else {"align_corners": kind[-1] == "corners"}
                x = c(F.interpolate(x, scale_factor=2, mode=kind[0], antialias=kind[-1] == "aa", **extra))
            x = self.act(n(x)) * 1.5
        return torch.tanh(2 * self.out(x))


def _m(*a, **k):
    torch.manual_seed(0)
    return Net(*a, **k).eval()


def weight_norm_hook():
    return _m("nearest", wrap=wn_old)


def weight_norm_param():
    return _m("nearest", wrap=wn_new)


def shuffle():
    return _m("shuffle")


def instance():
    return _m("nearest", norm=lambda c: nn.InstanceNorm2d(c, affine=True))


def group():
    return _m("bilinear", norm=lambda c: nn.GroupNorm(8, c), act=nn.Mish)


def corners():
    return _m("bilinear-corners", act=nn.PReLU)


def bicubic():
    return _m("bicubic", pad="reflect")


def celu():
    return _m("nearest", act=nn.CELU)


def antialias():
    return _m("bilinear-aa")

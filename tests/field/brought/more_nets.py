"""Further generators that people ask about (own code): BatchNorm whose statistics were never recorded (EMA copies), depthwise
transposed convolution + BatchNorm, one convolution shared by two BatchNorms, pixel norm with 1e-8 behind a ReLU, masked
attention with -inf, flat output, dropout left on, track_running_stats=False, float64 inside, NHWC output, one-hot label."""

import torch
import torch.nn.functional as F
from torch import nn


def settle(net, *more, latent=32):
    torch.manual_seed(1)
    net.train()
    with torch.no_grad():
        for _ in range(30):
            net(torch.randn(32, latent), *more)
    return net.eval()


class Dc(nn.Module):
    def __init__(self, groups=1, bn=True, track=True, drop=0.0, latent=32, width=32):
        super().__init__()

        def block(i, o, g):
            return [
                nn.ConvTranspose2d(i, o, 4, 2, 1, groups=g, bias=False),
                nn.BatchNorm2d(o, track_running_stats=track),
                nn.ReLU(),
                nn.Dropout2d(drop),
            ]

        self.net = nn.Sequential(
            nn.ConvTranspose2d(latent, width, 4, bias=False),
            nn.BatchNorm2d(width, track_running_stats=track),
            nn.ReLU(),
            *block(width, width, groups),
            *block(width, width, groups),
            nn.ConvTranspose2d(width, 3, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.net(z.view(z.shape[0], -1, 1, 1))


def strong(net, f=3.0):
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                m.weight *= f
    return net


def unrecorded_bn():  # weights averaged, buffers never copied: num_batches_tracked is 0 everywhere
    torch.manual_seed(0)
    return strong(Dc()).eval()


def depthwise():
    torch.manual_seed(0)
    return settle(strong(Dc(groups=32)))


def grouped4():
    torch.manual_seed(0)
    return settle(strong(Dc(groups=4)))


def no_running_stats():
    torch.manual_seed(0)
    return strong(Dc(track=False)).eval()


class AlwaysDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = settle(strong(Dc()))

    def forward(self, z):
        return self.net(F.dropout(z, 0.3, training=True))


def dropout_on():
    torch.manual_seed(0)
    return AlwaysDropout()


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.conv = nn.Linear(32, 32 * 16), nn.Conv2d(32, 32, 3, 1, 1)
        self.bns = nn.ModuleList(nn.BatchNorm2d(32) for _ in range(3))
        self.out = nn.Conv2d(32, 3, 3, 1, 1)

    def forward(self, z):
        x = self.fc(z).view(-1, 32, 4, 4)
        for bn in self.bns:
            x = F.leaky_relu(bn(self.conv(F.interpolate(x, scale_factor=2))), 0.2)
        return torch.tanh(2 * self.out(x))


def shared_conv():
    torch.manual_seed(0)
    return settle(Shared())


class PixelNormRelu(nn.Module):
    def __init__(self, width=8, act=F.relu):
        super().__init__()
        self.fc = nn.Linear(32, width * 16)
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(3))
        self.out = nn.Conv2d(width, 3, 1)
        self.width, self.act = width, act

    def forward(self, z):
        x = self.fc(z).view(-1, self.width, 4, 4)
        for c in self.convs:
            x = self.act(c(F.interpolate(x, scale_factor=2)))
            x = x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-8)
        return torch.tanh(self.out(x))


def pixel_norm_relu():
    torch.manual_seed(0)
    return PixelNormRelu()


class Masked(nn.Module):
    """Tokens attend to their window only: scores + (-inf) mask, as in transformer generators."""

    def __init__(self, side=8, dim=32):
        super().__init__()
        self.side, self.dim = side, dim
        self.fc, self.qkv, self.o = (
            nn.Linear(32, side * side * dim),
            nn.Linear(dim, 3 * dim),
            nn.Linear(dim, dim),
        )
        i = torch.arange(side * side)
        near = (i[:, None] // side - i[None] // side).abs() <= 2
        self.register_buffer("mask", torch.zeros(side * side, side * side).masked_fill(~near, float("-inf")))
        self.up = nn.Sequential(nn.Conv2d(dim, 12 * 4, 3, 1, 1), nn.PixelShuffle(4))

    def forward(self, z):
        x = self.fc(z).view(-1, self.side**2, self.dim)
        q, k, v = self.qkv(F.layer_norm(x, (self.dim,))).chunk(3, -1)
        x = x + self.o(torch.softmax(q @ k.transpose(1, 2) / self.dim**0.5 + self.mask, -1) @ v)
        return torch.tanh(2 * self.up(x.transpose(1, 2).reshape(-1, self.dim, self.side, self.side)))


def masked_attention():
    torch.manual_seed(0)
    return Masked()


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(32, 128), nn.LeakyReLU(0.2), nn.Linear(128, 784), nn.Tanh())

    def forward(self, z):
        return 0.99 * self.net(3 * z)


def flat():
    torch.manual_seed(0)
    return Flat()


class Nhwc(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = settle(strong(Dc()))

    def forward(self, z):
        return self.net(z).permute(0, 2, 3, 1)


def nhwc():
    torch.manual_seed(0)
    return Nhwc()


class OneHot(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = settle(strong(Dc(latent=42)), latent=42)

    def forward(self, z, labels):
        return self.net(torch.cat([z, labels], 1))


def onehot():
    torch.manual_seed(0)
    return OneHot()


class Branch(nn.Module):
    """An if on a value of z: cannot be exported as it is."""

    def __init__(self):
        super().__init__()
        self.net = settle(strong(Dc()))

    def forward(self, z):
        if z.abs().max() > 100:
            z = z / 2
        return self.net(z)


def data_dependent():
    torch.manual_seed(0)
    return Branch()


class Truncated(nn.Module):
    """Truncation trick built in: w is pulled to a mean by torch.lerp; a default argument psi, and a keyword-only flag."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(32, 32)
        self.net = settle(strong(Dc()))
        self.register_buffer("mean", torch.zeros(32))

    def forward(self, z, c=None, truncation_psi=0.7, *, noise_mode="const"):
        return self.net(torch.lerp(self.mean, 2 * self.map(z), truncation_psi))


def truncation():
    torch.manual_seed(0)
    return Truncated()


class Wide(nn.Module):
    """Images of 48×80: not square."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(32, 32 * 3 * 5)
        self.net = nn.Sequential(
            *[m for _ in range(4) for m in (nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.LeakyReLU(0.2))],
            nn.Conv2d(32, 3, 3, 1, 1),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.net(3 * self.fc(z).view(-1, 32, 3, 5))


def not_square():
    torch.manual_seed(0)
    return strong(Wide(), 2.0)


class Clamped255(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = settle(strong(Dc()))

    def forward(self, z):
        return (self.net(z) + 1) * 127.5


def levels255():
    torch.manual_seed(0)
    return Clamped255()


class DictOut(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = settle(strong(Dc()))

    def forward(self, z):
        return {"image": self.net(z), "latent": z}


def dict_out():
    torch.manual_seed(0)
    return DictOut()


class ListIn(nn.Module):
    """As rosinality's: styles come in a list, (image, None) goes out."""

    def __init__(self):
        super().__init__()
        self.net = settle(strong(Dc()))

    def forward(self, styles, return_latents=False):
        return self.net(styles[0]), None


def list_in():
    torch.manual_seed(0)
    return ListIn()


class PixelNorm2e8(PixelNormRelu):
    """The same with 2e-8, which FP16 rounds to 0."""

    def forward(self, z):
        x = self.fc(z).view(-1, self.width, 4, 4)
        for c in self.convs:
            x = self.act(c(F.interpolate(x, scale_factor=2)))
            x = x / torch.sqrt(x.pow(2).mean(1, keepdim=True) + 2e-8)
        return torch.tanh(self.out(x))


def pixel_norm_2e8():
    torch.manual_seed(0)
    return PixelNorm2e8()

"""A small FastGAN/LightweightGAN-like generator (own code): z [N, L] viewed as [N, L, 1, 1], GLU, skip-layer excitation,
spectral norm by the old hook, nearest upsampling; returns [large, small] as the published one does."""

import torch
from torch import nn
from torch.nn.utils import spectral_norm as sn


class Glu(nn.Module):
    def forward(self, x):
        a, b = x.chunk(2, 1)
        return a * torch.sigmoid(b)


def up(i, o):
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        sn(nn.Conv2d(i, o * 2, 3, 1, 1, bias=False)),
        nn.BatchNorm2d(o * 2),
        Glu(),
    )


class Excite(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.main = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            sn(nn.Conv2d(i, o, 4, 1, 0, bias=False)),
            nn.SiLU(),
            sn(nn.Conv2d(o, o, 1, bias=False)),
            nn.Sigmoid(),
        )

    def forward(self, small, big):
        return big * self.main(small)


class Net(nn.Module):
    def __init__(self, both=True, latent=64):
        super().__init__()
        self.both = both
        self.init = nn.Sequential(
            sn(nn.ConvTranspose2d(latent, 64, 4, 1, 0, bias=False)), nn.BatchNorm2d(64), Glu()
        )
        self.u8, self.u16, self.u32, self.u64 = up(32, 32), up(32, 32), up(32, 32), up(32, 16)
        self.se = Excite(32, 32)
        self.small, self.big = sn(nn.Conv2d(32, 3, 1)), sn(nn.Conv2d(16, 3, 3, 1, 1))

    def forward(self, z):
        x8 = self.u8(self.init(z.view(z.shape[0], -1, 1, 1)))
        x16 = self.u16(x8)
        x32 = self.se(x8, self.u32(x16))
        big = torch.tanh(self.big(self.u64(x32)))
        return [big, torch.tanh(self.small(x16))] if self.both else big


def _settled(both):
    torch.manual_seed(0)
    net = Net(both).train()
    with torch.no_grad():
        for _ in range(30):
            net(torch.randn(32, 64))
    return net.eval()


def two_sizes():
    return _settled(True)


def one():
    return _settled(False)

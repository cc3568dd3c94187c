"""Residual class-conditional generators (own code): conditional BatchNorm with an embedding (SNGAN/SAGAN), self-attention,
hierarchical z split and a shared embedding (BigGAN-like), orthogonal spectral norm as parametrization."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as sn


class Cbn(nn.Module):
    def __init__(self, c, inputs, table):
        super().__init__()
        self.bn = nn.BatchNorm2d(c, affine=False)
        self.gain, self.shift = (
            (nn.Embedding(inputs, c), nn.Embedding(inputs, c))
            if table
            else (sn(nn.Linear(inputs, c, bias=False)), sn(nn.Linear(inputs, c, bias=False)))
        )
        if table:
            nn.init.normal_(self.gain.weight, 1, 0.3)
            nn.init.normal_(self.shift.weight, 0, 0.3)
        self.plus = 0.0 if table else 1.0

    def forward(self, x, y):
        return (self.plus + self.gain(y))[:, :, None, None] * self.bn(x) + self.shift(y)[:, :, None, None]


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()

        def conv(i, o):
            return sn(nn.Conv2d(i, o, 1, bias=False))

        self.q, self.k, self.v, self.o = conv(c, c // 8), conv(c, c // 8), conv(c, c // 2), conv(c // 2, c)
        self.gamma = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        n, c, h, w = x.shape
        q, k, v = (
            self.q(x).view(n, -1, h * w),
            F.max_pool2d(self.k(x), 2).view(n, -1, h * w // 4),
            F.max_pool2d(self.v(x), 2).view(n, -1, h * w // 4),
        )
        a = torch.softmax(torch.bmm(q.transpose(1, 2), k), -1)
        return x + self.gamma * self.o(torch.bmm(v, a.transpose(1, 2)).view(n, -1, h, w))


class Block(nn.Module):
    def __init__(self, i, o, inputs, table):
        super().__init__()
        self.b1, self.b2 = Cbn(i, inputs, table), Cbn(o, inputs, table)
        self.c1, self.c2, self.c0 = (
            sn(nn.Conv2d(i, o, 3, 1, 1)),
            sn(nn.Conv2d(o, o, 3, 1, 1)),
            sn(nn.Conv2d(i, o, 1)),
        )

    def forward(self, x, y):
        h = self.c1(F.interpolate(F.relu(self.b1(x, y)), scale_factor=2))
        return self.c2(F.relu(self.b2(h, y))) + self.c0(F.interpolate(x, scale_factor=2))


class Sagan(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.fc = sn(nn.Linear(64, 64 * 16))
        self.blocks = nn.ModuleList(
            [Block(64, 32, classes, True), Block(32, 32, classes, True), Block(32, 16, classes, True)]
        )
        self.att = Attention(32)
        self.bn, self.out = nn.BatchNorm2d(16), sn(nn.Conv2d(16, 3, 3, 1, 1))

    def forward(self, z, y):
        x = self.fc(z).view(-1, 64, 4, 4)
        for i, b in enumerate(self.blocks):
            x = b(x, y)
            if i == 1:
                x = self.att(x)
        return torch.tanh(3 * self.out(F.relu(self.bn(x))))


class BigGan(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.shared = nn.Embedding(classes, 16)
        self.fc = sn(nn.Linear(20, 64 * 16))
        self.blocks = nn.ModuleList([Block(64, 32, 36, False), Block(32, 16, 36, False)])
        self.bn, self.out = nn.BatchNorm2d(16), sn(nn.Conv2d(16, 3, 3, 1, 1))

    def forward(self, z, y):
        zs = torch.split(z, 20, 1)
        e = self.shared(y)
        x = self.fc(zs[0]).view(-1, 64, 4, 4)
        for b, part in zip(self.blocks, zs[1:]):
            x = b(x, torch.cat([e, part], 1))
        return torch.tanh(3 * self.out(F.relu(self.bn(x))))


class BigGanEmbedded(BigGan):
    """As the published interface: the caller embeds the class, G(z, shared(y))."""

    def forward(self, z, e):
        self_shared, self.shared = self.shared, nn.Identity()
        try:
            return super().forward(z, e)
        finally:
            self.shared = self_shared


def _settle(net, latent, *more):
    net.train()
    with torch.no_grad():
        for _ in range(30):
            net(torch.randn(32, latent), *more)
    return net.eval()


def sagan():
    torch.manual_seed(0)
    return _settle(Sagan(), 64, torch.randint(0, 10, (32,)))


def biggan():
    torch.manual_seed(0)
    return _settle(BigGan(), 60, torch.randint(0, 10, (32,)))

"""Generators laid out as the widely copied 'PyTorch-GAN' collection has them (own code): Linear+view, Upsample+Conv,
BatchNorm with eps 0.8, label embeddings, MLP generators, InfoGAN with three inputs."""

import torch
from torch import nn


def settle(net, *inputs):
    """Give BatchNorm running statistics, as training would."""
    net.train()
    with torch.no_grad():
        for _ in range(30):
            net(*inputs)
    return net.eval()


class UpConv(nn.Module):
    def __init__(self, inputs, channels=1, size=32):
        super().__init__()
        self.side = size // 4
        self.start = nn.Sequential(nn.Linear(inputs, 32 * self.side**2))
        self.body = nn.Sequential(
            nn.BatchNorm2d(32),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(32, 32, 3, 1, 1),
            nn.BatchNorm2d(32, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(32, 16, 3, 1, 1),
            nn.BatchNorm2d(16, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(16, channels, 3, 1, 1),
            nn.Tanh(),
        )

    def grow(self, x):
        x = self.start(x)
        return self.body(x.view(x.shape[0], 32, self.side, self.side))


class Plain(UpConv):
    def forward(self, z):
        return self.grow(z)


class Multiplied(UpConv):  # ACGAN: embedding times noise
    def __init__(self, latent, classes):
        super().__init__(latent)
        self.table = nn.Embedding(classes, latent)

    def forward(self, noise, labels):
        return self.grow(torch.mul(self.table(labels), noise))


class Info(UpConv):  # InfoGAN: noise, one-hot label, continuous code
    def __init__(self):
        super().__init__(62 + 10 + 2)

    def forward(self, noise, labels, code):
        return self.grow(torch.cat((noise, labels, code), -1))


class Mlp(nn.Module):
    def __init__(self, inputs, shape=(1, 28, 28), classes=0):
        super().__init__()
        self.shape = shape
        self.table = nn.Embedding(classes, classes) if classes else None
        layers, last = [], inputs + classes
        for width in (128, 256, 512):
            layers += (
                [nn.Linear(last, width)]
                + ([nn.BatchNorm1d(width, 0.8)] if width > 128 else [])
                + [nn.LeakyReLU(0.2, inplace=True)]
            )
            last = width
        self.model = nn.Sequential(*layers, nn.Linear(last, shape[0] * shape[1] * shape[2]), nn.Tanh())

    def forward(self, z, labels=None):
        x = z if self.table is None else torch.cat((self.table(labels), z), -1)
        return self.model(x).view(x.size(0), *self.shape)


def dcgan():
    torch.manual_seed(0)
    return settle(Plain(100), torch.randn(64, 100))


def wgan_gp():
    torch.manual_seed(0)
    return settle(Mlp(100), torch.randn(64, 100))


def cgan():
    torch.manual_seed(0)
    return settle(Mlp(100, classes=10), torch.randn(64, 100), torch.randint(0, 10, (64,)))


def acgan():
    torch.manual_seed(0)
    return settle(Multiplied(100, 10), torch.randn(64, 100), torch.randint(0, 10, (64,)))


def infogan():
    torch.manual_seed(0)
    return settle(Info(), torch.randn(64, 62), torch.eye(10)[torch.randint(0, 10, (64,))], torch.rand(64, 2))

"""A VAE decoder (own code): output_padding in transposed convolutions, sigmoid at the end: images in [0, 1]."""

import torch
from torch import nn


class Decoder(nn.Module):
    def __init__(self, channels=1):
        super().__init__()
        self.fc = nn.Linear(16, 64 * 7 * 7)
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 3, 2, 1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 3, 2, 1, output_padding=1),
            nn.ReLU(),
            nn.Conv2d(16, channels, 3, 1, 1),
            nn.Sigmoid(),
        )

    def forward(self, z):
        return self.body(self.fc(z).view(-1, 64, 7, 7))


def _strong(net):
    with torch.no_grad():
        for p in net.parameters():
            if p.dim() > 1:
                p *= 2.2
    return net


def make():
    torch.manual_seed(0)
    return _strong(Decoder())


def rgba():
    torch.manual_seed(0)
    net = _strong(Decoder(4))
    net.body[-1] = nn.Tanh()
    return net


def tanh():
    torch.manual_seed(0)
    net = _strong(Decoder())
    net.body[-1] = nn.Tanh()
    return net


def onnx(path, what="sigmoid", opset=17):
    net = (make if what == "sigmoid" else rgba if what == "rgba" else tanh)().eval()
    torch.onnx.export(
        net,
        (torch.randn(2, 16),),
        path,
        dynamo=False,
        opset_version=opset,
        input_names=["z"],
        output_names=["img"],
        dynamic_axes={"z": {0: "n"}, "img": {0: "n"}},
    )


if __name__ == "__main__":
    import sys

    onnx(*sys.argv[1:3])

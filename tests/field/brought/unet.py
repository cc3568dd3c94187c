"""An image-to-image generator (pix2pix-like U-Net): no latent at all; must be refused clearly."""

import torch
from torch import nn


class UNet(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(channels, 16, 4, 2, 1), nn.Conv2d(16, 32, 4, 2, 1)
        self.up1, self.up2 = nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ConvTranspose2d(32, 3, 4, 2, 1)

    def forward(self, x):
        a = torch.relu(self.down1(x))
        b = torch.relu(self.down2(a))
        return torch.tanh(self.up2(torch.cat([torch.relu(self.up1(b)), a], 1)))


def make():
    torch.manual_seed(0)
    return UNet()


def onnx(path):
    torch.onnx.export(
        make().eval(),
        (torch.randn(1, 3, 64, 64),),
        path,
        dynamo=False,
        opset_version=13,
        input_names=["image"],
        output_names=["out"],
        dynamic_axes={"image": {0: "n"}, "out": {0: "n"}},
    )


if __name__ == "__main__":
    import sys

    onnx(sys.argv[1])

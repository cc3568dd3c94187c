"""Checkpoints as people have them, all of one DCGAN of PyTorch's example layout (own code): python checkpoints.py FOLDER"""

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from torch import nn


class NetG(nn.Module):
    def __init__(self, nz=100, ngf=16, nc=3, last=(4, 2, 1), first=(4, 1, 0)):
        super().__init__()

        def block(i, o, *a):
            return [nn.ConvTranspose2d(i, o, *a, bias=False), nn.BatchNorm2d(o), nn.ReLU(True)]

        self.main = nn.Sequential(
            *block(nz, ngf * 8, *first),
            *block(ngf * 8, ngf * 4, 4, 2, 1),
            *block(ngf * 4, ngf * 2, 4, 2, 1),
            nn.ConvTranspose2d(ngf * 2, nc, *last, bias=False),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(z)


def trained(**k):
    torch.manual_seed(0)
    net = NetG(**k)
    for m in net.modules():
        if isinstance(m, nn.ConvTranspose2d):
            nn.init.normal_(m.weight, 0, 0.05)
    net.train()
    with torch.no_grad():
        for _ in range(30):
            net(torch.randn(32, 100, 1, 1))
    return net.eval()


def make():
    return NetG()


def make28():
    return NetG(nc=1, last=(4, 2, 3))


def scripted():  # a TorchScript file is an nn.Module once loaded
    return torch.jit.load(Path("traced.pt"))


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    net = trained()
    sd = net.state_dict()
    opt = torch.optim.Adam(net.parameters())
    torch.save(sd, out / "plain.pth")
    torch.save({"module." + k: v for k, v in sd.items()}, out / "dataparallel.pth")
    torch.save({"_orig_mod." + k: v for k, v in sd.items()}, out / "compiled.pth")
    torch.save({"netG": sd, "epoch": 24}, out / "nested_netG.pth")
    torch.save(
        {
            "netG_state_dict": sd,
            "netD_state_dict": {"main.0.weight": torch.zeros(1)},
            "optG": opt.state_dict(),
            "epoch": 24,
        },
        out / "nested_both.pth",
    )
    torch.save(
        {"g": sd, "d": {"x": torch.zeros(1)}, "g_ema": sd, "args": Namespace(lr=1)},
        out / "g_ema_namespace.pt",
    )
    torch.save({"g": sd, "g_ema": sd, "d": {"x": torch.zeros(1)}}, out / "g_ema.pt")
    torch.save(
        {
            "state_dict": {**{"generator." + k: v for k, v in sd.items()}, "discriminator.w": torch.zeros(1)},
            "epoch": 3,
            "global_step": 9,
            "pytorch-lightning_version": "2.4.0",
            "hyper_parameters": {"lr": 2e-4},
        },
        out / "lightning.ckpt",
    )
    torch.save({"generator": sd, "params": {"nz": 100, "lr": np.float64(2e-4)}}, out / "numpy_number.pth")
    torch.save(net, out / "whole_module.pth")
    torch.save(sd, out / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({k: v.half() for k, v in sd.items()}, out / "half.pth")
    torch.save({k: v.double() for k, v in sd.items()}, out / "double.pth")
    torch.save(
        trained(nc=1, last=(4, 2, 3)).state_dict(), out / "mnist28.pth"
    )  # last layer 4, stride 2, padding 3: 28×28
    torch.save(
        trained(nc=1, last=(1, 1, 2)).state_dict(), out / "kernel1.pth"
    )  # last layer 1×1 with padding 2
    torch.save(trained(nc=4).state_dict(), out / "rgba.pth")
    torch.jit.trace(net, torch.randn(1, 100, 1, 1)).save(str(out / "traced.pt"))
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in sd.items()}, out / "plain.safetensors")
    save_file({"netG." + k: v.contiguous() for k, v in sd.items()}, out / "prefixed.safetensors")
    (out / "truncated.pth").write_bytes((out / "plain.pth").read_bytes()[:20000])
    (out / "lfs_pointer.pth").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 14000000\n"
    )

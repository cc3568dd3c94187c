"""Generators as PyTorch modules and checkpoints, and what people give in their place."""

from __future__ import annotations

import importlib
import json
import runpy
import shutil
import struct
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import torch
from PIL import Image

from field.cases import BROUGHT, Case, Folder
from gantool.models import Generator, NetworkConfig, save_checkpoint, square
from helpers.archives import tarred, zipped
from helpers.once import once

NONE = "--engine none"
DCGAN = "export --from pytorch-dcgan"
MAKE = f"export --from checkpoints:make --latent 100 {NONE} --weights"


def checkpoints() -> Path:
    """Return a folder with all that `checkpoints.py` writes."""

    def make(folder: Path) -> None:
        folder.mkdir()
        with patch.object(sys, "argv", ["checkpoints.py", str(folder)]):
            runpy.run_path(str(BROUGHT / "checkpoints.py"), run_name="__main__")

    return once("checkpoints", make)


def checkpoint(name: str, under: str | None = None) -> Folder:
    def prepare(folder: Path) -> None:
        shutil.copy(checkpoints() / name, folder / (under or name))

    return prepare


def saved(name: str, change: Any) -> Folder:
    """Save what `change` makes of the generator's state_dict."""

    def prepare(folder: Path) -> None:
        torch.save(change(torch.load(checkpoints() / "plain.pth")), folder / name)

    return prepare


def written(name: str, content: bytes) -> Folder:
    def prepare(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return prepare


def module(name: str, code: str) -> Folder:
    """Write a module with `code` below the imports that people have; a name of its own, since Python keeps modules."""
    return written(f"{name}.py", f"import torch\nfrom torch import nn\n{code}".encode())


def generator(change: Any = None, **metadata: Any) -> Folder:
    """Write c.safetensors, a checkpoint of gantool, with other weights or other metadata."""

    def prepare(folder: Path) -> None:
        torch.manual_seed(0)
        network = Generator(NetworkConfig(size=square(16), width=4)).eval()
        if change:
            change(network)
        path = folder / "c.safetensors"
        save_checkpoint(path, network, 1000, "flowers")
        if metadata:
            data = path.read_bytes()
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            known = json.loads(header["__metadata__"]["gantool"])
            header["__metadata__"]["gantool"] = json.dumps({**known, **metadata})
            text = json.dumps(header).encode()
            start = 8 + int.from_bytes(data[:8], "little")
            path.write_bytes(struct.pack("<Q", len(text)) + text + data[start:])

    return prepare


def header(text: str) -> Folder:
    data = text.encode()
    return written("c.safetensors", struct.pack("<Q", len(data)) + data + bytes(64))


def png(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "apple.png")


def renamed_graph(folder: Path) -> None:
    importlib.import_module("vae_decoder").onnx(folder / "g.bin", "tanh")


def sigmoid_graph(folder: Path) -> None:
    importlib.import_module("vae_decoder").onnx(folder / "sigmoid.onnx", "sigmoid")


def opset(number: int) -> Folder:
    def then(folder: Path) -> None:
        assert [entry.version for entry in onnx.load(folder / "g.onnx").opset_import if not entry.domain] == [
            number
        ]

    return then


def operators(folder: Path) -> list[str]:
    return [node.op_type for node in onnx.load(folder / "g.onnx").graph.node]


def clipped_before_the_tail(folder: Path) -> None:
    assert operators(folder).count("Clip") == 2


def other_weights(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {name: value * 0.5 if value.is_floating_point() else value for name, value in state.items()}


def under(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in state.items()}


class Own:
    """Of a training's own code."""


# One directory with the weights somewhere in it; what is said of where they were.
NESTED: list[tuple[str, Any, str]] = [
    ("models.G", lambda s: {"models": {"G": s, "D": {"w": torch.zeros(1)}}}, "takes models.G"),
    (
        "params_ema",
        lambda s: {"params": other_weights(s), "params_ema": s},
        "takes params_ema, the averaged weights",
    ),
    (
        "model_ema",
        lambda s: {"state_dict": other_weights(s), "model_ema": under("module.", s)},
        "takes model_ema",
    ),
    (
        "lightning ema",
        lambda s: {"state_dict": {**under("G.", other_weights(s)), **under("ema.G.", s)}},
        "ema.G, the",
    ),
    (
        "wrapped twice",
        lambda s: {"state_dict": under("module._orig_mod.netG.", s)},
        "takes state_dict.module._orig_mod",
    ),
    (
        "compiled inside",
        lambda s: {name.replace("main.", "main._orig_mod."): v for name, v in s.items()},
        "32×32×3",
    ),
    (
        "options",
        lambda s: {"g": s, "args": Namespace(lr=0.1), "best": np.float32(1), "n": np.int64(3)},
        "takes g",
    ),
    ("alone", lambda s: s, "32×32×3"),
]

CHECKPOINTS = [
    *(
        Case(f"nested: {name}", f"{MAKE} c.tar", says=(says,), prepare=saved("c.tar", change), slow=index > 1)
        for index, (name, change, says) in enumerate(NESTED)
    ),
    Case(
        "dcgan by key",
        f"{DCGAN} c.pth:b {NONE}",
        says=("takes b", "stride 2 and padding 1, which makes 32×32", "--from package.module:function"),
        prepare=saved("c.pth", lambda s: {"a": other_weights(s), "b": s}),
    ),
    Case(
        "two that fit",
        f"{MAKE} c.pth",
        1,
        ("holds several state_dicts that fit: G_A, G_B", "c.pth:G_A"),
        prepare=saved("c.pth", lambda s: {"G_A": s, "G_B": other_weights(s)}),
    ),
    Case(
        "none that fits",
        f"{MAKE} c.pth",
        1,
        ("netD (2 tensors)", "none fits the generator", "unexpected: extra"),
        prepare=saved(
            "c.pth",
            lambda s: {
                "netD": {"a": torch.zeros(1), "b": torch.zeros(1)},
                "G": {**s, "extra": s["main.1.bias"]},
            },
        ),
    ),
    Case(
        "the end of a key",
        f"{MAKE} c.pth:G",
        says=("takes state_dict.G",),
        prepare=saved("c.pth", lambda s: {"state_dict": {**under("G.", s), **under("D.", s)}}),
    ),
    Case(
        "online beside averaged",
        f"{MAKE} c.pth",
        says=("takes ema.ema_model, the averaged weights",),
        prepare=saved(
            "c.pth", lambda s: {**under("ema.online_model.", other_weights(s)), **under("ema.ema_model.", s)}
        ),
        slow=True,
    ),
    Case(
        "no such key",
        f"{MAKE} c.pth:G",
        1,
        ("has no state_dict under 'G'", "netG (19 tensors)"),
        prepare=saved("c.pth", lambda s: {"netG": s}),
    ),
    Case(
        "only numbers",
        f"{MAKE} c.pth",
        1,
        ("holds no state_dict",),
        prepare=saved("c.pth", lambda _: {"epoch": 3}),
    ),
    Case(
        "the discriminator",
        f"{DCGAN} c.pth",
        1,
        ("it is the discriminator", "netG"),
        prepare=saved(
            "c.pth",
            lambda _: {"main.0.weight": torch.zeros(8, 3, 4, 4), "main.2.weight": torch.zeros(16, 8, 4, 4)},
        ),
    ),
    *(
        Case(f"dcgan {n}", f"{DCGAN} {n} {NONE}", prepare=checkpoint(n), slow=True)
        for n in ("legacy.pth", "double.pth")
    ),
    Case("dcgan half", f"{DCGAN} half.pth {NONE}", prepare=checkpoint("half.pth")),
    Case(
        "dcgan 28",
        f"{DCGAN} mnist28.pth {NONE}",
        says=("stride 2 and padding 1, which makes 32×32",),
        prepare=checkpoint("mnist28.pth"),
    ),
    Case("cut", f"{DCGAN} truncated.pth", 1, ("is cut off",), prepare=checkpoint("truncated.pth")),
    Case(
        "cut, legacy",
        f"{DCGAN} c.pth",
        1,
        ("is cut off or damaged",),
        prepare=lambda folder: (folder / "c.pth").write_bytes(
            (checkpoints() / "legacy.pth").read_bytes()[:9000]
        ),
    ),
    *(
        Case(
            f"lfs pointer, {name}",
            command,
            1,
            ("is a Git LFS pointer", "git lfs pull"),
            prepare=checkpoint("lfs_pointer.pth", name),
        )
        for name, command in (
            ("a.pth", f"{DCGAN} a.pth"),
            ("w.safetensors", f"{MAKE} w.safetensors"),
            ("generator.safetensors", "export generator.safetensors"),
            ("g.onnx", "export g.onnx"),
        )
    ),
    Case(
        "rgba", f"{DCGAN} rgba.pth", says=("takes its four channels as RGBA",), prepare=checkpoint("rgba.pth")
    ),
    Case(
        "whole module",
        f"{MAKE} whole_module.pth",
        1,
        ("is a whole module (__main__.NetG)", "whole.state_dict()"),
        prepare=checkpoint("whole_module.pth"),
    ),
    Case(
        "own objects",
        f"{MAKE} c.pth",
        1,
        (
            "holds more than weights (field.modules.Own)",
            "weights_only=False",
            "torch.save(whole['g_ema'], 'g.pth')",
        ),
        prepare=saved("c.pth", lambda s: {"g_ema": s, "config": Own()}),
    ),
    Case(
        "torchscript",
        f"{DCGAN} traced.pt",
        1,
        ("is TorchScript", "torch.jit.load('traced.pt'"),
        prepare=checkpoint("traced.pt"),
    ),
    Case(
        "torchscript module",
        f"export --from checkpoints:scripted --latent 100 {NONE}",
        1,
        ("returned TorchScript",),
        prepare=checkpoint("traced.pt"),
    ),
    Case(
        "a tensor without size",
        f"{DCGAN} c.pth",
        1,
        ("main.0.weight says it has", "values"),
        prepare=saved("c.pth", lambda s: {**s, "main.0.weight": torch.zeros(1).expand(10**8, 128, 4, 4)}),
    ),
    Case(
        "a tensor on meta",
        f"{MAKE} c.pth",
        1,
        ("has a shape but no values",),
        prepare=saved("c.pth", lambda s: {name: value.to("meta") for name, value in s.items()}),
    ),
]

NETWORKS = [
    Case("instance norm", f"export --from norms_and_ups:instance --latent 32 --fp16 {NONE}"),
    Case("progan", f"export --from progan_like:make --latent 64 {NONE}", then=opset(17)),
    Case("weight norm", f"export --from norms_and_ups:weight_norm_hook --latent 32 {NONE}", then=opset(17)),
    Case(
        "reflected edges",
        f"export --from norms_and_ups:bicubic --latent 32 {NONE}",
        then=opset(17),
        slow=True,
    ),
    Case(
        "newer opset",
        f"export --from norms_and_ups:group --latent 32 {NONE}",
        says=("opset 17 lacks", "opset 18", "TensorRT 8"),
        then=opset(18),
    ),
    Case(
        "opset that does not do",
        f"export --from norms_and_ups:antialias --latent 32 --opset 17 {NONE}",
        1,
        ("--opset 18 works",),
    ),
    Case(
        "opset 20",
        f"export --from norms_and_ups:antialias --latent 32 --opset 20 {NONE}",
        then=opset(20),
        slow=True,
    ),
    Case("fastgan", f"export --from fastgan_like:one --latent 64 {NONE}", then=opset(17), slow=True),
    Case(
        "fastgan, two sizes",
        f"export --from fastgan_like:two_sizes --latent 64 {NONE}",
        says=("gantool takes output[0]", "64×64×3"),
        slow=True,
    ),
    Case("sagan", f"export --from sngan_sagan_biggan:sagan --latent 64 --classes 10 {NONE}", slow=True),
    Case("biggan", f"export --from sngan_sagan_biggan:biggan --latent 60 --classes 10 {NONE}", slow=True),
    Case("sngan", f"export --from spectral:parametrization --latent 32 {NONE}"),
    Case("stylegan2", f"export --from stylegan2_like:clamped --latent 64 {NONE}", slow=True),
    Case("transformer", f"export --from later_nets:vit --latent 32 {NONE}", slow=True),
    Case("cgan", f"export --from ptgan_like:cgan --latent 100 --classes 10 {NONE}"),
    Case("acgan", f"export --from ptgan_like:acgan --latent 100 --classes 10 {NONE}", slow=True),
    Case(
        "no statistics",
        f"export --from more_nets:unrecorded_bn --latent 32 {NONE}",
        says=("warning: 3 of 3 BatchNorm layers (net.1, net.4, net.8) have no statistics",),
    ),
    Case(
        "statistics", f"export --from more_nets:depthwise --latent 32 {NONE}", never=("warning",), slow=True
    ),
]

VALUES = [
    Case("0 to 255", f"export --from more_nets:levels255 --latent 32 {NONE}", 1, ("expected [-1, 1]", "add --range 0,255")),
    Case("--range 0,255", f"export --from more_nets:levels255 --latent 32 --range 0,255 --fp16 {NONE}"),
    Case("another range", f"export --from more_nets:levels255 --latent 32 --range 0,1 {NONE}", 1, ("expected [0, 1]", "give --range 0,255")),
    Case("sigmoid", f"export --from vae_decoder:make --latent 16 {NONE}", 1, ("add --range 0,1",)),
    Case("--range 0,1", f"export --from vae_decoder:make --latent 16 --range 0,1 {NONE}"),
    Case("tanh with --range 0,1", f"export --from vae_decoder:tanh --latent 16 --range 0,1 {NONE}", 1, ("leave out --range 0,1",)),
    Case("linear", f"export --from stylegan2_like:linear_end --latent 64 {NONE}", 1, ("add --clamp",)),
    Case("--clamp", f"export --from progan_like:linear_end --latent 64 --clamp {NONE}", says=("--clamp cuts off",), then=clipped_before_the_tail),
    Case("graph, sigmoid", f"export sigmoid.onnx -o g {NONE}", 1, ("add --range 0,1",), prepare=sigmoid_graph),
    Case("graph, --range 0,1", f"export sigmoid.onnx -o g --range 0,1 {NONE}", prepare=sigmoid_graph),
    Case("a file for a module", f"export --from nets/plain.py:make --latent 16 {NONE}", 2, ("write nets.plain:make",)),
    Case("unknown range", f"export --from vae_decoder:make --latent 16 --range 0,2 {NONE}", 2, ("--range 0,2: did you mean 0,255? choose -1,1 or 0,1 or 0,255",)),
]  # fmt: skip

INTERFACES = [
    Case("dictionary", f"export --from more_nets:dict_out --latent 32 {NONE}", says=("gantool takes output['image']",)),
    Case("list in, tuple out", f"export --from more_nets:list_in --latent 32 {NONE}", says=("z goes in as a list", "gantool takes output[0]")),
    Case("image and latent", f"export --from stylegan2_like:image_and_latent --latent 64 {NONE}", says=("gantool takes output[0]",), slow=True),
    Case("channels last", f"export --from more_nets:nhwc --latent 32 {NONE}", says=("[N, H, W, C]", "32×32×3")),
    Case("one-hot", f"export --from more_nets:onehot --latent 32 --classes 10 {NONE}", says=("one-hot", "10 classes")),
    Case("flat", f"export --from more_nets:flat --latent 32 {NONE}", 1, ("[2, 784]", "images.view(-1, 1, 28, 28)"), ("--classes",)),
    Case("four channels", f"export --from vae_decoder:rgba --latent 16 {NONE}", says=("takes its four channels as RGBA", "28×28×4")),
    Case("latent of a Linear", f"export --from vae_decoder:tanh --latent 17 {NONE}", 1, ("vae_decoder.py:22", "--latent 16"), ("--classes",)),
    Case("latent of a convolution", f"export --from more_nets:depthwise --latent 30 {NONE}", 1, ("--latent 32",)),
    Case("latent beside a label", f"export --from ptgan_like:cgan --latent 90 --classes 10 {NONE}", 1, ("--latent 100",)),
    Case("latent of columns", f"export --from checkpoints:make --latent 64 {NONE}", 1, ("--latent 100",)),
    Case("label needed", f"export --from sngan_sagan_biggan:biggan --latent 60 {NONE}", 1, ("forward requires y", "add --classes")),
    Case("label not wanted", f"export --from ptgan_like:dcgan --latent 100 --classes 3 {NONE}", 1, ("leave out --classes",)),
    Case("three inputs", f"export --from ptgan_like:infogan --latent 62 --classes 10 {NONE}", 1, ("forward requires noise, labels, code",)),
    Case("alpha and depth", f"export --from progan_like:with_alpha --latent 64 {NONE}", 1, ("forward requires z, alpha, depth",)),
    Case("images in", f"export --from unet:make --latent 64 {NONE}", 1, ("takes images of 3 channels",)),
    Case("dropout", f"export --from more_nets:dropout_on --latent 32 {NONE}", 1, ("other images for the same z",)),
    Case("fresh noise", f"export --from stylegan2_like:fresh_noise --latent 64 {NONE}", 1, ("other images for the same z",)),
]  # fmt: skip

NOISE = ("step 1/3", "step 3/3", "Next steps", "def forward", "GraphModule")
CAUSES = [
    Case("groups of the batch", f"export --from stylegan2_like:grouped --latent 64 {NONE}", 1, ("stylegan2_like.py:41, `x = F.conv2d(", "conv2d has an argument that depends on the batch"), NOISE, slow=True),
    Case("an if on z", f"export --from more_nets:data_dependent --latent 32 {NONE}", 1, ("more_nets.py:205, `if z.abs().max() > 100:`", "torch.where"), NOISE),
    *(
        Case(f"module: {name}", f"export --from mine{index}:{function} --latent 4 {NONE}", 1, tuple(text.replace("mine", f"mine{index}") for text in says), ("Traceback",), module(f"mine{index}", code))
        for index, (name, function, code, says) in enumerate((
            ("missing function", "make", "def made(): ...", ("mine has no function make; it has made",)),
            ("factory fails", "make", "def make():\n    return {}['oh']", ("mine.py:4, `return {}['oh']`: KeyError: 'oh'",)),
            ("import fails", "make", "import kornia_of_nobody", ("mine.py:3, `import kornia_of_nobody`", "install kornia_of_nobody")),
            ("syntax", "make", "def make(:", ("mine.py:3", "SyntaxError")),
            ("script", "make", "import argparse\nargparse.ArgumentParser().parse_args(['--x'])", ("mine exits Python when it is imported", "__main__")),
            ("arguments", "make", "def make(size, channels=3): ...", ("make requires size", "def make(): return make(size=...)")),
            ("class returned", "make", "def make(): return nn.ReLU", ("returned the class ReLU", "return ReLU()")),
            ("nothing returned", "make", "def make(): nn.ReLU()", ("returned None", "is its return missing?")),
            ("two returned", "make", "def make(): return nn.ReLU(), nn.ReLU()", ("returned tuple", "return only the generator")),
            (
                "forward fails",
                "G",
                "class G(nn.Module):\n    def forward(self, z):\n        return self.lost(z)",
                ("mine.py:5, `return self.lost(z)`: AttributeError: 'G' object has no attribute 'lost'",),
            ),
        ))
    ),
    Case("no module", f"export --from nowhere:make --latent 4 {NONE}", 1, ("finds no module nowhere", "nowhere.py")),
    Case("a file for a module", f"export --from mine.py --latent 4 {NONE}", 2, ("--from mine:make",)),
]  # fmt: skip

KINDS = [
    Case(f"kind: {name}", f"export {name}", 1, says, ("Traceback",), prepare)
    for name, says, prepare in (
        ("nothere", ("does not exist", "gantool train"), None),
        ("plain.pth", ("is a PyTorch checkpoint", "--from pytorch-dcgan plain.pth"), checkpoint("plain.pth")),
        ("saved.tar", ("is a PyTorch checkpoint", "--from pytorch-dcgan saved.tar"), checkpoint("plain.pth", "saved.tar")),
        ("plain.safetensors", ("gantool train did not write", "--from"), checkpoint("plain.safetensors")),
        ("model.h5", ("HDF5", "export('g.onnx', format='onnx')"), written("model.h5", b"\x89HDF\r\n\x1a\n")),
        ("model.keras", ("is a Keras model", "format='onnx'"), written("model.keras", zipped("model.weights.h5"))),
        ("saved_model", ("SavedModel", "tf2onnx"), lambda f: ((f / "saved_model").mkdir(), (f / "saved_model/saved_model.pb").touch())),
        ("network.pkl", ("StyleGAN", "G_ema"), written("network.pkl", b"\x80\x03ctorch_utils.persistence\n")),
        ("icons.zip", ("is a zip archive of images", "gantool train --data icons.zip"), written("icons.zip", zipped("a.png", "b.png"))),
        ("images.tar", ("is a tar archive",), written("images.tar", tarred("0.png"))),
        ("apple.png", ("is a PNG image", "gantool train --data"), png),
        ("README.md", ("is a text file",), written("README.md", b"# gantool\n")),
        ("page.pth", ("is a web page",), written("page.pth", b"<!DOCTYPE html>")),
        ("g.plan", ("is a TensorRT plan", "gantool inspect g.plan"), written("g.plan", b"ftrt" + bytes(99))),
        ("yolo.engine", ("Ultralytics",), written("yolo.engine", struct.pack("<i", 20) + b'{"batch": 1}' + bytes(99))),
    )
] + [
    Case("kind: graph of another name", f"export g.bin -o g {NONE}", prepare=renamed_graph),
    Case("kind: png for a state_dict", f"{DCGAN} apple.png", 1, ("is a PNG image", "expected weights"), prepare=png),
    Case("kind: a run without a run", f"export {NONE}", 1, ("no run with a checkpoint in runs/",)),
]  # fmt: skip

T = '"w":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}'
LIES = {
    "metadata is a list": f'{{"__metadata__":{{"gantool":"[1]"}},{T}}}',
    "deep": f'{{"__metadata__":{{"gantool":"{"[" * 100_000}"}},{T}}}',
    "offsets are text": '{"__metadata__":{"gantool":"{}"},"w":{"dtype":"F32","shape":[16],"data_offsets":"ab"}}',
    "offsets are null": '{"__metadata__":{"gantool":"{}"},"w":{"dtype":"F32","shape":[16],"data_offsets":[0,null]}}',
    "no shape": '{"__metadata__":{"gantool":"{}"},"x.running_mean":{"dtype":"F32","data_offsets":[0,64]}}',
    "shape is text": '{"__metadata__":{"gantool":"{}"},"w":{"dtype":"F32","shape":"16","data_offsets":[0,64]}}',
    "digits": f'{{"__metadata__":{{"gantool":"{{}}"}},"w":{{"dtype":"F32","shape":[{"9" * 5000}],"data_offsets":[0,64]}}}}',
    "large shape": f'{{"__metadata__":{{"gantool":"{{}}"}},"w":{{"dtype":"F32","shape":[{"9" * 18},{"9" * 18}],"data_offsets":[0,64]}}}}',
}


def overflow(network: torch.nn.Module) -> None:
    for weight in network.parameters():
        torch.nn.init.uniform_(weight, -1.7e38, 1.7e38)


def no_variance(network: torch.nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d) and layer.running_var is not None:
            layer.running_var.fill_(-1)


OWN = [
    *(Case(f"inspect: {name}", "inspect c.safetensors", 1, ("damaged",), prepare=header(text)) for name, text in LIES.items()),
    *(Case(f"export: {name}", "export c.safetensors", 1, ("c.safetensors",), prepare=header(text)) for name, text in LIES.items()),
    Case("images_seen is text", "export c.safetensors", 1, ("'images_seen' is '12', expected a count",), prepare=generator(images_seen="12")),
    Case("images_seen is huge", "export c.safetensors", 1, ("expected a count",), prepare=generator(images_seen=10**400)),
    Case("overflow", f"export c.safetensors {NONE}", 1, ("NaN or infinity", "earlier checkpoint"), ("--fp16",), generator(overflow)),
    Case("variance -1", f"export c.safetensors {NONE}", 1, ("NaN or infinity", "earlier checkpoint"), ("--fp16",), generator(no_variance)),
]  # fmt: skip

CASES = [*CHECKPOINTS, *NETWORKS, *VALUES, *INTERFACES, *CAUSES, *KINDS, *OWN]

"""One DCGAN-like generator as ONNX in the forms that people bring (own code): python onnx_variants.py FOLDER"""

import sys
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn


class G(nn.Module):
    def __init__(self, classes=0, up="transposed", columns=True, end="tanh", two=False, onehot=False):
        super().__init__()
        self.table = nn.Embedding(classes, 16) if classes and not onehot else None
        extra = classes if onehot else 16 if classes else 0
        self.columns, self.two, self.onehot, self.end = columns, two, onehot, end

        def block(i, o):
            grow = (
                [nn.ConvTranspose2d(i, o, 4, 2, 1)]
                if up == "transposed"
                else [nn.Upsample(scale_factor=2, mode=up), nn.Conv2d(i, o, 3, 1, 1)]
            )
            return [*grow, nn.BatchNorm2d(o), nn.ReLU()]

        self.net = nn.Sequential(
            nn.ConvTranspose2d(64 + extra, 32, 4),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            *block(32, 16),
            *block(16, 16),
            nn.ConvTranspose2d(16, 3, 4, 2, 1),
        )

    def forward(self, z, y=None):
        x = z if self.columns else z[:, :, None, None]
        if y is not None:
            e = y if self.onehot else self.table(y)
            x = torch.cat([x.flatten(1), e], 1)[:, :, None, None]
        x = 3 * self.net(x)
        x = (
            torch.sigmoid(x)
            if self.end == "sigmoid"
            else torch.tanh(x)
            if self.end == "tanh"
            else 127.5 * (torch.tanh(x) + 1)
        )
        return (x, x.mean((1, 2, 3))) if self.two else x


def net(dtype=torch.float32, **k):
    torch.manual_seed(0)
    g = G(**k).train()
    with torch.no_grad():
        for _ in range(30):
            g(*inputs(g, 16))
    return g.eval().to(dtype)


def inputs(g, n=2, dtype=torch.float32):
    z = torch.randn(n, 64, 1, 1, dtype=dtype) if g.columns else torch.randn(n, 64, dtype=dtype)
    if g.onehot:
        return z, torch.eye(10, dtype=dtype)[torch.randint(0, 10, (n,))]
    return (z, torch.randint(0, 10, (n,))) if g.table is not None else (z,)


def export(path, g, opset=17, fixed=0, dtype=torch.float32, names=("z",), **k):
    outs = ["image", "score"] if g.two else ["image"]
    axes = None if fixed else {n: {0: "batch"} for n in (*names, *outs)}
    torch.onnx.export(
        g,
        inputs(g, fixed or 2, dtype),
        str(path),
        dynamo=False,
        opset_version=opset,
        input_names=list(names),
        output_names=outs,
        dynamic_axes=axes,
        **k,
    )


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for opset in (9, 11, 13, 20):
        export(out / f"opset{opset}.onnx", net(), opset)
        export(out / f"up_opset{opset}.onnx", net(up="nearest"), opset)
    export(out / "bilinear_opset11.onnx", net(up="bilinear"), 11)
    export(out / "initializers_as_inputs_opset9.onnx", net(), 9, keep_initializers_as_inputs=True)
    export(out / "fixed1.onnx", net(), fixed=1)
    export(out / "fixed4.onnx", net(), fixed=4)
    export(out / "double.onnx", net(torch.float64), dtype=torch.float64)
    export(out / "half.onnx", net(torch.float16), dtype=torch.float16)
    export(out / "sigmoid.onnx", net(end="sigmoid"))
    export(out / "levels255.onnx", net(end="255"))
    export(out / "two_outputs.onnx", net(two=True))
    export(out / "label64.onnx", net(classes=10, columns=False), names=("noise", "class"))
    export(out / "onehot.onnx", net(classes=10, columns=False, onehot=True), names=("noise", "onehot"))
    export(
        out / "training_mode.onnx",
        net().train(),
        training=torch.onnx.TrainingMode.TRAINING,
        do_constant_folding=False,
    )
    # dynamo's own, with weights beside
    g = net(columns=False)
    torch.onnx.export(
        g,
        inputs(g),
        str(out / "external.onnx"),
        dynamo=True,
        external_data=True,
        opset_version=18,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("b")},),
        input_names=["z"],
        output_names=["image"],
    )
    # everything dynamic, as some export scripts do
    torch.onnx.export(
        g,
        inputs(g),
        str(out / "all_dynamic.onnx"),
        dynamo=False,
        opset_version=17,
        input_names=["z"],
        output_names=["image"],
        dynamic_axes={"z": {0: "b", 1: "d"}, "image": {0: "b", 1: "c", 2: "h", 3: "w"}},
    )
    # external data whose file got lost

    (out / "lost").mkdir(exist_ok=True)
    m = onnx.load(out / "opset13.onnx")
    onnx.save(
        m,
        out / "lost/g.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="g.onnx.data",
        size_threshold=0,
    )
    (out / "lost/g.onnx.data").unlink()
    # float outside, half inside: as keep_io_types=True does
    m = onnx.load(out / "half.onnx")
    z, y = m.graph.input[0], m.graph.output[0]
    for v, name in ((z, "z32"), (y, "image32")):
        v.type.tensor_type.elem_type = TensorProto.FLOAT
    m.graph.node.insert(
        0, helper.make_node("Cast", ["z32"], [z.name], to=TensorProto.FLOAT16, name="cast_in")
    )
    m.graph.node.append(
        helper.make_node("Cast", [y.name], ["image32"], to=TensorProto.FLOAT, name="cast_out")
    )
    z.name, y.name = "z32", "image32"
    onnx.save(m, out / "half_inside.onnx")
    # not a generator at all
    torch.onnx.export(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)).eval(),
        (torch.randn(1, 3, 32, 32),),
        str(out / "classifier.onnx"),
        dynamo=False,
        input_names=["images"],
        output_names=["output0"],
    )
    (out / "truncated.onnx").write_bytes((out / "opset13.onnx").read_bytes()[:9000])
    (out / "html.onnx").write_text("<!DOCTYPE html><html>404</html>")

"""Pixel norm with 1e-8 behind a ReLU, exported by torch's old exporter, which keeps the epsilon: python epsilon_onnx.py OUT.onnx"""

import sys

import torch
from more_nets import masked_attention, pixel_norm_relu

for name, net in (("pn", pixel_norm_relu()), ("mask", masked_attention())):
    torch.onnx.export(
        net.eval(),
        (torch.randn(2, 32),),
        f"{sys.argv[1]}/{name}.onnx",
        dynamo=False,
        opset_version=17,
        input_names=["z"],
        output_names=["x"],
        dynamic_axes={"z": {0: "n"}, "x": {0: "n"}},
    )

"""The Keras DCGAN tutorial's shape (Dense 7*7*C, BN, LeakyReLU, three Conv2DTranspose 5×5, tanh), as tf2onnx writes it
(own code, numbers at random): python keras_like.py FOLDER"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

rng = np.random.RandomState(0)


def graph(
    style="same_pads",
    opset=13,
    batch="unk__6",
    z_shape=None,
    head="transpose_tanh",
    label=False,
    zname="input_1",
    keep_ids=True,
):
    nodes, inits = [], []

    def const(name, a):
        inits.append(nh.from_array(np.asarray(a), name))
        return name

    def node(op, ins, out, **k):
        nodes.append(h.make_node(op, ins, [out], name=out.split(":")[0], **k))
        return out

    w = lambda *s, f=1.0: (rng.randn(*s) * f).astype(np.float32)
    p = "StatefulPartitionedCall/sequential/"
    inputs = [h.make_tensor_value_info(zname, T.FLOAT, z_shape or [batch, 100])]
    x = zname
    if z_shape and len(z_shape) == 4:
        x = node("Reshape", [x, const("flat", np.array([-1, 100], np.int64))], p + "squeeze:0")
    if label:
        inputs.append(h.make_tensor_value_info("input_2", T.INT32, [batch, 1]))
        e = node("Gather", [const("table", w(10, 100)), "input_2"], p + "embedding:0", axis=0)
        e = node("Squeeze", [e, const("sq", np.array([1], np.int64))], p + "flatten:0")
        x = node("Mul", [x, e], p + "multiply:0")
    x = node(
        "MatMul",
        [x, const(p + "dense/MatMul/ReadVariableOp:0", w(100, 7 * 7 * 32, f=0.1))],
        p + "dense/MatMul:0",
    )
    x = node(
        "Mul", [x, const(p + "bn/mul:0", 1 + 0.2 * w(7 * 7 * 32))], p + "bn/batchnorm/mul_1:0"
    )  # BatchNorm over features: tf2onnx leaves mul and add
    x = node("Add", [x, const(p + "bn/sub:0", 0.2 * w(7 * 7 * 32))], p + "bn/batchnorm/add_1:0")
    x = node("LeakyRelu", [x], p + "leaky_re_lu/LeakyRelu:0", alpha=0.3)
    if keep_ids:  # tf2onnx computes the batch from the tensor
        s = node("Shape", [x], p + "reshape/Shape:0")
        s = node("Cast", [s], p + "reshape/cast:0", to=T.INT32)
        s = node(
            "Slice",
            [
                s,
                const("st", np.array([0], np.int64)),
                const("en", np.array([1], np.int64)),
                const("ax", np.array([0], np.int64)),
            ],
            p + "reshape/strided_slice:0",
        )
        s = node(
            "Concat",
            [s, const("hwc", np.array([7, 7, 32], np.int32))],
            p + "reshape/Reshape/shape_Concat:0",
            axis=0,
        )
        s = node("Cast", [s], p + "reshape/Reshape__10:0", to=T.INT64)
    else:
        s = const("shape", np.array([-1, 7, 7, 32], np.int64))
    x = node("Reshape", [x, s], p + "reshape/Reshape:0")
    x = node("Transpose", [x], p + "Transpose__20:0", perm=[0, 3, 1, 2])
    side, c = 7, 32
    for i, (o, stride) in enumerate(((24, 1), (16, 2), (1, 2))):
        side *= stride
        k = {"strides": [stride, stride], "kernel_shape": [5, 5]}
        if style == "output_shape":
            k |= {"output_shape": [side, side], "auto_pad": "SAME_LOWER"}
        elif style == "same_upper":
            k |= {"auto_pad": "SAME_UPPER"}
        elif style == "valid_slice":  # older tf2onnx: whole result, then a slice
            k |= {"pads": [0, 0, 0, 0]}
        else:
            total = (side // stride - 1) * stride + 5 - side
            a, b = total // 2, total - total // 2
            k |= {"pads": [a, a, b, b]}
        y = node(
            "ConvTranspose",
            [x, const(p + f"conv{i}/kernel:0", w(c, o, 5, 5, f=0.06))],
            p + f"conv2d_transpose_{i}:0",
            **k,
        )
        if style == "valid_slice":
            total = (side // stride - 1) * stride + 5 - side
            a = total // 2
            y = node(
                "Slice",
                [
                    y,
                    const(f"s{i}", np.array([a, a], np.int64)),
                    const(f"e{i}", np.array([a + side, a + side], np.int64)),
                    const(f"a{i}", np.array([2, 3], np.int64)),
                ],
                p + f"slice_{i}:0",
            )
        if i < 2:
            y = node(
                "BatchNormalization",
                [
                    y,
                    const(f"g{i}", 1 + 0.1 * w(o)),
                    const(f"b{i}", 0.1 * w(o)),
                    const(f"m{i}", 0.1 * w(o)),
                    const(f"v{i}", 0.3 + 0 * w(o)),
                ],
                p + f"bn_{i}/FusedBatchNormV3:0",
                epsilon=0.001,
            )
            y = node("LeakyRelu", [y], p + f"leaky_{i}:0", alpha=0.3)
        x, c = y, o
    out = [batch, 28, 28, 1]
    if head == "transpose_tanh":
        x = node("Transpose", [x], p + "Transpose__40:0", perm=[0, 2, 3, 1])
        x = node("Tanh", [x], "conv2d_transpose_2")
    elif head == "sigmoid":
        x = node("Transpose", [x], p + "Transpose__40:0", perm=[0, 2, 3, 1])
        x = node("Sigmoid", [x], "conv2d_transpose_2")
    elif head == "squeezed":  # [N, 28, 28]: a last Reshape without a channel
        x = node("Tanh", [x], p + "tanh:0")
        x = node("Reshape", [x, const("osh", np.array([-1, 28, 28], np.int64))], "conv2d_transpose_2")
        out = [batch, 28, 28]
    else:
        x = node("Tanh", [x], p + "tanh:0")
        x = node("Transpose", [x], "conv2d_transpose_2", perm=[0, 2, 3, 1])
    if not isinstance(batch, int) and head != "squeezed" and head == "unknown":
        out = ["unk__7", "unk__8", "unk__9", 1]
    g = h.make_graph(nodes, "tf2onnx", inputs, [h.make_tensor_value_info(x, T.FLOAT, out)], inits)
    m = h.make_model(
        g,
        producer_name="tf2onnx",
        producer_version="1.16.1",
        opset_imports=[h.make_opsetid("", opset)],
        ir_version=7,
    )
    onnx.checker.check_model(m)
    return m


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, k in {
        "tutorial": {},
        "same_upper": {"style": "same_upper"},
        "output_shape": {"style": "output_shape"},
        "valid_slice": {"style": "valid_slice"},
        "colon_names": {"zname": "dense_input:0"},
        "fixed1": {"batch": 1, "keep_ids": False},
        "sigmoid": {"head": "sigmoid"},
        "label": {"label": True},
        "z1x1": {"z_shape": ["unk__6", 1, 1, 100]},
        "squeezed": {"head": "squeezed"},
        "tail_transpose": {"head": "tail"},
    }.items():
        onnx.save(graph(**k), out / f"{name}.onnx")

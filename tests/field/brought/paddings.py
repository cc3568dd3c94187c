"""Generators that leave paddings to whoever runs them, with sizes that they compute (own code): python paddings.py FOLDER"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

rng = np.random.RandomState(0)


def graph(mode="SAME_UPPER", output_padding=None, computed=True, kernel=5, stride=2, said=True, inner=False):
    """Dense, [N, 8, 7, 7], ConvTranspose, Conv, tanh; the 7 `computed` from the number of columns."""
    nodes, inits = [], []

    def const(name, a):
        inits.append(nh.from_array(np.asarray(a), name))
        return name

    def w(*s):
        return (rng.randn(*s) * 0.1).astype(np.float32)

    nodes.append(h.make_node("MatMul", ["noise", const("dense_w", w(20, 7 * 7 * 8))], ["x"], name="dense"))
    if computed:
        nodes += [
            h.make_node("Shape", ["x"], ["s"]),
            h.make_node("Cast", ["s"], ["sf"], to=T.FLOAT),
            h.make_node("Gather", ["sf", const("one", np.array([1]))], ["columns"], axis=0),
            h.make_node("Div", ["columns", const("eight", np.array([8], np.float32))], ["area"]),
            h.make_node("Sqrt", ["area"], ["root"]),
            h.make_node("Cast", ["root"], ["side"], to=T.INT64),
            h.make_node(
                "Concat",
                [const("any", np.array([-1])), const("channels", np.array([8])), "side", "side"],
                ["shape"],
                axis=0,
            ),
        ]
    else:
        const("shape", np.array([-1, 8, 7, 7]))
    nodes.append(h.make_node("Reshape", ["x", "shape"], ["y"], name="reshape"))
    a = {"strides": [stride, stride], "auto_pad": mode}
    a |= {"kernel_shape": [kernel, kernel]} if said else {}
    a |= {"output_padding": output_padding} if output_padding else {}
    up = h.make_node("ConvTranspose", ["y", const("up_w", w(8, 8, kernel, kernel))], ["up"], name="up", **a)
    if inner:  # in both branches of an If, which z decides
        value = h.make_tensor_value_info("up", T.FLOAT, None)
        before = [h.make_node("Relu", ["y"], ["inside"])] if inner == "deep" else []
        up.input[0] = "inside" if before else "y"
        branch = h.make_graph([*before, up], "branch", [], [value])
        nodes += [
            h.make_node("ReduceMax", ["noise"], ["most"], keepdims=0),
            h.make_node("Greater", ["most", const("low", np.array(-1000, np.float32))], ["true"]),
            h.make_node("If", ["true"], ["up"], name="if", then_branch=branch, else_branch=branch),
        ]
    else:
        nodes.append(up)
    a = {"kernel_shape": [3, 3]} if said else {}
    nodes.append(
        h.make_node(
            "Conv", ["up", const("c_w", w(1, 8, 3, 3))], ["c"], name="conv", auto_pad="SAME_UPPER", **a
        )
    )
    nodes.append(h.make_node("Tanh", ["c"], ["img"], name="tanh"))
    ends = (("noise", ["N", 20]), ("img", ["N", 1, "H", "W"]))
    value, image = (h.make_tensor_value_info(name, T.FLOAT, shape) for name, shape in ends)
    return h.make_model(
        h.make_graph(nodes, "g", [value], [image], inits),
        opset_imports=[h.make_opsetid("", 13)],
        ir_version=8,
    )


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, k in {
        "computed": {},
        "computed_lower": {"mode": "SAME_LOWER"},
        "no_kernel": {"said": False},
        "output_padding": {"output_padding": [1, 1], "computed": False},
        "output_padding_lower": {"output_padding": [1, 0], "computed": False, "mode": "SAME_LOWER"},
        "output_padding_computed": {"output_padding": [1, 1]},
        "valid_output_padding": {"output_padding": [1, 0], "mode": "VALID"},
        "gaps": {"kernel": 2, "stride": 3},
        "inner": {"inner": True},
        "inner_deep": {"inner": "deep"},
    }.items():
        onnx.save(graph(**k), out / f"{name}.onnx")

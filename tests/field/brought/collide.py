"""A sound graph whose inner values happen to be called z, label and images (own code): python collide.py OUT.onnx WHICH"""

import sys

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

inner = sys.argv[2]
r = np.random.RandomState(0)
w = [
    nh.from_array(r.randn(16, 192).astype(np.float32) * 0.3, "w"),
    nh.from_array(np.array([-1, 3, 8, 8], np.int64), "s"),
]
nodes = [
    h.make_node("MatMul", ["noise", "w"], [inner]),
    h.make_node("Tanh", [inner], ["t"]),
    h.make_node("Reshape", ["t", "s"], ["picture"]),
]
g = h.make_graph(
    nodes,
    "g",
    [h.make_tensor_value_info("noise", T.FLOAT, ["n", 16])],
    [h.make_tensor_value_info("picture", T.FLOAT, ["n", 3, 8, 8])],
    w,
)
m = h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(m, full_check=True)
onnx.save(m, sys.argv[1])

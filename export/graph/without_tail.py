"""Cut the uint16 tail off a graph: TensorRT has no such type, so its engine gives floats and the runtime rounds."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from gantool.export.graph.names import TAIL_16


def without_tail(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a graph whose images, uint16 [N, H, W, C], are floats [N, C, H, W] in [-1, 1].

    Returns any other graph as it is.
    """
    tail = [node for node in model.graph.node if node.name.startswith(f"{TAIL_16}/")]
    if not tail:
        return model
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    nodes = [node for node in cut.graph.node if not node.name.startswith(f"{TAIL_16}/")]
    made = {name for node in nodes for name in node.output}
    (floats,) = [name for name in tail[0].input if name in made]
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = ["images" if name == floats else name for name in names]
    del cut.graph.node[:]
    cut.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    weights = [weight for weight in cut.graph.initializer if weight.name in read]
    del cut.graph.initializer[:]
    cut.graph.initializer.extend(weights)
    batch, height, width, channels = (
        dim.dim_param or dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim
    )
    del cut.graph.value_info[:]
    del cut.graph.output[:]
    shape = [batch, channels, height, width]
    cut.graph.output.append(helper.make_tensor_value_info("images", TensorProto.FLOAT, shape))
    return cut

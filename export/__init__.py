"""Graph, precision, engine, and the proof of each: checkpoint -> ONNX -> plan. To call it is `pipeline.export`."""

from gantool.runtime.rooms import make_callable

make_callable(__name__, "gantool.export.pipeline")

"""Export a checkpoint to ONNX and a plan, and verify each. Calling this package calls `pipeline.export`."""

from gantool.runtime.rooms import make_callable

make_callable(__name__, "gantool.export.pipeline")

"""TensorRT 10.3 for a process on the stand-in driver: a plan is a header and the graph that it was built from."""

from helpers.fake_tensorrt import DataType, FakeTensorRT, ILogger, TensorIOMode, World

__version__ = "10.3.0.30"
Runtime = FakeTensorRT(World(), __version__).Runtime
__all__ = ["DataType", "ILogger", "Runtime", "TensorIOMode"]

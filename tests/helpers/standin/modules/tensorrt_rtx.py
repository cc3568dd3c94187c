"""TensorRT-RTX 1.7 for a process on the stand-in driver: a plan is a header and the graph it was built from."""

from helpers.fake_tensorrt import CudaGraphStrategy, DataType, FakeTensorRT, ILogger, TensorIOMode, World

__version__ = "1.7.1.116"
Runtime = FakeTensorRT(World(), __version__).Runtime
__all__ = ["CudaGraphStrategy", "DataType", "ILogger", "Runtime", "TensorIOMode"]

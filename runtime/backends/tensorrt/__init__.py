"""TensorRT and TensorRT-RTX. May import the engine library and cuda-bindings."""

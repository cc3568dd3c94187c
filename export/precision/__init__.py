"""FP16, BF16 and INT8, and their verification. May import onnx and ONNX Runtime, never torch."""

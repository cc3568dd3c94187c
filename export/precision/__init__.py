"""FP16, BF16 and INT8, and the proof of each. May import onnx and ONNX Runtime, never torch."""

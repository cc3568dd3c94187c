"""Make ONNX graphs from generators. May import torch and onnx."""

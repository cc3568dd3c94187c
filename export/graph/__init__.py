"""Generators become ONNX graphs. May import torch and onnx."""

"""Graph, precision, engine, and the proof of each: checkpoint -> ONNX -> plan."""

"""Plans from graphs, on the device. May import TensorRT alone."""

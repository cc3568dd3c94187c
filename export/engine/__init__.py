"""Build plans from graphs, on the device. Of the libraries, may import only TensorRT."""

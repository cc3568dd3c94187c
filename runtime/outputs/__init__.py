"""Output formats of images: files, arrays, shards, raw frames. May import NumPy and Pillow."""

"""Bundles and model repositories. May import NumPy and Pillow."""

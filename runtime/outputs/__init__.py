"""What images become: files, arrays, shards, raw bytes. May import NumPy and Pillow."""

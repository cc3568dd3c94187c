"""Images in train/ and val/ splits with the classes below, as ImageNet-like sets come (own code): python class_folders.py FOLDER"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

root, rng = Path(sys.argv[1]), np.random.RandomState(0)
for split, n in (("train", 12), ("val", 4)):
    for c, name in enumerate(("cat", "dog", "fox")):
        folder = root / split / name
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(n):
            a = np.full((32, 32, 3), 40 + 80 * c, np.uint8)
            a[rng.randint(28) :, rng.randint(28) :] = rng.randint(0, 255, 3)
            Image.fromarray(a).save(folder / f"{i}.png")

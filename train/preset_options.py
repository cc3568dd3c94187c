"""The training options of each preset, and how long it needs. models/presets.py has the networks."""

from typing import Any

# A weak R1 penalty every eighth step. Without it, conditional runs of dcgan28 and dcgan64 made one image of each
# class. Fréchet distance without -> with it, 16 channels, after the same minutes: dcgan28 on Fashion-MNIST 65 -> 3
# with classes, 32 -> 27 without; dcgan64 on 3,786 emoji 597 -> 127 with classes, 363 -> 192 without. Others were
# not measured, but dcgan5-32 with classes: after 89 kimg, at its low rate, it still made one image of each class.
_R1 = {"r1": 0.5, "lazy": 8}

# The training options of presets that differ from the defaults.
TRAINING: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("dcgan16", "dcgan28", "dcgan64", "dcgan128", "dcgan256", "dcgan5-32"), _R1),
    # Many small steps: on a CPU, quality comes sooner than with large batches, and the EMA removes the noise.
    # Without R1, the discriminator soon classifies all images correctly, and the distance stays four times as
    # large.
    "dcgan32": {"batch": 16, "lr": 0.0008, "ema_kimg": 10.0, **_R1},
    "r3gan32": {"loss": "relativistic"},
    "r3gan64": {"loss": "relativistic"},
    "resnet32": {"loss": "hinge"},
    "resnet64": {"loss": "hinge"},
    # Tried on 3,786 emoji. Half the width trains 2.5 times as many images a second, and takes twice the rate: at
    # half of that rate, the distance after 40 kimg was half as large again, at twice of it larger too. The
    # discriminator's lower rate and the larger R1 keep it from winning; the slower EMA takes out the noise of the
    # rate, a sixth of the distance. Augmentation is for long runs, which memorize few images. No mirror: icons have
    # letters and arrows.
    "small": {
        "augment": "ada",
        "lr": 0.0016,
        "lr_d": 0.0008,
        "r1": 2.0,
        "lazy": 8,
        "batch": 16,
        "kimg": 2000.0,
        "ema_kimg": 20.0,
        "ema_rampup": 0.2,
    },
}

# How many kimg a preset needs until images are recognizable. Measured only for dcgan32 (Fashion-MNIST: blurred
# clothes after 13, good ones after 40 to 90) and for small (emoji: blobs after 20, faces with eyes after 80). The
# others are extrapolated by size and depth: orders of magnitude.
RECOGNIZABLE_KIMG = {
    "dcgan16": 30,
    "dcgan28": 50,
    "dcgan32": 50,
    "dcgan5-32": 100,
    "dcgan64": 300,
    "dcgan128": 1000,
    "dcgan256": 2000,
    "small": 80,
    "resnet32": 200,
    "resnet64": 500,
    "r3gan32": 200,
    "r3gan64": 500,
}

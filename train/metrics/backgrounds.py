"""Compare transparent images on two backgrounds: what is white on white shows on black."""

from __future__ import annotations

import numpy as np

from gantool.runtime.spec import Images

BACKGROUNDS = (255, 0)  # levels of white and black


def laid_on(images: Images, level: int) -> Images:
    """Lay straight RGBA, uint8 [N, H, W, 4], on grey of this level; return uint8 [N, H, W, 3]."""
    colours, alpha = images[..., :3].astype(np.int32), images[..., 3:].astype(np.int32)
    return ((colours * alpha + level * (255 - alpha) + 127) // 255).astype(np.uint8)

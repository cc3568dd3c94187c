"""A walk through the latent space, in a window of OpenCV or in a video file. See README.md.

python walk.py g.onnx                     # a window; q or Esc ends it
python walk.py g.onnx --out walk.avi      # one round, as a file
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import gantool
from gantool.runtime.outputs.images import over_colour
from gantool.runtime.seeds import parse_seeds
from gantool.runtime.spec import Images

WHITE = (255, 255, 255)
SWAP = {1: cv2.COLOR_GRAY2BGR, 3: cv2.COLOR_RGB2BGR}
Frame = NDArray[np.uint8]  # BGR, [H, W, 3]


def frame_of(image: Images, side: int) -> Frame:
    """Return an image of gantool, [H, W, C], as OpenCV wants it: 8 bits, BGR, `side` pixels on its longer side."""
    eight: Images = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image
    if eight.shape[2] == 4:
        eight = over_colour(eight, WHITE)  # [H, W, 3]
    scale = side / max(eight.shape)
    frame = cv2.cvtColor(eight, SWAP[eight.shape[2]])  # [H, W, 3]
    return np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)


def show(generator: gantool.Generator, options: argparse.Namespace) -> None:
    """Show the walk, round after round, until q or Esc is pressed."""
    try:
        cv2.namedWindow("gantool")
    except cv2.error:
        sys.exit("this OpenCV has no windows: pip install opencv-python, or give --out walk.avi")
    while True:
        for images in generator.generate(options.walk, batch=8):
            for image in images:
                cv2.imshow("gantool", frame_of(image, options.side))
                if cv2.waitKey(round(1000 / options.fps)) & 0xFF in (ord("q"), 27):
                    cv2.destroyAllWindows()
                    return


def write(generator: gantool.Generator, options: argparse.Namespace) -> None:
    """Write one round of the walk to a file: Motion JPEG, which every OpenCV can write."""
    video = None
    for images in generator.generate(options.walk, batch=8):
        for image in images:
            frame = frame_of(image, options.side)
            if video is None:
                size = (frame.shape[1], frame.shape[0])
                video = cv2.VideoWriter(str(options.out), cv2.VideoWriter.fourcc(*"MJPG"), options.fps, size)
                if not video.isOpened():
                    sys.exit(
                        f"OpenCV cannot write {options.out}: name it as in walk.avi, in a folder that exists"
                    )
            video.write(frame)
    if video:
        video.release()


def main() -> None:
    """Load an engine, and walk."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", help="g.onnx, g.plan or g.rtx.plan")
    parser.add_argument(
        "--seeds", default="0~1~2~3~0", help="the walk; one that ends where it begins is a loop"
    )
    parser.add_argument("--steps", type=int, default=30, help="images of each leg")
    parser.add_argument("--fps", type=float, default=30, help="images a second")
    parser.add_argument("--side", type=int, default=512, help="pixels of the longer side")
    parser.add_argument("--out", type=Path, help="walk.avi, instead of a window")
    options = parser.parse_args()
    try:
        options.walk = parse_seeds(options.seeds, options.steps)
        with gantool.Generator.load(options.engine) as generator:
            (write if options.out else show)(generator, options)
    except gantool.GantoolError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

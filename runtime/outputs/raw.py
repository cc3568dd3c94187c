"""Raw frames to stdout: the pixels of one image after another, for another program to read."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.items import Item, Items
from gantool.runtime.outputs.base import Sample, Target, Write
from gantool.runtime.spec import Images, Spec

# Names of a kind of pixels in FFmpeg and GStreamer, by channels and bits.
_PIXELS = {
    (1, 8): ("gray", "gray8"),
    (1, 16): ("gray16le", "gray16-le"),
    (3, 8): ("rgb24", "rgb"),
    (4, 8): ("rgba", "rgba"),
}
NO_MARK = "raw frames have no mark that a generator made them: --mark none hides this line"


class RawFrames:
    """An Output that writes pixels to stdout. It cannot resume."""

    def __init__(self, target: Target, items: Items, spec: Spec) -> None:  # noqa: ARG002
        self.found = self.written = 0
        self._items = items

    def existing(self) -> Path | None:
        """Return None: nothing is overwritten."""
        return None

    def pending(self) -> Iterator[Item]:
        """Return all items."""
        return iter(self._items)

    def sample(self) -> Iterator[Sample]:
        """Yield nothing."""
        return iter(())

    @contextmanager
    def open(self) -> Iterator[Write]:
        """Write pixels. `write` raises GantoolError if the program that reads them has ended."""

        def write(items: Sequence[Item], images: Images) -> None:  # noqa: ARG001
            write_pixels(images, self.written)
            self.written += len(images)

        yield write


class RawFilm:
    """The frames of a film, to stdout."""

    def __init__(self) -> None:
        self._frames = 0

    def add(self, frame: Images) -> None:
        """Write the pixels of the next frame. Raises GantoolError if the program that reads them has ended."""
        write_pixels(frame, self._frames)
        self._frames += 1

    def close(self) -> None:
        """Do nothing: the pixels are written."""


def check_stdout(instead: str) -> None:
    """Raise UsageError if raw frames have nowhere to go; `instead`: what `out` takes, a folder or a file."""
    if sys.stdout is None:
        raise UsageError(f"raw frames go to stdout, which is closed: give a {instead} with `out`")
    if sys.stdout.isatty():
        raise UsageError("raw frames go to a program, not to a terminal: | ffplay -f rawvideo ...")


def write_pixels(images: Images, before: int) -> None:
    """Write pixels to stdout. Raises GantoolError, with the number of images `before`, if its reader has ended."""
    stdout = sys.stdout.buffer
    try:
        stdout.write(np.ascontiguousarray(images, images.dtype.newbyteorder("<")).data)
        stdout.flush()
    except BrokenPipeError as error:
        raise GantoolError(
            f"the program that reads the frames ended after {before:,} or a few more"
        ) from error


def players(height: int, width: int, channels: int, bits: int = 8, fps: float = 25) -> str:
    """Return commands that play raw frames; each begins with a pipe."""
    ffmpeg, gstreamer = _PIXELS[channels, bits]
    size = f"width={width} height={height}"
    return (
        f"  | ffplay -f rawvideo -pixel_format {ffmpeg} -video_size {width}x{height} -framerate {fps:g} -\n"
        f"  | gst-launch-1.0 fdsrc ! rawvideoparse {size} format={gstreamer} framerate={round(fps * 1000)}/1000 ! "
        "videoconvert ! autovideosink"
    )

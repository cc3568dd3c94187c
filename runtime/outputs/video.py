"""MP4 (H.264) and WebM (VP9) by PyAV, which bundles FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

from gantool.runtime.errors import MissingDependencyError
from gantool.runtime.outputs.animation import Film
from gantool.runtime.provenance.films import WEBM_TAG, mp4_box
from gantool.runtime.spec import Images

CODECS = {".mp4": ("libx264", {"crf": "16"}), ".webm": ("libvpx-vp9", {"crf": "24", "b": "0"})}


class Video:
    """A video file of opaque frames. Their sides are even: the pixel format that every player takes requires it."""

    def __init__(self, path: Path, film: Film, threads: int) -> None:
        try:
            self._av: Any = import_module("av")
        except ModuleNotFoundError as error:
            raise MissingDependencyError("av", "video", f"writing {path.suffix}") from error
        codec, options = CODECS[path.suffix.lower()]
        self._path, self._packet = path, film.packet
        self._file = self._av.open(str(path), "w")
        self._file.flags |= self._av.container.Flags.bitexact.value  # a WebM has random numbers otherwise
        if film.packet is not None and path.suffix.lower() == ".webm":
            self._file.metadata[WEBM_TAG] = film.packet.decode()
        self._stream = self._file.add_stream(codec, rate=Fraction(film.fps).limit_denominator(1000))
        self._stream.width, self._stream.height = film.width, film.height
        self._stream.pix_fmt, self._stream.options = "yuv420p", options
        self._stream.codec_context.thread_count = threads
        self._format = "gray8" if film.channels == 1 else "rgb24"

    def add(self, frame: Images) -> None:
        """Write the next frame, uint8 [H, W, 1 or 3]."""
        pixels = frame[:, :, 0] if frame.shape[2] == 1 else frame
        with _plain_errors():
            picture = self._av.VideoFrame.from_ndarray(pixels, format=self._format)
            self._file.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Write the end of the file."""
        with _plain_errors():
            self._file.mux(self._stream.encode())
            self._file.close()
        if self._packet is not None and self._path.suffix.lower() == ".mp4":
            with self._path.open("ab") as file:
                file.write(mp4_box(self._packet))

    def free(self) -> None:
        """Free the encoder and its threads, whole film or not: an error would keep them."""
        with suppress(OSError):  # closing twice does nothing
            self._file.close()
        del self._stream, self._file


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn PyAV's OSErrors, whose file name cannot be set, into Python's: a full disk, for example."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror) from error

"""An opened source of images, and the rules for which files in it are images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import Image

from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import message_of, printable
from gantool.train.data.decode import KINDS, SUFFIXES
from gantool.train.data.labels import Labels, outside

MIN_IMAGES = 16  # least number of images in a data set
MAX_FILE_BYTES = 256 << 20  # of one image, unpacked
_LONGEST = 160  # characters of a name in a message
EXPECTED = (
    f"a folder of images ({KINDS}), a .zip or .tar of them, an .npy or .npz, or the known name fashion-mnist"
)


@dataclass(frozen=True)
class Listing:
    """An opened source."""

    names: list[str]  # files that may be images, in order
    read: Callable[[int], Image.Image]  # opens a file by index, in any thread; can raise any error
    others: Counter[str] = field(default_factory=Counter)  # number of other files by kind
    labels: Callable[[], Labels | None] = lambda: None  # labels of all `names`; raises GantoolError
    tiny: bool = False  # the images are so small that decoding them in threads is slower


def hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or was created by an operating system."""
    return name.startswith(".") or name == "__MACOSX"


def wanted(name: str) -> bool:
    """Return whether a file is an image by its suffix."""
    return name.lower().endswith(SUFFIXES) and not hidden(name)


def nameless(name: str) -> bool:
    """Return whether a file has no suffix for its kind. Caches and object stores use such names."""
    return not hidden(name) and not re.search(r"\.[A-Za-z][A-Za-z0-9]{0,9}$", name)


def kind(name: str) -> str:
    """Return the kind under which a file that is not read is counted: its suffix."""
    suffix = PurePosixPath(name).suffix.lower()
    return f"{printable(suffix)[:12]} files" if suffix and not nameless(name) else "files without suffix"


def shown(name: str) -> str:
    """Return a printable and shortened name for a message."""
    text = printable(name)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


def candidate(name: str) -> bool:
    """Return whether a member of an archive is an image by its name."""
    parts = name.split("/")
    # a name that points outside of the archive is listed too, so that it is reported as skipped
    return wanted(parts[-1]) and (outside(name) or not any(map(hidden, parts)))


def check_size(size: int) -> None:
    """Raise ValueError for an image file of too many bytes."""
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{size:,} bytes are over the limit of {MAX_FILE_BYTES:,}")


def read_labels_file(where: str, size: int, read: Callable[[], bytes]) -> bytes:
    """Return the bytes of a dataset.json of `size` bytes. Raises GantoolError if it is too large or unreadable."""
    if size > MAX_FILE_BYTES:
        raise GantoolError(f"{where} has {size:,} bytes, over the limit of {MAX_FILE_BYTES:,}: leave it out")
    try:
        return read()
    except Exception as error:  # for a damaged member, zipfile and zlib can raise any error
        raise GantoolError(
            f"{where} cannot be read ({message_of(error)}): correct it, or leave labels out with gantool data "
            "--no-labels"
        ) from error


def shown_others(others: Counter[str]) -> str:
    """Return the counts as text, the most frequent kinds first: "24 .heic files, 2 .txt files"."""
    listed = [
        f"{count:,} {name if count > 1 else name.replace('files', 'file')}"
        for name, count in others.most_common(5)
    ]
    more = sum(others.values()) - sum(count for _, count in others.most_common(5))
    return ", ".join([*listed, *([f"{more:,} other{'s' if more > 1 else ''}"] if more else [])])


def no_images(source: str, others: Counter[str]) -> GantoolError:
    """Return the error for a source without images."""
    found = f"; it has {shown_others(others)}" if others else ""
    hint = instead(source, others) or "give another one, or convert them"
    return GantoolError(f"{source} holds no images{found}. Images are {KINDS}: {hint}")


def instead(source: str, others: Counter[str]) -> str:
    """Return advice if a source has archives or arrays in it instead of images, else ""."""
    inside = next((each for each in (".zip", ".tar", ".npy", ".npz") if f"{each} files" in others), None)
    if inside is None:
        return ""
    return f"name the {inside} itself" if Path(source).is_dir() else f"unpack {source}, and name the {inside}"

"""An opened source of images, and which names in it count."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import Image

from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import printable
from gantool.train.data.decode import KINDS, SUFFIXES
from gantool.train.data.labels import Labels, outside

MIN_IMAGES = 16  # fewer make no batch
MAX_FILE_BYTES = 256 << 20  # of one image, unpacked
_LONGEST = 160  # letters of a name that are shown
EXPECTED = (
    f"a folder of images ({KINDS}), a .zip or .tar of them, an .npy or .npz, or the known name fashion-mnist"
)


@dataclass(frozen=True)
class Listing:
    """An opened source."""

    names: list[str]  # of the candidates, in order
    read: Callable[[int], Image.Image]  # by index, from any thread; raises anything for a broken file
    others: Counter[str] = field(default_factory=Counter)  # files that are not even candidates, by kind
    labels: Callable[[], Labels | None] = lambda: None  # of the candidates, in order; raises if damaged
    tiny: bool = False  # images so small that threads would only wait for each other


def hidden(name: str) -> bool:
    """Say whether a file or folder is one that systems put there."""
    return name.startswith(".") or name == "__MACOSX"


def wanted(name: str) -> bool:
    """Say whether a file is an image by its name."""
    return name.lower().endswith(SUFFIXES) and not hidden(name)


def nameless(name: str) -> bool:
    """Say whether a file has no suffix that could tell its kind, as caches and object stores name files."""
    return not hidden(name) and not re.search(r"\.[A-Za-z][A-Za-z0-9]{0,9}$", name)


def kind(name: str) -> str:
    """Return how files that are not read are counted: their suffix."""
    suffix = PurePosixPath(name).suffix.lower()
    return f"{printable(suffix)[:12]} files" if suffix and not nameless(name) else "files without suffix"


def shown(name: str) -> str:
    """Return a name for a line of text: printable, and not as long as a path may be."""
    text = printable(name)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


def candidate(name: str) -> bool:
    """Say whether a member of an archive is an image by its name."""
    parts = name.split("/")
    # one that points outside is listed, so that it is named among what was skipped
    return wanted(parts[-1]) and (outside(name) or not any(map(hidden, parts)))


def check_size(size: int) -> None:
    """Raise ValueError for an image of too many bytes."""
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{size:,} bytes are over the limit of {MAX_FILE_BYTES:,}")


def read_labels_file(where: str, size: int, read: Callable[[], bytes]) -> bytes:
    """Return the bytes of a dataset.json. Raises GantoolError if it cannot be read, whatever the reason."""
    if size > MAX_FILE_BYTES:
        raise GantoolError(f"{where} has {size:,} bytes, over the limit of {MAX_FILE_BYTES:,}: leave it out")
    try:
        return read()
    except Exception as error:  # a damaged member can bring any error out of zipfile and zlib
        reason = printable(str(error))[:200] or type(error).__name__
        raise GantoolError(
            f"{where} cannot be read ({reason}): mend it, or leave labels out with gantool data --no-labels"
        ) from error


def shown_others(others: Counter[str]) -> str:
    """Return "24 .heic files, 2 .txt files", the most frequent kinds first."""
    listed = [
        f"{count:,} {name if count > 1 else name.replace('files', 'file')}"
        for name, count in others.most_common(5)
    ]
    more = sum(others.values()) - sum(count for _, count in others.most_common(5))
    return ", ".join([*listed, *([f"{more:,} other{'s' if more > 1 else ''}"] if more else [])])


def no_images(source: str, others: Counter[str]) -> GantoolError:
    """Return the error for a source without a single candidate: what was found, and what is read."""
    found = f"; it has {shown_others(others)}" if others else ""
    hint = instead(source, others) or "give another one, or convert them"
    return GantoolError(f"{source} holds no images{found}. Images are {KINDS}: {hint}")


def instead(source: str, others: Counter[str]) -> str:
    """Return what to give in place of a source that holds an archive or an array; "" where it holds none."""
    inside = next((each for each in (".zip", ".tar", ".npy", ".npz") if f"{each} files" in others), None)
    if inside is None:
        return ""
    return f"name the {inside} itself" if Path(source).is_dir() else f"unpack {source}, and name the {inside}"

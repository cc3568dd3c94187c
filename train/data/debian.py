"""Make sure that Fashion-MNIST is on this machine; `make demo` runs this.

It has one more source than `gantool train`: if HTTPS downloads are blocked but a Debian archive can be reached, it
downloads the package dataset-fashion-mnist and unpacks it into the cache, without installing it.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gantool.runtime.cache import cache_dir
from gantool.runtime.errors import GantoolError
from gantool.runtime.files import atomic
from gantool.train.data.fashion_mnist import (
    FILE,
    LABELS_FILE,
    NAME,
    SYSTEM_FOLDER,
    find_fashion_mnist,
    find_labels,
)

PACKAGE = "dataset-fashion-mnist"
# without this option, apt warns root that its own user cannot write to our folder
DOWNLOAD = ("apt-get", "-o", "APT::Sandbox::User=root", "download", PACKAGE)

_log = logging.getLogger("gantool.train.data.debian")  # __name__ is __main__ here


def main() -> int:
    """Find, download or unpack the data set; return the exit code."""
    try:
        images = find_fashion_mnist()
        if find_labels(images) or images.parent != cache_dir() / NAME:
            print(f"Fashion-MNIST: {images}")
            return 0
        missing = f"no labels beside {images}: gantool evaluate works without them"
        exit_code = 0
    except GantoolError as error:
        missing, exit_code = str(error), error.exit_code
    try:
        print(f"Fashion-MNIST: {_from_debian()}")
    except (OSError, ValueError, subprocess.CalledProcessError) as failure:
        _log.error("%s\nDebian's package is not available either: %s", missing, failure)
        return exit_code
    return 0


def _from_debian() -> Path:
    """Download Debian's package, and extract the training images and their labels."""
    kept = cache_dir() / NAME
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # apt downloads as its own user
        try:
            _run(folder, *DOWNLOAD)
        except subprocess.CalledProcessError:  # on a new machine, the package lists are missing
            _run(folder, "apt-get", "update")
            _run(folder, *DOWNLOAD)
        (package,) = Path(folder).glob(f"{PACKAGE}_*.deb")
        _run(folder, "dpkg", "-x", package.name, "unpacked")
        unpacked = Path(folder, "unpacked") / SYSTEM_FOLDER.relative_to("/")
        for name in (f"{LABELS_FILE}.gz", f"{FILE}.gz"):
            with atomic(kept / name) as part:
                shutil.copyfile(unpacked / name, part)
    return kept / f"{FILE}.gz"


def _run(folder: str, *command: str) -> None:
    _log.info("%s", " ".join(command))
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main())

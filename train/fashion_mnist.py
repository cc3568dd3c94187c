"""Make sure that Fashion-MNIST is on this machine; `make demo` runs this.

Beyond what `gantool train` does by itself, it knows one more source: where downloads over HTTPS are closed but a
Debian archive is open, the package dataset-fashion-mnist is fetched and unpacked into the cache, not installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gantool.runtime.cache import cache_dir
from gantool.runtime.errors import GantoolError
from gantool.runtime.files import atomic
from gantool.train.fashion import FILE, NAME, SYSTEM_FOLDER, find_fashion_mnist

PACKAGE = "dataset-fashion-mnist"
# as root, apt would warn that its own user cannot write to a folder of ours
DOWNLOAD = ("apt-get", "-o", "APT::Sandbox::User=root", "download", PACKAGE)


def main() -> int:
    """Find, download or unpack the data set; return the exit code."""
    try:
        print(f"Fashion-MNIST: {find_fashion_mnist(_note)}")
    except GantoolError as error:
        try:
            print(f"Fashion-MNIST: {_from_debian()}")
        except (OSError, ValueError, subprocess.CalledProcessError) as failure:
            _note(f"{error}\nDebian's package could not be had either: {failure}")
            return error.exit_code
    return 0


def _from_debian() -> Path:
    """Fetch Debian's package and take the training images out of it."""
    target = cache_dir() / NAME / f"{FILE}.gz"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # apt fetches as a user of its own
        try:
            _run(folder, *DOWNLOAD)
        except subprocess.CalledProcessError:  # on a fresh machine the package lists are missing
            _run(folder, "apt-get", "update")
            _run(folder, *DOWNLOAD)
        (package,) = Path(folder).glob(f"{PACKAGE}_*.deb")
        _run(folder, "dpkg", "-x", package.name, "unpacked")
        unpacked = Path(folder, "unpacked") / SYSTEM_FOLDER.relative_to("/") / target.name
        with atomic(target) as part:
            shutil.copyfile(unpacked, part)
    return target


def _run(folder: str, *command: str) -> None:
    _note(" ".join(command))
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _note(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

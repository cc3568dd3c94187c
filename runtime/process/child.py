"""Start Python child processes."""

from __future__ import annotations

import os
import sys

# `python -m` and `python -c` import from the current folder first, which may contain a numpy.py. The flag -P
# prevents this, but needs Python 3.11. The folders in PYTHONPATH stay.
# A thread ends the child soon after its parent has ended, whatever the child is doing.
_RUN = """\
import sys
sys.path[:] = [path for path in sys.path if path]
import os, runpy, threading, time
parent = int(sys.argv.pop(1))
def watch():
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(130)
threading.Thread(target=watch, daemon=True).start()
runpy.run_module(sys.argv.pop(1), run_name="__main__")
"""


def python(module: str, *arguments: object) -> list[str]:
    """Return a command that runs a module like `python -m`, but does not import from the current folder."""
    return [sys.executable, "-c", _RUN, str(os.getpid()), module, *map(str, arguments)]

"""Processes of gantool's own that run Python."""

from __future__ import annotations

import os
import sys

# `python -m` and `python -c` look into the current folder first, where a numpy.py may lie that came with somebody's
# files; -P, which forbids it, is of Python 3.11. What the user put into PYTHONPATH stays.
# Whatever the process is in the middle of, it ends soon after the one that started it.
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
    """Return the command that runs a module as `python -m` does, but never imports from the current folder."""
    return [sys.executable, "-c", _RUN, str(os.getpid()), module, *map(str, arguments)]

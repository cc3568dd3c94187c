"""Python processes that gantool starts."""

from __future__ import annotations

import os
import sys

# `python -m` and `python -c` look in the current folder first, where somebody's files may include a numpy.py; the
# flag -P, which prevents it, needs Python 3.11. What the user put into PYTHONPATH stays.
# The process ends soon after the one that started it, whatever it is doing.
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

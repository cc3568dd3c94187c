"""Processes of gantool's own that run Python."""

from __future__ import annotations

import sys

# `python -m` and `python -c` look into the current folder first, where a numpy.py may lie that came with somebody's
# files; -P, which forbids it, is of Python 3.11. What the user put into PYTHONPATH stays.
_RUN = (
    "import sys; sys.path[:] = [path for path in sys.path if path]; "
    "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__')"
)


def python(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module as `python -m` does, but never imports from the current folder."""
    return [sys.executable, "-c", _RUN, module, *map(str, arguments)]

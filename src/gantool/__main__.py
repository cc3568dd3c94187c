"""gantool as a process: what the script `gantool` and `python -m gantool` run."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line. Ctrl-C while that is imported, before it has handlers of its own, is one line too."""
    try:
        from gantool.cli import main as run

        run()
    except KeyboardInterrupt:
        os.write(2, b"gantool: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()

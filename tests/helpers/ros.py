"""ROS 2 in .ros/, an environment beside .venv: as a script, installs it there, 160 MB.

rclpy, sensor_msgs and Fast DDS are wheels on PyPI. They start Python anew with a library path of their own, so they
do not belong into .venv. gantool and its engine come from the environment of this interpreter.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

WHEELS = ("ros-rclpy[fastrtps]==9.1.2", "ros-sensor-msgs==5.5.1")  # of ROS 2 Kilted
_HOME = Path(__file__).resolve().parents[2] / ".ros"
PYTHON = _HOME / "bin/python"


def install() -> None:
    """Install ROS 2 into .ros/ with pip, if it is not there."""
    if _HOME.exists():
        return
    part = _HOME.with_suffix(".part")
    venv.create(part, symlinks=True, clear=True)
    pip = [sys.executable, "-m", "pip", "--python", str(part / "bin/python"), "install", "--no-compile"]
    subprocess.run([*pip, "--quiet", "--disable-pip-version-check", *WHEELS], check=True)
    # After ROS's own packages: what they lack is this interpreter's.
    site = part / f"lib/python3.{sys.version_info.minor}/site-packages"
    (site / "gantool.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    part.rename(_HOME)


def environment(domain: int) -> dict[str, str]:
    """Return the environment of a node that finds those of its domain, on this machine alone."""
    return {**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


if __name__ == "__main__":
    install()

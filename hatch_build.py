"""Put the version into the wheel as a module: importlib.metadata would cost each start 30 ms."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Version(BuildHookInterface):  # type: ignore[type-arg]
    """Add gantool/_version.py to what is built, and leave the tree as it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the module to a temporary folder; an editable install asks importlib.metadata."""
        if version != "editable":
            self.folder = TemporaryDirectory()  # until the build ends
            file = Path(self.folder.name) / "_version.py"
            file.write_text(f'__version__ = "{self.metadata.version}"\n', encoding="utf-8")
            build_data["force_include"][str(file)] = "gantool/_version.py"

"""The line that installs what is missing works from where gantool came."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gantool.runtime.errors import pip_install


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (None, "pip install 'gantool[cpu]'"),
        ({"url": "file://{folder}", "dir_info": {"editable": True}}, "pip install -e '{folder}[cpu]'"),
        ({"url": "file://{folder}", "dir_info": {}}, "pip install '{folder}[cpu]'"),
        ({"url": "file://{folder}%20gone", "dir_info": {}}, "pip install 'gantool[cpu]'"),
        ({"url": "file://{folder}/g.whl", "archive_info": {}}, "pip install '{folder}/g.whl[cpu]'"),
        (
            {"url": "https://a.b/g.git", "vcs_info": {"vcs": "git", "requested_revision": "v1"}},
            "pip install 'gantool[cpu] @ git+https://a.b/g.git@v1'",
        ),
        ({"url": "ssh://a.b/g", "vcs_info": {"vcs": "git"}}, "pip install 'gantool[cpu] @ git+ssh://a.b/g'"),
        ({"url": "https://a.b/g.whl", "archive_info": {}}, "pip install 'gantool[cpu] @ https://a.b/g.whl'"),
        ([1], "pip install 'gantool[cpu]'"),
        ({"url": 5}, "pip install 'gantool[cpu]'"),
        ({"url": "https://a.b/g", "vcs_info": 1}, "pip install 'gantool[cpu]'"),
    ],
)
def test_the_line_fits_where_gantool_came_from(
    source: Any, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "g.whl").touch()
    text = source and json.dumps(source).replace("{folder}", str(folder).replace(" ", "%20"))
    monkeypatch.setattr(metadata, "distribution", lambda _: SimpleNamespace(read_text=lambda _: text))
    assert pip_install("cpu") == line.replace("{folder}", str(folder))


def test_a_gantool_that_pip_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", none)
    assert pip_install("rtx", "--force-reinstall ") == "pip install --force-reinstall 'gantool[rtx]'"

"""docs/status.md counts the tests that there are, and says what became of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STATUS = Path(__file__).parents[1] / "helpers/status.py"
TESTS = """
import pytest
import openvino as unused

def test_one():
    pass

@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_two(number):
    assert number == 1

@pytest.mark.gpu
def test_three():
    pytest.skip("needs a GPU")
"""


def run(*command: str | Path, cwd: Path) -> int:
    return subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, check=False).returncode


def test_the_page_has_what_pytest_collects_and_what_became_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "tests/a-room"
    folder.mkdir(parents=True)
    (folder / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  slow\n  gpu\npythonpath = .\n")
    (tmp_path / "openvino.py").write_text("")
    page = tmp_path / "status.md"
    page.write_text("# Before\n\n<!-- written by make status -->\nold\n<!-- end -->\n\n# After\n")
    assert run("-m", "pytest", "-p", "no:cacheprovider", "--junitxml=build/test.xml", cwd=tmp_path) == 1
    assert run(STATUS, "tests", "build", "status.md", cwd=tmp_path) == 0
    text = page.read_text()
    assert text.startswith("# Before\n\n<!-- written by make status -->\n\n|")
    assert text.endswith("- 1: needs a GPU\n\n<!-- end -->\n\n# After\n")
    assert "| `tests/a-room` | 4 | 2 |" in text
    assert "| OpenVINO | 1 | 4 |" in text
    assert "Tests that need an NVIDIA GPU: 1." in text
    assert "2 passed, 1 failed, 1 skipped." in text
    assert "old" not in text
    assert run(STATUS, "tests", "build", "status.md", cwd=tmp_path) == 0
    assert page.read_text() == text

"""examples/README.md lists every example, and the links of their READMEs lead to files."""

from __future__ import annotations

import re

from helpers.examples import EXAMPLES

FOLDERS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__")
INDEX = EXAMPLES / "README.md"


def test_the_index_has_a_row_for_every_folder() -> None:
    rows = re.findall(r"^\| \[([\w-]+)\]\(\1\) \|", INDEX.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == FOLDERS


def test_links_lead_to_files() -> None:
    for page in [INDEX, *(EXAMPLES / name / "README.md" for name in FOLDERS)]:
        for target in re.findall(r"\]\(([^)\s:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page}: {target}"

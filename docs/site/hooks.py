"""What MkDocs reads: pages where they lie in the tree, what they link to, and two pages made of the code."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import command_line
import python_api

ROOT = Path(__file__).parents[2]
PAGES = ("*.md", "docs/*.md", "benchmarks/*.md", "examples/**/*.md")
LINK = re.compile(r"\]\(([^)\s#:]+)")


def on_config(config: MkDocsConfig) -> None:
    """Fill the group of the examples: their overview, then a README of each folder."""
    (group,) = (group for group in config.nav or () if "Examples" in group)
    examples = [*ROOT.glob("examples/README.md"), *sorted(ROOT.glob("examples/*/README.md"))]
    group["Examples"] = [page.relative_to(ROOT).as_posix() for page in examples]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add all pages under their path in the tree, so that links between them need no change."""
    pages = sorted(page for pattern in PAGES for page in ROOT.glob(pattern))
    linked = {(page.parent / target).resolve() for page in pages for target in LINK.findall(page.read_text())}
    others = sorted(file for file in linked if file.is_file() and file.suffix != ".md")
    for file in pages + others:
        uri = file.relative_to(ROOT).as_posix()
        files.append(File(uri, str(ROOT), config.site_dir, config.use_directory_urls))
    files.append(File.generated(config, "command-line.md", content=command_line.reference()))
    files.append(File.generated(config, "python-api.md", content=python_api.reference()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links to folders, which GitHub shows by their README, into links to it."""
    folder = (ROOT / page.file.src_uri).parent

    def to_readme(link: re.Match[str]) -> str:
        return f"{link[0].rstrip('/')}/README.md" if (folder / link[1] / "README.md").is_file() else link[0]

    return LINK.sub(to_readme, markdown)

"""Read a report as a browser would: its tables, its pictures, and which elements it has."""

from __future__ import annotations

import base64
import io
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

EMPTY = {"meta", "img", "input", "line", "rect", "path", "polyline", "polygon"}  # without an end tag
RAW = {"style", "script"}


class Report(HTMLParser):
    """The content of a report."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []  # element, name, value
        self.tables: dict[str, list[list[str]]] = {}  # by name; the first row is the heading if there is one
        self.text = ""
        self.headings: list[str] = []
        self._open: list[str] = []
        self._table: list[list[str]] = []
        self._name = ""
        self.feed(page)
        self.close()
        assert self._open in ([], ["html"])

    @classmethod
    def read(cls, path: Path) -> Report:
        return cls(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements[tag] += 1
        self.attributes += [(tag, name, value) for name, value in given.items()]
        if tag not in EMPTY:
            self._open.append(tag)
        self._name = given.get("aria-label", self._name)
        if tag == "table":
            self._table = self.tables[self._name] = []
        elif tag == "tr":
            self._table.append([])
        elif tag in ("th", "td"):
            self._table[-1].append("")
        elif tag in ("h1", "h2", "h3"):
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if RAW & {*self._open}:
            return
        self.text += data
        if {"th", "td"} & {*self._open}:
            self._table[-1][-1] += data
        if {"h1", "h2", "h3"} & {*self._open}:
            self.headings[-1] += data

    def rows(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a table, by the names of its columns."""
        columns, *rows = self.tables[name]
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def pictures(self) -> dict[str, np.ndarray]:
        """Return the pixels of all pictures by their text alternative, which each must have."""
        found = {}
        sources = [value for tag, name, value in self.attributes if (tag, name) == ("img", "src")]
        names = [value for tag, name, value in self.attributes if (tag, name) == ("img", "alt")]
        for alternative, source in zip(names, sources, strict=True):
            assert alternative
            head, _, data = source.partition(";base64,")
            assert head in ("data:image/png", "data:image/webp")
            with Image.open(io.BytesIO(base64.b64decode(data))) as image:
                found[alternative] = np.asarray(image)
        return found

"""What the reports share: the page, sections, tables."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import gantool
from gantool.runtime.files import atomic
from gantool.runtime.process.terminal import printable
from gantool.runtime.web.document import HERE, document
from gantool.runtime.web.text import escape

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Html:
    """A part of a page that is HTML, where other texts are escaped."""

    text: str

    @classmethod
    def of(cls, text: object) -> Html:
        """Return a text as HTML."""
        return cls(escape(text))


def write(path: Path, title: str, parts: Iterable[str], script: str = "") -> None:
    """Write a report, whole or not at all. `parts`: its lead and its sections, as HTML. `script`: JavaScript."""
    now = datetime.now(timezone.utc)
    written = f'<time datetime="{now:%Y-%m-%dT%H:%MZ}">{now:%Y-%m-%d, %H:%M} UTC</time>'
    body = (
        f"<main>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(parts)
        + f"\n</main>\n<footer>Written by gantool {escape(gantool.__version__)}, {written}. "
        "Everything is in this file.</footer>"
    )
    styles = (HERE / "report.css").read_text(encoding="utf-8")
    policy, scripts = POLICY, ""
    if script:  # the browser runs this one alone
        policy += f"; script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
        scripts = f"<script>{script}</script>\n"
    page = document(printable(title), body, styles=styles, scripts=scripts, policy=policy)
    with atomic(path) as part:
        part.write_text(page, encoding="utf-8")


def section(heading: str, *parts: str) -> str:
    """Return a section with its heading. `heading` is text, `parts` are HTML."""
    return f"<section>\n<h2>{escape(heading)}</h2>\n{''.join(parts)}\n</section>"


def paragraph(text: object, kind: str = "") -> str:
    """Return a paragraph of text."""
    return f"<p{_class(kind)}>{_cell(text)}</p>"


def command(text: str) -> Html:
    """Return a command, for a cell."""
    return Html(f"<code>{escape(text)}</code>")


def code(text: str) -> str:
    """Return a command to copy, in a line of its own."""
    return f"<pre><code>{escape(text)}</code></pre>"


def verdict(good: bool, text: object) -> str:
    """Return the result as a paragraph, which a mark and a colour show too."""
    return f'<p class="verdict {_kind(good)}">{mark(good, str(text)).text}</p>'


def mark(good: bool, text: str = "") -> Html:
    """Return a mark for good or bad, with a text in its colour."""
    sign = "✓" if good else "✗"
    kind = f"{_kind(good)} whole" if len(text) < 16 else _kind(good)
    return Html(f'<span class="{kind}"><span aria-hidden="true">{sign}</span> {escape(text)}</span>')


def explained(name: object, text: object) -> Html:
    """Return a name with its explanation below, for the first cell of a row."""
    return Html(f'{escape(name)}<div class="explained">{escape(text)}</div>')


def notes(texts: Sequence[str]) -> str:
    """Return warnings as a list; "" for none."""
    return _list(texts, "notes") if texts else ""


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], name: str, numbers: Collection[str] = ()
) -> str:
    """Return a table that scrolls by itself where the page is narrow.

    The first cell of a row is its heading. Cells are text, or `Html`; those of the columns `numbers` are aligned as
    numbers.
    """
    kinds = [' class="number"' if column in numbers else "" for column in columns]
    heads = "".join(
        f'<th scope="col"{kind}>{escape(column)}</th>' for column, kind in zip(columns, kinds, strict=True)
    )
    lines = "".join(f"<tr>{_cells(cells, kinds)}</tr>\n" for cells in rows)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(name)}"><table>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}</tbody></table></div>"
    )


def facts(values: Mapping[str, Any], name: str) -> str:
    """Return a table of names and values; values that are mappings become groups."""
    lines = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines.append(f'<tr><th scope="rowgroup" colspan="2" class="group">{escape(key)}</th></tr>\n')
            lines += [_fact(inner, each, "inner") for inner, each in value.items()]
        else:
            lines.append(_fact(key, value))
    return f'<table class="facts" aria-label="{escape(name)}">\n<tbody>{"".join(lines)}</tbody></table>'


def details(summary: str, *parts: str) -> str:
    """Return parts that the reader opens."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>"


def figure(content: str, caption: object = "") -> str:
    """Return a picture, a chart or several, as HTML, with a caption."""
    below = f"<figcaption>{_cell(caption)}</figcaption>" if caption else ""
    return f"<figure>{content}{below}</figure>"


def card(heading: object, *parts: str) -> str:
    """Return parts, as HTML, on a ground of their own with a heading."""
    return f'<article class="card"><h3>{_cell(heading)}</h3>{"".join(parts)}</article>'


def row(parts: Iterable[str], kind: str = "") -> str:
    """Return parts in one row, however narrow the page. Of the kind "first", the first one has a frame."""
    return f'<div class="row{f" {kind}" if kind else ""}">{"".join(parts)}</div>'


def columns(parts: Iterable[str], kind: str = "") -> str:
    """Return parts side by side, as many as there is room for."""
    return f'<div class="columns{f" {kind}" if kind else ""}">{"".join(parts)}</div>'


def beside(left: str, right: str) -> str:
    """Return two parts side by side where the page is wide; the left one stays in sight."""
    return f'<div class="beside">{left}{right}</div>'


def _cells(cells: Sequence[object], kinds: Sequence[str]) -> str:
    first, *rest = cells
    return f'<th scope="row"{kinds[0]}>{_cell(first)}</th>' + "".join(
        f"<td{kind}>{_cell(cell)}</td>" for cell, kind in zip(rest, kinds[1:], strict=True)
    )


def _fact(key: str, value: object, kind: str = "") -> str:
    return f'<tr><th scope="row"{_class(kind)}>{escape(key)}</th><td>{_cell(value)}</td></tr>\n'


def _list(texts: Iterable[object], kind: str) -> str:
    return f"<ul{_class(kind)}>{''.join(f'<li>{_cell(text)}</li>' for text in texts)}</ul>"


def _cell(value: object) -> str:
    return value.text if isinstance(value, Html) else escape(value)


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _kind(good: bool) -> str:
    return "good" if good else "bad"

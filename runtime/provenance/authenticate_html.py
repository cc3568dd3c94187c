"""The report of `gantool authenticate --html`: the verdicts, and where altered images differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gantool.runtime.provenance.verdict import Verdict, all_authentic
from gantool.runtime.web import report
from gantool.runtime.web.pictures import difference, difference_picture, enlargement, picture

SHOWN = 60  # images that differ, since each is in the file


def write(verdicts: Sequence[Verdict], path: Path) -> None:
    """Write the report."""
    rows = [(each.file, report.mark(each.authentic, each.text()), each.seed or "") for each in verdicts]
    lead = (
        "Each image was made again from the record in its mark, and compared pixel by pixel. A mark alone is text "
        "that anyone can write."
    )
    cards = [_card(each) for each in verdicts if each.pictures][:SHOWN]
    parts = [
        report.verdict(*all_authentic(verdicts)),
        report.paragraph(lead, "lead"),
        report.section(
            "Verdicts", report.table(("file", "verdict", "seed"), rows, "The verdict of each file")
        ),
    ]
    if cards:
        parts.append(report.section("Where they differ", report.columns(cards, "small")))
    report.write(path, "Images and their generator", parts)


def _card(verdict: Verdict) -> str:
    """Show what is there, what was promised, and the difference."""
    assert verdict.compared
    assert verdict.compared.pair
    there, promised = verdict.compared.pair
    white = 65535 if there.itemsize == 2 else 255
    (changed,) = differences = difference(promised[None], there[None])
    times = enlargement(differences, white)
    name = verdict.file.name
    pictures = (
        report.figure(picture(there, f"{name}, as it is"), "the file"),
        report.figure(picture(promised, f"{name}, made again"), "made again"),
        report.figure(
            difference_picture(changed, times, white, f"{name}, difference"), f"difference ×{times}"
        ),
    )
    return report.card(name, report.row(pictures), report.paragraph(verdict.text(), "quiet"))

"""The report of `gantool verify --html`: the limits, PSNR by seed, and the worst images side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from gantool.export.precision.psnr import Parity, psnr_of_each
from gantool.export.verify import Agreement, Comparison
from gantool.runtime.classes import labels
from gantool.runtime.outputs.images import grid
from gantool.runtime.spec import Images
from gantool.runtime.web import report
from gantool.runtime.web.axis import Axis
from gantool.runtime.web.charts import Chart, Curve, svg
from gantool.runtime.web.pictures import difference, difference_picture, enlargement, picture

WORST = 6  # images shown of each file
SAMPLES, COLUMNS = 40, 10  # images of the reference shown, and in a row
SEEDS = 500  # rows of the table of seeds
EQUAL = "equal"


@dataclass(frozen=True)
class _Compared:
    """A file whose images can be compared with those of the first."""

    row: Agreement
    images: Images
    parity: Parity
    psnr: list[float]  # of each image, dB
    number: int  # of the file, from 1

    @property
    def name(self) -> str:
        """Its number and its name, short enough for a heading."""
        return f"{self.number}: {self.row.file.name}"


def write(found: Comparison, path: Path) -> None:
    """Write the report of a comparison, whether the files agree or not."""
    names = [str(seed) for seed in found.seeds]
    if found.classes:
        of_seeds = labels(found.seeds, len(found.classes))
        names = [f"{name}, {found.classes[one]}" for name, one in zip(names, of_seeds, strict=True)]
    first = found.reference
    compared = list(_compared(found, first)) if first else []
    parts = [_lead(found), _limits(found, compared, names)]
    if compared and first is not None and first.images is not None:
        parts.append(_by_seed(compared, first.images, names))
        parts += [_worst(one, first.images, names) for one in compared]
    report.write(path, "Verification of exported files", parts)


def _compared(found: Comparison, first: Agreement) -> Iterator[_Compared]:
    for number, row in enumerate(found.rows, 1):
        if row is not first and row.parity is not None and row.images is not None:
            psnr = psnr_of_each(cast(Images, first.images), row.images)
            yield _Compared(row, row.images, row.parity, psnr, number)


def _lead(found: Comparison) -> str:
    wrong = [row for row in found.rows if row.problem]
    if found.compared < 2:
        text = "Nothing was compared: fewer than two of these files run here"
    elif wrong:
        text = f"{len(wrong)} of {len(found.rows)} files {'disagrees' if len(wrong) == 1 else 'disagree'}"
    else:
        text = f"The {found.compared} files that run here agree"
    verdict = report.verdict(found.compared >= 2 and not wrong, text)
    if found.reference is None:
        return verdict
    lead = (
        f"The same {len(found.seeds):,} seeds ran through each file, and each image was compared with that of "
        f"{found.reference.file}. PSNR says how near it is: above 50 dB nobody sees a difference, below 30 dB "
        "everyone does."
    )
    return verdict + report.paragraph(lead, "lead")


def _limits(found: Comparison, compared: list[_Compared], names: list[str]) -> str:
    worst = {one.number: names[int(np.argmin(one.psnr))] for one in compared}
    rows = []
    for number, row in enumerate(found.rows, 1):
        numbers: tuple[object, ...] = ("", "", "", "", "")
        if row.parity is not None:
            psnr = _decibels(row.parity.psnr)
            least = "" if row is found.reference else f"{row.min_psnr:g} dB"
            largest = f"{row.parity.max_difference} of {row.parity.white}"
            numbers = (psnr, "" if psnr == EQUAL else worst[number], least, largest, row.batch_difference)
        rows.append((f"{number}: {row.file}", row.precision, *numbers, _result(row, found)))
    columns = (
        *("file", "precision", "worst PSNR", "of seed", "at least", "largest difference", "batch changes"),
        "result",
    )
    return report.section(
        "The limits",
        report.table(columns, rows, "The files and the limits", columns[2:7]),
        report.paragraph(
            "Differences are in grey levels. Batch changes: by how much a seed's image depends on the other images "
            "of its batch.",
            "quiet",
        ),
    )


def _result(row: Agreement, found: Comparison) -> report.Html:
    if row is found.reference:
        return report.Html.of("the reference")
    if row.problem:
        return report.mark(False, row.problem)
    return report.mark(True, "passed") if row.parity else report.Html.of(row.note)


def _by_seed(compared: list[_Compared], reference: Images, names: list[str]) -> str:
    curves = [Curve(one.name, list(enumerate(one.psnr)), "dots") for one in compared]
    limits = tuple(
        (limit, f"at least {limit:g} dB") for limit in sorted({one.row.min_psnr for one in compared})
    )
    ticks = sorted({round(at) for at in np.linspace(0, len(names) - 1, 5)})
    chart = Chart(
        "PSNR of each image",
        curves,
        Axis("number of the seed in the list, from 0", ticks=tuple(map(float, ticks))),
        Axis("dB", infinity=EQUAL),
        limits,
    )
    shown = reference[:SAMPLES]
    sheet = picture(grid(shown, COLUMNS), f"The first {len(shown)} images of the reference")
    samples = report.figure(sheet, f"The first {len(shown)} images of the reference, row by row.")
    lowest = np.min([one.psnr for one in compared], axis=0)
    order = sorted(np.argsort(lowest, kind="stable")[:SEEDS].tolist())
    rows = [(names[at], *(_decibels(one.psnr[at]) for one in compared)) for at in order]
    title = "PSNR of each seed" if len(order) == len(names) else f"PSNR of the {SEEDS} worst seeds"
    heads = [one.name for one in compared]
    return report.section(
        "PSNR by seed",
        report.columns([report.figure(svg(chart), "Higher is nearer to the reference."), samples]),
        report.details(f"{title}, as a table", report.table(("seed", *heads), rows, title, heads)),
    )


def _worst(one: _Compared, reference: Images, names: list[str]) -> str:
    """Show the worst images of a file."""
    heading = f"The worst images of {one.name}"
    order = [at for at in np.argsort(one.psnr, kind="stable")[:WORST].tolist() if math.isfinite(one.psnr[at])]
    if not order:
        return report.section(heading, report.paragraph("All images equal those of the reference."))
    differences = difference(reference[order], one.images[order])  # [n, H, W, 1]
    white = one.parity.white
    times = enlargement(differences, white)
    cards = []
    for at, changed in zip(order, differences, strict=True):
        seed = f"seed {names[at]}"
        largest = int(changed.max())
        pictures = (
            report.figure(picture(reference[at], f"{seed}, reference"), "reference"),
            report.figure(picture(one.images[at], f"{seed}, {one.row.file.name}"), "this file"),
            report.figure(
                difference_picture(
                    changed, times, white, f"{seed}, difference: at most {largest} of {white}"
                ),
                f"difference ×{times}",
            ),
        )
        cards.append(report.card(f"{seed}: {_decibels(one.psnr[at])}", report.row(pictures)))
    text = f"The difference is enlarged ×{times}, up to white. It is black where the images are equal."
    if reference.shape[-1] == 4:
        text += " Of transparent images it is the larger one of those on white and on black."
    return report.section(heading, report.paragraph(text, "quiet"), report.columns(cards, "small"))


def _decibels(psnr: float) -> str:
    return EQUAL if math.isinf(psnr) else f"{psnr:.1f} dB"

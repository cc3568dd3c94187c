"""The report of `gantool evaluate --html`: scores explained, samples, near-copies, histograms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gantool.runtime import machine
from gantool.runtime.outputs.images import grid
from gantool.runtime.web import report
from gantool.runtime.web.charts import histogram, svg
from gantool.runtime.web.pictures import picture
from gantool.train.metrics.evidence import CopyLike, Evidence
from gantool.train.metrics.scores import COPY
from gantool.train.scoring import MEANING, Scores

COLUMNS = 8  # of the sheet of samples
CLASSES = 200  # rows of the table of classes

# What to make of each score, in more words than the table of the command line has.
ADVICE = {
    "fd": "It falls with more images: compare it only at the same number of them.",
    "kid": "It does not depend on the number of images.",
    "precision": "Low: many images look like none of the data.",
    "recall": "Low: the generator never makes a part of the data.",
    "diversity": "Far below 1: the images are becoming alike, which is called mode collapse.",
    "copies": "Well above the column of real images: the generator repeats training images. See them below.",
}


def write(scores: Scores, path: Path) -> None:
    """Write the report of an evaluation. Needs its evidence."""
    assert scores.evidence is not None
    evidence = scores.evidence
    parts = [
        _lead(scores),
        report.notes(scores.notes),
        _scores(scores),
        report.beside(_samples(evidence), _histograms(evidence)),
        _copies(evidence),
        *_classes(scores),
        _options(scores),
    ]
    report.write(path, "Evaluation of generated images", parts)


def _lead(scores: Scores) -> str:
    height, width, channels = scores.image
    text = (
        f"{scores.measured.samples:,} images of {scores.source}, {height}×{width}×{channels}, against "
        f"{scores.measured.real:,} of {scores.data}, compared by {scores.features}."
    )
    return report.paragraph(text, "lead")


def _scores(scores: Scores) -> str:
    text = (
        "Real: half of the data against the other half, which is about what perfect images would score. Numbers of "
        "different extractors are not comparable."
    )
    columns = ("score", "generated", "real")
    table = report.table(columns, _rows(scores), "Scores", columns[1:])
    return report.section("Scores", table, report.paragraph(text, "quiet"))


def _rows(scores: Scores) -> Iterator[tuple[object, ...]]:
    for name, meaning in MEANING.items():
        of_real = f"{getattr(scores.real_halves, name):.4f}" if scores.real_halves else ""
        text = f"{meaning[0].upper()}{meaning[1:]}. {ADVICE[name]}"
        yield report.explained(name, text), f"{getattr(scores.measured.scores, name):.4f}", of_real
    if (board := scores.measured.checkerboard) is not None:
        text = (
            "Energy at a period of two pixels, over that of the data. A visible checkerboard has 2 or more."
        )
        yield report.explained("checkerboard", text), f"{board:.4f}", "1.0000"
    if classes := scores.measured.classes:
        total = len(classes.shares)
        text = "Classes of the data that the images show."
        yield report.explained("classes", text), str(total - len(classes.missing)), str(total)


def _samples(evidence: Evidence) -> str:
    count = len(evidence.samples)
    sheet = picture(grid(evidence.samples, COLUMNS), f"The first {count} images, in rows of {COLUMNS}")
    return report.section("Samples", report.figure(sheet, f"The first {count} images, row by row."))


def _copies(evidence: Evidence) -> str:
    near = int((evidence.ratios <= COPY).sum())
    lead = f"{near:,} of {len(evidence.ratios):,} images are near-copies of a training image."
    text = (
        "The most copy-like images come first, each with a frame, beside the training images nearest to it. The "
        "number is its distance to the nearest one, over the distance from that one to the next training image: at "
        f"most {COPY:.2f} in a near-copy, about 1 in a new image."
    )
    cards = [_card(one) for one in evidence.copy_like]
    heading = "The nearest training images"
    return report.section(
        heading, report.paragraph(lead), report.paragraph(text, "quiet"), report.columns(cards, "small")
    )


def _card(one: CopyLike) -> str:
    pictures = [picture(one.image, f"generated image {one.number}")]
    for rank, image in enumerate(one.nearest, 1):
        pictures.append(picture(image, f"training image nearest to image {one.number}, rank {rank}"))
    copied = ", a near-copy" if one.ratio <= COPY else ""
    return report.card(f"image {one.number}: {one.ratio:.2f}{copied}", report.row(pictures, "first"))


def _histograms(evidence: Evidence) -> str:
    distances = {
        "generated to training": evidence.distances.tolist(),
        "training to training": evidence.real_distances.tolist(),
    }
    brightness = {"generated": evidence.brightness.tolist(), "training": evidence.real_brightness.tolist()}
    charts = [
        report.figure(
            svg(histogram("Distance to the nearest training image", "distance of features", distances)),
            "Good images are about as far from the data as training images are from each other. Copies are near 0; "
            "images unlike any of the data are far to the right.",
        ),
        report.figure(
            svg(histogram("Brightness", "mean of an image, 0 to 255", brightness)),
            "With the same shape, the images are as bright as the data, and vary as much.",
        ),
    ]
    return report.section("Distributions", report.columns(charts))


def _classes(scores: Scores) -> Iterator[str]:
    if classes := scores.measured.classes:
        rows = [
            (name, f"{share:.2%}", report.mark(False, "missing") if name in classes.missing else "")
            for name, share in list(classes.shares.items())[:CLASSES]
        ]
        more = len(classes.shares) - len(rows)
        note = f" {more:,} more classes are not listed." if more else ""
        text = f"The share of each class among the generated images, as the classifier sees them.{note}"
        table = report.table(("class", "share", "note"), rows, "Classes", ("share",))
        yield report.section("Classes", report.paragraph(text, "quiet"), table)


def _options(scores: Scores) -> str:
    height, width, channels = scores.image
    values = {
        "images": scores.source,
        "data": scores.data,
        "features": scores.features,
        "samples": f"{scores.measured.samples:,}",
        "images of the data": f"{scores.measured.real:,}",
        "size": f"{height}×{width}×{channels}",
        **({} if scores.kimg is None else {"kimg": f"{scores.kimg:g}"}),
        **machine.system(),
        "packages": machine.packages(),
    }
    return report.section("Options and versions", report.facts(values, "Options and versions"))

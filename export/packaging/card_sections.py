"""The sections of a model card that say how the generator was made and measured. Each yields lines of Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gantool.export.artifact import Graph
from gantool.export.engine.artifact import Engine
from gantool.export.packaging.card_run import RunFacts, is_number
from gantool.runtime.artifacts.plan import NAMES
from gantool.runtime.errors import GantoolError
from gantool.runtime.metadata import Metadata
from gantool.runtime.process.terminal import short

T = TypeVar("T")
_ROWS = 50  # classes in a table
_QUESTION = "> **Answer this:**"
_SAID = ("size", "channels", "latent", "classes")  # in the first sentence of the card
_KINDS = {1: "grey", 3: "RGB", 4: "RGB with transparency"}

# Scores of `gantool evaluate`, with what they mean.
_MEANING = {
    "fd": "Fréchet distance; 0 is best",
    "kid": "kernel distance; 0 is best",
    "precision": "share of its images that lie among real ones",
    "recall": "share of real images that lie among its images",
    "diversity": "spread of its images over that of real ones; 1 is as real",
    "copies": "share of its images that nearly copy a training image",
}


def known(read: Callable[[], T]) -> T | None:
    """Return a field of the metadata; None if a generator from elsewhere lacks it, or if it is damaged."""
    try:
        return read()
    except GantoolError:
        return None


def text(value: object) -> str:
    """Return text from a file or an option so that Markdown shows it as it is, in one line."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", short(value, 2000))


def code(value: object) -> str:
    """Return a name as code, also in a table."""
    return f"`{re.sub('[`|]', '?', short(value, 200))}`"


def of(metadata: Metadata) -> str:
    """Return in words what images it makes, and from what."""
    parts = []
    if image := known(lambda: metadata.image):
        height, width, channels = image
        depth = ", 16 bits" if metadata.bits == 16 else ""
        parts.append(f"{width}×{height} pixels, {_KINDS.get(channels, channels)}{depth}")
    if metadata.classes:
        parts.append(f"of {metadata.classes:,} classes")
    if latent := known(lambda: metadata.latent):
        parts.append(f"from {latent} random numbers")
    return ", ".join(parts) or "of unknown size"


def data(metadata: Metadata, run: RunFacts) -> Iterator[str]:
    """Yield what it learned from."""
    yield from ("", "## Data", "")
    seen = known(lambda: metadata.images_seen)
    name = known(lambda: metadata.data)
    if seen is None:
        yield f"gantool did not train this generator, and does not know its data. Its original is {code(name)}."
    else:
        of_teacher = "the images of another generator, which was trained on " if run.is_student else ""
        yield f"It was trained on {of_teacher}the data set “{text(name)}”."
        yield f"Training showed it {seen:,.0f} images, repeats included."
    counts = metadata.class_counts
    names = metadata.class_names or tuple(map(str, range(metadata.classes)))
    if counts:
        yield ""
        yield f"The data set has {sum(counts):,} images in {len(counts):,} classes:"
        yield from ("", "| class | images |", "| --- | ---: |")
        yield from (
            f"| {text(each)} | {count:,} |" for each, count in zip(names[:_ROWS], counts[:_ROWS], strict=True)
        )
        if len(counts) > _ROWS:
            yield f"| {len(counts) - _ROWS:,} more | {sum(counts[_ROWS:]):,} |"
    elif names:
        more = f" and {len(names) - _ROWS:,} more" if len(names) > _ROWS else ""
        yield ""
        yield f"Its classes: {', '.join(map(text, names[:_ROWS]))}{more}."
    yield ""
    if statement := metadata.authorship.data_statement:
        yield from ("The author states:", "", f"> {text(statement)}")
    else:
        yield f"{_QUESTION} Where do the data come from, and under which licence?"
    yield ""
    yield f"{_QUESTION} Did the people who made the data, and the people in them, consent to this use?"
    yield ""
    yield f"{_QUESTION} What do the data show too often, too rarely or never? Which biases do the images have?"


def training(metadata: Metadata, run: RunFacts) -> Iterator[str]:
    """Yield network and options."""
    yield from ("", "## Training", "")
    config = known(lambda: metadata.config)
    if config is None:
        yield f"{_QUESTION} How was it trained?"
        return
    yield f"gantool {text(metadata.gantool)} trained it."
    yield from ("", "| setting | value |", "| --- | --- |")
    network = {
        name: value for name, value in config.items() if name not in _SAID and value not in (0, "none")
    }
    rows: dict[str, Any] = {**run.settings, **network}
    for name, value in rows.items():
        yield f"| {code(name)} | {text('yes' if value is True else value)} |"


def precision(full: Graph, last: Graph, engine: Engine | None) -> Iterator[str]:
    """Yield precision and parity of the graphs and of the engine."""
    yield from ("", "## Precision", "")
    for graph in [full] if last.path == full.path else [full, last]:
        kind = graph.recipe.precision.upper()
        kept = f", {len(graph.recipe.keep_fp32)} nodes in FP32" if graph.recipe.keep_fp32 else ""
        yield f"- {code(graph.name)} computes in {kind}{kept}. {_parity(graph)}"
    if engine is not None:
        library = NAMES[engine.sidecar.to_json()["flavour"]]
        yield (
            f"- {code(engine.path.name)} was built from {code(last.name)} by {library}, and computes in its "
            f"precision. To compare it on its device: {code(f'gantool verify {last.name} {engine.path.name}')}."
        )


def _parity(graph: Graph) -> str:
    record = graph.parity.content
    seeds, difference = record.get("seeds"), record.get("max_difference")
    if not is_number(seeds) or not is_number(difference):
        return "gantool has no record of how near it is to its reference."
    reference = "the original generator" if graph.recipe.precision == "fp32" else "FP32"
    psnr = record.get("psnr")
    worst = f"the worst image has a PSNR of {psnr:.1f} dB" if is_number(psnr) else "every image is equal"
    unit = "grey level" if difference == 1 else "grey levels"
    levels = f"; the largest difference is {difference} {unit}" if is_number(psnr) else ""
    return f"Against {reference}, on {seeds} seeds: {worst}{levels}."


def quality(graph: Graph, run: RunFacts) -> Iterator[str]:
    """Yield the scores of the run, and the distances that the export measured."""
    yield from ("", "## Quality", "")
    for record in run.scores:
        yield from _scores(record)
    if line := _distance(graph.parity.content.get("frechet")):
        yield from (line, "")
    elif not run.scores:
        yield "gantool has no scores of it. To get them, run `gantool evaluate` on its run, and export it again."
        yield ""
    yield f"{_QUESTION} Look at a few hundred images: what goes wrong in them, and how often?"


def _scores(record: dict[str, Any]) -> Iterator[str]:
    """Yield the table of one line of metric-*.jsonl."""
    halves = record.get("real_halves")
    halves = halves if isinstance(halves, dict) else {}
    samples, real = record.get("samples"), record.get("real")
    if is_number(samples) and is_number(real):
        yield (
            f"`gantool evaluate` compared {samples:,} of its images with {real:,} of “{text(record.get('data'))}”, "
            f"by the feature extractor “{text(record.get('features'))}”. The column *real* compares half of the "
            "data with the other half: a generator can hardly do better."
        )
    yield from ("", "| score | generated | real | meaning |", "| --- | ---: | ---: | --- |")
    for name, meaning in _MEANING.items():
        if is_number(record.get(name)):
            yield f"| {name} | {record[name]:.4g} | {_number(halves.get(name))} | {meaning} |"
    yield ""
    classes = record.get("classes")
    missing = classes.get("missing") if isinstance(classes, dict) else None
    if isinstance(missing, list) and missing:
        yield from (
            f"These classes hardly appear in its images: {', '.join(map(text, missing[:_ROWS]))}.",
            "",
        )
    notes = record.get("notes")
    for note in notes[:10] if isinstance(notes, list) else ():
        yield from (f"Note: {text(note)}.", "")


def _distance(found: Any) -> str | None:
    if not isinstance(found, dict) or not is_number(found.get("fp32")):
        return None
    own = f", {found['own']:.2f} in the precision of this export" if is_number(found.get("own")) else ""
    return (
        f"The Fréchet distance to {text(found.get('data'))} by {text(found.get('features'))}, on "
        f"{_number(found.get('images'))} images: {found['fp32']:.2f} in FP32{own}."
    )


def _number(value: Any) -> str:
    return f"{value:.4g}" if is_number(value) else ""


def limits(metadata: Metadata, run: RunFacts) -> Iterator[str]:
    """Yield what it cannot do, as far as that is known."""
    yield from ("", "## Limits", "")
    image = known(lambda: metadata.image)
    size = f"of {image[1]}×{image[0]} pixels" if image else "of one size"
    yield f"- It makes images {size}. Enlarged, they show no more detail."
    yield "- It shows what its data show, with their gaps and biases."
    if not any(is_number(record.get("copies")) for record in run.scores):
        yield "- A GAN can repeat images that it was trained on. Nobody has measured here how often it does."
    yield "- Its precision was measured on a few seeds. Other images may differ by more."
    yield "- Engines round differently: on another device or library, an image may differ by a few grey levels."

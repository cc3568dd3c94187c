"""The model card, BASE.md: what is known of a generator, and the questions that only its author can answer.

Its head is YAML, with the fields of model cards on Hugging Face. Its last line is the SHA-256 of the lines above: a
card with the right one was not edited, so an export may replace it. The same export gives the same card.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shlex import quote

from gantool.export.artifact import Graph
from gantool.export.engine.artifact import Engine
from gantool.export.packaging.card_run import RunFacts
from gantool.export.packaging.card_sections import (
    code,
    data,
    known,
    limits,
    of,
    precision,
    quality,
    text,
    training,
)
from gantool.runtime.errors import UsageError

SUFFIX = ".md"
QUESTION = "**Answer this:**"
_SEAL = re.compile(r"<!-- Unedited since gantool wrote it: ([0-9a-f]{64}) -->\n")

# Identifiers of licences on Hugging Face, docs/hub/repositories-licenses: those that fit a model or images.
_LICENCES = {
    *("apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "openrail++"),
    *("afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear"),
    *("cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
    *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
    *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0"),
    *("cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "agpl-3.0"),
    *("gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "ms-pl", "mpl-2.0", "odc-by"),
    *("odbl", "osl-3.0", "postgresql", "ncsa", "unlicense", "zlib", "pddl"),
}


@dataclass(frozen=True)
class Subject:
    """What a card is of."""

    name: str  # BASE
    full: Graph  # in FP32
    last: Graph  # in the requested precision
    engine: Engine | None
    files: tuple[Path, ...]  # of this export, written already
    run: Path | None  # the folder of the run


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raise UsageError, before any work, if the export would replace a card that somebody edited."""
    if overwrite or not path.exists() or _unedited(path):
        return
    raise UsageError(
        f"{path} was edited, or gantool did not write it, and the export would replace it: rename it, give another "
        "name with -o, or add `overwrite`"
    )


def write(target: Path, subject: Subject) -> None:
    """Write the card."""
    body = "\n".join(_lines(subject)) + "\n"
    target.write_text(
        f"{body}\n<!-- Unedited since gantool wrote it: {_digest(body)} -->\n", encoding="utf-8"
    )


def questions(path: Path) -> int:
    """Return how many questions of a card are open."""
    return path.read_text(encoding="utf-8").count(f"> {QUESTION}")


def _unedited(path: Path) -> bool:
    try:
        content = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return False
    body, _, last = content.rpartition("\n<!-- ")
    seal = _SEAL.fullmatch(f"<!-- {last}")
    return seal is not None and seal[1] == _digest(body)


def _digest(body: str) -> str:
    return sha256(body.encode()).hexdigest()


def _lines(subject: Subject) -> Iterator[str]:
    graph = subject.last
    metadata = graph.metadata
    run = RunFacts.read(subject.run, known(lambda: metadata.images_seen))
    yield from _head(graph)
    yield from _start(subject)
    yield from data(metadata, run)
    yield from training(metadata, run)
    yield from _files(subject)
    yield from precision(subject.full, graph, subject.engine)
    yield from quality(graph, run)
    yield from _provenance(subject)
    yield from limits(metadata, run)


def _head(graph: Graph) -> Iterator[str]:
    """Yield the YAML: JSON's strings are YAML's too."""
    metadata = graph.metadata
    licence = metadata.authorship.licence
    yield "---"
    if licence:
        identifier = _identifier(licence)
        yield f"license: {identifier if identifier in _LICENCES else 'other'}"
        if identifier not in _LICENCES:
            yield f"license_name: {_string(identifier)}"
    yield "library_name: gantool"
    if not metadata.classes:
        yield "pipeline_tag: unconditional-image-generation"
    yield "tags:"
    architecture, trained = known(lambda: metadata.architecture), known(lambda: metadata.config)
    for tag in ("gan" if trained else None, "image-generation", "onnx", architecture):
        if tag is not None:
            yield f"- {_string(tag)}"
    yield from ("---", "")


def _start(subject: Subject) -> Iterator[str]:
    graph, said = subject.last, subject.last.metadata.authorship
    yield f"# {text(said.title or subject.name)}"
    yield ""
    yield f"A generator of images: {of(graph.metadata)}."
    yield ""
    yield f"- Author: {text(said.author)}" if said.author else f"> {QUESTION} Who made this generator?"
    yield f"- Licence: {text(said.licence)}" if said.licence else f"> {QUESTION} What is its licence?"
    yield ""
    if said.licence and _identifier(said.licence) not in _LICENCES:
        yield from (f"> {QUESTION} Where can people read this licence?", "")
    yield f"> {QUESTION} How can people reach you with questions and complaints?"
    yield from ("", "## Use", "", "```sh")
    runs = subject.last if subject.last.recipe.on_cpu else subject.full
    yield f"gantool generate {quote(runs.name)} --seeds 0-63"
    yield from ("```", "")
    yield "Each seed makes one image, the same one every time."
    yield ""
    yield f"> {QUESTION} What is this generator for? Which uses do you rule out?"


def _files(subject: Subject) -> Iterator[str]:
    yield from ("", "## Files", "", "| file | bytes | SHA-256 |", "| --- | ---: | --- |")
    for path in subject.files:
        content = path.read_bytes()
        yield f"| {code(path.name)} | {len(content):,} | `{sha256(content).hexdigest()}` |"


def _provenance(subject: Subject) -> Iterator[str]:
    runs = subject.last if subject.last.recipe.on_cpu else subject.full
    yield from ("", "## Provenance", "")
    yield (
        "gantool marks each image that it makes, unless it is told not to. The mark says that a trained model made "
        "the image (IPTC's `trainedAlgorithmicMedia`), from which seed, and with which graph (its SHA-256). All of "
        "it can be checked: the generator makes the image again."
    )
    yield from (
        "",
        "```sh",
        "gantool inspect image.png",
        f"gantool authenticate image.png -e {quote(runs.name)}",
        "```",
    )
    yield ""
    yield "A mark is metadata. It is lost where a program writes the image without it, as most messengers do."


def _identifier(licence: str) -> str:
    """Return the name of a licence as an identifier: Apache 2.0 has "apache-2.0"."""
    return re.sub("[^a-z0-9.+]+", "-", licence.lower()).strip("-") or "own"


def _string(value: str) -> str:
    """Return text as YAML, plain where it can be."""
    return value if re.fullmatch("[a-z][a-z0-9-]*", value) else json.dumps(value, ensure_ascii=False)

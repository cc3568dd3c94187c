"""What `gantool inspect` says of an image or a film: its mark, and its C2PA manifest."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from gantool.runtime.errors import GantoolError, MissingDependencyError
from gantool.runtime.process.terminal import short
from gantool.runtime.provenance.c2pa import read_manifest
from gantool.runtime.provenance.read import read_mark


def image_facts(path: Path) -> dict[str, Any]:
    """Return what an image or a film says of itself, by name. Raises GantoolError if its mark is damaged."""
    mark, manifest = read_mark(path), _manifest(path)
    if mark is None:
        return {"mark": "none: nothing says how it came about", "C2PA": manifest or "none"}
    said = {
        "digital source type": mark.source_type,
        "title": mark.title,
        "credit": mark.credit,
        "licence": mark.licence,
        "AIGC": mark.aigc,
        "record": "none of gantool's" if mark.record is None else mark.record.to_json(),
        "C2PA": manifest or "none",
    }
    return {name: _short(value) for name, value in said.items() if value is not None}


def _short(value: Any) -> Any:
    """Shorten a text of a mark; foreign XMP may have 100,000 letters, and as many fields in AIGC."""
    return short(value, 300) if isinstance(value, str) else dict(islice(value.items(), 30))


def _manifest(path: Path) -> dict[str, str] | str | None:
    """Return what the manifest of an image says, or why it cannot be read; None if there is none."""
    try:
        manifest = read_manifest(path)
    except MissingDependencyError as error:
        return f"a signed manifest is there; to read it: {error.command}"
    except GantoolError as error:
        return str(error).removeprefix(f"{path}: ")
    if manifest is None:
        return None
    trusted = "whom the reader trusts" if manifest.trusted else "whom the reader does not know"
    said = {
        "valid": f"no ({', '.join(manifest.problems)})" if manifest.problems else "yes",
        "signed by": f"{manifest.signer or 'a certificate without a name'} ({trusted})",
        "made by": manifest.generator,
        "actions": ", ".join(manifest.actions),
        "digital source type": ", ".join(manifest.source_types),
    }
    return {name: value for name, value in said.items() if value}

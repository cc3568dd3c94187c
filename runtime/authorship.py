"""What its author says of a generator: title, author, licence, and where the data come from."""

# No `from __future__ import annotations`: evaluating the annotations of flags from text would slow down every
# start.

from dataclasses import dataclass, fields
from typing import Annotated

from gantool.runtime.flags import Flag, check, letters

_GROUP = "Provenance"


@dataclass(frozen=True)
class Authorship:
    """Texts in the metadata of a generator, and the flags of `gantool export` that give them."""

    title: Annotated[
        str | None,
        Flag(
            "name of the generator, on its page and in the marks of its images",
            group=_GROUP,
            metavar="TEXT",
            check=letters(200),
        ),
    ] = None
    author: Annotated[
        str | None,
        Flag(
            "who made the generator; the marks of its images credit them",
            group=_GROUP,
            metavar="TEXT",
            check=letters(200),
        ),
    ] = None
    licence: Annotated[
        str | None,
        Flag(
            "its licence, as CC-BY-4.0; the marks of its images state it as their rights",
            "--licence --license",
            group=_GROUP,
            metavar="TEXT",
            check=letters(200),
        ),
    ] = None
    data_statement: Annotated[
        str | None,
        Flag(
            "where the training data come from, and by what right they were used",
            group=_GROUP,
            metavar="TEXT",
            check=letters(2000),
        ),
    ] = None

    def __post_init__(self) -> None:
        check(self)

    def to_json(self) -> dict[str, str]:
        """Return the texts that there are, by name."""
        texts = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: text for name, text in texts.items() if text is not None}


UNKNOWN = Authorship()

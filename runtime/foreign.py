"""Read values from text that may come from anyone."""

from __future__ import annotations

import json
from typing import Any

DEEPEST = 100  # levels of lists and objects; gantool's own files have six
_COLLECTIONS = (dict, list, tuple, set)


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError if it is not JSON, or nested deeper than DEEPEST.

    Printing, comparing or copying a value that is nested almost as deep as Python's stack would end in a
    RecursionError, far from where the text is read.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    check_nesting(value, len(text))
    return value


def check_nesting(value: Any, most: int) -> None:
    """Raise ValueError for collections that are nested deeper than DEEPEST, or that are more than `most`.

    YAML's aliases make a value of any size from a few lines: `most` is the length of the text.
    """
    level: list[Any] = [(value,)]
    count = 0
    for _ in range(DEEPEST + 1):
        level = [
            each
            for outer in level
            for each in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(each, _COLLECTIONS)
        ]
        count += len(level)
        if not level:
            return
        if count > most:
            raise ValueError("its aliases make it much larger than its text")
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested deeper than {DEEPEST} levels")

"""Read options from a file: JSON, or YAML if PyYAML is installed. A run's training_options.json is such a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError
from gantool.runtime.flags import Given, Option, choose
from gantool.runtime.process.terminal import message_of, short

_MOST_BITS = 64  # of a whole number: a larger one has no use, and may have too many digits to be printed
_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path, as text",
}


def read_config(path: Path, known: Mapping[str, Option]) -> Given:
    """Return the options in a file. Keys are the names of options, or of their flags without the dashes.

    Options of a nested dataclass may lie in a nested object of any name, as `network` in training_options.json.
    Raises UsageError for an unknown key (with the nearest name) and for a value of a wrong type; GantoolError for a
    file that cannot be read; MissingDependencyError for YAML without PyYAML.
    """
    names, content = {**known}, _content(path)
    # a training_options.json, which has all options of a run: null is a value
    whole = any(isinstance(value, dict) for value in content.values())
    for one in known.values():
        names |= {name.strip("-").replace("-", "_"): one for name in one.names if name.startswith("--")}
    given: Given = {}
    for key, value in _items(content):
        option = names.get(key.replace("-", "_"))
        if option is None or not _in_file(option):
            listed = [name for name, one in names.items() if _in_file(one)]
            raise UsageError(f"{path}: {key} is not an option: {_nearest(key, listed)}")
        if option.name in given:
            raise UsageError(f"{path}: {key} is given twice, under two names: leave one out")
        if value is not None:
            given[option.name] = typed(option, value, f"{path}: {key}")
        elif whole and option.optional:
            given[option.name] = None
    return given


def typed(option: Option, value: Any, where: str) -> Any:
    """Return a value converted to the type of its option. Raises UsageError, whose message begins with `where`."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, int) and each.bit_length() > _MOST_BITS:
            raise UsageError(f"{where} is a whole number of {each.bit_length():,} bits: give a smaller one")
    parse = option.flag and option.flag.parse
    if parse and (isinstance(value, str) or option.kind not in _KINDS):
        return parse(value)
    if not option.many:
        return _one(option.kind, value, where)
    if not isinstance(value, list):
        raise UsageError(f"{where} is {short(repr(value))}: expected a list")
    return tuple(_one(option.kind, each, where) for each in value)


def _in_file(option: Option) -> bool:
    return option.kind in _KINDS or (option.flag is not None and option.flag.parse is not None)


def _one(kind: type, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            # PyYAML reads 2e-4 as text, because it has no decimal point
            return float(value) if isinstance(value, int) or "e" in value else _wrong(kind, value, where)
        except ValueError:
            return _wrong(kind, value, where)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    return _wrong(kind, value, where)


def _wrong(kind: type, value: Any, where: str) -> Any:
    raise UsageError(f"{where} is {short(repr(value))}: expected {_KINDS[kind]}")


def _items(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from ((str(name), one) for name, one in value.items())
        else:
            yield str(key), value


def _nearest(key: str, names: list[str]) -> str:
    advice = choose(key.replace("-", "_"), names)
    return advice.partition(" choose ")[0] if "did you mean" in advice else advice


def _content(path: Path) -> Mapping[str, Any]:
    kind = path.suffix.lower()
    if kind not in (".json", ".yaml", ".yml"):
        raise UsageError(f"`config` {path}: give a .yaml or a .json")
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        content = _json(text) if kind == ".json" else _yaml(text)
    except ValueError as error:
        raise GantoolError(f"{path} cannot be read ({message_of(error)}): correct it") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} has no options: write them as names and values, as in kimg: 300")
    return content


def _json(text: str) -> Any:
    from gantool.runtime.foreign import parse_json  # here, so that --help is faster

    return parse_json(text)


def _yaml(text: str) -> Any:
    from importlib import import_module

    try:
        yaml = import_module("yaml")
    except ModuleNotFoundError as error:
        raise MissingDependencyError("PyYAML", "yaml", "reading YAML") from error
    from gantool.runtime.foreign import DEEPEST, check_nesting

    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):  # loading takes time with the square of the depth
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"it is nested deeper than {DEEPEST} levels")
        content = yaml.safe_load(text)
    except Exception as error:  # beside its own, PyYAML raises IndexError for `!!int ""`, and others
        raise ValueError(message_of(error)) from error
    check_nesting(content, len(text))
    return content

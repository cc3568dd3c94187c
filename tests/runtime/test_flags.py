"""A field is an option: its choices, checks, names, and its values out of a file."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest

from gantool.runtime.config import read_config
from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError
from gantool.runtime.flags import Flag, between, build, check, options, positive, render


@dataclass(frozen=True)
class Inner:
    kind: Annotated[Literal["round", "square"], Flag("shape", "-k --kind")] = "round"
    hidden: int = 3


@dataclass(frozen=True)
class Options:
    rate: Annotated[float, Flag("speed", check=positive)]
    level: Annotated[int | None, Flag("level", "--lvl", check=between(0, 9))] = None
    paths: Annotated[tuple[Path, ...], Flag("files", argument=True)] = ()
    inner: Inner = field(default_factory=Inner)
    on: Annotated[bool, Flag("switch")] = False

    def __post_init__(self) -> None:
        check(self)


KNOWN = options(Options)


def test_what_a_field_says() -> None:
    assert list(KNOWN) == ["rate", "level", "paths", "on", "kind", "hidden"]
    assert KNOWN["kind"].names == ("--kind", "-k")
    assert KNOWN["level"].names == ("--lvl",)
    assert KNOWN["paths"].names == KNOWN["hidden"].names == ()
    assert (KNOWN["level"].kind, KNOWN["level"].optional, KNOWN["rate"].optional) == (int, True, False)
    assert (KNOWN["paths"].kind, KNOWN["paths"].many) == (Path, True)
    assert KNOWN["kind"].choices == ("round", "square")


def test_what_was_given_becomes_the_dataclass() -> None:
    made = build(Options, {"rate": 2.0, "kind": "square", "hidden": 5})
    assert made == Options(2.0, inner=Inner("square", 5))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"rate": 0.0}, "`rate` 0: give a number over 0"),
        ({"rate": float("nan")}, "`rate` nan: give a number over 0"),
        ({"rate": 1.0, "level": 10}, "`level` 10: give a whole number from 0 to 9"),
    ],
)
def test_a_bad_value_names_its_parameter(given: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=f"^{says}$"):
        build(Options, given)


def test_messages_name_flags_on_the_command_line() -> None:
    text = "`level` 3 and `paths`: not `other`, see `gantool train`"
    assert render(text, KNOWN) == "--lvl 3 and paths: not `other`, see `gantool train`"
    assert render("`level=False`, not `other=False`", KNOWN) == "--no-lvl, not `other=False`"
    hints = "kept (`level` 3 is smaller), made (`other` is faster)"
    assert render(hints, KNOWN) == "kept (--lvl 3 is smaller), made"


def test_options_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(
        json.dumps({"rate": 2, "lvl": None, "any": {"kind": "square", "hidden": 4}, "paths": ["a"]})
    )
    given = {"rate": 2.0, "kind": "square", "hidden": 4, "paths": (Path("a"),)}
    # as in the file of a run, which has all of its options: null is a value
    assert read_config(path, KNOWN) == {**given, "level": None}
    path.write_text(json.dumps({"rate": 2, "lvl": None}))
    assert read_config(path, KNOWN) == {"rate": 2.0}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"rat": 1}', "run.json: rat is not an option: did you mean rate"),
        ('{"xyz": 1}', "run.json: xyz is not an option: choose rate, level, paths"),
        ('{"rate": "fast"}', "run.json: rate is 'fast': expected a number"),
        ('{"rate": true}', "run.json: rate is True: expected a number"),
        ('{"level": 1.5}', "run.json: level is 1.5: expected a whole number"),
        ('{"on": 1}', "run.json: on is 1: expected true or false"),
        ('{"kind": 3}', "run.json: kind is 3: expected text"),
        ('{"paths": "a"}', "run.json: paths is 'a': expected a list"),
        ('{"level": 1, "lvl": 2}', "run.json: lvl is given twice"),
        ("[1]", "run.json has no options"),
    ],
)
def test_a_bad_file_names_the_key(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        read_config(path, KNOWN)
    assert says in str(caught.value)


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"rate": ')
    with pytest.raises(GantoolError, match=r"run.json cannot be read \(Expecting value"):
        read_config(tmp_path / "run.json", KNOWN)
    with pytest.raises(UsageError, match=r"give a .yaml or a .json"):
        read_config(tmp_path / "run.toml", KNOWN)


def test_yaml_needs_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("rate: 2e-4\n")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependencyError, match=r"PyYAML.*\[yaml\]"):
        read_config(path, KNOWN)
    monkeypatch.undo()
    pytest.importorskip("yaml")  # which reads a number without a point as text
    assert read_config(path, KNOWN) == {"rate": 0.0002}

"""What GitHub reads: workflows that run make alone, forms of issues, and how to cite."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from helpers.pythons import SUPPORTED, interpreter

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = [path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
# of the Makefile; a folder such as docs/ is none
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in read(workflow)["jobs"].values():
        yield from job["steps"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_only_calls_targets_of_make(workflow: Path) -> None:
    commands = [step["run"].split() for step in steps(workflow) if "run" in step]
    assert commands
    for program, *targets in commands:
        assert program == "make"
        assert targets
        assert not set(targets) - TARGETS


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_more_rights_than_it_needs(workflow: Path) -> None:
    content = read(workflow)
    assert content["permissions"] == {"contents": "read"}
    rights = {name: job["permissions"] for name, job in content["jobs"].items() if "permissions" in job}
    assert rights == ({"publish": {"id-token": "write"}} if workflow.stem == "release" else {})


def test_every_supported_python_is_tested() -> None:
    tested = read(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python-version"]
    assert metadata("gantool")["Requires-Python"] == f">={tested[0]}"
    assert tuple(tested) == SUPPORTED


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_a_form_is_one_that_github_shows(form: Path) -> None:
    content = read(form)
    assert content["name"]
    assert content["description"]
    asked = [field for field in content["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in asked}) == len(asked) > 0
    assert all(field["attributes"]["label"] for field in asked)


def test_a_bug_comes_with_what_doctor_says() -> None:
    fields = {field.get("id"): field for field in read(ROOT / ".github/ISSUE_TEMPLATE/bug.yml")["body"]}
    assert fields["doctor"]["validations"]["required"]
    assert "gantool doctor" in fields["doctor"]["attributes"]["description"]


def test_the_citation_is_of_this_project() -> None:
    citation = read(ROOT / "CITATION.cff")
    project = metadata("gantool")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()  # the schema requires them
    assert citation["title"] == project["Name"]
    assert citation["abstract"] == project["Summary"]
    assert citation["license"] == project["License-Expression"]
    assert [author["name"] for author in citation["authors"]] == [project["Author"]]


def test_the_release_check_finds_the_pythons_that_are_here() -> None:
    here = f"3.{sys.version_info[1]}"
    assert here in SUPPORTED
    found = interpreter(here)
    assert found
    version = subprocess.run([found, "-V"], capture_output=True, text=True, check=True).stdout
    assert version.startswith(f"Python {here}")
    assert interpreter("3.99") is None

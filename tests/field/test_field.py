"""Every generator, checkpoint and picture that people brought gets the right answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from field import data, faults, graphs, interfaces, kinds, lies, modules, precisions, runs
from field.cases import BROUGHT, Case, gantool

CASES = [
    *modules.CASES,
    *graphs.CASES,
    *interfaces.CASES,
    *data.CASES,
    *faults.CASES,
    *runs.CASES,
    *lies.CASES,
    *kinds.CASES,
    *precisions.CASES,
]


@pytest.mark.filterwarnings("default")  # those of a user's own module are not ours
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.id, marks=[pytest.mark.slow] * case.slow) for case in CASES]
)
def test_what_people_bring(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BROUGHT)  # for what prepares a case
    if case.prepare:
        case.prepare(tmp_path)
    answer = gantool(case.command, tmp_path)
    told = answer.out + answer.err
    assert answer.code == case.code, told
    assert "Traceback" not in told
    for text in case.says:
        assert text in told
    for text in case.never:
        assert text not in told
    if case.then:
        case.then(tmp_path)

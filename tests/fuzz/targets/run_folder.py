"""The logs in the folder of a run: stats.jsonl and metric-*.jsonl, for `gantool plot` and for a model card."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.harness import EARLIER, folder
from fuzz.mutate import json_values
from gantool.export.packaging.card_run import RunFacts
from gantool.train.plot import plot
from gantool.train.requests import PlotOptions

MUTATE = json_values


def seeds() -> Iterator[bytes]:
    yield from (EARLIER / "run/stats.jsonl").read_bytes().splitlines()[:2]
    yield b'{"kimg": 1.0, "seconds": 3, "fd": 12.5, "precision": 0.5, "recall": 0.4, "diversity": 1.0, "copies": 0}'
    yield b'{"kimg": 2.0, "loss_d": 1e300, "loss_g": -1, "right": 0.5, "sec_per_kimg": 1e-300, "distance": 4}'


def run(data: bytes) -> None:
    run = folder() / "00000-run"
    run.mkdir(exist_ok=True)
    for name in ("stats.jsonl", "metric-fd.jsonl", "training_options.json"):
        (run / name).write_bytes(
            b'{"kimg": 1, "seconds": 1, "loss_d": 0.5}\n' * (name == "stats.jsonl") + data
        )
    facts = RunFacts.read(run, 1000)
    assert all(str(value).isprintable() for value in facts.settings.values())
    assert all(isinstance(score, dict) for score in facts.scores)
    assert plot(PlotOptions(run, folder() / "curves.html")).is_file()

"""The help is true, for every preset; what is misspelt gets the nearest; a file gives options as flags do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from field.cases import gantool
from gantool.__main__ import COMMANDS
from gantool.export.engine.options import HARDWARE, VERBOSITY, BuildOptions
from gantool.models.presets import DEFAULT_PRESET, PRESETS
from gantool.runtime.backends.providers import PROVIDERS
from gantool.runtime.caches import KINDS
from gantool.runtime.flags import options
from gantool.runtime.outputs.formats import OUTPUTS
from gantool.runtime.request import Format, Provider
from gantool.train import launch
from gantool.train.options import GROUPS, OF_DISTILLATION, PENALTIES, LaunchOptions, Loss, TrainingOptions
from gantool.train.preflight import Planned
from gantool.train.run import Run

QUICK = "--no-autotune --device cpu --kimg 0.05"
# what a run finds out when it starts, in the words of the help
FOUND = {
    "background": "kept transparent where most images are, else white",
    "channels": "those of the images",
    "levels": "0 to the bits that the set uses",
    "precision": "the fastest here",
}


def defaults(help_text: str) -> dict[str, str]:
    """Return the default that a help shows of each flag; of those that it shows none, ""."""
    entries = re.split(r"\n  (?=-)", re.sub(r"\n\n[A-Z].*:(?=\n)", "", help_text))[1:]
    found = {}
    for entry in entries:
        text = " ".join(entry.split())
        flag = max(re.findall(r"(?:^|, )(--?[^ ,]+)", text), key=len)
        default = re.search(r"\[default: (.*)\]$", text)
        found[flag.replace("--no-", "--")] = default[1].replace("- ", "-") if default else ""
    return found


def shown(value: Any) -> str:
    if value is None or value is False:
        return ""
    return "on" if value is True else f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("given", [*PRESETS, "dcgan64 --loss wgan-gp"])
def test_the_help_is_what_runs(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_help = defaults(gantool(f"train --preset {given} --help", tmp_path).out)
    dry = json.loads(gantool(f"train --preset {given} -n", tmp_path).out)
    planned: list[Planned] = []

    def start(plan: Planned, _: LaunchOptions) -> Run:
        planned.append(plan)
        return Run(tmp_path, tmp_path, tmp_path, 0.0, None, False)

    monkeypatch.setattr(launch, "start", start)
    assert gantool(f"train --preset {given}", tmp_path).code == 0
    run = planned[0].options.resolved().to_json()
    assert run == dry
    values = {"tile": False, "bits": 8, **dry, **dry["network"]}  # the JSON leaves these out at their default
    known = options(TrainingOptions)
    flags = {name: option for name, option in known.items() if option.flag and name not in OF_DISTILLATION}
    assert len(flags) > 35
    for name, option in flags.items():
        assert in_help[option.names[0]] == FOUND.get(name, shown(values[name])), name


def test_a_bare_run_is_that_of_the_default_preset(tmp_path: Path) -> None:
    bare = gantool("train --help", tmp_path).out
    assert bare == gantool(f"train --preset {DEFAULT_PRESET} --help", tmp_path).out
    in_help = defaults(bare)
    assert [in_help[flag] for flag in ("--r1", "--lazy", "--ema-kimg", "--batch")] == ["0.5", "8", "10", "16"]
    assert (in_help["--outdir"], in_help["--autotune"]) == ("runs", "on")
    assert gantool(f"train {QUICK}", tmp_path).code == 0
    (saved,) = tmp_path.glob(f"{LaunchOptions().outdir}/*/training_options.json")
    ran = {**json.loads(saved.read_text()), **json.loads(saved.read_text())["network"]}
    for flag in (
        "r1",
        "lazy",
        "ema_kimg",
        "batch",
        "lr",
        "width",
        "latent",
        "loss",
        "augment",
        "tick",
        "snap",
    ):
        assert shown(ran[flag]) == in_help[f"--{flag.replace('_', '-')}"], flag


def test_a_preset_is_shown_with_its_own(tmp_path: Path) -> None:
    in_help = defaults(gantool("train --help --preset small", tmp_path).out)
    assert in_help["--augment"] == "ada"
    assert (in_help["--width"], in_help["--kimg"], in_help["--size"]) == ("16", "2000", "64")


def test_no_summary_is_cut(tmp_path: Path) -> None:
    text = " ".join(gantool("--help", tmp_path).out.split()).replace("- ", "-")
    for name, (_, summary) in COMMANDS.items():
        assert f"{name} {summary}" in text
        assert summary in " ".join(gantool(f"{name} -h", tmp_path).out.split()).replace("- ", "-")


def test_help_has_headings_and_choices(tmp_path: Path) -> None:
    out = gantool("train -h", tmp_path).out
    places = [out.index(f"\n{group}:\n") for group in GROUPS]
    assert places == sorted(places)
    text = " ".join(out.split())
    assert "non-saturating, hinge, wgan-gp or relativistic" in text
    assert "none, diff or ada" in text


def test_choices_are_those_that_are_known(tmp_path: Path) -> None:
    assert get_args(Loss) == tuple(PENALTIES)
    assert get_args(Provider) == ("auto", *PROVIDERS)
    assert set(get_args(Format)) == set(OUTPUTS)
    known = options(BuildOptions)
    assert known["hardware_compatible"].choices == tuple(HARDWARE)
    assert known["profile_verbosity"].choices == tuple(VERBOSITY)
    listed = " ".join(gantool("cache -h", tmp_path).out.split())
    assert all(kind in listed for kind in KINDS)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("trian", "trian is not a command: did you mean train?"),
        ("train --kmig 5", "--kmig is not an option: did you mean --kimg? gantool train --help lists all"),
        ("train --preset dcgan23", "--preset dcgan23: did you mean dcgan32?"),
        ("train --preset smal --help", "--preset smal: did you mean small?"),
        ("train --augment aad", "--augment aad: did you mean ada?"),
        ("train --upsampling transpose", "--upsampling transpose: did you mean transposed?"),
        ("export --engine tensort", "--engine tensort: did you mean tensorrt?"),
        ("export --lowering subpixels", "--lowering subpixels: did you mean subpixel?"),
        ("generate --format pgn", "--format pgn: did you mean png?"),
        ("generate --provider cdua", "--provider cdua: did you mean cuda?"),
    ],
)
def test_the_nearest_is_suggested(command: str, says: str, tmp_path: Path) -> None:
    answer = gantool(command, tmp_path)
    assert answer.code == 2
    assert says in answer.err


def test_a_file_gives_options_and_flags_win(tmp_path: Path) -> None:
    assert gantool(f"train {QUICK} --width 8 --preset dcgan16 --mirror --seed 3", tmp_path).code == 0
    (saved,) = tmp_path.glob("runs/*/training_options.json")
    first = json.loads(saved.read_text())
    again = json.loads(gantool(f"train --config {saved} -n", tmp_path).out)
    for name in ("r1", "r2", "gp", "lr_d"):  # resolved in one, left to the loss in the other
        first.pop(name, None)
        again.pop(name, None)
    assert again == first
    changed = json.loads(gantool(f"train --config {saved} --latent 7 --no-mirror --kimg 2 -n", tmp_path).out)
    assert changed["network"] == {**first["network"], "latent": 7}
    assert (changed["mirror"], changed["kimg"], changed["seed"]) == (False, 2.0, 3)
    assert defaults(gantool(f"train --config {saved} -h", tmp_path).out)["--seed"] == "3"
    for given in (f"--config {saved}", "--preset typo", "--batch 7 --accumulate 9"):
        answer = gantool(f"train {given} --resume latest", tmp_path)
        assert (answer.code, "--resume goes on with the settings" in answer.err) == (2, True), answer.err


def test_a_file_gives_options_of_export(checkpoint: Path, tmp_path: Path) -> None:
    config = tmp_path / "export.json"
    config.write_text(json.dumps({"fp16": True, "engine": "none", "base": "x", "source": str(checkpoint)}))
    assert gantool(f"export --config {config} --out y", tmp_path).code == 0
    assert (tmp_path / "y.fp16.onnx").exists()
    config.write_text(json.dumps({"workspace": "2"}))
    answer = gantool(f"export --config {config} {checkpoint}", tmp_path)
    assert (answer.code, "--workspace '2': write a size with its unit" in answer.err) == (2, True)


def complete(line: str, folder: Path) -> list[str]:
    words = line.split(" ")
    environment = {
        "_GANTOOL_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    result = subprocess.run(
        [sys.executable, "-m", "gantool"],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.split()


def test_a_shell_can_complete(tmp_path: Path) -> None:
    assert complete("gantool tr", tmp_path) == ["train"]
    assert complete("gantool train --augm", tmp_path) == ["--augment"]
    assert complete("gantool train --augment d", tmp_path) == ["diff"]
    home = {**os.environ, "HOME": str(tmp_path), "SHELL": "/bin/bash"}
    line = f"{sys.executable} -m gantool --install-completion; exit $?"  # typer asks which shell started it
    install = ["bash", "-c", line]
    result = subprocess.run(install, env=home, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, "completion installed" in result.stdout) == (0, True), result.stderr

"""`gantool distill`: a student learns to make the images of its teacher."""

from __future__ import annotations

import json
import logging
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from field.cases import Answer, gantool
from gantool.models import Checkpoint, NetworkConfig, load_checkpoint, save_checkpoint
from gantool.models.batchnorm import recalibrate
from gantool.models.config import Size, square
from gantool.models.cost import cost
from gantool.models.sampling import sample_images
from gantool.models.slim import by_importance
from gantool.runtime import Generator
from gantool.train.distill.distill import student_options
from gantool.train.distill.options import DistillOptions
from gantool.train.distill.teacher import FIRST_SEED, lesson
from helpers.networks import lived_in
from helpers.tiny import tiny_graph

NETWORK = NetworkConfig(size=square(16), width=8, latent=8)
INT8 = "export --int8 --min-psnr 5 --engine none"
FLAGS = "--no-autotune --device cpu --batch 16 --tick 0.064"
NAMES, COUNTS = ("box", "disc", "ring"), (50, 30, 20)


def teacher(folder: Path, config: NetworkConfig = NETWORK) -> Path:
    path = folder / "generator.safetensors"
    names, counts = NAMES[: config.classes], COUNTS[: config.classes]
    save_checkpoint(path, lived_in(config), 1000, "shapes", names, counts)
    return path


def distilled(folder: Path, words: str) -> Answer:
    answer = gantool(f"distill {words} {FLAGS}", folder)
    assert answer.code == 0, answer.err
    return answer


def the_run(folder: Path) -> Path:
    (path,) = folder.glob("runs/*/generator.safetensors")
    return path.parent


def likeness(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((the_run(folder) / "likeness.json").read_text())[0]
    return found


class PressesCtrlC(logging.Handler):
    """Interrupts a run at its first tick."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("tick 1 "):
            signal.raise_signal(signal.SIGINT)


def assert_resumes(folder: Path, words: str) -> tuple[Checkpoint, Checkpoint]:
    """Train a student in whole/, and with Ctrl-C and a resume in parts/: their weights are equal. Return both."""
    whole, parts = folder / "whole", folder / "parts"
    whole.mkdir()
    parts.mkdir()
    distilled(whole, f"{words} --kimg 0.128")
    log, presses = logging.getLogger("gantool"), PressesCtrlC()
    log.addHandler(presses)
    try:
        answer = gantool(f"distill {words} --kimg 0.128 {FLAGS}", parts)
    finally:
        log.removeHandler(presses)
    assert answer.code == 130, answer.err
    assert load_checkpoint(the_run(parts) / "generator.safetensors").metadata.images_seen < 128
    answer = gantool("train --resume latest", parts)
    assert answer.code == 0, answer.err
    one, other = (load_checkpoint(the_run(each) / "generator.safetensors") for each in (whole, parts))
    of_other = other.generator.state_dict()
    assert all(torch.equal(tensor, of_other[name]) for name, tensor in one.generator.state_dict().items())
    return one, other


def test_a_student_learns_the_images_of_its_teacher_seed_by_seed(tmp_path: Path) -> None:
    path = teacher(tmp_path)
    answer = distilled(
        tmp_path, f"{path.name} --width 4 --adversarial 0 --lr 0.004 --ema-kimg 0.5 --kimg 6.4"
    )
    assert likeness(tmp_path)["apart"] < 0.5
    assert "PSNR" in answer.err
    lines = (the_run(tmp_path) / "stats.jsonl").read_text().splitlines()
    first, last = (json.loads(lines[index])["distance"] for index in (0, -1))
    assert last < first / 2
    with Image.open(the_run(tmp_path) / "likeness.png") as sheet:
        assert sheet.size == (8 * 16, 8 * 16)
    student = load_checkpoint(the_run(tmp_path) / "generator.safetensors")
    assert student.generator.config == replace(NETWORK, width=4)
    assert student.metadata.data == "shapes"
    made, wanted = (
        sample_images(each, range(500, 516)).astype(float) for each in (student.generator, lived_in(NETWORK))
    )
    assert np.abs(made - wanted).mean() < np.abs(made - np.roll(wanted, 1, 0)).mean()


@pytest.mark.parametrize(
    "config",
    [
        replace(NETWORK, channels=4),
        replace(NETWORK, classes=3, channels=3, distribution="uniform"),
        replace(NETWORK, bits=16, size=Size(32, 16)),
        replace(NETWORK, tile=True, distribution="truncated"),
    ],
    ids=["rgba", "classes", "16 bits, not square", "tile"],
)
def test_every_kind_of_generator_has_students(tmp_path: Path, config: NetworkConfig) -> None:
    path = teacher(tmp_path, config)
    distilled(tmp_path, f"{path.name} --macs 0.25 --kimg 0.064 --regression-kimg 0.032")
    student = load_checkpoint(the_run(tmp_path) / "generator.safetensors")
    assert replace(student.generator.config, width=config.width) == config
    assert cost(student.generator.config).macs <= cost(config).macs / 4
    assert student.metadata.class_names == NAMES[: config.classes]
    assert student.metadata.class_counts == COUNTS[: config.classes]
    assert gantool("export --engine none", tmp_path).code == 0  # as any other run


def test_a_graph_teaches_as_its_checkpoint_does(tmp_path: Path) -> None:
    path = teacher(tmp_path, replace(NETWORK, classes=3))
    assert gantool(f"export {path.name} --engine none", tmp_path).code == 0
    weights = []
    for source in (path.name, "g.onnx"):
        out = tmp_path / source.replace(".", "_")
        out.mkdir()
        answer = gantool(f"distill ../{source} --width 4 --no-prune --kimg 0.064 {FLAGS}", out)
        assert answer.code == 0, answer.err
        weights.append(load_checkpoint(the_run(out) / "generator.safetensors").generator.state_dict())
    one, other = weights
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], atol=1e-3, rtol=1e-3)


def test_a_generator_of_another_tool_has_a_plain_student(tmp_path: Path) -> None:
    path = teacher(tmp_path, replace(NETWORK, architecture="r3gan", channels=3))
    assert gantool(f"export {path.name} --engine none", tmp_path).code == 0
    model = onnx.load(tmp_path / "g.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    distilled(tmp_path, "foreign.onnx --width 4 --kimg 0.064")
    student = load_checkpoint(the_run(tmp_path) / "generator.safetensors").generator
    assert student.config == replace(NETWORK, width=4, channels=3)
    answer = gantool(f"distill foreign.onnx --macs 0.25 {FLAGS}", tmp_path)
    assert answer.code == 2
    assert "--macs 0.25 is a share of the teacher's, and the cost of foreign.onnx is not known" in answer.err
    (tmp_path / "tiny.onnx").write_bytes(tiny_graph())
    answer = gantool(f"distill tiny.onnx --width 4 {FLAGS}", tmp_path)
    assert answer.code == 2
    assert "cannot make 4×4 pixels" in answer.err


def test_a_student_starts_from_the_channels_of_its_teacher(tmp_path: Path) -> None:
    path = teacher(tmp_path)
    apart = {}
    for flag in ("", "--no-prune"):
        out = tmp_path / (flag or "pruned")
        out.mkdir()
        distilled(out, f"../{path.name} --width 6 --kimg 0.016 --lr 1e-9 {flag}")
        apart[flag] = likeness(out)["apart"]
    assert apart[""] < 0.7 * apart["--no-prune"]
    (tmp_path / "settled").mkdir()
    save_checkpoint(tmp_path / "settled" / path.name, recalibrate(lived_in(NETWORK)), 1000, "shapes")
    distilled(tmp_path / "settled", "generator.safetensors --width 8 --kimg 0.016 --lr 1e-9")
    assert likeness(tmp_path / "settled")["psnr"] > 40  # all of its channels are the teacher itself


def test_a_resumed_student_goes_on_with_the_next_images(tmp_path: Path) -> None:
    path = teacher(tmp_path, replace(NETWORK, classes=3))
    assert_resumes(tmp_path, f"../{path.name} --width 4")
    path.unlink()
    answer = gantool("train --resume latest --kimg 1", tmp_path / "parts")
    assert answer.code == 1
    assert str(path) in answer.err


def real_images(folder: Path, names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for index in range(8):
            image = rng.integers(0, 60, (16, 16)).astype(np.uint8)
            image[number * 4 : number * 4 + 4] += 150
            Image.fromarray(image).save(folder / name / f"{index}.png")


def test_the_discriminator_may_see_real_images(tmp_path: Path) -> None:
    path = teacher(tmp_path, replace(NETWORK, classes=3))
    real_images(tmp_path / "data", NAMES)
    distilled(tmp_path, f"{path.name} --width 4 --kimg 0.064 --data data")
    options = json.loads((the_run(tmp_path) / "training_options.json").read_text())
    assert options["real_data"] is True
    assert Path(options["data"]) == tmp_path / "data"
    scores = gantool("evaluate --samples 32 --json", tmp_path)
    assert scores.code == 0, scores.err
    assert json.loads(scores.out)["data"] == "data"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("box", "disc", "oval", "ring"), "has 4 classes: the teacher generator.safetensors has 3"),
        (("box", "disc", "star"), "class 2 is star; of the teacher generator.safetensors, it is ring"),
    ],
)
def test_real_images_have_the_classes_of_the_teacher(
    tmp_path: Path, names: tuple[str, ...], expected: str
) -> None:
    path = teacher(tmp_path, replace(NETWORK, classes=3))
    real_images(tmp_path / "data", names)
    answer = gantool(f"distill {path.name} --width 4 --data data {FLAGS}", tmp_path)
    assert answer.code == 2
    assert expected in answer.err.replace(f"{tmp_path}/", "")
    assert not (tmp_path / "runs").exists()


def test_a_teacher_of_unknown_class_counts_has_students_of_unknown_counts(tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    save_checkpoint(path, lived_in(replace(NETWORK, classes=3)), 1000, "shapes")
    distilled(tmp_path, f"{path.name} --width 4 --kimg 0.016")
    assert load_checkpoint(the_run(tmp_path) / path.name).metadata.class_counts == ()


def test_a_teacher_may_be_a_link_and_its_data_may_have_any_name(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "teacher", lived_in(NETWORK), 1000, "../../else\x1b[31m")
    (tmp_path / "generator.safetensors").symlink_to("teacher")
    distilled(tmp_path, "generator.safetensors --width 4 --kimg 0.016")
    assert the_run(tmp_path).name.startswith("00000-else")
    answer = gantool("train --resume latest --kimg 0.032", tmp_path)
    assert answer.code == 0, answer.err


def test_groups_of_channels_must_agree(tmp_path: Path) -> None:
    path = teacher(tmp_path, replace(NETWORK, architecture="r3gan", width=32))
    distilled(
        tmp_path, f"{path.name} --width 24 --kimg 0.016"
    )  # from random weights: 24 channels are no groups of 16
    answer = gantool(f"distill {path.name} --elastic 1,0.75 {FLAGS}", tmp_path)
    assert answer.code == 2
    assert "--elastic 0.75: the first 24 of 32 channels" in answer.err
    distilled(tmp_path, f"{path.name} --elastic 1,0.5 --kimg 0.016 --outdir elastic")


def test_a_graph_of_fewer_bits_teaches(tmp_path: Path) -> None:
    path = teacher(tmp_path, replace(NETWORK, bits=16))
    assert gantool(f"export {path.name} --engine none --output uint8", tmp_path).code == 0
    distilled(tmp_path, "g.onnx --macs 0.25 --kimg 0.016")
    assert load_checkpoint(the_run(tmp_path) / path.name).generator.config.bits == 8


def test_shares_from_python_may_begin_with_the_whole_width(tmp_path: Path) -> None:
    made = student_options(DistillOptions(teacher(tmp_path), elastic=(1, 0.5)), {})
    assert made.network.elastic == (0.5,)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("generator.safetensors --width 4 --macs 0.5", "each set the size of the student"),
        ("generator.safetensors --macs 3X", "--macs 3X: give a share"),
        ("generator.safetensors --macs 1.5", "--macs 1.5: give a share"),
        ("generator.safetensors --params one", "--params one: give a number of weights"),
        ("generator.safetensors --macs 1k", "no student is that small"),
        ("nothing.onnx", "no teacher nothing.onnx"),
        (".", "holds no generator.safetensors"),
        ("generator.safetensors --data nowhere", "nowhere"),
        ("generator.safetensors --data nowhere --dry-run", "nowhere"),
        ("notes.txt", "notes.txt"),
    ],
)
def test_what_cannot_be_is_refused_before_a_run_begins(tmp_path: Path, words: str, expected: str) -> None:
    teacher(tmp_path / "t" if words == "." else tmp_path) if words != "." else None
    (tmp_path / "notes.txt").write_text("a b c")
    answer = gantool(f"distill {words} {FLAGS}", tmp_path)
    assert answer.code in (1, 2), answer.err
    assert expected in answer.err
    assert not (tmp_path / "runs").exists()


def test_the_size_of_a_student_follows_the_options(tmp_path: Path) -> None:
    teacher(tmp_path)
    widths = {}
    for words in (
        "--width 3",
        "--macs 0.25",
        "--macs 20k",
        "--params 2k",
        "--params 8kB",
        "--params 1MB",
        "",
    ):
        answer = gantool(f"distill generator.safetensors {words} --dry-run", tmp_path)
        assert answer.code == 0, answer.err
        widths[words] = json.loads(answer.out)["network"]["width"]
    assert widths["--width 3"] == 3
    assert widths[""] == widths["--macs 0.25"]
    assert widths["--params 2k"] == widths["--params 8kB"]
    assert widths["--params 1MB"] == NETWORK.width  # not wider than its teacher
    assert cost(replace(NETWORK, width=widths["--macs 20k"])).macs <= 20_000


def test_only_a_distillation_has_its_options(tmp_path: Path) -> None:
    plain = gantool("train --dry-run", tmp_path)
    assert "teacher" not in json.loads(plain.out)
    assert "--adversarial" not in gantool("train --help", tmp_path).out
    own = gantool("distill --help", tmp_path).out
    assert "--adversarial" in own
    assert "gantool export --int8: int8" in " ".join(own.split())


def test_lessons_are_of_other_seeds_than_comparisons() -> None:
    assert lesson(0, 0, 16)[0] == FIRST_SEED
    assert lesson(0, 16, 16) == range(FIRST_SEED + 16, FIRST_SEED + 32)
    for seed, position in ((3, 0), (2**62, 10**12), (1, 2**31 - 1)):
        seeds = lesson(seed, position, 64)
        assert FIRST_SEED <= seeds[0] < seeds[-1] < 2**32


def test_an_elastic_student_is_a_generator_at_each_of_its_widths(tmp_path: Path) -> None:
    path = teacher(tmp_path)
    words = "--elastic 1,0.5,0.25 --adversarial 0 --lr 0.004 --ema-kimg 0.5 --kimg 6.4"
    answer = distilled(tmp_path, f"{path.name} {words}")
    assert "width 2 " in answer.err
    found = json.loads((the_run(tmp_path) / "likeness.json").read_text())
    assert [each["width"] for each in found] == [8, 4, 2]
    assert all(each["apart"] < 0.7 for each in found)
    for share, width in ((1, 8), (0.5, 4), (0.25, 2)):
        answer = gantool(f"export --slice {share} --engine none -o g{width}", tmp_path)
        assert answer.code == 0, answer.err
        facts = json.loads(gantool(f"inspect g{width}.onnx --json", tmp_path).out)
        assert facts["metadata"]["config"]["width"] == width, facts
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with Generator.load("g8.onnx") as wide, Generator.load("g2.onnx") as thin:
            images, others = (each.images(range(16)).astype(float) for each in (wide, thin))
    assert (
        np.abs(images - others).mean() < np.abs(images - np.roll(others, 1, 0)).mean()
    )  # a preview of each seed
    answer = gantool("export --slice 0.3 --engine none", tmp_path)
    assert answer.code == 2
    assert "choose 1, 0.5, 0.25" in answer.err
    assert gantool("export g8.onnx --slice 0.5 --fp16 --engine none", tmp_path).code == 2


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_channels_in_order_of_importance_make_the_same_images(upsampling: Any) -> None:
    generator = lived_in(replace(NETWORK, upsampling=upsampling, classes=3))
    before = sample_images(generator, range(8))
    weights = {name: each.clone() for name, each in generator.state_dict().items()}
    by_importance(generator)
    assert any(not torch.equal(each, weights[name]) for name, each in generator.state_dict().items())
    assert np.abs(sample_images(generator, range(8)).astype(int) - before).max() <= 1


def decibels(folder: Path, graph: str) -> float:
    """Return the PSNR of the worst image of a graph against the teacher's."""
    answer = gantool(f"verify generator.safetensors {graph} --min-psnr 5 --json", folder)
    assert answer.code == 0, answer.err
    found: list[dict[str, Any]] = json.loads(answer.out)
    return float(found[1]["psnr"])


def test_a_quantized_student_is_nearer_to_its_teacher_than_a_calibrated_graph(tmp_path: Path) -> None:
    path = teacher(tmp_path)
    assert gantool(f"{INT8} {path.name} --int8-ends -o calibrated", tmp_path).code == 0
    answer = distilled(tmp_path, f"{path.name} --quantize int8 --lr 0.0001 --kimg 16 --ema-kimg 0.5")
    exported = gantool(f"{INT8} -o trained", tmp_path)
    assert "trained.onnx was trained in INT8: its 3 layers keep their ranges" in exported.err
    trained = decibels(tmp_path, "trained.int8.onnx")
    assert trained > decibels(tmp_path, "calibrated.int8.onnx") + 1
    (likeness,) = json.loads((the_run(tmp_path) / "likeness.json").read_text())
    assert likeness["worst_psnr"] == pytest.approx(trained, abs=0.3)  # simulated, and computed
    assert f"{likeness['psnr']:.1f} dB" in answer.err


def test_a_resumed_quantized_student_goes_on(tmp_path: Path) -> None:
    path = teacher(tmp_path, replace(NETWORK, classes=3))
    one, other = assert_resumes(tmp_path, f"../{path.name} --quantize int8")
    assert one.metadata.int8_limits == other.metadata.int8_limits


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("generator.safetensors --quantize int8 --width 4", "--quantize keeps the network of the teacher"),
        ("generator.safetensors --quantize int8 --elastic 1,0.5", "and --elastic changes it: distil first"),
        (
            "generator.safetensors --quantize int8 --precision bf16",
            "simulates INT8 in fp32: leave out --precision",
        ),
        ("g.onnx --quantize int8", "needs the weights of the teacher: give its checkpoint, not g.onnx"),
    ],
)
def test_what_cannot_be_quantized(words: str, message: str, tmp_path: Path) -> None:
    teacher(tmp_path)
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    answer = gantool(f"distill {words}", tmp_path)
    assert answer.code == 2
    assert message in answer.err

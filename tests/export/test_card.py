"""The model card: what it says is so, its head is YAML, its questions are visible, and an edited one is safe."""

from __future__ import annotations

import json
import re
import shutil
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from field.cases import gantool
from gantool.models import save_checkpoint
from gantool.runtime.artifacts.onnx import read_json
from helpers.networks import NETWORKS, lived_in
from helpers.tiny import tiny_graph

RUN = "00000-boxes-dcgan16"
SCORES = {
    "source": "/home/someone/secret",
    "kimg": 1.0,
    "data": "boxes",
    "features": "classifier",
    "samples": 100,
    "real": 200,
    "fd": 12.5,
    "kid": 0.25,
    "copies": 0.0,
    "real_halves": {"fd": 2.5},
    "classes": {"shares": {}, "missing": ["round *ones*"]},
    "notes": ["few images"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run that was evaluated, and its export g.onnx and g.md."""
    folder = tmp_path_factory.mktemp("card")
    run = folder / "runs" / RUN
    run.mkdir(parents=True)
    save_checkpoint(run / "generator.safetensors", lived_in(NETWORKS["dcgan16"]), 1000, "boxes | <b>all</b>")
    options = {
        "preset": "dcgan16",
        "data": "/home/someone/secret",
        "lr": 0.0008,
        "seed": 7,
        "augment": "none",
    }
    (run / "training_options.json").write_text(json.dumps(options))
    lines = [{**SCORES, "fd": 99.0}, SCORES, {**SCORES, "kimg": 0.5, "fd": 77.0}]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (run / "metric-classifier.jsonl").write_text(f"{text}damaged\n")
    export("--bundle", "g.tar", "--author", "Ana & Co", "--licence", "CC BY 4.0", folder=folder)
    return folder


@pytest.fixture
def work(runs: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder, to write to."""
    return shutil.copytree(runs, tmp_path / "work")


def export(*words: str, folder: Path) -> None:
    answer = gantool(["export", *words, "--engine", "none", "--card"], folder)
    assert answer.code == 0, answer.err


def head(card: str) -> Any:
    _, text, _ = card.split("---\n", 2)
    return import_module("yaml").safe_load(text)  # has no types


def shown(card: str) -> str:
    """Return the text that a reader of the Markdown sees."""
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(card.split("---\n", 2)[2])
    return re.sub("<[^>]*>", "", html).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def test_its_head_is_that_of_hugging_face(runs: Path) -> None:
    assert head((runs / "g.md").read_text(encoding="utf-8")) == {
        "license": "cc-by-4.0",
        "library_name": "gantool",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["gan", "image-generation", "onnx", "dcgan"],
    }


def test_it_lists_the_files_as_they_are(runs: Path) -> None:
    card = (runs / "g.md").read_text(encoding="utf-8")
    for name in ("g.onnx", "g.tar"):
        content = (runs / name).read_bytes()
        assert f"| `{name}` | {len(content):,} | `{sha256(content).hexdigest()}` |" in card


def test_it_says_what_is_known(runs: Path) -> None:
    text = shown((runs / "g.md").read_text(encoding="utf-8"))
    parity = read_json(runs / "g.onnx", "gantool_parity")
    for expected in (
        "16×16 pixels, grey, from 100 random numbers",
        "Author: Ana & Co",
        "Licence: CC BY 4.0",
        "data set “boxes | <b>all</b>”.",
        "Training showed it 1,000 images",
        "dcgan16",
        "0.0008",
        f"on {parity['seeds']} seeds",
        "every image is equal" if parity["psnr"] is None else f"a PSNR of {parity['psnr']:.1f} dB",
        "compared 100 of its images with 200 of “boxes”",
        "12.5",
        "These classes hardly appear in its images: round *ones*.",
        "few images",
    ):
        assert expected in text
    for other in ("99", "77", "secret"):  # an earlier line, another checkpoint, a path
        assert other not in re.sub("[0-9a-f]{64}", "", text)


def test_a_student_is_said_to_be_one(work: Path) -> None:
    path = work / "runs" / RUN / "training_options.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "teacher": "/home/someone/secret/g.onnx"}))
    export("-o", "student", folder=work)
    text = shown((work / "student.md").read_text(encoding="utf-8"))
    assert "the images of another generator, which was trained on the data set “boxes" in text
    assert "secret" not in text


def test_what_its_author_must_say_stays_a_question(work: Path) -> None:
    before = (work / "g.md").read_text(encoding="utf-8")
    assert "What is its licence?" not in before
    assert before.count("> **Answer this:**") == 6
    export("g.onnx", "--data-statement", "Drawn by a program.", "-o", "h", folder=work)
    after = (work / "h.md").read_text(encoding="utf-8")
    assert "> Drawn by a program." in after
    assert after.count("> **Answer this:**") == 5
    answer = gantool("export g.onnx -o i --card --engine none --licence Own", work)
    assert "7 questions that only you can answer" in answer.out
    assert head((work / "i.md").read_text(encoding="utf-8"))["license_name"] == "own"


def test_the_same_export_gives_the_same_card(work: Path) -> None:
    before = (work / "g.md").read_bytes()
    export("--bundle", "g.tar", "--author", "Ana & Co", "--licence", "CC BY 4.0", folder=work)
    assert (work / "g.md").read_bytes() == before


def test_an_edited_card_is_not_replaced(work: Path) -> None:
    card, graph = work / "g.md", (work / "g.onnx").read_bytes()
    edited = card.read_text(encoding="utf-8").replace(
        "> **Answer this:** What is this", "For games. What is this"
    )
    card.write_text(edited, encoding="utf-8")
    answer = gantool("export --author Else --engine none --card", work)
    assert answer.code == 2
    assert "g.md was edited, or gantool did not write it" in answer.err
    assert "--overwrite" in answer.err
    assert card.read_text(encoding="utf-8") == edited
    assert (work / "g.onnx").read_bytes() == graph
    assert gantool("export --author Else --engine none --card --overwrite", work).code == 0
    assert "Author: Else" in card.read_text(encoding="utf-8")


def test_another_file_of_its_name_is_not_replaced(work: Path) -> None:
    for content in (b"# notes\n", b"\xff\xfe", b""):
        (work / "notes.md").write_bytes(content)
        assert gantool("export g.onnx -o notes --engine none --card", work).code == 2
        assert (work / "notes.md").read_bytes() == content


def test_a_generator_from_elsewhere_has_more_questions(tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(tiny_graph(output="float"))
    export("tiny.onnx", "-o", "g", folder=tmp_path)
    text = shown((tmp_path / "g.md").read_text(encoding="utf-8"))
    for expected in ("Who made this generator?", "What is its licence?", "How was it trained?", "tiny.onnx"):
        assert expected in text
    assert "license" not in head((tmp_path / "g.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "text", ["[" * 99999, "[]", '{"preset": {"a": 1}, "lr": [1], "r1": 1e999}', "\udcff", ""]
)
def test_damaged_files_of_a_run_say_nothing(text: str, work: Path) -> None:
    run = work / "runs" / RUN
    for name in ("training_options.json", "metric-classifier.jsonl"):
        (run / name).write_bytes(text.encode(errors="surrogateescape"))
    export("--author", "Else", "-o", "x", folder=work)
    card = (work / "x.md").read_text(encoding="utf-8")
    assert "gantool has no scores of it" in card
    assert "preset" not in card
    assert len(card) < 5000

"""A generator says who made it: in the files of an export, to clients of a server, in the marks of its images."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf import text_format

from field.cases import gantool
from gantool.models import save_checkpoint
from gantool.runtime.artifacts.onnx import read_metadata
from gantool.runtime.artifacts.sidecar import sha256
from gantool.runtime.provenance.read import read_mark
from helpers.browser import MILLISECONDS, chromium
from helpers.commands import needed
from helpers.networks import NETWORKS, lived_in
from helpers.serving import graph_of, serving
from helpers.triton_messages import MESSAGES

TITLE, AUTHOR, LICENCE = 'Boxes "№ 1" <b>\\', "Ana Müller & Söhne", "CC-BY-4.0"
STATEMENT = "Drawn by a program; 盒子. " * 20
TEXTS = ("--title", TITLE, "--author", AUTHOR, "--license", LICENCE, "--data-statement", STATEMENT)
SAID = {"title": TITLE, "author": AUTHOR, "licence": LICENCE, "data_statement": STATEMENT}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the exports plain.onnx, without texts, and g.onnx with them, of one checkpoint."""
    folder = tmp_path_factory.mktemp("authorship")
    save_checkpoint(folder / "c.safetensors", lived_in(NETWORKS["dcgan16"]), 1000, "boxes")
    export("c.safetensors", "-o", "plain", folder=folder)
    export("c.safetensors", "-o", "g", "--bundle", "g.tar", "--triton", "models/g", *TEXTS, folder=folder)
    return folder


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    """Return a copy of the exports, to write to."""
    return shutil.copytree(made, tmp_path / "work")


def export(*words: str, folder: Path) -> None:
    answer = gantool(["export", *words, "--engine", "none"], folder)
    assert answer.code == 0, answer.err


def said(graph: Path) -> dict[str, str]:
    return read_metadata(graph).authorship.to_json()


def test_graph_and_bundle_carry_the_texts(made: Path) -> None:
    assert said(made / "plain.onnx") == {}
    assert said(made / "g.onnx") == SAID
    with tarfile.open(made / "g.tar") as tar:
        manifest = json.load(tar.extractfile("bundle.json"))  # type: ignore[arg-type]
    assert {name: manifest["metadata"][name] for name in SAID} == SAID


def test_triton_has_them_as_parameters(made: Path) -> None:
    text = (made / "models/g/config.pbtxt").read_text(encoding="utf-8")
    config: Any = text_format.Parse(text, MESSAGES.ModelConfig())
    found = {name: value.string_value for name, value in config.parameters.items()}
    assert {name: found[name] for name in SAID} == SAID


def test_inspect_prints_them_whole(made: Path) -> None:
    for name in ("g.onnx", "g.tar"):
        answer = gantool(["inspect", name], made)
        assert answer.code == 0
        for text in (TITLE, AUTHOR, LICENCE, STATEMENT.strip()):
            assert text in answer.out
    assert json.loads(gantool("inspect g.onnx --json", made).out)["data statement"] == STATEMENT


def test_a_graph_can_be_given_texts_later(work: Path) -> None:
    export("plain.onnx", "-o", "later", *TEXTS, folder=work)
    assert (work / "later.onnx").read_bytes() == (work / "g.onnx").read_bytes()
    onnx.checker.check_model(onnx.load(work / "later.onnx"), full_check=True)


def test_texts_stay_unless_given_anew(work: Path) -> None:
    for source in ("g.onnx", "g.tar"):
        export(source, "-o", "other", "--author", "Else", folder=work)
        assert said(work / "other.onnx") == {**SAID, "author": "Else"}
    export("g.onnx", "-o", "low", "--fp16", folder=work)
    assert said(work / "low.fp16.onnx") == SAID
    assert not (work / "low.onnx").exists()
    export("g.onnx", "-o", "both", "--fp16", "--author", "Else", folder=work)
    for name in ("both.onnx", "both.fp16.onnx"):
        assert said(work / name) == {**SAID, "author": "Else"}


def test_an_engine_is_of_the_graph_that_is_written(work: Path) -> None:
    answer = gantool("export plain.onnx -o h --engine rtx --author Else", work)
    assert answer.code == 0, answer.err
    sidecar = json.loads((work / "h.rtx.plan.json").read_text())
    assert sidecar["metadata"]["author"] == "Else"
    assert sidecar["graph_sha256"] == sha256(work / "h.onnx")
    assert "author" in gantool("inspect h.rtx.plan", work).out


def test_the_source_is_not_replaced(work: Path) -> None:
    before = (work / "plain.onnx").read_bytes()
    answer = gantool("export plain.onnx --author Else --engine none", work)
    assert answer.code == 2
    assert "would overwrite its source plain.onnx: give another name with -o" in answer.err
    assert (work / "plain.onnx").read_bytes() == before
    answer = gantool(["export", "g.onnx", "--author", AUTHOR, "--engine", "none", "-o", "same"], work)
    assert answer.code == 2
    assert "leaves nothing to do" in answer.err


@pytest.mark.parametrize(
    ("flag", "text", "message"),
    [
        ("--author", " ", "give 1 to 200 printable letters"),
        ("--author", "two\nlines", "give 1 to 200 printable letters"),
        ("--title", "\x1b[31mred", "--title ?[31mred: give 1 to 200 printable letters"),
        ("--licence", "a" * 201, "give 1 to 200 printable letters"),
        ("--data-statement", "\u202eabc", "give 1 to 2,000 printable letters"),
        ("--data-statement", "a" * 2001, "give 1 to 2,000 printable letters"),
    ],
)
def test_texts_are_checked_before_any_work(flag: str, text: str, message: str, tmp_path: Path) -> None:
    answer = gantool(["export", "c.safetensors", flag, text], tmp_path)
    assert answer.code == 2
    assert message in answer.err
    assert len(answer.err) < 250
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [5, ["a"], "", "\x9b31mred", "\u202e", "a" * 201])
def test_texts_in_files_are_checked_too(text: Any, made: Path, tmp_path: Path) -> None:
    model = onnx.load(made / "plain.onnx")
    (entry,) = (entry for entry in model.metadata_props if entry.key == "gantool")
    entry.value = json.dumps({**json.loads(entry.value), "author": text})
    onnx.save(model, tmp_path / "x.onnx")
    answer = gantool("generate x.onnx --seeds 0", tmp_path)
    assert answer.code == 1
    assert "in its metadata, 'author' is " in answer.err
    seen = gantool("inspect x.onnx", tmp_path)
    assert seen.code == 0
    for letter in ("\x9b", "\u202e"):
        assert letter not in answer.err + seen.out + seen.err


@pytest.mark.parametrize("kind", ["png", "webp", "jpg", "tiff"])
def test_marks_of_images_have_them(kind: str, made: Path, tmp_path: Path) -> None:
    words = ["generate", str(made / "g.onnx"), "--seeds", "3", "--format", kind, "--out", "."]
    assert gantool(words, tmp_path).code == 0
    mark = read_mark(tmp_path / f"seed0003.{kind}")
    assert mark
    assert (mark.title, mark.credit, mark.licence) == (TITLE, AUTHOR, LICENCE)
    answer = gantool(["authenticate", ".", "-e", str(made / "plain.onnx")], tmp_path)
    assert answer.code == 0, answer.out  # other texts do not change an image
    command = [needed("exiftool"), "-json", "-XMP:all", str(tmp_path / f"seed0003.{kind}")]
    (found,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (found["Title"], found["Credit"], found["Rights"]) == (TITLE, AUTHOR, LICENCE)


def test_a_credit_takes_precedence_over_the_author(made: Path, tmp_path: Path) -> None:
    words = ["generate", str(made / "g.onnx"), "--seeds", "3", "--format", "tar", "--out", "."]
    assert gantool([*words, "--credit", "us"], tmp_path).code == 0
    with tarfile.open(tmp_path / "images-000000.tar") as tar:
        beside = json.load(tar.extractfile("seed0003.json"))  # type: ignore[arg-type]
    mark = beside["mark"]
    assert (mark["title"], mark["credit"], mark["licence"]) == (TITLE, "us", LICENCE)


def test_a_title_alone_is_no_mark(tmp_path: Path) -> None:
    from PIL import Image

    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title><rdf:Alt><rdf:li>A photo</rdf:li>'
        "</rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    Image.new("RGB", (4, 4)).save(tmp_path / "photo.jpg", xmp=xmp.encode())
    assert read_mark(tmp_path / "photo.jpg") is None


def test_a_server_says_them(made: Path, tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    with serving(made / "g.onnx", graph_of("fp32", tmp_path)) as served:
        parameters = served.ask("/v2/models/g").json["parameters"]
        assert {name: parameters[name] for name in SAID} == SAID
        known = served.ask("/page/info.json?model=g").json
        assert {name: known[name] for name in SAID} == SAID
        assert not SAID.keys() & served.ask("/page/info.json?model=fp32").json.keys()
        assert not SAID.keys() & served.ask("/v2/models/fp32").json["parameters"].keys()
        with chromium() as browser, browser.new_context() as context:
            page = context.new_page()
            page.set_default_timeout(MILLISECONDS)
            page.goto(f"http://127.0.0.1:{served.port}/?model=g")
            page.wait_for_selector("body.ready")
            assert page.title() == f"{TITLE}: images by seed"
            assert page.inner_text("h1") == TITLE
            assert page.text_content("#authorship") == f"By {AUTHOR}. Licence: {LICENCE}."
            assert page.text_content("#data-statement") == STATEMENT

"""Graphs are tried in a process of their own, once, whatever they say of themselves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import onnx
import pytest
from onnx.external_data_helper import set_external_data

from conftest import run_gantool
from gantool.runtime import Generator
from gantool.runtime.backends.session import open_session
from gantool.runtime.errors import GantoolError
from gantool.runtime.process import apart
from helpers.tiny import tiny_graph

# Of the process that tries a graph: ends it as a crash in a library would, where the graph is to be loaded.
CRASH = """\
import os, signal, sys
if "gantool.runtime.process.apart" in sys.argv:
    os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.fixture(autouse=True)
def _processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have gantool start processes, where other tests fork them."""
    monkeypatch.setattr(apart, "subprocess", subprocess)


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a graph of gantool, by its metadata, on a machine that has not seen it."""
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))
    model = onnx.load_from_string(tiny_graph())
    model.metadata_props.add(key="gantool_session", value='{"optimization": "ORT_ENABLE_ALL"}')
    onnx.save(model, tmp_path / "g.onnx")
    return tmp_path / "g.onnx"


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_a_graph_that_kills_is_a_line(provider: str, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (graph.parent / "path").mkdir()
    (graph.parent / "path/sitecustomize.py").write_text(CRASH)
    monkeypatch.setenv("PYTHONPATH", str(graph.parent / "path"))
    library = "OpenVINO" if provider == "openvino" else "ONNX Runtime"
    with pytest.raises(GantoolError, match=rf"{library} [\d.]+.* crashes on .*g\.onnx \(SIGSEGV\)"):
        Generator.load(graph, provider)
    assert not list((graph.parent / "cache").glob("graphs/*"))  # another version may do better


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_a_graph_is_tried_once(provider: str, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Generator.load(graph, provider).close()
    model = onnx.load(graph)
    model.metadata_props.add(key="note", value="a tool was here")
    onnx.save(model, graph)
    with monkeypatch.context() as context:
        context.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it was tried again"))
        Generator.load(graph, provider).close()
    model.graph.node[-1].name += "x"
    onnx.save(model, graph)
    with monkeypatch.context() as context:
        context.setattr(subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(KeyError("tried")))
        with pytest.raises(KeyError):
            Generator.load(graph, provider)


def test_a_cache_that_lies_or_cannot_be_written(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Generator.load(graph, "cpu").close()
    (kept,) = (graph.parent / "cache/graphs").iterdir()
    for content in (b"", b"ORT_ENABLE", b"\xff\xff", b"openvino"):
        kept.write_bytes(content)
        Generator.load(graph, "cpu").close()
        assert kept.read_bytes() == b"ORT_ENABLE_ALL"
    monkeypatch.setenv("GANTOOL_CACHE", os.devnull)
    Generator.load(graph, "cpu").close()


def test_no_session_reads_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load_from_string(tiny_graph())
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            set_external_data(weight, "w.data")
    onnx.save(model, tmp_path / "g.onnx")
    assert (tmp_path / "w.data").is_file()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match=r"w\.data|external|folder"):
        open_session((tmp_path / "g.onnx").read_bytes())
    open_session(tmp_path / "g.onnx")  # beside the graph


def test_the_cache_is_shown(graph: Path) -> None:
    Generator.load(graph, "cpu").close()
    assert "graphs" in run_gantool("cache", cwd=graph.parent, check=True).stdout
    run_gantool("cache", "graphs", "--clear", cwd=graph.parent, check=True)
    assert not list((graph.parent / "cache").glob("graphs/*"))

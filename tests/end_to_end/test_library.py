"""The commands as functions: they return values, and print nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import gantool


def test_export_verify_and_inspect(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = gantool.ExportOptions(
        base=tmp_path / "g", engine="none", precision=gantool.Precision(low="fp16")
    )
    made = gantool.export(checkpoint, options)
    assert made.files == (tmp_path / "g.fp16.onnx", tmp_path / "g.onnx")
    assert (made.graph.path, made.engine, made.bundle) == (tmp_path / "g.fp16.onnx", None, None)
    found = gantool.verify([checkpoint, *made.files])
    assert [row.precision for row in found.rows] == ["fp32", "fp16", "fp32"]
    assert all(row.parity is not None and row.parity.psnr > 40 and not row.problem for row in found.rows)
    found.check()
    facts = gantool.inspect(str(made.files[0])).facts
    assert (facts["kind"], facts["opset"]) == ("ONNX graph", 17)
    assert [file.file.name for file in gantool.inspect(tmp_path).files] == ["g.fp16.onnx", "g.onnx"]
    assert capfd.readouterr() == ("", "")


def test_errors_name_parameters(checkpoint: Path) -> None:
    with pytest.raises(gantool.UsageError, match="`origin` and|`lowering`|`opset`"):
        gantool.export(checkpoint, gantool.ExportOptions(opset=3))
    with pytest.raises(
        gantool.UsageError, match="^`latent`, `classes`, `distribution`, `values` and `clamp`"
    ):
        gantool.export(checkpoint, gantool.ExportOptions(foreign=gantool.Foreign(latent=8)))


def test_every_public_name_is_there() -> None:
    for name in gantool.__all__:
        assert getattr(gantool, name) is not None
    assert set(dir(gantool)) == set(gantool.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'typo'"):
        _ = gantool.typo


def test_a_room_can_be_called_however_it_was_imported() -> None:
    code = "import gantool.export.options, gantool.train.options, gantool; print(callable(gantool.export))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "True\n"

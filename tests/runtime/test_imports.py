"""What is loaded when: the runtime is what ships on a device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "tensorrt",
    "tensorrt_rtx",
    "onnxscript",
    "safetensors",
    "rich",
    "pydantic",
    "cuda",
}


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return set(result.stderr.splitlines())


@pytest.mark.parametrize(
    "code",
    [
        "import gantool.runtime",
        "from gantool.runtime import Generator",
        "import gantool.__main__",
        "import gantool.__main__\ngantool.__main__.run(['--help'])",
        "import gantool.__main__\ngantool.__main__.run(['train', '--help'])",
        "import gantool.__main__\ngantool.__main__.run(['export', '--help'])",
        "import gantool.export.pipeline, gantool.export.engine.build",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    modules = loaded_by(code)
    assert "gantool" in modules
    assert not modules & HEAVY


def test_generating_loads_what_it_runs_on_and_no_more(exported: Path, tmp_path: Path) -> None:
    arguments = ["gantool", "generate", "-e", str(exported / "g.onnx"), "--seeds", "0", "-o", str(tmp_path)]
    run = "import gantool.__main__\ntry: gantool.__main__.main()\nexcept SystemExit: pass"
    modules = loaded_by(f"sys.argv = {arguments}\n{run}")
    assert (tmp_path / "seed0000.png").exists()
    assert modules & HEAVY == {"onnxruntime"}


def test_help_needs_no_numpy() -> None:
    assert "numpy" not in loaded_by("import gantool.__main__")

"""The line of the user's own code that failed, wherever that code lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from field.cases import gantool

CODE = "import torch\nfrom torch import nn\ndef make():\n    return nn.Linear(4, 4)(torch.zeros(2, 5))\n"


@pytest.mark.parametrize("folder", ["gantool", "work/gantool/export", "gantool/runtime/gantool", "torch"])
def test_a_folder_of_any_name_is_the_users(folder: str, tmp_path: Path) -> None:
    home = tmp_path / folder
    home.mkdir(parents=True)
    name = f"net_{folder.replace('/', '_')}"
    (home / f"{name}.py").write_text(CODE)
    answer = gantool(f"export --from {name}:make --latent 4 --engine none", home)
    assert answer.code == 1
    assert f"{name}.py:4, `return nn.Linear(4, 4)(torch.zeros(2, 5))`: RuntimeError" in answer.err

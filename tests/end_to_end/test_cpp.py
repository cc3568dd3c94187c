"""examples/cpp: its z is gantool's bit for bit, and its images are those of gantool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantool.runtime import Generator
from gantool.runtime.latents import latents
from helpers.examples import EXAMPLES

EXAMPLE = EXAMPLES / "cpp"
SEEDS = (0, 1, 42, 123_456_789, 2**32 - 1)
PRINT_Z = """
#include <cstdio>
#include "latent.hpp"
int main() {
    for (std::uint32_t seed : {0u, 1u, 42u, 123456789u, 4294967295u}) {
        const auto z = latent_of(seed, 101);
        std::fwrite(z.data(), sizeof(float), z.size(), stdout);
    }
}
"""

pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="no g++")


def compiled(source: Path, *flags: str | Path) -> Path:
    """Compile a program as docs/cpp.md does, and return it."""
    program = source.with_suffix("")
    command = ["g++", "-std=c++17", "-O2", "-Wall", "-ffp-contract=off", source, *flags, "-o", program]
    subprocess.run(list(map(str, command)), check=True)
    return program


def test_z_of_a_seed_is_bit_for_bit_the_same(tmp_path: Path) -> None:
    (tmp_path / "z.cpp").write_text(PRINT_Z)
    program = compiled(tmp_path / "z.cpp", "-I", EXAMPLE)
    written = subprocess.run([program], capture_output=True, check=True).stdout
    np.testing.assert_array_equal(
        np.frombuffer(written, np.float32).reshape(len(SEEDS), 101), latents(SEEDS, 101)
    )


@pytest.mark.slow
def test_openvino_makes_the_same_images(exported: Path, tmp_path: Path) -> None:
    openvino = Path(pytest.importorskip("openvino").__file__).parent
    (library,) = (openvino / "libs").glob("libopenvino.so.*")
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    found = ("-I", openvino / "include", library, f"-Wl,-rpath,{openvino / 'libs'}")
    program = compiled(tmp_path / "openvino.cpp", *found)
    subprocess.run([program, exported / "g.onnx", "0", "7"], cwd=tmp_path, check=True)
    with Generator.load(exported / "g.onnx", provider="cpu") as generator:
        expected = generator.images(range(8))[..., 0].astype(int)
    written = [np.asarray(Image.open(tmp_path / f"seed{seed:04}.pgm"), int) for seed in range(8)]
    assert abs(np.stack(written) - expected).max() <= 1

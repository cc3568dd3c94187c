"""What `gantool export --triton` writes, in a real Triton server, asked with Triton's own client."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.http as triton
from tritonclient.utils import np_to_triton_dtype

from conftest import run_gantool
from gantool.models import PRESETS, save_checkpoint
from gantool.runtime import Generator
from helpers.networks import full_graph, lived_in
from helpers.triton_server import install, lacks, triton_server

pytestmark = pytest.mark.slow


CONDITIONAL = replace(PRESETS["dcgan16"], width=8, latent=20, classes=5)


@pytest.fixture(scope="module")
def repository(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the model repository `models`, as gantool writes it, of all kinds of generators."""
    folder = tmp_path_factory.mktemp("repository")
    onnx.save(full_graph("sprites")[0], folder / "rgba.onnx")
    save_checkpoint(folder / "conditional", lived_in(CONDITIONAL), 0, "shapes")
    for name, source, *flags in (
        ("plain", exported / "g.onnx"),
        ("fp16", exported / "g.fp16.onnx"),
        ("rgba", "rgba.onnx"),
        ("conditional", "conditional"),
        ("soft", "conditional", "--soft-labels"),
        ("uint16", "conditional", "--output", "uint16"),
    ):
        to = ("--engine", "none", "-o", f"out/{name}", "--triton", f"models/{name}")
        run_gantool("export", source, *to, *flags, cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def client(repository: Path) -> Iterator[triton.InferenceServerClient]:
    """Start the server; skip, with the reason, where that is not possible."""
    if (missing := lacks()) is not None:
        pytest.skip(missing)
    try:
        install()
    except subprocess.CalledProcessError:
        pytest.skip("pip could not install the server; its output says why")
    with triton_server(repository / "models") as address:
        one = triton.InferenceServerClient(address, concurrency=16)
        yield one
        one.close()


def of(repository: Path, name: str) -> Generator:
    return Generator.load(repository / f"models/{name}/1/model.onnx", "cpu")


def inputs(generator: Generator, seeds: range) -> list[triton.InferInput]:
    """Return what a client of Triton sends to get the images of these seeds."""
    spec = generator.spec
    arrays = {"z": generator.z(seeds)}
    if spec.classes:
        label = np.array(seeds) % spec.classes
        arrays["label"] = (
            np.eye(spec.classes, dtype=np.float32)[label] if spec.soft_labels else label[:, None]
        )
    sent = []
    for name, array in arrays.items():
        sent.append(triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype)))
        sent[-1].set_data_from_numpy(array)
    return sent


@pytest.mark.parametrize("name", ["plain", "fp16", "rgba", "conditional", "soft", "uint16"])
def test_images_are_those_of_gantool(
    client: triton.InferenceServerClient, repository: Path, name: str
) -> None:
    seeds = range(100, 106)
    with of(repository, name) as generator:
        expected = generator.images(seeds)
        images = client.infer(name, inputs(generator, seeds)).as_numpy("images")
    assert images.dtype == expected.dtype
    np.testing.assert_array_equal(images, expected)


def test_requests_at_once_are_batched(client: triton.InferenceServerClient, repository: Path) -> None:
    with of(repository, "conditional") as generator:
        pending = [client.async_infer("conditional", inputs(generator, range(n, n + 1))) for n in range(200)]
        images = np.concatenate([one.get_result().as_numpy("images") for one in pending])
        np.testing.assert_array_equal(images, generator.images(range(200)))
    (of_model,) = client.get_inference_statistics("conditional")["model_stats"]
    assert of_model["execution_count"] < of_model["inference_count"]


def test_labels_of_another_shape_are_refused(client: triton.InferenceServerClient, repository: Path) -> None:
    with of(repository, "conditional") as generator:
        z, label = inputs(generator, range(2))
    label.set_shape([2])
    with pytest.raises(triton.InferenceServerException, match="label"):
        client.infer("conditional", [z, label])

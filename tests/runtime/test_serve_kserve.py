"""The Open Inference Protocol of `gantool serve`, by Triton's own client and by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gantool.runtime.generator import Generator
from helpers.serving import Served, graph_of, serving

pytest.importorskip("starlette")
client = pytest.importorskip("tritonclient.http")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the graphs fp32.onnx and conditional.onnx."""
    made = tmp_path_factory.mktemp("kserve")
    for name in ("fp32", "conditional"):
        graph_of(name, made)
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    """Serve two models."""
    with serving(folder / "fp32.onnx", folder / "conditional.onnx", max_batch=8) as server:
        yield server


@pytest.fixture
def triton(served: Served) -> Iterator[Any]:
    """Return Triton's client of the server."""
    with client.InferenceServerClient(f"127.0.0.1:{served.port}", concurrency=4) as made:
        yield made


def given(name: str, array: Any, kind: str, *, binary: bool = True) -> Any:
    tensor = client.InferInput(name, list(array.shape), kind)
    return tensor.set_data_from_numpy(array, binary_data=binary)


def test_what_triton_asks_before_it_sends(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.get_server_metadata()["name"] == "gantool"
    assert triton.is_model_ready("conditional")
    assert triton.is_model_ready("conditional", "1")
    assert not triton.is_model_ready("other")
    assert not triton.is_model_ready("fp32", "2")
    assert {each["name"] for each in triton.get_model_repository_index()} == {"fp32", "conditional"}
    described = triton.get_model_metadata("conditional")
    assert described["inputs"] == [
        {"name": "z", "datatype": "FP32", "shape": [-1, 16]},
        {"name": "label", "datatype": "INT64", "shape": [-1]},
    ]
    assert described["outputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 16, 16, 3]}]
    assert triton.get_model_config("fp32")["output"][0]["dims"] == [16, 16, 3]


@pytest.mark.parametrize("count", [1, 5, 20])  # 20: more than a batch
@pytest.mark.parametrize("binary", [True, False])
def test_the_images_of_z(triton: Any, folder: Path, count: int, binary: bool) -> None:
    with Generator.load(folder / "conditional.onnx") as generator:
        z, label = generator.z(range(count)), np.arange(count, dtype=np.int64) % 5
        expected = generator.images(z=z, label=label)
    for shape in ((count,), (count, 1)):  # by the model's metadata, and as Triton's own models have it
        inputs = [
            given("z", z, "FP32", binary=binary),
            given("label", label.reshape(shape), "INT64", binary=binary),
        ]
        outputs = [client.InferRequestedOutput("images", binary_data=binary)]
        result = triton.infer("conditional", inputs, outputs=outputs, request_id="7")
        np.testing.assert_array_equal(result.as_numpy("images"), expected)
        assert result.get_response()["id"] == "7"
    result = triton.infer(
        "conditional", inputs, model_version="1"
    )  # without outputs, it asks for binary data
    np.testing.assert_array_equal(result.as_numpy("images"), expected)


def test_requests_at_once(triton: Any, folder: Path) -> None:
    with Generator.load(folder / "fp32.onnx") as generator:
        z = generator.z(range(12))
        expected = generator.images(z=z)
    asked = [triton.async_infer("fp32", [given("z", row[None], "FP32")]) for row in z]
    made = np.concatenate([each.get_result().as_numpy("images") for each in asked])
    np.testing.assert_array_equal(made, expected)


def test_errors_reach_the_client(triton: Any) -> None:
    z = np.zeros((1, 16), np.float32)
    label = given("label", np.array([1], np.int64), "INT64")
    for model, inputs, error in (
        ("other", [given("z", z, "FP32")], "there is no model 'other': this server has fp32, conditional"),
        (
            "fp32",
            [given("z", z[:, :3], "FP32")],
            "z is float32 [1, 3]: this engine takes numbers, float32 [N, 16]",
        ),
        ("fp32", [given("z", z, "FP32"), label], "input 'label': fp32 takes z, each once"),
        ("conditional", [given("z", z, "FP32")], "input label is missing: conditional takes z, label"),
        (
            "fp32",
            [given("z", z.astype(np.float64), "FP64")],
            "input z: its datatype is 'FP64', expected FP32",
        ),
        ("fp32", [given("z", z * np.nan, "FP32")], "z: row 0 has NaN"),
        (
            "conditional",
            [given("z", z, "FP32"), given("label", np.array([5], np.int64), "INT64")],
            "class 5: the classes of this engine are 0 to 4",
        ),
        (
            "fp32",
            [given("z", np.zeros((0, 16), np.float32), "FP32")],
            "0 images: this server makes 1 to 256 a request",
        ),
    ):
        with pytest.raises(client.InferenceServerException) as raised:
            triton.infer(model, inputs)
        assert error in raised.value.message()


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "z", "datatype": "FP32", "shape": [1, 16], "data": [0] * 16, **changes}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "inputs: give a list of tensors"),
        ({"inputs": 3}, "inputs: give a list of tensors"),
        ({"inputs": [tensor(), tensor()]}, "input 'z': fp32 takes z, each once"),
        ({"inputs": [tensor(shape=[1, -16])]}, "input z: its shape is '[1, -16]', expected a list of sides"),
        ({"inputs": [tensor(shape=[2**30, 2**30])]}, "input z: its data are not the "),
        ({"inputs": [tensor(data=["a"] * 16)]}, "input z: its data are not the 16 numbers of its shape"),
        ({"inputs": [tensor(data=None)]}, "input z: its data are not the 16 numbers of its shape"),
        ({"inputs": [tensor(data=[[1, 2], [3]])]}, "input z: its data are not the 16 numbers of its shape"),
        ({"inputs": [tensor(data=[1e300] * 16)]}, "z: row 0 has NaN, infinity"),
        ({"inputs": [tensor(parameters={"binary_data_size": 64})]}, "input z: binary_data_size is '64'"),
        ({"inputs": [tensor(parameters={"binary_data_size": -64})]}, "input z: binary_data_size is '-64'"),
        (
            {"inputs": [tensor(parameters={"shared_memory_region": "x"})]},
            "input z: this server reads no shared",
        ),
        ({"inputs": [tensor()], "outputs": [{"name": "y"}]}, "output 'y': there is one, images"),
        (
            {"inputs": [tensor()], "parameters": {"binary_data_output": 1}},
            "binary_data_output: give true or false",
        ),
    ],
)
def test_requests_by_hand_that_are_wrong(served: Served, body: object, error: str) -> None:
    answer = served.post("/v2/models/fp32/infer", body)
    assert answer.status == 400
    assert answer.error.startswith(error)


def test_the_size_of_a_tensor_is_a_whole_number(served: Served) -> None:
    body = json.dumps({"inputs": [tensor(parameters={"binary_data_size": 64.0})]}).encode()
    length = str(len(body))
    answer = served.ask(
        "/v2/models/fp32/infer", "POST", body + bytes(64), inference_header_content_length=length
    )
    assert (answer.status, answer.error[:38]) == (400, "input z: binary_data_size is '64.0', e")


def test_any_id_comes_back(served: Served) -> None:
    for identity in ("7", "é", "\ud800"):
        answer = served.post("/v2/models/fp32/infer", {"inputs": [tensor()], "id": identity})
        assert answer.status == 200
        assert answer.json["id"] == identity


@pytest.mark.parametrize("length", ["x", "-1", "999999", "99999999999999999999999"])
def test_a_wrong_length_of_the_json(served: Served, length: str) -> None:
    ask = partial(served.ask, "/v2/models/fp32/infer", "POST", inference_header_content_length=length)
    answer = ask(json.dumps({"inputs": [tensor()]}).encode())
    assert (answer.status, answer.error[:31]) == (400, "Inference-Header-Content-Length")

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gantool.runtime.artifacts.onnx import check_inside, open_graph, read_metadata
from gantool.runtime.errors import GantoolError
from helpers.tiny import tiny_graph

same_folder = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
json_objects = st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text()), max_size=4)


@given(value=json_objects, others=st.dictionaries(st.text(min_size=1), st.text(), max_size=3))
@same_folder
def test_reads_what_onnx_wrote(value: dict[str, object], others: dict[str, str], tmp_path: Path) -> None:
    model = onnx.ModelProto(ir_version=8, producer_name="x", model_version=2**40)
    for key, text in {**others, "gantool": json.dumps(value)}.items():
        model.metadata_props.add(key=key, value=text)
    path = tmp_path / "g.onnx"
    path.write_bytes(model.SerializeToString())
    assert read_metadata(path).to_json() == value


def test_a_graph_without_metadata(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(onnx.ModelProto(ir_version=8).SerializeToString())
    assert not read_metadata(tmp_path / "g.onnx")


@pytest.mark.parametrize("place", ["initializer", "constant", "subgraph", "function", "sparse", "attribute"])
def test_weights_outside_are_found(place: str, tmp_path: Path) -> None:
    inside = onnx.TensorProto(name="w", data_type=1, dims=[1], float_data=[1.0])
    outside = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    for weight in (inside, outside):
        graph = onnx.GraphProto(name="g")
        if place == "initializer":
            graph.initializer.append(weight)
        elif place == "constant":
            graph.node.append(onnx.helper.make_node("Constant", [], ["w"], value=weight))
        elif place == "sparse":
            graph.sparse_initializer.append(onnx.SparseTensorProto(values=weight, dims=[1]))
        elif place == "attribute":
            value = onnx.SparseTensorProto(values=weight, dims=[1])
            graph.node.append(onnx.helper.make_node("Constant", [], ["w"], sparse_value=value))
        elif place == "subgraph":
            branch = onnx.GraphProto(name="b", initializer=[weight])
            graph.node.append(onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch))
        model = onnx.ModelProto(ir_version=8, graph=graph)
        if place == "function":
            node = onnx.helper.make_node("Constant", [], ["w"], value=weight)
            model.functions.append(onnx.FunctionProto(name="f", domain="d", output=["w"], node=[node]))
        (tmp_path / "g.onnx").write_bytes(model.SerializeToString())
        if weight is inside:
            open_graph(tmp_path / "g.onnx")
    with pytest.raises(GantoolError, match="keeps weights in another file"):
        open_graph(tmp_path / "g.onnx")


def test_an_enum_is_cut_to_32_bits(tmp_path: Path) -> None:
    """As protobuf cuts it: 2**32 + 1 is EXTERNAL as well."""
    tensor = bytes([14 << 3]) + bytes([0x81, 0x80, 0x80, 0x80, 0x10])
    graph = bytes([5 << 3 | 2, len(tensor)]) + tensor
    (tmp_path / "g.onnx").write_bytes(bytes([7 << 3 | 2, len(graph)]) + graph)
    assert onnx.TensorProto.FromString(tensor).data_location == onnx.TensorProto.EXTERNAL
    with pytest.raises(GantoolError, match="keeps weights in another file"):
        open_graph(tmp_path / "g.onnx")


@given(content=st.binary(max_size=200))
@same_folder
def test_any_bytes_give_a_dict_or_a_clear_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    path.write_bytes(content)
    with suppress(GantoolError):
        assert isinstance(read_metadata(path).to_json(), dict)
    with suppress(GantoolError):
        open_graph(path)


def test_a_cut_graph_in_memory_needs_no_file() -> None:
    data = tiny_graph()
    with pytest.raises(GantoolError, match=r"nowhere.onnx is cut short or damaged: [\d,]+ of at least"):
        check_inside(Path("nowhere.onnx"), data[: len(data) // 2])

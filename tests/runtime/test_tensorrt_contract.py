"""The names and arguments that the backend uses, and those that its fake has, are those of the real modules.

What the backend uses is collected from its source, so this cannot go stale. The documentation strings of both
bindings begin with the signatures.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

import gantool.runtime.backends.tensorrt.runner
from helpers import fake_tensorrt as fake

trt = pytest.importorskip("tensorrt_rtx", reason="the contract is held against the real bindings")
driver = pytest.importorskip("cuda.bindings.driver", reason="the contract is held against the real bindings")

BACKENDS = Path(gantool.runtime.backends.tensorrt.runner.__file__).parent
# The parameters and attributes by which the source holds objects of the bindings; local variables may be named
# anything, since none holds one (a traceback would keep it alive).
HOLDERS = {
    "driver": driver,
    "_driver": driver,
    "trt": trt,
    "_runtime": trt.Runtime,
    "engine": trt.ICudaEngine,
    "_engine": trt.ICudaEngine,
    "execution": trt.IExecutionContext,
    "config": trt.IRuntimeConfig,
    "_cache": trt.IRuntimeCache,
}
# Run-side names that `tensorrt` has had since 8.5.2 and has in 11; what else is used is TensorRT-RTX's own.
EVERY_VERSION = {
    trt: "ILogger Runtime __version__",
    trt.Runtime: "deserialize_cuda_engine",
    trt.ICudaEngine: "num_io_tensors get_tensor_name get_tensor_mode get_tensor_dtype get_tensor_shape "
    "get_tensor_profile_shape create_execution_context",
    trt.IExecutionContext: "set_input_shape set_tensor_address execute_async_v3",
}


@dataclass(frozen=True)
class Use:
    holder: str
    names: tuple[str, ...]
    arguments: int | None  # of a call, all by position; None if it is not called

    def __str__(self) -> str:
        return ".".join((self.holder, *self.names)) + (
            "" if self.arguments is None else f"({self.arguments})"
        )


FILES = ("buffers", "cuda", "library", "runner", "rtx")


def uses(*files: str) -> list[Use]:
    found = set()
    for file in files:
        tree = ast.parse((BACKENDS / f"{file}.py").read_text(encoding="utf-8"))
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for made in calls.values():
            if _chain(made.func) == ("self", "_do"):  # name, then arguments
                name, *arguments = made.args
                assert isinstance(name, ast.Constant)
                assert isinstance(name.value, str)
                found.add(Use("driver", (name.value,), len(arguments)))
        for node in ast.walk(tree):
            chain = _chain(node)
            if not isinstance(node, ast.Attribute) or id(node) in inner or chain is None:
                continue
            for index, holder in enumerate(chain[:-1]):
                if holder in HOLDERS:
                    call = calls.get(id(node))
                    assert call is None or not call.keywords, (
                        f"{chain}: the bindings' keywords differ by version"
                    )
                    found.add(Use(holder, chain[index + 1 :], None if call is None else len(call.args)))
                    break
    return sorted(found, key=str)


def _chain(node: ast.AST) -> tuple[str, ...] | None:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        start = _chain(node.value)
        return None if start is None else (*start, node.attr)
    return None


def parameters(function: Any, name: str) -> list[list[tuple[str, bool]]]:
    """Return name and whether it may be left out, for every parameter of every overload but self."""
    overloads = re.findall(rf"^(?:\d+\. )?{name}\((.*?)\)(?: ->.*)?$", function.__doc__ or "", re.MULTILINE)
    found = []
    for text in overloads:
        if text == "*args, **kwargs":
            continue
        plain = re.sub(r"\[[^\]]*\]|<[^>]*>", "", text)  # commas inside types and defaults
        items = [item.strip() for item in plain.split(",") if item.strip()]
        # pybind writes `name: type = default`, Cython `type name`
        names = [(re.split(r"[:=]", item)[0].split()[-1], "=" in item) for item in items]
        found.append([item for item in names if item[0] != "self"])
    return found


def resolve(use: Use) -> Any:
    item = HOLDERS[use.holder]
    for name in use.names:
        item = getattr(item, name)
    return item


def test_every_kind_of_object_is_used() -> None:
    assert {use.holder for use in uses(*FILES)} == set(HOLDERS)
    assert len(uses(*FILES)) > 50


@pytest.mark.parametrize("use", uses(*FILES), ids=str)
def test_name_and_arguments_exist(use: Use) -> None:
    item = resolve(use)
    if use.arguments is None or use.names[-1] in ("__init__", "__version__"):
        return
    function = vars(item)["__init__"] if isinstance(item, type) else item
    overloads = parameters(function, "__init__" if isinstance(item, type) else use.names[-1])
    assert any(
        sum(not optional for _, optional in overload) <= use.arguments <= len(overload)
        for overload in overloads
    ), f"{use}: {overloads}"


@pytest.mark.parametrize("use", uses("buffers", "cuda", "library", "runner"), ids=str)
def test_tensorrt_has_it_in_every_version(use: Use) -> None:
    if HOLDERS[use.holder] is not driver and use.names != ("errors",):
        assert use.names[0] in EVERY_VERSION[HOLDERS[use.holder]].split()


def test_the_stand_in_driver_has_only_names_of_the_real_one() -> None:
    source = (Path(__file__).parents[1] / "helpers/standin/libcuda.c").read_text(encoding="utf-8")
    names = set(re.findall(r"ENTRY\((cu\w+)\)", source))
    assert len(names) > 25
    # C has the version with flags, the bindings call it cuGraphInstantiate; they call these two themselves
    unlike = {"cuGraphInstantiateWithFlags", "cuGetExportTable"}
    assert {name for name in names if not hasattr(driver, name)} <= unlike


def test_enumerations_by_name() -> None:
    # the backend compares their names
    assert (trt.TensorIOMode.INPUT.name, trt.TensorIOMode.OUTPUT.name) == ("INPUT", "OUTPUT")
    assert (trt.DataType.FLOAT.name, trt.DataType.UINT8.name) == ("FLOAT", "UINT8")


@pytest.mark.parametrize(
    ("stand_in", "real"),
    [
        (fake.FakeTensorRT, trt),
        (fake.ILogger, trt.ILogger),
        (fake.Runtime, trt.Runtime),
        (fake.Engine, trt.ICudaEngine),
        (fake.Context, trt.IExecutionContext),
        (fake.RuntimeConfig, trt.IRuntimeConfig),
        (fake.RuntimeCache, trt.IRuntimeCache),
        (fake.CudaGraphStrategy, trt.CudaGraphStrategy),
        (fake.Severity, trt.ILogger.Severity),
        (fake.TensorIOMode, trt.TensorIOMode),
        (fake.DataType, trt.DataType),
    ],
)
def test_fake_has_nothing_that_the_real_one_has_not(stand_in: Any, real: Any) -> None:
    if issubclass(stand_in, IntEnum):
        assert {item.name: int(item) for item in stand_in} == {
            item.name: int(getattr(real, item.name)) for item in stand_in
        }
        return
    for name in vars(stand_in):
        if name.startswith("_"):
            continue
        assert hasattr(real, name), name
        function = getattr(stand_in, name)
        if isinstance(function, property | type | int):
            continue
        target = getattr(real, name)
        names = list(function.__code__.co_varnames[1 : function.__code__.co_argcount])
        kind = isinstance(target, type)
        overloads = parameters(target.__init__ if kind else target, "__init__" if kind else name)
        assert any(names == [item for item, _ in overload][: len(names)] for overload in overloads), name

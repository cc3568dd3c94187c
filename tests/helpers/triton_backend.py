"""The backend `onnxruntime` of Triton in Python, for a server without the one in C++: runs where Triton runs it.

Source: "Python-based Backends" in the documentation of Triton's python_backend.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """A model of the repository."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graph."""
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests that the dynamic batcher has put together, with one run of the graph."""
        arrays = [[_array(request, name) for name in self._inputs] for request in requests]
        feeds = dict(zip(self._inputs, map(np.concatenate, zip(*arrays, strict=True)), strict=True))
        ends = np.cumsum([len(of_request[0]) for of_request in arrays])[:-1]
        split = [np.split(output, ends) for output in self._session.run(self._outputs, feeds)]
        return [
            triton.InferenceResponse(list(map(triton.Tensor.from_dlpack, self._outputs, of_request)))
            for of_request in zip(*split, strict=True)
        ]


def _array(request: Any, name: str) -> Any:
    """Return an input, by DLPack: `as_numpy` and `Tensor` of Triton 2.51 know the arrays of NumPy 1 alone."""
    return np.from_dlpack(triton.get_input_tensor_by_name(request, name))

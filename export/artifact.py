"""A graph of gantool in memory, with its parity: the value that the stages of an export pass on. Needs no onnx."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from mmap import mmap
from pathlib import Path

from gantool.export.precision.psnr import ParityRecord
from gantool.runtime.artifacts.onnx import (
    METADATA_KEY,
    PARITY_KEY,
    open_graph,
    read_json,
    read_metadata,
    with_json,
)
from gantool.runtime.artifacts.recipe import Recipe, recipe_of
from gantool.runtime.authorship import Authorship
from gantool.runtime.generator import Generator
from gantool.runtime.metadata import Metadata

# suffixes of the files of an export, by precision
GRAPH_SUFFIXES = {"fp32": ".onnx", "fp16": ".fp16.onnx", "bf16": ".bf16.onnx", "int8": ".int8.onnx"}


@dataclass(frozen=True)
class Graph:
    """An ONNX graph under gantool's contract, and its metadata. Frozen: each stage makes a new one."""

    path: Path  # the file, which may not be written yet
    data: bytes | mmap  # the content of the file
    metadata: Metadata
    recipe: Recipe = field(default_factory=Recipe)
    parity: ParityRecord = field(default_factory=ParityRecord)

    @classmethod
    def load(cls, path: Path) -> Graph:
        """Read a file. Raises GantoolError if it is damaged or has external data."""
        return cls.of_data(path, open_graph(path))

    @classmethod
    def of_data(cls, path: Path, data: bytes | mmap) -> Graph:
        """Return the graph of a file's content. Raises GantoolError if its recipe is damaged."""
        return cls(
            path,
            data,
            read_metadata(path, data),
            recipe_of(path, data),
            ParityRecord(read_json(path, PARITY_KEY, data)),
        )

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file as hexadecimal digits."""
        return sha256(self.data).hexdigest()

    def generator(self) -> Generator:
        """Load the graph with ONNX Runtime on the CPU, as a user would, from memory."""
        from gantool.runtime.backends.onnxruntime import OnnxRuntimeBackend

        return Generator(OnnxRuntimeBackend(self.path, "cpu", data=self.data))

    def generator_on_cpu(self) -> Generator | None:
        """Return `generator()`, or None if ONNX Runtime has no kernels for the graph (BF16)."""
        return self.generator() if self.recipe.on_cpu else None

    def with_authorship(self, given: Authorship) -> Graph:
        """Return the graph with the texts that are given; itself if it has them already. Needs no onnx."""
        metadata = self.metadata.with_authorship(given)
        if metadata == self.metadata:
            return self
        data = with_json(self.path, self.data, METADATA_KEY, metadata.to_json())
        return replace(self, data=data, metadata=metadata)

    def save(self, folder: Path) -> Path:
        """Write the file into `folder`; return its path."""
        target = folder / self.name
        target.write_bytes(self.data)
        return target

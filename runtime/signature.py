"""The inputs and outputs of a generator: backends describe them as `Tensor`s, and `Signature` matches them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gantool.runtime.errors import GantoolError
from gantool.runtime.metadata import Metadata
from gantool.runtime.process.terminal import listed, short, sides
from gantool.runtime.spec import ImageType, Spec

MAX_LATENT = 1 << 20
Mode = Literal["input", "output"]
INPUT: Mode = "input"
OUTPUT: Mode = "output"
# TensorRT's names of types, which sidecars use too -> NumPy's names
_OF_TENSORRT = {"FLOAT": "float32", "UINT8": "uint8", "INT64": "int64", "INT32": "int32"}
_TO_TENSORRT = {name: kind for kind, name in _OF_TENSORRT.items()}


@dataclass(frozen=True)
class Tensor:
    """One input or output, as a library or a sidecar describes it."""

    name: str
    mode: Mode
    type: str  # NumPy's name: float32, uint8, int64, int32; the library's own name for any other type
    shape: tuple[int | str | None, ...]  # None or a name: any size

    @classmethod
    def of_tensorrt(cls, name: str, mode: str, kind: str, dims: Iterable[int]) -> Tensor:
        """Convert from TensorRT's names: INPUT or OUTPUT; FLOAT, UINT8 ...; -1 for any size."""
        shape = tuple(None if side < 0 else side for side in dims)
        return cls(name, INPUT if mode == "INPUT" else OUTPUT, _OF_TENSORRT.get(kind, kind), shape)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object for a sidecar, with TensorRT's names."""
        shape = [side if isinstance(side, int) else -1 for side in self.shape]
        return {"mode": self.mode.upper(), "type": _TO_TENSORRT.get(self.type, self.type), "shape": shape}

    def __str__(self) -> str:
        return f"{short(self.name)} {self.type} [{sides(self.shape)}]"


@dataclass(frozen=True)
class Signature:
    """The tensors of a generator: z [N, latent], images, and label [N] or [N, classes] if it is conditional."""

    batch: int | None  # N; None: any
    latent: int
    height: int
    width: int
    channels: int  # 1, 3 or 4
    dtype: ImageType  # of images: uint8 or uint16 [N, H, W, C], float32 [N, C, H, W]
    label: str | None  # its type; None: the generator takes no label
    columns: int = 0  # of soft labels, the shares of the classes; 0: the label is a number

    @classmethod
    def of_graph(cls, path: Path, tensors: Sequence[Tensor]) -> Signature:
        """Match the tensors of the ONNX graph `path`. Raises GantoolError if it is not a generator.

        The declared batch of the images is ignored: older exporters write the batch of their example input.
        """
        found = _match(tensors, ("int64",), check_batch=False)
        if found is None:
            raise _no_generator(path, tensors, f": to make it one, gantool export {path} -o g")
        return found

    @classmethod
    def of_engine(cls, path: Path, tensors: Sequence[Tensor]) -> Signature:
        """Match the tensors of an engine, or of the TensorRT network to build it from. Raises GantoolError."""
        found = _match(tensors, ("int64", "int32"), check_batch=True)  # TensorRT 8 turns INT64 into INT32
        if found is None:
            raise _no_generator(path, tensors, "")
        return found

    def spec(self, metadata: Metadata) -> Spec:
        """Return the spec of a backend. Raises GantoolError if the metadata are wrong."""
        classes = self._classes(metadata)
        known = classes == metadata.classes  # else names and counts are of other classes
        return Spec(
            latent=self.latent,
            height=self.height,
            width=self.width,
            channels=self.channels,
            min_batch=self.batch or 1,
            max_batch=self.batch,
            dtype=self.dtype,
            bits=self._bits(metadata),
            distribution=metadata.distribution or "normal",
            classes=classes,
            soft_labels=self.columns > 0,
            class_names=metadata.class_names if known else (),
            class_counts=metadata.class_counts if known else (),
            authorship=metadata.authorship,
        )

    def _classes(self, metadata: Metadata) -> int | None:
        """Return the number of classes; 0 without a label, None if it is not known."""
        if self.label is None:
            return 0
        return self.columns or metadata.classes or None

    def _bits(self, metadata: Metadata) -> int:
        """Return the bits of an image: those of whole numbers, and of floats what the metadata say."""
        if self.dtype == "float32":
            return metadata.bits if self.channels == 1 else 8
        return 16 if self.dtype == "uint16" else 8


def tensors_of(spec: Spec) -> tuple[Tensor, ...]:
    """Return the tensors of an engine with a dynamic batch."""
    z = Tensor("z", INPUT, "float32", (None, spec.latent))
    of_class = Tensor("label", INPUT, "int64", (None,))
    if spec.soft_labels:
        of_class = Tensor("label", INPUT, "float32", (None, spec.classes))
    label = [of_class] if spec.classes != 0 else []
    return (z, *label, Tensor("images", OUTPUT, spec.dtype, (None, *spec.image_shape)))


def _match(tensors: Sequence[Tensor], labels: Sequence[str], *, check_batch: bool) -> Signature | None:
    """Match tensors by name, type and shape; with `check_batch`, the images must have the batch of z.

    `labels`: the types that a label of numbers may have.
    """
    label = next((tensor for tensor in tensors if tensor.name == "label"), None)
    match {tensor.name: (tensor.mode, tensor.type, list(tensor.shape)) for tensor in tensors}:
        case {
            "z": ("input", "float32", [batch, int(latent)]),
            "images": ("output", "uint8" | "uint16" | "float32" as kind, [same, int(a), int(b), int(c)]),
        } if (
            len(tensors) == (2 if label is None else 3)
            and (of_class := _label(label, labels, batch)) is not None
            and (same == batch or not check_batch)
            and 0 < latent <= MAX_LATENT
            and min(a, b, c) > 0
        ):
            size = (b, c, a) if kind == "float32" else (a, b, c)
            if size[2] in ((1,) if kind == "uint16" else (1, 3, 4)):
                fixed = batch if isinstance(batch, int) else None
                return Signature(fixed, latent, *size, kind, *of_class)
    return None


def _label(
    tensor: Tensor | None, types: Sequence[str], batch: int | str | None
) -> tuple[str | None, int] | None:
    """Return the type of a label and its columns, (None, 0) without one; None if the tensor is not a label."""
    match tensor:
        case None:
            return None, 0
        case Tensor(mode="input", type="float32", shape=(rows, int(columns))):
            return ("float32", columns) if rows == batch and 0 < columns <= MAX_LATENT else None
        case Tensor(mode="input", type=kind, shape=(rows,)):
            return (kind, 0) if rows == batch and kind in types else None
    return None


def _no_generator(path: Path, tensors: Sequence[Tensor], advice: str) -> GantoolError:
    inputs, outputs = (
        listed(str(tensor) for tensor in tensors if tensor.mode == mode) or "none" for mode in (INPUT, OUTPUT)
    )
    return GantoolError(
        f"{path} is not a gantool generator: it has inputs {inputs} and outputs {outputs}; expected z float32 "
        "[N, latent], perhaps label int64 [N] or float32 [N, classes], and images uint8 [N, H, W, C] or float32 "
        f"[N, C, H, W], with C 1, 3 or 4{advice}"
    )

"""Seeds -> engine -> images, without PyTorch.

>>> from gantool.runtime import Generator
>>> generator = Generator.load("g.onnx")
>>> images = generator.images(range(64))  # uint8 [64, H, W, C]
"""

from typing import TYPE_CHECKING

from gantool.runtime.errors import (
    EngineMismatchError,
    GantoolError,
    MissingDependencyError,
    UsageError,
    VerificationError,
)

if TYPE_CHECKING:
    from gantool.runtime.generator import Generator
    from gantool.runtime.spec import Spec

__all__ = [
    "EngineMismatchError",
    "GantoolError",
    "Generator",
    "MissingDependencyError",
    "Spec",
    "UsageError",
    "VerificationError",
]


def __getattr__(name: str) -> object:
    """Import a name that needs NumPy on first use, so that `gantool --help` answers at once."""
    if name not in ("Generator", "Spec"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gantool.runtime import generator, spec

    return generator.Generator if name == "Generator" else spec.Spec

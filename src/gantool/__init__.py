"""Train a GAN, export its generator to ONNX and TensorRT, and generate images on the device without PyTorch.

>>> import gantool
>>> generator = gantool.Generator.load("g.plan")
>>> images = generator.images(range(64))  # uint8 [64, H, W, C]
"""

from typing import TYPE_CHECKING

from gantool import runtime

if TYPE_CHECKING:
    from gantool.runtime import *  # noqa: F403

    __version__: str

__all__ = ["__version__"]
__all__ += runtime.__all__


def __getattr__(name: str) -> object:
    """Import a name when it is first used (PEP 562), so that `gantool --help` answers at once."""
    if name == "__version__":
        from importlib.metadata import version

        return version("gantool")
    if name in runtime.__all__:
        return getattr(runtime, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

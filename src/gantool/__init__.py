"""Train a GAN, export its generator to ONNX and TensorRT, and generate images on the device without PyTorch.

>>> import gantool
>>> generator = gantool.Generator.load("g.plan")
>>> images = generator.images(range(64))  # uint8 [64, H, W, C]
"""

from importlib import import_module
from typing import TYPE_CHECKING

from gantool import runtime

if TYPE_CHECKING:
    from gantool.export.engine.options import BuildOptions
    from gantool.export.inspect import inspect
    from gantool.export.options import ExportOptions, Foreign, Precision
    from gantool.export.pipeline import export
    from gantool.export.verify import verify
    from gantool.runtime import *  # noqa: F403
    from gantool.runtime import ray
    from gantool.train.distill.distill import distill
    from gantool.train.distill.options import DistillOptions
    from gantool.train.evaluate import evaluate
    from gantool.train.options import LaunchOptions, TrainingOptions
    from gantool.train.requests import EvaluateOptions
    from gantool.train.run import train

    __version__: str

# name -> module. The packages train and export are callable themselves.
_NAMES = {
    "BuildOptions": "export.engine.options",
    "DistillOptions": "train.distill.options",
    "EvaluateOptions": "train.requests",
    "ExportOptions": "export.options",
    "Foreign": "export.options",
    "LaunchOptions": "train.options",
    "Precision": "export.options",
    "TrainingOptions": "train.options",
    "distill": "train.distill.distill",
    "evaluate": "train.evaluate",
    "inspect": "export.inspect",
    "verify": "export.verify",
}

__all__ = [
    "BuildOptions",
    "DistillOptions",
    "EvaluateOptions",
    "ExportOptions",
    "Foreign",
    "LaunchOptions",
    "Precision",
    "TrainingOptions",
    "__version__",
    "distill",
    "evaluate",
    "export",
    "inspect",
    "ray",
    "train",
    "verify",
]
__all__ += runtime.__all__


def __getattr__(name: str) -> object:
    """Import a name when it is first used (PEP 562), so that `gantool --help` answers at once."""
    if name == "__version__":
        return _read_version()
    if name in runtime.__all__:
        return getattr(runtime, name)
    if name in ("export", "train"):
        return import_module(f"gantool.{name}")
    if name == "ray":
        return import_module("gantool.runtime.ray")
    if name in _NAMES:
        return getattr(import_module(f"gantool.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _read_version() -> str:
    """Return the version of gantool. Wheels have it as a module: importing importlib.metadata takes 30 ms.

    Its name is not that of the module: importing a module sets its name in this one.
    """
    try:
        from gantool._version import __version__
    except ModuleNotFoundError:  # an editable install
        from importlib.metadata import version

        return version("gantool")
    return str(__version__)


def __dir__() -> list[str]:
    return __all__

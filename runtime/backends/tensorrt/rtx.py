"""The runtime cache of TensorRT-RTX, which compiles kernels on the device when an engine first runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from gantool.runtime.cache import cache_dir
from gantool.runtime.files import atomic


class RuntimeCache:
    """A runtime configuration with CUDA graphs enabled, and its kernel cache, which is saved in a file."""

    def __init__(self, trt: Any, engine: Any, name: str) -> None:
        """Read the cache `name`, which identifies plan, driver and GPU. The library rejects any other cache."""
        self.config = engine.create_runtime_config()
        self.config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self._cache = self.config.create_runtime_cache()
        self._path = cache_path(name)
        self._known = b""
        with suppress(OSError):
            self._known = self._path.read_bytes()
        if self._known and not self._cache.deserialize(self._known):
            self._known = b""
        self.config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Write the cache if it has changed. A full disk is not an error: the cache can be made again."""
        if blob := bytes(self._cache.serialize() or b""):
            with suppress(OSError):
                if blob != self._known:
                    with atomic(self._path) as part:
                        part.write_bytes(blob)


def cache_path(name: str) -> Path:
    """Return the file of the cache `name`."""
    return cache_dir() / "tensorrt-rtx" / f"{name}.cache"

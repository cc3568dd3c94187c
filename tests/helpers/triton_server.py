"""A real Triton Inference Server on loopback, without a GPU; as a script, installs it into .triton/.

The wheel of nvidia-pytriton has the server and its Python backend. `triton_backend.py` stands in for the backend of
ONNX Runtime, which is not in it. The wheel's own Python code, which pins an old NumPy, is not used: Triton's Python
processes import NumPy and ONNX Runtime from the environment of this interpreter.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
WHEEL = "nvidia-pytriton==0.7.0"  # Triton 2.51
LIBPYTHON = f"libpython3.{sys.version_info.minor}.so.1.0"
_HOME = ROOT / ".triton"
_SERVER = _HOME / "pytriton/tritonserver"
_START, _STOP = 120, 20  # seconds at most


def install() -> None:
    """Install the server into .triton/ with pip, 144 MB, if it is not there."""
    if _HOME.exists():
        return
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".triton.") as part:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--no-compile", "--target", f"{part}/lib", WHEEL], check=True)
        if not _HOME.exists():  # else another process was faster
            Path(part, "lib").rename(_HOME)


def lacks() -> str | None:
    """Return why no server can run here, or None."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        return f"nvidia-pytriton has no wheel for {sys.platform} on {platform.machine()}"
    if sys.version_info >= (3, 14):
        return f"{WHEEL} has nothing for Python 3.{sys.version_info.minor}"
    if _library_folder() is None:
        return f"no {LIBPYTHON}, which Triton's Python backend loads: make .triton installs it on Debian, as root"
    return None


@contextmanager
def triton_server(repository: Path) -> Iterator[str]:
    """Serve a model repository; yield "127.0.0.1:PORT" of HTTP once all its models are loaded and warm.

    Raises RuntimeError with the end of the server's log if it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="triton.") as name:
        folder, port = Path(name), free_port()
        command = [
            str(_SERVER / "bin/tritonserver"),
            f"--model-repository={repository}",
            f"--backend-directory={_backends(folder)}",
            "--http-address=127.0.0.1",
            f"--http-port={port}",
            "--allow-grpc=false",
            "--allow-metrics=false",
        ]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, env=_environment(), stdout=log, stderr=log)
        try:
            _wait(process, f"http://127.0.0.1:{port}/v2/health/ready", folder / "log")
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _backends(folder: Path) -> Path:
    """Write a folder of backends: python, with the stub of this version of Python, and onnxruntime."""
    python, onnxruntime = folder / "backends/python", folder / "backends/onnxruntime"
    shutil.copytree(_SERVER / "backends/python", python)
    stub = _SERVER / f"python_backend_stubs/3.{sys.version_info.minor}/triton_python_backend_stub"
    shutil.copy(stub, python)
    onnxruntime.mkdir()
    shutil.copy(Path(__file__).with_name("triton_backend.py"), onnxruntime / "model.py")
    return folder / "backends"


def _environment() -> dict[str, str]:
    """Return that of the server: its Python has the packages of the first python3 on PATH, not of PYTHONPATH."""
    libraries = [str(_HOME / "nvidia_pytriton.libs"), _library_folder(), os.environ.get("LD_LIBRARY_PATH")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {
        **kept,
        "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def _library_folder() -> str | None:
    """Return the folder of libpython, "" if the dynamic linker knows it, None if it is not here."""
    folder = sysconfig.get_config_var("LIBDIR")
    if folder and Path(folder, LIBPYTHON).exists():
        return str(folder)
    try:
        ctypes.CDLL(LIBPYTHON)
    except OSError:
        return None
    return ""


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], ready: str, log: Path) -> None:
    end = time.monotonic() + _START
    while not answers(ready):
        if process.poll() is not None or time.monotonic() > end:
            tail = log.read_text(errors="replace")[-4000:]
            raise RuntimeError(f"Triton did not start (exit code {process.poll()}):\n{tail}")
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Return whether a server answers with a status under 400."""
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def main() -> None:
    """Install the server, and on Debian, as root, the shared library of Python."""
    if _library_folder() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        package = f"libpython3.{sys.version_info.minor}"
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
            check=True,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    if (missing := lacks()) is not None:
        sys.exit(missing)
    install()


if __name__ == "__main__":
    main()

"""examples/docker: its files fit to gantool and to each other. No container is built here."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

from gantool.runtime.serve.options import ServeOptions
from helpers.examples import EXAMPLES
from helpers.serving import graph_of, started

FOLDER = EXAMPLES / "docker"
FILES = [FOLDER / "Dockerfile", FOLDER / "Dockerfile.jetson"]
by_name = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def steps_of(file: Path) -> dict[str, str]:
    """Return the instructions of a Dockerfile and what follows each of them: of several, the last one."""
    text = re.sub(r"\\\n\s*", "", file.read_text(encoding="utf-8"))
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {name: rest for name, _, rest in (line.partition(" ") for line in lines)}


@by_name
def test_the_service_of_a_container_starts_is_well_and_ends(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    steps = steps_of(file)
    (program,) = json.loads(steps["ENTRYPOINT"])
    command, _, *flags = json.loads(steps["CMD"])
    assert (Path(program).name, command) == ("gantool", "serve")
    _, code, text = json.loads(steps["HEALTHCHECK"].partition(" CMD ")[2])
    assert code == "-c"
    with started(tmp_path, str(graph_of("fp32", tmp_path)), *flags) as (process, port):
        asked = text.replace(f":{steps['EXPOSE']}/", f":{port}/")
        assert asked != text
        subprocess.run([sys.executable, "-c", asked], check=True)
        process.send_signal(getattr(signal, steps["STOPSIGNAL"]))
        process.communicate(timeout=60)
        assert process.returncode == 0


@by_name
def test_the_extras_of_an_image_exist(file: Path) -> None:
    (extras,) = re.findall(r"\.whl\)\[([\w,]+)\]", file.read_text(encoding="utf-8"))
    assert set(extras.split(",")) <= set(metadata("gantool").get_all("Provides-Extra", []))


def test_compose_publishes_the_port_to_this_machine_alone_and_gives_no_rights() -> None:
    yaml = pytest.importorskip("yaml")
    service = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]["gantool"]
    port = steps_of(FILES[0])["EXPOSE"]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp"]
    assert int(service["stop_grace_period"].rstrip("s")) > ServeOptions().timeout

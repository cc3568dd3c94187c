"""examples/ros2: a subscriber gets the images of the node, by ROS 2 itself. `make .ros` installs it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import run_gantool
from helpers import ros
from helpers.examples import EXAMPLES
from helpers.serving import graph_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ros.PYTHON.exists(), reason="no ROS 2: make .ros installs it"),
]
NODE = [str(ros.PYTHON), str(EXAMPLES / "ros2/image_node.py"), "--ros-args"]
LISTENER = str(Path(ros.__file__).with_name("ros_listener.py"))


@pytest.fixture
def environment() -> dict[str, str]:
    """Return an environment whose nodes meet no others: of two test runs, the process ids differ."""
    return ros.environment(domain=1 + os.getpid() % 100)


@pytest.mark.parametrize(("kind", "encoding", "channels"), [("fp32", "rgb8", 3), ("rgba", "rgba8", 4)])
def test_a_subscriber_gets_the_images(
    kind: str, encoding: str, channels: int, environment: dict[str, str], tmp_path: Path
) -> None:
    graph = graph_of(kind, tmp_path)
    given = ["-p", f"engine:={graph}", "-p", "seeds:=5", "-p", "rate:=20", "-p", "frame_id:=made"]
    with subprocess.Popen([*NODE, *given], env=environment, stderr=subprocess.PIPE, text=True) as node:
        try:
            words = [str(ros.PYTHON), LISTENER, "4", "received.npz"]
            subprocess.run(words, cwd=tmp_path, env=environment, check=True, timeout=120)
        finally:
            node.send_signal(signal.SIGINT)
        assert node.wait(60) == 0
        assert node.stderr
        assert "1 images, 20 a second" in node.stderr.read()
    # in a process of its own, as the node: both take OpenVINO on a CPU of Intel
    run_gantool("generate", graph, "--seeds", "5", "-o", "made", cwd=tmp_path, check=True, process=True)
    with Image.open(tmp_path / "made/seed0005.png") as image:
        expected = np.asarray(image)
    received = np.load(tmp_path / "received.npz")
    assert set(received["encodings"].tolist()) == {encoding}
    assert set(received["frames"].tolist()) == {"made"}
    assert np.unique(received["sizes"], axis=0).tolist() == [[16, 16, 16 * channels, 0]]
    assert all(np.array_equal(pixels, expected.ravel()) for pixels in received["pixels"])
    assert (np.diff(received["times"]) > 0).all()


@pytest.mark.parametrize(
    ("parameter", "code", "error"),
    [
        ("engine:=no.onnx", 1, "no.onnx does not exist"),
        ("seeds:=a", 2, "'a' is not a seed"),
        ("rate:=0", 2, "rate 0.0: give images a second, above 0"),
        ("rate:=fast", 2, "rate 'fast': give it as in rate:=10.0"),
    ],
)
def test_a_wrong_parameter_ends_the_node(
    parameter: str, code: int, error: str, environment: dict[str, str], tmp_path: Path
) -> None:
    words = [*NODE, "-p", parameter]
    result = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == code
    assert error in result.stderr
    assert "Traceback" not in result.stderr

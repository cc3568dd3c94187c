"""A ROS 2 node that publishes generated images as sensor_msgs/Image on the topic `images`. See README.md.

python3 image_node.py --ros-args -p engine:=g.onnx -p seeds:=0~1~2~0 -p rate:=10
"""

from __future__ import annotations

import sys
from array import array
from itertools import chain, repeat
from typing import TypeVar

import numpy as np
import rclpy
from numpy.typing import NDArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

import gantool
from gantool.runtime.seeds import parse_seeds

ENCODINGS = {(1, 8): "mono8", (1, 16): "mono16", (3, 8): "rgb8", (4, 8): "rgba8"}  # by channels and bits
Value = TypeVar("Value", str, float)


class ImageNode(Node):  # type: ignore[misc]  # of a package without types, where ROS is not installed
    """Publishes the images of `seeds`, round after round, `rate` a second."""

    def __init__(self) -> None:
        """Load the engine. Raises GantoolError if it or a parameter cannot be used."""
        super().__init__("gantool")
        seeds = parse_seeds(self.value("seeds", "0-63"))
        self.frame_id = self.value("frame_id", "gantool")
        rate = self.value("rate", 10.0)
        if not rate > 0:
            raise gantool.UsageError(f"rate {rate}: give images a second, above 0")
        self.generator = gantool.Generator.load(self.value("engine", "g.onnx"))
        rounds = (self.generator.generate(seeds, batch=1) for _ in repeat(None))
        self.images = chain.from_iterable(rounds)
        self.publisher = self.create_publisher(Image, "images", qos_profile_sensor_data)
        self.create_timer(1 / rate, self.publish)
        self.get_logger().info(f"{self.generator.name}: {len(seeds):,} images, {rate:g} a second")

    def value(self, name: str, default: Value) -> Value:
        """Return a parameter. A seed 5 is also a number to ROS, and a rate 10 a whole one: both are taken."""
        given = self.declare_parameter(name, default, ParameterDescriptor(dynamic_typing=True)).value
        try:
            return type(default)(given)
        except (TypeError, ValueError):
            raise gantool.UsageError(f"{name} {given!r}: give it as in {name}:={default}") from None

    def publish(self) -> None:
        """Make the next image, and publish it."""
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self.frame_id)
        self.publisher.publish(message(next(self.images)[0], header))


def message(image: NDArray[np.uint8] | NDArray[np.uint16], header: Header) -> Image:
    """Return the message of an image [H, W, C]."""
    height, width, channels = image.shape
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=ENCODINGS[channels, 8 * image.itemsize],
        is_bigendian=int(sys.byteorder == "big"),
        step=width * channels * image.itemsize,
        data=array("B", image.tobytes()),  # an array is taken as it is; each byte of bytes would be checked
    )


def main() -> int:
    """Run the node until Ctrl-C or ROS ends it; return the exit code."""
    rclpy.init()
    try:
        node = ImageNode()
        with node.generator:
            rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except gantool.GantoolError as error:
        print(f"image_node: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())

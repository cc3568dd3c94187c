"""Subscribe to `images` in .ros/, and write the messages that came to a file: ros_listener.py COUNT FILE.npz"""

from __future__ import annotations

import sys

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

rclpy.init()
node = Node("listener")
received: list[Image] = []
node.create_subscription(Image, "images", received.append, qos_profile_sensor_data)
while len(received) < int(sys.argv[1]):
    rclpy.spin_once(node, timeout_sec=1)
np.savez(
    sys.argv[2],
    pixels=np.stack([np.asarray(message.data, np.uint8) for message in received]),
    sizes=[(message.height, message.width, message.step, message.is_bigendian) for message in received],
    encodings=[message.encoding for message in received],
    frames=[message.header.frame_id for message in received],
    times=[message.header.stamp.sec + message.header.stamp.nanosec / 1e9 for message in received],
)

"""OpenCV reads the stream of `gantool serve` as it reads a camera's. See README.md.

    python stream.py ["http://127.0.0.1:8000/stream.mjpg?size=256"]

FFmpeg, which is in OpenCV, opens the stream. For a server with a token, set the environment variable
OPENCV_FFMPEG_CAPTURE_OPTIONS to "headers;Authorization: Bearer TOKEN".
"""

import sys

import cv2

FRAMES = 30


def main() -> None:
    """Read some frames, and write the last one."""
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/stream.mjpg?size=256"
    camera = cv2.VideoCapture(address)
    if not camera.isOpened():
        sys.exit(f"no stream at {address}: is the server running?")
    for number in range(1, FRAMES + 1):
        there, frame = camera.read()
        if not there:
            sys.exit(f"the stream ended after {number - 1} frames")
        print(f"frame {number}: {frame.shape[1]}x{frame.shape[0]}, mean level {frame.mean():.1f}")
    camera.release()
    cv2.imwrite("frame.png", frame)


if __name__ == "__main__":
    main()

#!/bin/sh
# GStreamer reads the stream of `gantool serve` as it reads a camera's. The server is http://127.0.0.1:8000, or $1.
# Tried with GStreamer 1.22 of Debian 12: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-good
# For a server with a token, after the location: 'extra-headers="h,Authorization=(string)\"Bearer TOKEN\""'
set -eu
server=${1:-http://127.0.0.1:8000}

# Twenty frames as PNG files. To watch it: ... ! jpegdec ! videoconvert ! autovideosink
gst-launch-1.0 -q souphttpsrc location="$server/stream.mjpg?size=256&fps=10&frames=20" ! multipartdemux ! \
    jpegdec ! videoconvert ! pngenc ! multifilesink location=frame-%02d.png

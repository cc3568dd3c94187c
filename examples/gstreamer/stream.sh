#!/usr/bin/env bash
# Record the camera stream of `gantool serve`: stream.sh [http://127.0.0.1:8000] [stream.webm]. See README.md.
# $QUERY is what is asked for; without frames= in it, Ctrl-C ends the stream. $ENCODER is as in film.sh.
set -euo pipefail
server=${1:-http://127.0.0.1:8000}
out=${2:-stream.webm}
encoder=${ENCODER:-vp8enc deadline=1 target-bitrate=4000000 ! webmmux}

source=(souphttpsrc location="$server/stream.mjpg?${QUERY:-size=256&fps=10&frames=50}")
if [ -n "${GANTOOL_TOKEN:-}" ]; then
    source+=("extra-headers=\"h,Authorization=(string)\\\"Bearer $GANTOOL_TOKEN\\\"\"")
fi

# The parts of the stream have no time: each gets that of its arrival. -e writes the end of the file after Ctrl-C.
# shellcheck disable=SC2086  # $encoder is several elements
gst-launch-1.0 -q -e "${source[@]}" is-live=true do-timestamp=true ! multipartdemux ! jpegdec ! videoconvert ! \
    $encoder ! filesink location="$out"

#!/usr/bin/env bash
# A walk from seed to seed as a video, encoded by GStreamer: film.sh [g.onnx] [walk.webm]. See README.md.
# $SEEDS and $FRAMES are those of `gantool morph`, $UPSCALE enlarges, $ENCODER encodes and packs the video.
set -euo pipefail
engine=${1:-g.onnx}
out=${2:-walk.webm}
scale=${UPSCALE:-8}
encoder=${ENCODER:-vp8enc deadline=1 target-bitrate=4000000 ! webmmux}

# Raw frames have no header: GStreamer is told their size and format. Transparent images are laid on white.
described=$(gantool inspect "$engine" --json)
read -r height width channels < <(python3 -c 'import json, sys; print(*json.load(sys.stdin)["metadata"]["image"])' \
    <<<"$described")
case $channels in
1) format=gray8 ground=() ;;
3) format=rgb ground=() ;;
4) format=rgb ground=(--background white) ;;
esac

# shellcheck disable=SC2086  # $encoder is several elements
gantool morph "$engine" --seeds "${SEEDS:-0-5}" --frames "${FRAMES:-60}" --upscale "$scale" "${ground[@]}" \
    --out - --mark none --quiet |
    gst-launch-1.0 -q fdsrc ! rawvideoparse width=$((width * scale)) height=$((height * scale)) format=$format \
        framerate=30/1 ! videoconvert ! $encoder ! filesink location="$out"

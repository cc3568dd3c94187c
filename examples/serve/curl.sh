#!/bin/sh
# Requests to `gantool serve`, by curl. The server is http://127.0.0.1:8000, or $1; its token is $GANTOOL_TOKEN, if it
# has one.
set -eu
server=${1:-http://127.0.0.1:8000}
ask() { curl --fail --silent --show-error ${GANTOOL_TOKEN:+-H "Authorization: Bearer $GANTOOL_TOKEN"} "$@"; }

# An image of a seed, as PNG, WebP or JPEG; less varied; enlarged.
ask "$server/images/5.png" -o seed5.png
ask "$server/images/5.webp?trunc=0.7" -o seed5.webp
ask "$server/images/5.jpg?size=256" -o seed5.jpg

# A mix of two seeds. In a URL, + may stand in a path, and is %2B in a query.
ask "$server/images/5+9.png" -o mix.png

# A sheet of 16 images, and a film from seed to seed.
ask "$server/grid.png?seeds=0-15" -o grid.png
ask "$server/morph.webp?seeds=1,5,9&loop=true" -o morph.webp

# A hundred images in one answer: a tar of PNG, and an array for NumPy.
ask "$server/generate" --json '{"seeds": "0-99"}' -o images.tar
ask "$server/generate?format=npy" --json '{"seeds": "0-99", "trunc": 0.8}' -o images.npy

# Five seconds of the camera stream: 50 JPEGs.
ask "$server/stream.mjpg?fps=10&frames=50" -o stream.mjpg

# Is it well? The ten golden seeds are made anew, and compared.
ask "$server/healthz?deep=1"
echo

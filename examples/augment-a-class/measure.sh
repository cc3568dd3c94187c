#!/bin/sh
# Measure three sets of ten images of each class that is named, with g.onnx: measure.sh pullover dress; see README.md.
set -e
: "${1:?name a class, as in measure.sh pullover}"
for small; do
    rm -rf generated
    gantool generate -q g.onnx --class "$small" --seeds 0-499 --out generated
    for start in 0 10 20; do
        rm -rf few
        python augment.py pick few --small "$small" --start $start
        echo "$small from $start: alone, with generated images, with the images that the generator learned from"
        python augment.py score few --small "$small"
        python augment.py score few generated --small "$small"
        python augment.py score few "theirs/$small" --small "$small"
    done
done

#!/bin/sh
# Measure on three different sets of ten images: measure.sh [CLASS] [MINUTES of training, 5]; see README.md.
set -e
small=${1:-pullover}
for start in 0 10 20; do
    rm -rf few generated
    python augment.py pick few --small "$small" --start $start
    gantool train -q --data few --conditional --preset dcgan28 --width 16 --batch 32 --minutes "${2:-5}"
    gantool export -q --engine none -o "g$start"
    gantool generate -q "g$start.onnx" --class "$small" --seeds 0-499 --out generated
    echo "set from $start, without a generator"
    python augment.py score few --small "$small"
    echo "set from $start, with one"
    python augment.py score few generated --small "$small"
done

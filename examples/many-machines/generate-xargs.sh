#!/bin/bash
# The same without GNU parallel, on one machine:  JOBS=4 bash generate-xargs.sh
set -euo pipefail
seq 16 | xargs -P "${JOBS:-4}" -I {} gantool generate --engine "${ENGINE:-g.onnx}" \
  --seeds "${SEEDS:-0-999999}" --shard {}/16 \
  --engine-threads 1 --threads 1 --format tar --out "${OUT:-images}" --resume

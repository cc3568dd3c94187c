#!/bin/bash
# A million images by 16 processes, JOBS at a time, with GNU parallel:  JOBS=4 bash generate-parallel.sh
# More options of parallel go behind it: --sshloginfile machines --workdir . starts them on several machines.
set -euo pipefail

# One thread each, since JOBS processes share the cores. parallel starts a failed shard again, up to three times.
parallel --jobs "${JOBS:-4}" --retries 3 --joblog gantool-images.log "$@" \
  gantool generate --engine "${ENGINE:-g.onnx}" --seeds "${SEEDS:-0-999999}" --shard {}/16 \
  --engine-threads 1 --threads 1 --format tar --out "${OUT:-images}" --resume ::: {1..16}

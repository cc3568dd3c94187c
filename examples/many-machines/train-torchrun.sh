#!/bin/bash
# Train on two machines of eight GPUs with torchrun. HEAD is the address of the first machine, and on it:
#   HEAD=10.0.0.1 RANK=0 bash train-torchrun.sh --data icons --batch 512
# On the second one:
#   HEAD=10.0.0.1 RANK=1 bash train-torchrun.sh --data icons --batch 512
# To go on, the same with --resume latest instead of the options.
set -euo pipefail
torchrun --nnodes "${NODES:-2}" --nproc-per-node "${GPUS:-8}" --node-rank "$RANK" \
  --master-addr "$HEAD" --master-port "${PORT:-29500}" --no-python gantool train "$@"

"""Train on the machines of a Ray cluster: python train_ray.py --data /shared/icons --workers 16 --gpu

Ray Train starts a process for each worker, connects them, and starts all of them again after a failure: the run
then goes on where it was saved. Data, cache and runs lie in folders that all machines share.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

import gantool


def work(config: dict[str, Any]) -> None:
    """Train in one process of the run."""
    os.environ["TORCHELASTIC_RUN_ID"] = (
        "ray"  # Lightning then finds ranks and addresses as torchrun gives them
    )
    from gantool.train.options import from_preset

    outdir, options = Path(config["outdir"]), config["options"]
    if any(outdir.glob("*/training_state.pt")):  # of an attempt that failed
        gantool.train(from_preset(options), gantool.LaunchOptions(outdir=outdir, resume="latest"))
    else:
        gantool.train(from_preset(options), gantool.LaunchOptions(outdir=outdir), given=list(options))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--outdir", type=Path, default=Path("runs-ray"), help="a new folder for each run")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--kimg", type=float, default=300.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="one for each worker")
    given = parser.parse_args()
    options = {name: getattr(given, name) for name in ("preset", "batch", "kimg")}
    data = Path(given.data)
    options |= {"data": str(data.absolute()) if data.exists() else given.data}  # or a known name
    options |= {"device": "cuda" if given.gpu else "cpu"}
    TorchTrainer(
        work,
        train_loop_config={"options": options, "outdir": str(given.outdir.absolute())},
        scaling_config=ScalingConfig(num_workers=given.workers, use_gpu=given.gpu),
        run_config=RunConfig(
            storage_path=str(given.outdir.absolute() / "ray"), failure_config=FailureConfig(max_failures=3)
        ),
    ).fit()


if __name__ == "__main__":
    main()

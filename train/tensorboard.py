"""Write the numbers of a run for TensorBoard, to an event file in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantool.runtime.errors import MissingDependencyError
from gantool.train.callbacks import Callback
from gantool.train.state import TrainingState
from gantool.train.ticks import TickStats


class TensorBoard(Callback):
    """Writes the numbers in stats.jsonl and metric-*.jsonl as scalars."""

    def __init__(self, folder: Path, state: TrainingState) -> None:
        self.state, self.writer = state, summary_writer()(str(folder))

    def on_tick(self, stats: TickStats) -> None:
        """Write the losses and the speed."""
        self._write(stats.to_json())

    def on_scores(self, values: Mapping[str, Any]) -> None:
        """Write the scores of generated images."""
        self._write(values)

    def close(self) -> None:
        """Close the file."""
        self.writer.close()

    def _write(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self.writer.add_scalar(name, value, self.state.images_seen)
        self.writer.flush()


def summary_writer() -> Any:
    """Return TensorBoard's SummaryWriter. Raises MissingDependencyError."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise MissingDependencyError("tensorboard", "tensorboard", "`tensorboard`") from error
    return SummaryWriter

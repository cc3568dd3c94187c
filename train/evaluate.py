"""`evaluate`, the function behind `gantool evaluate`. It checks its input before it imports PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gantool.runtime.errors import MissingDependencyError
from gantool.train.preflight import check_evaluation
from gantool.train.requests import EvaluateOptions

if TYPE_CHECKING:
    from gantool.train.scoring import Scores


def evaluate(options: EvaluateOptions) -> Scores:
    """Score images against a data set; write metric-<features>.jsonl, nearest.png and perhaps a report.

    Raises UsageError if the data set is not known, GantoolError for files that cannot be read, and
    MissingDependencyError without PyTorch or without a package that the extractor needs.
    """
    source = check_evaluation(options.source, options.data)
    try:
        from gantool.train.scoring import score
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "torch", "train", "gantool evaluate") from error
    scores = score(source, options)
    if options.html is not None:
        from gantool.train import evaluate_html

        evaluate_html.write(scores, options.html)
    return scores

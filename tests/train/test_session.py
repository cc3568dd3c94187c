"""The limits of a session, and when a tick ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantool.models import NetworkConfig, square
from gantool.train.data.dataset import ImageData
from gantool.train.distributed import single_device
from gantool.train.options import TrainingOptions
from gantool.train.session import Pace, Session
from gantool.train.state import TrainingState, new_state
from gantool.train.ticks import interval_ended

OPTIONS = TrainingOptions(NetworkConfig(size=square(16), width=2, latent=4), "boxes", kimg=1.0, device="cpu")
DATA = ImageData(np.zeros((16, 16, 16, 1), np.uint8), "boxes", ())


def state_after(images: int, seconds: float) -> TrainingState:
    state = new_state(OPTIONS, single_device("cpu"))
    state.images_seen, state.seconds = images, seconds
    return state


def test_time_that_the_autotuner_used_counts_for_the_limit_and_the_bar() -> None:
    session = Session(replace(OPTIONS, minutes=1.0), DATA, Path(), spent=20.0)
    pace = Pace(session, state_after(0, 0.0))
    after_half = state_after(100, 20.0)
    total, text = pace.progress(after_half)
    assert total == pytest.approx(0.2)  # kimg, of which half are done
    assert text == "kimg 0.1 of 1 minutes"
    assert pace.left(after_half) == pytest.approx(20.0)
    assert not pace.finished(after_half)
    assert pace.finished(state_after(200, 40.0))


def test_the_nearer_limit_decides() -> None:
    pace = Pace(Session(OPTIONS, DATA, Path()), state_after(0, 0.0))
    assert pace.progress(state_after(250, 5.0)) == (1.0, "kimg 0.2 of 1 kimg")
    assert pace.left(state_after(250, 5.0)) == pytest.approx(15.0)
    assert pace.finished(state_after(1000, 20.0))


@given(batch=st.integers(1, 70), tick=st.integers(1, 300), ticks=st.integers(1, 5), steps=st.integers(1, 200))
def test_intervals_end_with_a_tick_and_as_often_as_they_fill(
    batch: int, tick: int, ticks: int, steps: int
) -> None:
    seen = [batch * step for step in range(1, steps + 1)]
    ended = [each for each in seen if interval_ended(each, batch, tick / 1000, tick / 1000)]
    snapped = [each for each in seen if interval_ended(each, batch, tick / 1000, tick * ticks / 1000)]
    assert set(snapped) <= set(ended)
    if batch <= tick:
        assert len(ended) == seen[-1] // tick
        assert len(snapped) == seen[-1] // (tick * ticks)
    assert not interval_ended(seen[-1], batch, tick / 1000, None)

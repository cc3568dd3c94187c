"""How training follows what a busy machine gives it: the policy, fed with steps; and under taskset, for real."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from math import log2
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gantool.models.threads import leave_room
from gantool.runtime.process.cpus import Others, cores
from gantool.train.threads import LONGEST_UP, SHORTEST, Change, Threads
from helpers.logs import logged

BATCH = 64  # long steps, so that hours are simulated in a moment
Rates = Callable[[float, int], float]  # images a second, by the time and the threads


def simulated(threads: Threads, rates: Rates, seconds: float) -> Iterator[tuple[float, int, Change | None]]:
    """Yield the time, the threads and the change, if any, of each step in so many seconds."""
    now = 0.0
    while now < seconds:
        took = BATCH / rates(now, threads.count)
        now += took
        count = threads.count
        yield now, count, threads.after(took, BATCH)


def idle(count: int) -> float:
    """Two threads are a little faster than one, and so on."""
    return float(800 * count**0.4)


def crowded(count: int) -> float:
    """One thread gets a third of a CPU; more wait for each other."""
    return 250.0 if count == 1 else 60.0 / count


@given(st.integers(2, 16))
def test_an_idle_machine_changes_nothing(most: int) -> None:
    threads = Threads(most, most, idle(most))
    steps = list(simulated(threads, lambda _now, count: idle(count), 100))
    assert {count for _, count, _ in steps} == {most}
    assert not any(change for *_, change in steps)


@given(st.integers(2, 16), st.floats(0.51, 1.5))
def test_a_little_slower_than_tuned_is_no_reason(most: int, share: float) -> None:
    threads = Threads(most, most, idle(most))
    steps = simulated(threads, lambda _now, count: share * idle(count), 60)
    assert {count for _, count, _ in steps} == {most}


@given(st.integers(2, 16), st.floats(0, 30))
@settings(max_examples=20)
def test_below_a_third_it_drops_to_one_and_comes_back(most: int, begins: float) -> None:
    ends = begins + 60

    def rates(now: float, count: int) -> float:
        return crowded(count) if begins <= now < ends else idle(count)

    threads = Threads(most, most, idle(most))
    steps = list(simulated(threads, rates, ends + 400))
    busy = [(now, count) for now, count, _ in steps if begins + 30 < now < ends]
    assert sum(count == 1 for _, count in busy) > 0.9 * len(busy)  # more are tried now and then
    assert BATCH * len(busy) > 0.5 * crowded(1) * (busy[-1][0] - busy[0][0])
    assert idle(threads.count) > 0.9 * idle(most)
    told = [str(change) for *_, change in steps if change]
    assert "the machine is busy: " in told[0]
    assert told[0].endswith("; continuing with 1")
    assert "has room: " in told[-1]
    assert len(told) <= 2 * most


def test_what_a_line_says() -> None:
    threads = Threads(2, 2, 860)
    lines = [
        str(change) for *_, change in simulated(threads, lambda _, n: 480 if n == 1 else 11, 20) if change
    ]
    assert lines == ["the machine is busy: 11 images/s with 2 threads, 480 with 1; continuing with 1"]


def test_more_threads_are_not_tried_where_others_leave_no_room() -> None:
    """One step with too many can take as long as a hundred with few."""
    threads = Threads(1, 2, 250.0, lambda: 1)
    assert {count for _, count, _ in simulated(threads, lambda _, count: crowded(count), 600)} == {1}
    threads.room = lambda: 2
    list(simulated(threads, lambda _, count: idle(count), 30))
    assert threads.count == 2


def test_a_run_that_knows_no_rate_begins_with_a_trial() -> None:
    """Resumed on a busy machine, it has never seen better."""
    threads = Threads(2, 2)
    list(simulated(threads, lambda _, count: crowded(count), 30))
    assert threads.count == 1


def test_where_fewer_threads_do_not_help_they_are_tried_ever_more_rarely() -> None:
    threads = Threads(2, 2, 10_000.0)  # as tuned on another machine
    steps = list(simulated(threads, lambda _, count: 100.0 * count, 3600))
    assert not any(change for *_, change in steps)
    fewer = sum(count == 1 for _, count, _ in steps)
    assert 0 < fewer < 0.05 * len(steps)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=40), st.integers(1, 16), st.integers(1, 16))
@settings(max_examples=30)
def test_whatever_the_rates_it_stays_in_bounds_and_does_not_flap(
    shares: list[float], start: int, most: int
) -> None:
    """Rates that change at random every few seconds, as bad as they can be."""
    start = min(start, most)

    def rates(now: float, count: int) -> float:
        return 100 * shares[int(now / 3 + count) % len(shares)]

    threads = Threads(start, most, 500.0)
    seconds = 1800.0
    changes = 0
    for _, count, change in simulated(threads, rates, seconds):
        assert 1 <= count <= most
        if change:
            changes += 1
            assert change.after.images > change.before.images
            assert change.after.threads != change.before.threads
    ladder = int(log2(most)) + 1
    assert changes <= 2 * ladder * (log2(LONGEST_UP / SHORTEST) + 2 + seconds / LONGEST_UP)


@pytest.mark.parametrize("most", [1, 4])
def test_one_thread_of_one_stays(most: int) -> None:
    threads = Threads(most, 1 if most == 1 else most, 1e9)
    list(simulated(threads, lambda _, __: 1.0, 100))
    assert 1 <= threads.count <= most


@pytest.mark.skipif(cores() < 2, reason="needs two CPUs")
@pytest.mark.parametrize(("seconds", "threads"), [(0, cores()), (5000, 1)])
def test_room_is_left_to_others(tmp_path: Path, seconds: int, threads: int) -> None:
    before = torch.get_num_threads()
    counts = tmp_path / "stat"
    counts.write_text("".join(f"cpu{number} 1000 0 0 0 0 0 0 0\n" for number in range(256)))
    others = Others(counts)
    at_work = 1000 + seconds * os.sysconf("SC_CLK_TCK")
    counts.write_text("".join(f"cpu{number} {at_work} 0 0 0 0 0 0 0\n" for number in range(256)))
    try:
        torch.set_num_threads(cores())
        with logged(logging.WARNING) as lines:
            leave_room(others)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert ["going on with 1 thread, not" in line for line in lines] == [True] * (seconds > 0)

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gantool.runtime.errors import UsageError
from gantool.runtime.process.pool import ordered_map, ordered_pool, thread_count


@given(st.integers(1, 5), st.integers(0, 40))
@settings(max_examples=30)
def test_results_come_in_order_and_few_wait(threads: int, count: int) -> None:
    taken: list[int] = []
    started, most = 0, 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal started, most
        with lock:
            started += 1
            most = max(most, started - len(taken))
        time.sleep(0.001 * (number * 7 % 3))
        return number

    with ordered_pool(threads, taken.append) as submit:
        for number in range(count):
            submit(lambda number=number: work(number))  # type: ignore[misc]
    assert taken == list(range(count))
    assert most <= 2 * threads + 1


def test_a_failure_is_raised_and_the_rest_dropped() -> None:
    taken: list[int] = []

    def fail() -> int:
        raise OSError("full")

    def run() -> None:
        with ordered_pool(2, taken.append) as submit:
            submit(lambda: 1)
            submit(fail)
            for _ in range(50):
                submit(lambda: 2)

    with pytest.raises(OSError, match="full"):
        run()
    assert taken[:1] == [1]
    assert len(taken) < 5


def slowly(number: int) -> int:
    time.sleep(0.01)
    return number


@pytest.mark.parametrize("end", [KeyboardInterrupt, RuntimeError])
def test_what_was_submitted_before_an_end_from_elsewhere_is_finished(end: type[BaseException]) -> None:
    taken: list[int] = []

    def run() -> None:
        with ordered_pool(2, taken.append) as submit:
            for number in range(3):
                submit(partial(slowly, number))
            raise end

    with pytest.raises(end):
        run()
    assert taken == [0, 1, 2]


@given(st.integers(1, 4), st.integers(0, 30), st.none() | st.integers(1, 9))
@settings(max_examples=30)
def test_a_map_gives_results_in_order_and_asks_as_it_goes(
    threads: int, count: int, waiting: int | None
) -> None:
    asked: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(count):
            asked.append(number)
            yield number

    def work(number: int) -> int:
        time.sleep(0.001 * (number * 7 % 3))
        return -number

    for index, result in enumerate(ordered_map(work, numbers(), threads, waiting)):
        assert result == -index
        assert len(asked) <= index + 1 + (waiting or 2 * threads)
    assert len(asked) == count


def test_a_map_that_nobody_reads_to_its_end_drops_the_rest() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.05)
        return number

    results = ordered_map(work, range(100), 1, 20)
    assert next(results) == 0
    results.close()
    assert len(begun) < 5


def test_threads() -> None:
    assert thread_count(None) >= 1
    assert thread_count(7) == 7
    with pytest.raises(UsageError, match="`encoders` 0"):
        thread_count(0)

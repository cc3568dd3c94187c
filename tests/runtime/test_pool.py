from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gantool.runtime.errors import UsageError
from gantool.runtime.outputs.pool import in_order, thread_count


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

    with in_order(threads, taken.append) as put:
        for number in range(count):
            put(lambda number=number: work(number))  # type: ignore[misc]
    assert taken == list(range(count))
    assert most <= 2 * threads + 1


def test_a_failure_is_raised_and_the_rest_dropped() -> None:
    taken: list[int] = []

    def fail() -> int:
        raise OSError("full")

    def run() -> None:
        with in_order(2, taken.append) as put:
            put(lambda: 1)
            put(fail)
            for _ in range(50):
                put(lambda: 2)

    with pytest.raises(OSError, match="full"):
        run()
    assert taken[:1] == [1]
    assert len(taken) < 5


@pytest.mark.parametrize("end", [KeyboardInterrupt, RuntimeError])
def test_what_was_put_before_an_end_from_elsewhere_is_finished(end: type[BaseException]) -> None:
    taken: list[int] = []

    def run() -> None:
        with in_order(2, taken.append) as put:
            for number in range(3):
                put(lambda number=number: (time.sleep(0.01), number)[1])  # type: ignore[misc]
            raise end

    with pytest.raises(end):
        run()
    assert taken == [0, 1, 2]


def test_threads() -> None:
    assert thread_count(None) >= 1
    assert thread_count(7) == 7
    with pytest.raises(UsageError, match="--threads 0"):
        thread_count(0)

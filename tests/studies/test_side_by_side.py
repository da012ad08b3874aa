"""Parts made in processes of their own: each once, begun in order, faults told, and nobody left behind."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tacit.studies import side_by_side
from tacit.studies.claims import LackingError, Tell


def making(fault: Exception) -> Callable[[int, Tell], tuple[int, int]]:
    """Squares parts, tells each, and fails at 0; a part below that takes for ever."""

    def make(part: int, tell: Tell) -> tuple[int, int]:
        tell("squaring", part, part, {})
        if part < 0:
            time.sleep(600.0)
        if part == 0:
            raise fault
        return part**2, os.getpid()

    return make


def test_parts_are_made_in_order_until_a_fault_of_ours_which_reaches_whoever_waits() -> None:
    told: list[int] = []
    prepare = partial(making, LackingError("no data"))
    made = side_by_side.made([3, 1, 2, 0, 5], prepare, 1, lambda _, num, *__: told.append(num))
    found = [next(made) for _ in range(3)]
    assert [square for square, _ in found] == [9, 1, 4]
    with pytest.raises(LackingError, match="no data"):
        next(made)
    assert told == [3, 1, 2, 0]
    assert os.getpid() not in {process for _, process in found}
    assert not multiprocessing.active_children()


def test_a_process_that_dies_is_noticed() -> None:
    with pytest.raises(RuntimeError, match="has died; run it again"):
        list(side_by_side.made([0], partial(making, KeyError("bug")), 1, lambda *_: None))
    assert not multiprocessing.active_children()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What a shell starts in the background does not listen to Ctrl-C; this process does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_what_takes_long(interruptible) -> None:
    told: list[int] = []

    def tell(what: str, part: int, *_: object) -> None:
        told.append(part)
        if len(told) == 2:
            # To everybody, as a terminal does; each of them is busy.
            for process in multiprocessing.active_children():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGINT)
            main = threading.main_thread().ident
            threading.Timer(0.2, signal.pthread_kill, [main, signal.SIGINT]).start()

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side.made([-1, -2], partial(making, ValueError()), 2, tell))
    assert sorted(told) == [-2, -1]
    assert not multiprocessing.active_children()

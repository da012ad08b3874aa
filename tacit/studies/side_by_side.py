"""How are the parts of a long study made side by side? In processes of their own, which tell what they are at."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from tacit.studies.claims import Tell

Part = TypeVar("Part")
Made = TypeVar("Made")
Prepare = Callable[[], Callable[[Part, Tell], Made]]
"""What a process does first, and how it makes a part then; it is pickled, so it is a top-level function or a `partial`
of one."""


def made(parts: Sequence[Part], prepare: Prepare[Part, Made], num_processes: int, tell: Tell) -> Iterator[Made]:
    """What `prepare()(part, tell)` makes of each part, as it comes; the parts are begun in their order.

    An error of ours in a process is raised here. However this ends, the processes end with it.
    """
    # Spawned, since a process that has started JAX or torch cannot be forked.
    spawn, left = multiprocessing.get_context("spawn"), list(reversed(parts))
    busy: dict[Connection, BaseProcess] = {}
    try:
        for _ in range(min(num_processes, len(parts))):
            ours, theirs = spawn.Pipe()
            busy[ours] = spawn.Process(target=_work, args=(prepare, theirs), daemon=True)
            busy[ours].start()
            # With this end closed here, ours says when the process is gone.
            theirs.close()
            ours.send(left.pop())
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                kind, said = _heard(pipe)
                if kind == "told":
                    tell(*said)
                elif kind == "failed":
                    raise said
                else:
                    if left:
                        pipe.send(left.pop())
                    else:
                        _end(busy.pop(pipe))
                    yield said
    finally:
        for process in busy.values():
            _end(process)


def _heard(pipe: Connection) -> tuple[str, Any]:
    try:
        return pipe.recv()
    except EOFError as error:
        raise RuntimeError("A process that made a part of the study has died; run it again, and it goes on.") from error


def _end(process: BaseProcess) -> None:
    process.terminate()
    process.join()


def _work(prepare: Prepare[Any, Any], pipe: Connection) -> None:
    """Make parts until somebody ends this process, or is gone."""
    # Ctrl-C reaches everybody: who began this ends it, in order, so that nothing of the system's is left behind.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    make = prepare()
    while True:
        try:
            pipe.send(("made", make(pipe.recv(), lambda *told: pipe.send(("told", told)))))
        except (EOFError, ConnectionError):
            return
        except Exception as error:
            # Messages of our own are for users; anything else wants its traceback, which Python prints.
            if not type(error).__module__.startswith("tacit."):
                raise
            pipe.send(("failed", error))

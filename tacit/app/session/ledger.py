"""How are many people's events put on disk without anybody waiting for anybody's disk? Together, in a thread.

A commit waits for the disk, which takes 10 ms and at times 100. Were each event committed by itself, in the loop that
serves everyone, twenty people would wait for one another. So one thread writes; whatever came in during a commit shares
the next one. An event counts as recorded when its future is done.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tacit.app.session import store as recordings
from tacit.app.session.store import Entry
from tacit.storage import StorageError


@dataclass(frozen=True)
class Ledger:
    """What is to be written, in order. Used in one event loop."""

    store: sqlite3.Connection
    waiting: list[tuple[Entry, asyncio.Future[int]]] = field(default_factory=list)
    writing: list[asyncio.Task[None]] = field(default_factory=list)
    """The task that writes, while there is something to write."""
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "writing"))

    def append(self, session: str, number: int, kind: str, body: str) -> asyncio.Future[int]:
        """Record an event. The future gives its number when the disk has it, or raises StorageError."""
        loop = asyncio.get_running_loop()
        recorded = loop.create_future()
        self.waiting.append((Entry(session, number, kind, body), recorded))
        if not self.writing:
            self.writing.append(loop.create_task(self._write()))
        return recorded

    async def create(self, session: str, about: Mapping[str, Any]) -> None:
        """Record that a session begins."""
        await asyncio.get_running_loop().run_in_executor(self.pool, recordings.create, self.store, session, about)

    async def _write(self) -> None:
        while self.waiting:
            batch = [(entry, recorded) for entry, recorded in self.waiting]
            self.waiting.clear()
            entries = [entry for entry, _ in batch]
            faults = await asyncio.get_running_loop().run_in_executor(
                self.pool, recordings.append_all, self.store, entries
            )
            for (entry, recorded), fault in zip(batch, faults, strict=True):
                _tell(recorded, entry.number, fault)
        self.writing.clear()

    def close(self) -> None:
        """Write what still waits, and close the file."""
        self.pool.shutdown()
        recordings.append_all(self.store, [entry for entry, _ in self.waiting])
        self.store.close()


def _tell(recorded: asyncio.Future[int], number: int, fault: StorageError | None) -> None:
    if recorded.cancelled():
        return
    if fault is None:
        recorded.set_result(number)
        return
    recorded.set_exception(fault)
    recorded.exception()  # Whoever waits still gets it; if nobody does, that is no news for the log.

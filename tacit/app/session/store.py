"""How is what people do kept, so that a killed server loses nothing? In SQLite, before it is acknowledged.

A session is what it began as and a list of events, numbered from 0: the messages of its person, and the turns with
both players' actions. Everything else follows from these (`fold.resume`).
"""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tacit.storage import StorageError

HOME = Path.home() / ".tacit"
RECORD = HOME / "people.sqlite"
"""Where recordings are, if nobody says otherwise."""
FORMAT = 1
"""Of the tables; a newer one is refused."""

_TABLES = """
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, begun REAL NOT NULL, about TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    session TEXT NOT NULL REFERENCES sessions, number INTEGER NOT NULL, at REAL NOT NULL,
    kind TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID;
"""


class Event(NamedTuple):
    """Something that happened: a "message", or a "turn" with the actions of both. `body` is JSON, `at` a Unix time."""

    number: int
    at: float
    kind: str
    body: str


class Entry(NamedTuple):
    """An event that is to be recorded."""

    session: str
    number: int
    kind: str
    body: str


class Begun(NamedTuple):
    """A session as it began."""

    id: str
    at: float
    about: dict[str, Any]


def open_store(path: Path) -> sqlite3.Connection:
    """Open the file of recordings, or make it. Raises StorageError for a file that is something else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        store = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
        # A commit waits for the disk, so that not even a power cut takes back what was acknowledged.
        for rule in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            store.execute(f"PRAGMA {rule}")
        (written_as,) = store.execute("PRAGMA user_version").fetchone()
        if written_as > FORMAT:
            raise StorageError(f"{path} was written by a newer tacit (format {written_as}): upgrade tacit.")
        store.executescript(_TABLES)
        store.execute(f"PRAGMA user_version = {FORMAT}")
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"{path} could not be opened as recordings of people: {error}.") from error
    return store


def create(store: sqlite3.Connection, session: str, about: Mapping[str, Any]) -> None:
    """Record that a session begins."""
    row = (session, time.time(), json.dumps(about, allow_nan=False, sort_keys=True))
    store.execute("INSERT INTO sessions VALUES (?, ?, ?)", row)


def append(store: sqlite3.Connection, session: str, number: int, kind: str, body: str) -> None:
    """Record an event; when this returns the disk has it. Raises StorageError when its number is taken."""
    (fault,) = append_all(store, [Entry(session, number, kind, body)])
    if fault is not None:
        raise fault


def append_all(store: sqlite3.Connection, entries: Sequence[Entry]) -> list[StorageError | None]:
    """Record events in one commit; for each what was wrong with it, or None: then the disk has it."""
    faults: list[StorageError | None] = []
    try:
        store.execute("BEGIN")
        for entry in entries:
            faults.append(_insert(store, entry))
        store.execute("COMMIT")
    except sqlite3.Error as error:
        if store.in_transaction:
            store.execute("ROLLBACK")
        return [_fault(entry, error) for entry in entries]
    return faults


def _insert(store: sqlite3.Connection, entry: Entry) -> StorageError | None:
    row = (entry.session, entry.number, time.time(), entry.kind, entry.body)
    try:
        store.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)
    except sqlite3.IntegrityError as error:
        return _fault(entry, error)
    return None


def _fault(entry: Entry, error: sqlite3.Error) -> StorageError:
    return StorageError(f"Event {entry.number} could not be recorded: {error}.")


def begun(store: sqlite3.Connection, session: str) -> Begun | None:
    """How a session began; None if there is none of this name."""
    row = store.execute("SELECT id, begun, about FROM sessions WHERE id = ?", (session,)).fetchone()
    return None if row is None else Begun(row[0], row[1], json.loads(row[2]))


def all_begun(store: sqlite3.Connection) -> list[Begun]:
    """Every session, the oldest first."""
    rows = store.execute("SELECT id, begun, about FROM sessions ORDER BY begun, id").fetchall()
    return [Begun(name, at, json.loads(about)) for name, at, about in rows]


def events(store: sqlite3.Connection, session: str) -> list[Event]:
    """What happened in a session, in order."""
    query = "SELECT number, at, kind, body FROM events WHERE session = ? ORDER BY number"
    return [Event(*row) for row in store.execute(query, (session,))]

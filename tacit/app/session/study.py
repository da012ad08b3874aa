"""Who helps people most? Each participant builds one house with every assistant, in a balanced order, and rates each.

The order is a row of a Williams design: over all of its rows every assistant comes equally often at every place, and
follows every other equally often, so that neither practice nor what came before speaks for one of them (Williams 1949).
"""

import csv
import io
import secrets
import sqlite3
from pathlib import Path
from typing import NamedTuple

import jax

from tacit.app.session import fold
from tacit.app.session import store as recordings
from tacit.app.session.messages import Judge, Switch, load
from tacit.app.session.players import Players, Seated
from tacit.app.session.room import Plan, Room, goal, players
from tacit.app.session.store import Begun
from tacit.assistants import none
from tacit.storage import write_atomically

KINDS = (".csv", ".parquet")
"""What an export can be, by the ending of the file."""


class Design(NamedTuple):
    """What is compared: assistants by name, in this game; whether participants are not told who helps."""

    game: str
    assistants: tuple[str, ...]
    blind: bool


class Row(NamedTuple):
    """A house that a participant built, or began. Ratings are 1 to 7; edits and shares are as on the page."""

    participant: str
    place: int
    assistant: str
    game: str
    goal: int
    blind: bool
    finished: bool
    seconds: float
    turns: int
    human_edits: int
    assistant_right: int
    assistant_wrong: int
    completed: float
    saved: float
    switched_off: int
    judged: int
    easy: int | None
    helped: int | None
    again: int | None


def williams(number: int, size: int) -> list[int]:
    """The row of this number, which begins anew after `size` rows, or after twice as many if the size is odd."""
    steps = [(place + 1) // 2 if place % 2 else -(place // 2) for place in range(size)]
    row = [(number + step) % size for step in steps]
    return row[::-1] if size % 2 and (number // size) % 2 else row


async def enrol(room: Room, design: Design) -> str:
    """Record a new participant's sessions, all of the same house; returns the name of the first."""
    people = {begun.about.get("participant") for begun in recordings.all_begun(room.ledger.store)} - {None}
    who, house = secrets.token_urlsafe(12), secrets.randbelow(2**31)
    names = [
        await room.create(
            Plan(design.game, design.assistants[which], secrets.randbelow(2**31), house, who, place, design.blind)
        )
        for place, which in enumerate(williams(len(people), len(design.assistants)))
    ]
    return names[0]


def sittings(store: sqlite3.Connection, participant: str) -> list[Begun]:
    """A participant's sessions in their order."""
    theirs = [begun for begun in recordings.all_begun(store) if begun.about.get("participant") == participant]
    return sorted(theirs, key=lambda begun: begun.about["place"])


def rows(store: sqlite3.Connection) -> list[Row]:
    """A row for each session of each participant, in the order in which they were begun."""
    return [row(store, begun) for begun in recordings.all_begun(store) if begun.about.get("participant") is not None]


def row(store: sqlite3.Connection, begun: Begun) -> Row:
    """What came of one session. Nobody needs to think again: what the assistant did was recorded."""
    plan, events = Plan(**begun.about), recordings.events(store, begun.id)
    game = players(plan.game, plan.assistant).game
    seated = Players(game, none.make(game, Seated(game)))
    session = fold.resume(seated, goal(game, plan), jax.random.key(plan.seed), events)
    said = [load(event.body) for event in events if event.kind == "message"]
    scene, rating = session.scene, session.rating
    assert plan.participant is not None
    assert plan.goal is not None
    return Row(
        participant=plan.participant,
        place=plan.place,
        assistant=plan.assistant,
        game=plan.game,
        goal=plan.goal,
        blind=plan.blind,
        finished=session.done,
        seconds=round(events[-1].at - events[0].at, 3) if events else 0.0,
        turns=scene.turn,
        human_edits=scene.human_edits,
        assistant_right=scene.assistant_right,
        assistant_wrong=scene.assistant_wrong,
        completed=round(scene.completed, 4),
        saved=round(fold.saved(scene), 4),
        switched_off=sum(isinstance(message, Switch) and not message.on for message in said),
        judged=sum(isinstance(message, Judge) for message in said),
        easy=None if rating is None else rating.easy,
        helped=None if rating is None else rating.helped,
        again=None if rating is None else rating.again,
    )


def export(table: list[Row], path: Path) -> None:
    """Write the rows as FILE.csv or, with the extra `parquet`, as FILE.parquet."""
    if path.suffix.lower() == ".parquet":
        _parquet(table, path)
        return
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(table)
    write_atomically(path, out.getvalue().encode())


COLUMN_TYPES = {str: "VARCHAR", int: "INTEGER", float: "DOUBLE", bool: "BOOLEAN", int | None: "INTEGER"}


def _parquet(table: list[Row], path: Path) -> None:
    try:
        import duckdb  # noqa: PLC0415 - an extra, needed here alone
    except ImportError:
        raise ValueError("Parquet needs the extra `parquet` (pip install 'tacit[parquet]'); or give a .csv.") from None
    columns = ", ".join(f"{name} {COLUMN_TYPES[kind]}" for name, kind in Row.__annotations__.items())
    with duckdb.connect() as base:
        base.execute(f"CREATE TABLE people ({columns})")
        if table:
            base.executemany(f"INSERT INTO people VALUES ({', '.join('?' * len(Row._fields))})", table)
        base.table("people").write_parquet(str(path))

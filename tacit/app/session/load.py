"""How long does a click wait when many people play at once? Scripted people in one room, as fast as people click.

A click is echoed when its session is shown with it, which is after it is on disk.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from tacit.app.page import view
from tacit.app.session import fold, wishes
from tacit.app.session import store as recordings
from tacit.app.session.ledger import Ledger
from tacit.app.session.messages import Place, dump
from tacit.app.session.players import Players, sample_house
from tacit.app.session.room import Plan, Room, Seat, warm_up
from tacit.app.session.state import Session
from tacit.games.building.blocks import FIRST_PLACEABLE

PEOPLE, SECONDS, MOVES = 20, 30.0, 40
EVERY = 1.2
"""Seconds from one click to the next, on average."""


class Load(NamedTuple):
    """What was measured: seconds from each click to its echo, clicks lost, turns played, and how long it all took."""

    echoes: np.ndarray
    lost: int
    turns: int
    seconds: float


async def crowd(players: Players, num_people: int, seconds: float, folder: Path) -> Load:
    """Let people play for this long."""
    room = Room(Ledger(recordings.open_store(folder / "people.sqlite")), lambda game, assistant: players)
    seats = [await room.seat(await room.create(Plan("", "", number, number))) for number in range(num_people)]
    start = time.monotonic()
    echoes = await asyncio.gather(*(person(room, seat, seconds, number) for number, seat in enumerate(seats)))
    took = time.monotonic() - start
    kinds = [event.kind for seat in seats for event in recordings.events(room.ledger.store, seat.id)]
    room.close()
    clicks = np.concatenate(echoes)
    return Load(clicks, len(clicks) - kinds.count("message"), kinds.count("turn"), took)


async def person(room: Room, seat: Seat, seconds: float, seed: int) -> np.ndarray:
    """Click at random places at random times; returns how long after it was meant each click was shown."""
    rng = np.random.default_rng(seed)
    seen, echoes, due = asyncio.Event(), [], time.monotonic()
    room.watch(seat, watching(seat, seen))
    end = due + seconds
    while (due := due + rng.exponential(EVERY)) < end:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        x, _, z = (int(rng.integers(size)) for size in seat.players.game.shape)
        seen.clear()
        await room.post(seat, dump(Place((x, 2, z), FIRST_PLACEABLE)))
        await seen.wait()
        echoes.append(time.monotonic() - due)
    return np.array(echoes)


def watching(seat: Seat, seen: asyncio.Event) -> Callable[[Session], None]:
    """A browser that costs the server what a real one does: the text of what the page shows."""

    def watch(session: Session) -> None:
        json.dumps(view.world(seat.players, session))
        seen.set()

    return watch


def moves(players: Players, num_turns: int = MOVES) -> np.ndarray:
    """Seconds that each of the assistant's moves takes while one person plays, its belief for the page included."""
    rng = np.random.default_rng(0)
    session = fold.begin(players, sample_house(players.game, jax.random.key(0)), jax.random.key(0))
    took = []
    for _ in range(num_turns):
        begun = time.perf_counter()
        session = fold.thought(players, session)
        took.append(time.perf_counter() - begun)
        x, _, z = (int(rng.integers(size)) for size in players.game.shape)
        session = fold.accept(players, session, Place((x, 2, z), FIRST_PLACEABLE))
        choice = wishes.choose(players, session)
        session = fold.acted(players, session, choice, fold.assistant_action(session))
    return np.array(took)


def rows(players: Players, num_people: int = PEOPLE, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """The figures as `tacit bench` prints them."""
    warm_up(players)
    alone = moves(players)
    with tempfile.TemporaryDirectory() as folder:
        load = asyncio.run(crowd(players, num_people, seconds, Path(folder)))
    pace = load.turns / load.seconds / num_people
    figures = [
        ("click to echo, median", 1000 * float(np.median(load.echoes)), "ms"),
        ("click to echo, 95 %", 1000 * float(np.quantile(load.echoes, 0.95)), "ms"),
        ("clicks", len(load.echoes), ""),
        ("clicks lost", load.lost, ""),
        ("turns a second for each person", pace, "1/s"),
    ]
    named = [("1 person, an assistant's move, median", 1000 * float(np.median(alone)), "ms")]
    named += [(f"{num_people} people, {name}", value, unit) for name, value, unit in figures]
    return [
        {"name": name, "value": value, "unit": unit, "baseline": None, "ratio": None} for name, value, unit in named
    ]

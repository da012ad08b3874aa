"""What did people do at the page? A list, a table for statistics, and a replay of any session."""

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jax
import jax.numpy as jnp

from tacit.app.replay import rendered
from tacit.app.scenes import Scene
from tacit.app.session import fold
from tacit.app.session import store as recordings
from tacit.app.session.messages import load, said
from tacit.app.session.players import Players
from tacit.app.session.room import Plan, goal, players
from tacit.games.building.game import House

COLUMNS: tuple[str, ...] = (
    "session",
    "game",
    "assistant",
    "goal",
    "number",
    "at",
    "kind",
    "what",
    "human_action",
    "assistant_action",
)


def rows(store: sqlite3.Connection) -> list[dict[str, Any]]:
    """A row for each session: what it was about, when it began and how much happened."""
    listed = []
    for begun in recordings.all_begun(store):
        kinds = [event.kind for event in recordings.events(store, begun.id)]
        about = {name: begun.about[name] for name in ("game", "assistant", "goal")}
        counted = {"messages": kinds.count("message"), "turns": kinds.count("turn")}
        listed.append({"session": begun.id, "begun": _when(begun.at), **about, **counted})
    return listed


def table(store: sqlite3.Connection) -> str:
    """Every event of every session as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for begun in recordings.all_begun(store):
        about = {name: begun.about[name] for name in ("game", "assistant", "goal")}
        for event in recordings.events(store, begun.id):
            row = {"session": begun.id, **about, "number": event.number, "at": _when(event.at), "kind": event.kind}
            if event.kind == "turn":
                human, assistant = json.loads(event.body)["actions"]
                row |= {"human_action": human, "assistant_action": assistant}
            elif event.kind == "pair":
                row |= {"what": event.body}
            else:
                row |= {"what": said(load(event.body))}
            writer.writerow(row)
    return out.getvalue()


def replayed(store: sqlite3.Connection, name: str, kind: str, seated: Callable[[str, str], Players] = players) -> bytes:
    """A session as a file of this kind, ".html", ".gif" or ".png". Raises ValueError for a name that there is not."""
    begun = recordings.begun(store, name)
    if begun is None:
        raise ValueError(f"There is no session {name!r} in these recordings; see tacit recordings list.")
    plan = Plan(**begun.about)
    sitting, events = seated(plan.game, plan.assistant), recordings.events(store, name)
    told = story(sitting, goal(sitting.game, plan), plan, events)
    return rendered(told, f"{plan.game}: a person + {plan.assistant}", kind, None)


def story(seated: Players, house: House | None, plan: Plan, events: list[recordings.Event]) -> list[Scene]:
    """Every moment of a session. Someone who built freely wanted what stood at the end."""
    if house is None:
        house = jnp.asarray(fold.resume(seated, None, jax.random.key(plan.seed), events).scene.blocks)
    session = fold.thought(seated, fold.begin(seated, house, jax.random.key(plan.seed)))
    told = [session.scene]
    for event in events:
        session = fold.thought(seated, fold.happened(seated, session, event))
        if session.scene.turn > told[-1].turn:
            told.append(session.scene)
        told[-1] = session.scene
    return told


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")

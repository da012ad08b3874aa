"""What does a person do next, of what they clicked? The first that can be done; what is out of reach is walked to."""

from typing import NamedTuple

import jax
import numpy as np

from tacit.app.session import players as table
from tacit.app.session.messages import Break, Place, Step
from tacit.app.session.players import Players, encoded
from tacit.app.session.state import Edit, Session, Wish
from tacit.games.building.actions import BREAK, DIRECTIONS, MOVE, PASS, PLACE
from tacit.games.building.blocks import AIR, BEDROCK
from tacit.games.building.walking import UNREACHABLE

LONGEST_WALK = 60
"""Turns after which a click is given up."""
MOST_WISHES = 64
"""Clicks that may wait."""


class Choice(NamedTuple):
    """The person's next action, what is left to do with it under way, and why something was given up."""

    action: int
    wishes: tuple[Wish, ...]
    note: str


def choose(players: Players, session: Session) -> Choice:
    """The person's action in the coming turn: what was clicked if it can be done from here, else a step towards it."""
    wishes, note = session.wishes, ""
    if not wishes:
        return Choice(PASS, (), note)
    game, blocks = players.game, session.scene.blocks
    place, remove, way = jax.tree.map(np.asarray, table.ways(game, session.moment))
    while wishes:
        wish = wishes[0]
        match wish.message:
            case Step(direction):
                return Choice(encoded(game, MOVE, direction=direction), wishes, note)
            case Place(cell, kind):
                done, action = blocks[cell] != AIR, encoded(game, PLACE, cell, kind) if place[cell] else None
            case Break(cell):
                done, action = blocks[cell] in (AIR, BEDROCK), encoded(game, BREAK, cell) if remove[cell] else None
        if action is not None:
            return Choice(action, wishes, note)
        leads = way.distance[cell] < UNREACHABLE and way.move[cell] < len(DIRECTIONS)
        if not done and leads and wish.turns < LONGEST_WALK:
            return Choice(encoded(game, MOVE, direction=int(way.move[cell])), wishes, note)
        note = note if done else "There is no way to that place from here."
        wishes = wishes[1:]
    return Choice(PASS, (), note)


def add(session: Session, message: Place | Break | Step) -> Session:
    """The session after one more click."""
    if len(session.wishes) >= MOST_WISHES:
        return session._replace(note="Too much is waiting to be done.")
    return session._replace(wishes=(*session.wishes, Wish(message)))


def undo(session: Session) -> Session:
    """Drop the last click that waits; if none does, wish for the inverse of the last edit."""
    if session.wishes:
        return session._replace(wishes=session.wishes[:-1])
    if not session.undoable:
        return session._replace(note="There is nothing to undo.")
    last, undoable = session.undoable[-1], session.undoable[:-1]
    if session.scene.blocks[last.cell] != last.after:
        return session._replace(undoable=undoable, note="That cell has changed since.")
    message = Break(last.cell) if last.before == AIR else Place(last.cell, last.before)
    return session._replace(undoable=undoable, wishes=(Wish(message, undoing=True),))


def settle(choice: Choice, mine: tuple[Edit, ...]) -> tuple[tuple[Wish, ...], bool]:
    """What is left to wish after the turn, and whether it took an edit back."""
    if not choice.wishes:
        return (), False
    first, *rest = choice.wishes
    if isinstance(first.message, Step) or mine:
        return tuple(rest), first.undoing and bool(mine)
    return (first._replace(turns=first.turns + 1), *rest), False

"""What does somebody who builds remember: the world's hidden sides, their own habits, where they were heading?"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tacit.core import HUMAN
from tacit.games.building.actions import BREAK, DIRECTIONS, MOVE, PASS, PLACE, Action
from tacit.games.building.blocks import AIR
from tacit.games.building.game import House, Observation
from tacit.games.building.sight import look_up
from tacit.humans.builder import Notes

REST, FILL, LITTER, MEND, HARM, STEP = range(6)
"""The sorts of action: to pass; to place a block where one is wanted, or where none is; to break a block that does not
belong, or one that does; to move."""
SORTS = 6
KEPT = 0.8
"""How much of the trace of a move is left a turn later."""
TASTE_KEPT = 0.9
"""How much of the trace of an edit is left an edit later."""
FAR = 8.0
"""Cells beyond which all is far."""


class Past(NamedTuple):
    """What a person remembers."""

    notes: Notes
    last: Int[Array, ""]
    """The sort of the last action, and of the one before."""
    before: Int[Array, ""]
    follows: Float[Array, "6 6"]
    """How often each sort (columns) followed each (rows)."""
    heading: Float[Array, "6"]
    """Traces of the moves."""
    line: Int[Array, "3"]
    """From the edit before the last to the last."""
    taste: Float[Array, "3"]
    """Traces of the edits: layers above the lowest unfinished one, cells from the edit before, of the same kind."""
    lowest: Int[Array, ""]
    """The lowest unfinished layer a turn ago."""


def nothing_yet(shape: tuple[int, int, int]) -> Past:
    """The past of somebody of whom nothing has been seen, in a world of this shape."""
    none = jnp.zeros((), jnp.int32)
    notes = Notes(
        jnp.zeros(shape, bool),
        jnp.zeros(shape, jnp.int8),
        jnp.zeros(shape, jnp.int32),
        jnp.zeros((3,), jnp.int32),
        jnp.zeros((), jnp.int8),
    )
    counts, traces = jnp.zeros((SORTS, SORTS)), jnp.zeros((len(DIRECTIONS),))
    return Past(notes, none, none, counts, traces, jnp.zeros((3,), jnp.int32), jnp.zeros((3,)), none)


def sort_of(done: Action, goal: House, found: Int[Array, ""]) -> Int[Array, ""]:
    """The sort of an action whose cell held `found`."""
    wanted = goal.reshape(-1)[done.cell]
    fill = jnp.where(wanted != AIR, FILL, LITTER)
    empty = jnp.where(found != wanted, MEND, HARM)
    choices = {PASS: REST, PLACE: fill, BREAK: empty, MOVE: STEP}
    return jnp.stack([jnp.asarray(choices[what], jnp.int32) for what in sorted(choices)])[done.what]


def remember(past: Past, observation: Observation, notes: Notes, goal: House, done: Action) -> Past:
    """The past with the last turn in it, if there was one; `done` is what the person did then."""
    edited, had_edit = observation.edits.cell[HUMAN] >= 0, past.notes.last_kind != AIR
    cell = jnp.stack(jnp.unravel_index(done.cell, goal.shape)).astype(jnp.int32)
    found = jnp.where(edited, observation.edits.before[HUMAN], look_up(observation.blocks, cell))
    sort = sort_of(done, goal, found)
    moved = jnp.where(done.what == MOVE, jax.nn.one_hot(done.direction, len(DIRECTIONS)), 0.0)
    gap = notes.last_cell - past.notes.last_cell
    distance = jnp.sqrt(jnp.square(gap).sum().astype(jnp.float32))
    same = observation.edits.after[HUMAN] == past.notes.last_kind
    height = notes.last_cell[1] - past.lowest
    trace = jnp.stack([height.astype(jnp.float32), jnp.minimum(distance, FAR), same.astype(jnp.float32)])
    taste = TASTE_KEPT * past.taste + (1.0 - TASTE_KEPT) * trace
    now = Past(
        notes,
        sort,
        past.last,
        past.follows.at[past.last, sort].add(1.0),
        KEPT * past.heading + (1.0 - KEPT) * moved,
        jnp.where(edited, jnp.where(had_edit, gap, 0), past.line),
        jnp.where(edited & had_edit, taste, past.taste),
        lowest_unfinished(observation, goal),
    )
    first = past._replace(notes=notes, lowest=now.lowest)
    return jax.tree.map(lambda after, before: jnp.where(observation.time > 0, after, before), now, first)


def lowest_unfinished(observation: Observation, goal: House) -> Int[Array, ""]:
    """The lowest layer in which something is to be done; 0 where nothing is."""
    return jnp.argmax((observation.blocks != goal).any((0, 2))).astype(jnp.int32)

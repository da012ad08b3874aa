"""What of the past should a learner see? A compact summary of the history, kept turn by turn, one plane a fact.

The world says what stands and who touched it last. What it forgets, and what tells most about the house that a person
has in mind, is kept here: what they took away, how long ago each cell was edited, which cells they passed over while
they built elsewhere, which kinds they reached for lately, and where they are heading. A feed-forward network on these
planes sees what a recurrent one would have to learn to remember, and can be trained on single moments.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int8

from tacit.core import ASSISTANT, HUMAN
from tacit.games.building.actions import DIRECTIONS, MOVE, decode
from tacit.games.building.blocks import AIR
from tacit.games.building.game import Observation
from tacit.games.building.walking import body_cells

LONG, SHORT = 40.0, 6.0
"""Turns over which a trace fades to 1/e: of edits and kinds, and of movement."""


class History(NamedTuple):
    """What is remembered. Traces are 1 when something happens and fade."""

    removed: Int8[Array, "2 X Y Z"]
    """By player, the kind that they took out of each cell last; air if none, or if the cell was filled since."""
    edited: Float[Array, "2 X Y Z"]
    """By player, a trace of their edits."""
    passed: Float[Array, "X Y Z"]
    """How many edits the human made elsewhere while this cell was offered to them."""
    tolerated: Float[Array, "X Y Z"]
    """How many edits the human made elsewhere while they could have broken the block here."""
    visited: Float[Array, "X Y Z"]
    """A trace of the human's body."""
    kinds: Float[Array, " M"]
    """A trace of the kinds that the human placed."""
    last_kind: Float[Array, " M"]
    """The kind of the human's last edit, one-hot; zero before the first."""
    heading: Float[Array, "6"]
    """A trace of the human's moves."""
    edits: Float[Array, "2"]
    """How many edits each player has made."""
    idle: Float[Array, ""]
    """Turns since the human's last edit."""


class View(NamedTuple):
    """What a network sees, sorted by what the world's symmetries and a renaming of kinds do to it."""

    cells: Float[Array, "P X Y Z"]
    kinds: Int8[Array, "Q X Y Z"]
    """The kind that stands in each cell, and the ones that each player took out of it last (air if none)."""
    traces: Float[Array, "M R"]
    heading: Float[Array, "6 D"]
    scalars: Float[Array, " S"]


def begin(shape: tuple[int, int, int], num_kinds: int) -> History:
    """Before the first turn."""
    return History(
        removed=jnp.zeros((2, *shape), jnp.int8),
        edited=jnp.zeros((2, *shape)),
        passed=jnp.zeros(shape),
        tolerated=jnp.zeros(shape),
        visited=jnp.zeros(shape),
        kinds=jnp.zeros((num_kinds,)),
        last_kind=jnp.zeros((num_kinds,)),
        heading=jnp.zeros((6,)),
        edits=jnp.zeros((2,)),
        idle=jnp.zeros(()),
    )


def watch(history: History, before: Observation, after: Observation) -> History:
    """Take in one turn: `before` is what the players chose on, `after` what came of it."""
    shape, num_kinds = after.blocks.shape, history.kinds.shape[0]
    edits = after.edits
    number = jnp.arange(after.blocks.size, dtype=edits.cell.dtype).reshape(shape)
    here = edits.cell[:, None, None, None] == number[None]
    taken = here & (edits.after == AIR)[:, None, None, None]
    removed = jnp.where(taken, edits.before[:, None, None, None], history.removed)
    acted = edits.cell >= 0
    counted = once(acted)
    elsewhere = acted[HUMAN] & ~here[HUMAN]
    offered = before.legal[HUMAN]
    last = decode(after.last_actions[HUMAN], num_kinds, after.blocks.size)
    moved = (last.what == MOVE) & after.effective[HUMAN]
    kind = jnp.where(edits.after[HUMAN] == AIR, edits.before[HUMAN], edits.after[HUMAN])
    reached_for = jax.nn.one_hot(kind, num_kinds) * counted[HUMAN]
    placed = acted[HUMAN] & (edits.after[HUMAN] != AIR)
    changed = here.any(0)
    slow, fast = jnp.exp(-1.0 / LONG), jnp.exp(-1.0 / SHORT)
    return History(
        removed=jnp.where((after.blocks != AIR)[None], jnp.int8(AIR), removed),
        edited=jnp.where(here, 1.0, history.edited * slow),
        passed=jnp.where(changed, 0.0, history.passed + once(elsewhere & offered.place.reshape(shape))),
        tolerated=jnp.where(changed, 0.0, history.tolerated + once(elsewhere & offered.remove.reshape(shape))),
        visited=jnp.where(body_cells(after.feet[HUMAN], shape), 1.0, history.visited * fast),
        kinds=jnp.maximum(history.kinds * jnp.where(acted[HUMAN], slow, 1.0), reached_for * once(placed)),
        last_kind=jnp.where(acted[HUMAN], reached_for, history.last_kind),
        heading=jnp.maximum(history.heading * fast, jax.nn.one_hot(last.direction, len(DIRECTIONS)) * once(moved)),
        edits=history.edits + counted,
        idle=jnp.where(acted[HUMAN], 0.0, history.idle + 1.0),
    )


def once(happened: Bool[Array, "*S"]) -> Float[Array, "*S"]:
    """1 where something happened."""
    return happened.astype(jnp.float32)


def view(history: History, now: Observation) -> View:
    """The planes for a network, all of the order of 1."""
    shape = now.blocks.shape
    offered = now.legal[HUMAN]
    body = body_cells(now.feet[HUMAN], shape)
    cells = [
        now.touched == HUMAN + 1,
        now.touched == ASSISTANT + 1,
        history.removed[HUMAN] != AIR,
        history.removed[ASSISTANT] != AIR,
        history.edited[HUMAN],
        history.edited[ASSISTANT],
        jnp.log1p(history.passed) / 3.0,
        jnp.log1p(history.tolerated) / 3.0,
        history.visited,
        body,
        body_cells(now.feet[ASSISTANT], shape),
        offered.place.reshape(shape),
        offered.remove.reshape(shape),
    ]
    scalars = [jnp.log1p(history.edits[HUMAN]), jnp.log1p(history.edits[ASSISTANT]), jnp.log1p(history.idle)]
    scalars.append(jnp.log1p(now.time.astype(jnp.float32)))
    return View(
        cells=jnp.stack([plane.astype(jnp.float32) for plane in cells]),
        kinds=jnp.concatenate([now.blocks[None], history.removed]),
        traces=jnp.stack([history.kinds, history.last_kind], -1),
        heading=jnp.stack([history.heading, offered.move.astype(jnp.float32)], -1),
        scalars=jnp.stack(scalars) / 4.0,
    )

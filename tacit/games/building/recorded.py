"""What is a recording of a person in terms of our game? Its states, one a row, as if the game had been in them."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int8

from tacit.core import ASSISTANT
from tacit.games.building.actions import BREAK, DIRECTIONS, MOVE, PASS, PLACE, Action, decode, encode
from tacit.games.building.blocks import AIR
from tacit.games.building.game import ABSENT, Edits, State
from tacit.games.building.recordings import CELLS, NUM_KINDS, OTHER, Recording

BUILDS_WITH_PARTNER = 1
"""The `agent_index` of a person who knows the house, where somebody assists."""


def knows_house(recording: Recording) -> bool:
    """Whether this is the side of a person who was shown the house; an assistant was not."""
    return not recording.with_partner or recording.agent_index == BUILDS_WITH_PARTNER


def states(recording: Recording) -> State:
    """The recording as states of our game, with a leading axis of rows.

    A row may hold several deeds of the partner: one edit is kept, or else a single move.
    """
    actions = recording.actions.astype(np.int32)
    previous = np.concatenate([[PASS], actions[:-1]]).astype(np.int32)
    done = decode(jnp.asarray(previous), NUM_KINDS, CELLS)
    what, cell = np.asarray(done.what), np.asarray(done.cell)
    flat = recording.blocks.reshape(len(actions), -1)
    old, rows = flat[np.maximum(np.arange(len(actions)) - 1, 0)], np.arange(len(actions))
    edited = ((what == PLACE) | (what == BREAK)) & (old[rows, cell] != flat[rows, cell])
    cells = np.stack([np.where(edited, cell, -1), _partner_edits(recording, old, flat)], -1).astype(np.int32)
    at, kept = np.maximum(cells, 0), cells >= 0
    before = np.where(kept, np.take_along_axis(old, at, 1), AIR).astype(np.int8)
    after = np.where(kept, np.take_along_axis(flat, at, 1), AIR).astype(np.int8)
    last = np.stack([previous, _partner_actions(recording, cells[:, ASSISTANT], after[:, ASSISTANT])], -1)
    return State(
        jnp.asarray(recording.blocks),
        jnp.asarray(recording.touched),
        jnp.asarray(recording.feet, jnp.int32),
        Edits(jnp.asarray(cells), jnp.asarray(before), jnp.asarray(after)),
        jnp.asarray(last, jnp.int32),
        jnp.asarray(last > 0),
        jnp.arange(len(actions), dtype=jnp.int32),
    )


def _partner_edits(
    recording: Recording, old: Int8[np.ndarray, "T N"], new: Int8[np.ndarray, "T N"]
) -> Int[np.ndarray, " T"]:
    """A cell that changed and that the partner touched last, or -1; the one with the highest number of several."""
    theirs = (old != new) & (recording.touched.reshape(len(new), -1) == OTHER + 1)
    found = new.shape[1] - 1 - theirs[:, ::-1].argmax(1)
    return np.where(theirs.any(1), found, -1)


def _partner_actions(
    recording: Recording, cells: Int[np.ndarray, " T"], after: Int8[np.ndarray, " T"]
) -> Int[Array, " T"]:
    """The action that explains what the partner did since the row before; a pass where no single one does."""
    feet = recording.feet[:, OTHER]
    step = np.diff(feet, axis=0, prepend=feet[:1])
    matches = (step[:, None] == np.array(DIRECTIONS)).all(-1) & (feet != ABSENT).any(-1)[:, None]
    edit = np.where(after == AIR, BREAK, PLACE)
    what = np.where(cells >= 0, edit, np.where(matches.any(1), MOVE, PASS))
    parts = (what, np.maximum(cells, 0), after.astype(np.int32), matches.argmax(1))
    return encode(Action(*(jnp.asarray(part, jnp.int32) for part in parts)), NUM_KINDS, CELLS)

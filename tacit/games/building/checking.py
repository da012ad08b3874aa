"""Do the rules of the building game explain what people's recordings show?

Every row is a test of its own: its recorded world and bodies, its action, our rules; then the next row's world.
"""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int8, Key

from tacit.games.building.actions import DIRECTIONS, MOVE, PASS, PLACE, Action, decode
from tacit.games.building.blocks import AIR, BEDROCK, FIRST_PLACEABLE
from tacit.games.building.game import ABSENT, BuildingGame, Edits, House, State
from tacit.games.building.recordings import (
    CELLS,
    NUM_KINDS,
    OTHER,
    SELF,
    WORLD,
    Recording,
    Refused,
    load_recordings,
)
from tacit.games.building.sight import EYE, UNIT, clicks

REACH = 4.5
"""How far the recorded players could click."""
CHUNK = 512
"""Rows that are replayed at once, so that episodes of all lengths are compiled once."""


class Report(NamedTuple):
    """What `check_recordings` found: a row an episode, what could not be read, and remarks on what differs."""

    rows: list[dict[str, Any]]
    problems: list[str]
    notes: list[str]


class RecordedHouses(eqx.Module):
    """Houses that people were asked to build, all equally likely."""

    houses: Int8[Array, "N X Y Z"]

    def sample(self, key: Key[Array, ""]) -> House:
        """Draw one."""
        return self.houses[jax.random.randint(key, (), 0, len(self.houses))]


def recorded_game(houses: Int8[np.ndarray, "N X Y Z"], solo: bool = True) -> BuildingGame:
    """The game that the recorded people played, about these houses."""
    return BuildingGame(RecordedHouses(jnp.asarray(houses)), WORLD, NUM_KINDS, REACH, horizon=1500, solo=solo)


class Replay(NamedTuple):
    """What our rules make of each row: the world and the feet after it, what it earned, whether it did anything."""

    blocks: Int8[np.ndarray, "T X Y Z"]
    feet: Int[np.ndarray, "T 3"]
    rewards: Float[np.ndarray, " T"]
    effective: Bool[np.ndarray, " T"]


@eqx.filter_jit
def _replay_chunk(
    game: BuildingGame,
    goal: House,
    blocks: Int8[Array, "T X Y Z"],
    feet: Int[Array, "T 2 3"],
    actions: Int[Array, " T"],
) -> tuple[Int8[Array, "T X Y Z"], Int[Array, "T 3"], Float[Array, " T"], Bool[Array, " T"]]:
    """One turn from each row, in which the other player passes."""

    def turn(
        blocks: Int8[Array, "X Y Z"], feet: Int[Array, "2 3"], action: Int[Array, ""]
    ) -> tuple[Int8[Array, "X Y Z"], Int[Array, "3"], Float[Array, ""], Bool[Array, ""]]:
        nothing = Edits(jnp.full((2,), -1, jnp.int32), jnp.zeros((2,), jnp.int8), jnp.zeros((2,), jnp.int8))
        passes = jnp.zeros((2,), jnp.int32)
        state = State(blocks, jnp.zeros_like(blocks), feet, nothing, passes, passes != 0, jnp.int32(0))
        both = jnp.stack([action, jnp.int32(PASS)])
        following = game.step(state, both, jax.random.key(0))
        reward = game.reward(goal, state, both, following)[SELF]
        return following.blocks, following.feet[SELF], reward, following.effective[SELF]

    return jax.vmap(turn)(blocks, feet, actions)


def replay(recording: Recording, game: BuildingGame) -> Replay:
    """Each row's action by our rules, from the row's own world and bodies."""
    num_rows = len(recording.actions)
    goal = jnp.asarray(recording.goal)
    chunks = []
    for start in range(0, num_rows, CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), num_rows - 1)
        feet, actions = recording.feet[rows].astype(np.int32), recording.actions[rows].astype(np.int32)
        found = _replay_chunk(game, goal, jnp.asarray(recording.blocks[rows]), jnp.asarray(feet), jnp.asarray(actions))
        chunks.append([np.asarray(part)[: num_rows - start] for part in found])
    return Replay(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


def take_apart(action: int) -> tuple[int, tuple[int, int, int], int, int]:
    """What a recorded action does, in which cell, with which kind, in which direction."""
    parts: Action = decode(jnp.int32(action), NUM_KINDS, CELLS)
    what, index, kind, direction = (int(part) for part in parts)
    x, y, z = np.unravel_index(index, WORLD)
    return what, (int(x), int(y), int(z)), kind, direction


def _in_world(cell: tuple[int, ...]) -> bool:
    """Whether the cell is in the world."""
    return all(0 <= at < size for at, size in zip(cell, WORLD, strict=True))


def _body(feet: Int[np.ndarray, "3"]) -> set[tuple[int, int, int]]:
    """The two cells of a body."""
    x, y, z = feet.tolist()
    return {(x, y, z), (x, y + 1, z)}


def _within_reach(
    blocks: Int8[np.ndarray, "X Y Z"], feet: Int[np.ndarray, "3"], cell: tuple[int, int, int], placing: bool
) -> list[bool]:
    """For each side of `cell` that can be clicked at all, whether one of its nine clicks is near enough."""
    near = []
    head = feet + np.array((0, 1, 0))
    for side, step in enumerate(DIRECTIONS):
        beside = (cell[0] + step[0], cell[1] + step[1], cell[2] + step[2])
        if not _in_world(beside) or (placing and blocks[beside] == AIR):
            continue
        x, y, z = (np.array(cell if placing else beside) - head).tolist()
        points = np.array(clicks((x, y, z), side if placing else side ^ 1)) - np.array(EYE)
        near.append(bool(((points**2).sum(-1) <= (REACH * UNIT) ** 2).any()))
    return near


def refusing_rule(blocks: Int8[np.ndarray, "X Y Z"], feet: Int[np.ndarray, "2 3"], action: int) -> str:
    """Which rule it is that an action, known to be refused, breaks first."""
    what, cell, kind, direction = take_apart(action)
    own, other = feet
    if own.tolist() == list(ABSENT):
        return "the player is not seen"
    if what == MOVE:
        x, y, z = (own + np.array(DIRECTIONS[direction])).tolist()
        if not _in_world((x, y, z)):
            return "cell out of bounds"
        if any(blocks[part] != AIR for part in _body(np.array((x, y, z))) if _in_world(part)):
            return "a block is in the way"
        return "a body is in the way"
    if what == PLACE:
        if blocks[cell] != AIR:
            return "cell not air"
        if kind < FIRST_PLACEABLE:
            return "kind cannot be placed"
        if cell in _body(other):
            return "a body is in the cell"
    elif blocks[cell] == AIR:
        return "nothing to break"
    elif blocks[cell] == BEDROCK:
        return "bedrock cannot be broken"
    near = _within_reach(blocks, own, cell, what == PLACE)
    if not near:
        return "nothing solid beside it"
    return "no line of sight" if any(near) else "out of reach"


def _fraction(hits: Bool[np.ndarray, " _"]) -> float:
    """The share of hits; 1 where there was nothing to miss."""
    return float(hits.mean()) if len(hits) else 1.0


def check(recording: Recording, game: BuildingGame) -> dict[str, Any]:
    """How our rules agree with one recording, in the keys of `tacit data check-recordings`.

    `grid_agreement` is over the transitions, `move_agreement` over the moves whose ends are both recorded. The recorded
    reward comes up to some rows early or late, so only the totals over all rows compare; the last row, after which
    nothing was recorded, counts in these.
    """
    return _row(recording, replay(recording, game))


def _row(recording: Recording, ours: Replay) -> dict[str, Any]:
    """What `check` gives."""
    num_transitions = len(recording.actions) - 1
    same = (ours.blocks[:-1] == recording.blocks[1:]).all((1, 2, 3))
    what = np.asarray(decode(jnp.asarray(recording.actions.astype(np.int32)), NUM_KINDS, CELLS).what)
    start, landed = recording.feet[:-1, SELF], recording.feet[1:, SELF]
    known = (start != ABSENT).any(-1) & (landed != ABSENT).any(-1) & (what[:-1] == MOVE)
    lands = (ours.feet[:-1] == landed).all(-1)[known]
    refused = [
        {
            "step": int(step),
            "rule": refusing_rule(recording.blocks[step], recording.feet[step], int(recording.actions[step])),
        }
        for step in np.flatnonzero((what != PASS) & ~ours.effective)
    ]
    return {
        "episode": recording.episode,
        "participant": recording.participant,
        "transitions": num_transitions,
        "grid_agreement": _fraction(same),
        "move_agreement": _fraction(lands),
        "reward_ours": float(ours.rewards.sum()),
        "reward_recorded": float(recording.rewards.sum()),
        "refused": refused,
    }


def _note(recording: Recording, ours: Replay, row: dict[str, Any]) -> str | None:
    """Why the recording differs from our rules, in one sentence, or None where it does not."""
    wrong = ours.blocks[:-1] != recording.blocks[1:]
    num_steps = int(wrong.any((1, 2, 3)).sum())
    by = Counter(recording.touched[1:][wrong].tolist())
    rules = Counter(refusal["rule"] for refusal in row["refused"])
    parts = []
    if num_steps:
        parts.append(
            f"in {num_steps} of {row['transitions']} transitions {int(wrong.sum())} cells change otherwise than by the "
            f"row's own action (last touched by the partner {by[OTHER + 1]}, by the player {by[SELF + 1]}, by nobody "
            f"{by[0]})"
        )
    if rules:
        parts.append("our rules refuse " + ", ".join(f"{count} ({rule})" for rule, count in rules.most_common()))
    if not parts:
        return None
    if recording.with_partner:
        parts.append("the partner's edits since the row before are merged into a row, so grids and rewards must differ")
    return f"{recording.file}, episode {recording.episode}: {'; '.join(parts)}."


def check_recordings(path: Path) -> Report:
    """Check every recording in a zip, a .json or .jsonl file, or a folder of these. Never raises for what it reads."""
    problems: list[Refused] = []
    rows, notes = [], []
    for recording in load_recordings(path, problems.append):
        ours = replay(recording, recorded_game(recording.goal[None]))
        row = _row(recording, ours)
        rows.append(row)
        note = _note(recording, ours, row)
        notes += [] if note is None else [note]
    return Report(rows, [str(problem) for problem in problems], notes)

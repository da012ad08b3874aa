"""Do the rules of the building game explain what people's recordings show?

Every row is a test of its own: its recorded world and bodies, its action, our rules; then the next row's world.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int8, Key

from tacit.games.building.actions import BREAK, DIRECTIONS, MOVE, PASS, PLACE, Action, decode
from tacit.games.building.blocks import AIR, BEDROCK, FIRST_PLACEABLE
from tacit.games.building.game import ABSENT, BuildingGame, Edits, House, State, similarity
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
    """What our rules make of each row: the world and the feet after it, what it earned, whether it did anything.

    `what` and `cell` are those of `actions.Action`.
    """

    blocks: Int8[np.ndarray, "T X Y Z"]
    feet: Int[np.ndarray, "T 3"]
    rewards: Float[np.ndarray, " T"]
    effective: Bool[np.ndarray, " T"]
    what: Int[np.ndarray, " T"]
    cell: Int[np.ndarray, " T"]


@eqx.filter_jit
def _replay_chunk(
    game: BuildingGame,
    goal: House,
    blocks: Int8[Array, "T X Y Z"],
    feet: Int[Array, "T 2 3"],
    actions: Int[Array, " T"],
) -> tuple[Array, ...]:
    """The fields of a `Replay`: one turn from each row, in which the other player passes."""

    def turn(blocks: Int8[Array, "X Y Z"], feet: Int[Array, "2 3"], action: Int[Array, ""]) -> tuple[Array, ...]:
        nothing = Edits(jnp.full((2,), -1, jnp.int32), jnp.zeros((2,), jnp.int8), jnp.zeros((2,), jnp.int8))
        passes = jnp.zeros((2,), jnp.int32)
        state = State(blocks, jnp.zeros_like(blocks), feet, nothing, passes, passes != 0, jnp.int32(0))
        both = jnp.stack([action, jnp.int32(PASS)])
        following = game.resolve(state, both)
        reward = game.reward(goal, state, both, following)[SELF]
        what, cell, _, _ = decode(action, game.num_kinds, game.num_cells)
        return following.blocks, following.feet[SELF], reward, following.effective[SELF], what, cell

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


def _body(feet: Sequence[int]) -> set[tuple[int, int, int]]:
    """The two cells of a body."""
    x, y, z = feet
    return {(x, y, z), (x, y + 1, z)}


def _within_reach(
    blocks: Int8[np.ndarray, "X Y Z"], head: tuple[int, int, int], cell: tuple[int, int, int], placing: bool
) -> list[bool]:
    """For each side of `cell` that can be clicked at all, whether one of its nine clicks is near enough."""
    near = []
    for side, step in enumerate(DIRECTIONS):
        beside = (cell[0] + step[0], cell[1] + step[1], cell[2] + step[2])
        if not _in_world(beside) or (placing and blocks[beside] == AIR):
            continue
        x, y, z = (np.array(cell if placing else beside) - head).tolist()
        rays = np.array(clicks((x, y, z), side if placing else side ^ 1)) - EYE
        near.append(bool(((rays**2).sum(-1) <= (REACH * UNIT) ** 2).any()))
    return near


def _rule_of_move(blocks: Int8[np.ndarray, "X Y Z"], target: tuple[int, int, int]) -> str:
    """Which rule a refused move to `target` breaks."""
    if not _in_world(target):
        return "cell out of bounds"
    filled = any(blocks[part] != AIR for part in _body(target) if _in_world(part))
    return "a block is in the way" if filled else "a body is in the way"


def refusing_rule(blocks: Int8[np.ndarray, "X Y Z"], feet: Int[np.ndarray, "2 3"], action: int) -> str:
    """Which rule it is that an action, known to be refused, breaks first."""
    what, cell, kind, direction = take_apart(action)
    (x, y, z), other = feet[SELF].tolist(), feet[OTHER].tolist()
    if (x, y, z) == ABSENT:
        return "the player is not seen"
    if what == MOVE:
        dx, dy, dz = DIRECTIONS[direction]
        return _rule_of_move(blocks, (x + dx, y + dy, z + dz))
    placing, found = what == PLACE, blocks[cell]
    near = _within_reach(blocks, (x, y + 1, z), cell, placing)
    rules = (
        (placing and found != AIR, "cell not air"),
        (placing and kind < FIRST_PLACEABLE, "kind cannot be placed"),
        (placing and cell in _body(other), "a body is in the cell"),
        (not placing and found == AIR, "nothing to break"),
        (not placing and found == BEDROCK, "bedrock cannot be broken"),
        (not near, "nothing solid beside it"),
        (not any(near), "out of reach"),
        (True, "no line of sight"),
    )
    return next(rule for broken, rule in rules if broken)


def _fraction(hits: Bool[np.ndarray, " _"]) -> float:
    """The share of hits; 1 where there was nothing to miss."""
    return float(hits.mean()) if len(hits) else 1.0


def check(recording: Recording, game: BuildingGame) -> dict[str, Any]:
    """How our rules agree with one recording, in the keys of `tacit data check-recordings`.

    `grid_agreement` is over the transitions, `move_agreement` over the moves whose ends are both recorded. The recorded
    reward comes up to some rows early or late, so only the totals over all rows compare; the last row, after which
    nothing was recorded, counts in these.
    """
    return compare(recording, replay(recording, game))


def compare(recording: Recording, ours: Replay) -> dict[str, Any]:
    """What `check` gives, for a recording that has been replayed."""
    start, landed = recording.feet[:-1, SELF], recording.feet[1:, SELF]
    known = (start != ABSENT).any(-1) & (landed != ABSENT).any(-1) & (ours.what[:-1] == MOVE)
    refused = [
        {
            "step": int(step),
            "rule": refusing_rule(recording.blocks[step], recording.feet[step], int(recording.actions[step])),
        }
        for step in np.flatnonzero((ours.what != PASS) & ~ours.effective)
    ]
    return {
        "episode": recording.episode,
        "participant": recording.participant,
        "transitions": len(recording.actions) - 1,
        "grid_agreement": _fraction(_differing(recording, ours).sum(-1) == 0),
        "move_agreement": _fraction((ours.feet[:-1] == landed).all(-1)[known]),
        "reward_ours": float(ours.rewards.sum()),
        "reward_recorded": float(recording.rewards.sum()),
        "refused": refused,
    }


def _differing(recording: Recording, ours: Replay) -> Bool[np.ndarray, "T N"]:
    """Which cells of the next row's world are not what our rules make of this one's."""
    return (ours.blocks[:-1] != recording.blocks[1:]).reshape(-1, CELLS)


class Differences(NamedTuple):
    """Why recorded worlds are not what our rules make of them, cell by cell."""

    steps: int
    """Transitions in which some cell differs."""
    refused: int
    """Cells that the row's action names, which our rules refuse."""
    refused_worth: float
    """What the recorded changes in those are worth."""
    partner: int
    """Other cells that the partner touched last."""
    unasked: int
    """The rest: a change whose own row is late or was never written."""


def differences(recording: Recording, ours: Replay) -> Differences:
    """Sort the cells in which worlds differ."""
    wrong = _differing(recording, ours)
    steps, cells = np.nonzero(wrong)
    edit = (ours.what == PLACE) | (ours.what == BREAK)
    refused = (edit & ~ours.effective)[steps] & (ours.cell[steps] == cells)
    partner = ~refused & (recording.touched.reshape(-1, CELLS)[steps + 1, cells] == OTHER + 1)
    worth, goal = 0.0, jnp.asarray(recording.goal)
    for step, cell in zip(steps[refused], cells[refused], strict=True):
        before, after = (similarity(jnp.asarray(recording.blocks[at]), goal) for at in (step, step + 1))
        worth += float((after - before).reshape(-1)[cell])
    return Differences(
        steps=len(np.unique(steps)),
        refused=int(refused.sum()),
        refused_worth=worth,
        partner=int(partner.sum()),
        unasked=int((~refused & ~partner).sum()),
    )


def explain(recording: Recording, ours: Replay, row: dict[str, Any]) -> str | None:
    """Why the recording differs from our rules, in a few sentences, or None where it does not."""
    found = differences(recording, ours)
    said = []
    if found.steps:
        cells = {
            f"by edits that our rules refuse (worth {found.refused_worth:+g})": found.refused,
            "by the partner": found.partner,
            "that no action of the row asks for": found.unasked,
        }
        counted = ", ".join(f"{count} {why}" for why, count in cells.items() if count)
        said.append(f"{found.steps} of {row['transitions']} transitions are not what our rules make; cells: {counted}")
    for rule in dict.fromkeys(refusal["rule"] for refusal in row["refused"]):
        steps = [str(refusal["step"]) for refusal in row["refused"] if refusal["rule"] == rule]
        said.append(f"Refused, {rule}: step {', '.join(steps)}")
    if said and recording.with_partner:
        said.append("A row also holds what the partner did since the row before, and the reward is the team's")
    return f"{recording.file}, episode {recording.episode}: {'. '.join(said)}." if said else None


def check_recordings(path: Path) -> Report:
    """Check every recording in a zip, a .json or .jsonl file, or a folder of these. Never raises for what it reads."""
    problems: list[Refused] = []
    rows, notes = [], []
    for recording in load_recordings(path, problems.append):
        ours = replay(recording, recorded_game(recording.goal[None]))
        row = compare(recording, ours)
        rows.append(row)
        note = explain(recording, ours, row)
        notes += [] if note is None else [note]
    return Report(rows, [str(problem) for problem in problems], notes)

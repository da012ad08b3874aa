"""What did people do when they built houses? The public recordings of MBAG, read with care.

A file holds one RLlib SampleBatch a line, as JSON, and each line is one episode of one player (Laidlaw et al. 2025,
arXiv 2504.07091): T rows of what the player saw, the flat action taken next, and the team's reward since the
row before. Rows are the player's own actions, and a pass for every 0.8 s without one, so the rows of two players of one
episode do not line up.
"""

import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int8, Int64

from tacit.games.building import blocks as kinds
from tacit.games.building.actions import num_actions
from tacit.games.building.game import ABSENT
from tacit.games.building.packed import unpack

WORLD = (11, 10, 10)
"""Cells of the recorded worlds along x, y (up) and z."""
CELLS = math.prod(WORLD)
NUM_KINDS = len(kinds.NAMES)
NUM_ACTIONS = num_actions(NUM_KINDS, CELLS)
SELF, OTHER = 0, 1
"""Whose feet: the recorded player's, or the partner's."""

MAX_LINE = 1 << 27
"""Longest line that is read, in bytes; those of the public files have three million."""
SUFFIXES = (".json", ".jsonl")
_BLOCKS, _GOAL, _PLAYERS, _TOUCHED, _PLANES = 0, 2, 4, 5, 6


class Recording(NamedTuple):
    """One player's side of one episode; row t is what was seen and then done (`actions.decode` takes it apart)."""

    episode: int
    participant: int
    file: str
    agent_index: int
    """0 where the player builds alone or assists, 1 where they know the house and somebody assists."""
    with_partner: bool
    blocks: Int8[np.ndarray, "T X Y Z"]
    goal: Int8[np.ndarray, "X Y Z"]
    feet: Int[np.ndarray, "T 2 3"]
    """Lower cell of the player's body and of the partner's, or ABSENT."""
    touched: Int8[np.ndarray, "T X Y Z"]
    """Who changed each cell last: 0 nobody, 1 the player, 2 the partner."""
    actions: Int[np.ndarray, " T"]
    rewards: Float[np.ndarray, " T"]
    timesteps: Int[np.ndarray, " T"]


class Refused(NamedTuple):
    """Something that could not be read, and why; `line` counts from 1, `step` from 0, None where there is none."""

    file: str
    reason: str
    line: int | None = None
    episode: int | None = None
    step: int | None = None

    def __str__(self) -> str:
        """One sentence."""
        where = [self.file]
        where += [] if self.line is None else [f"line {self.line}"]
        where += [] if self.episode is None else [f"episode {self.episode}"]
        where += [] if self.step is None else [f"step {self.step}"]
        return f"{', '.join(where)}: {self.reason}."


class _BrokenError(ValueError):
    """Why an episode cannot be read, and at which step."""

    def __init__(self, reason: str, step: int | None = None):
        super().__init__(reason)
        self.step = step


def load_recordings(path: Path, refuse: Callable[[Refused], None]) -> Iterator[Recording]:
    """The recordings in a zip, a .json or .jsonl file, or a folder of these, one by one in order of file and line.

    What cannot be read is told to `refuse`, and the rest goes on.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".zip", *SUFFIXES))
    elif path.suffix in (".zip", *SUFFIXES):
        files = [path]
    else:
        return refuse(Refused(str(path), "it is not a .zip, .json or .jsonl file, nor a folder"))
    if not files:
        refuse(Refused(str(path), "the folder holds no .zip, .json or .jsonl file"))
    for file in files:
        try:
            if file.suffix == ".zip":
                yield from _read_zip(file, refuse)
            else:
                with file.open("rb") as stream:
                    yield from _read_lines(stream.readline, file.name, refuse)
        except FileNotFoundError:
            refuse(Refused(str(file), "there is no such file"))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            refuse(Refused(file.name, f"it cannot be read on, it is damaged or not what its name says ({error})"))
    return None


def _read_zip(path: Path, refuse: Callable[[Refused], None]) -> Iterator[Recording]:
    """The recordings in the JSON files of a zip."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if Path(name).suffix in SUFFIXES]
        if not names:
            refuse(Refused(path.name, "the zip holds no .json or .jsonl file"))
        for name in names:
            with archive.open(name) as stream:
                yield from _read_lines(stream.readline, path.name if len(names) == 1 else f"{path.name}/{name}", refuse)


def _read_lines(readline: Callable[[int], bytes], file: str, refuse: Callable[[Refused], None]) -> Iterator[Recording]:
    """The recordings of one JSON file, a line each."""
    number = 0
    while line := readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            return refuse(Refused(file, f"the line is longer than {MAX_LINE} bytes, the file is not read on", number))
        if not line.strip():
            continue
        episode = None
        try:
            batch = _parse(line)
            episode = _constant(batch, "eps_id")
            yield _read_batch(batch, episode, file)
        except _BrokenError as error:
            refuse(Refused(file, str(error), number, episode, error.step))
    if number == 0:
        refuse(Refused(file, "the file is empty"))
    return None


def _parse(line: bytes) -> dict[str, Any]:
    """The SampleBatch of one line."""
    try:
        batch = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _BrokenError("the line is not JSON, or is cut short") from error
    if not isinstance(batch, dict):
        raise _BrokenError("the line is not a JSON object")
    return batch


def _column(batch: dict[str, Any], name: str) -> list[Any]:
    """One entry a row."""
    column = batch.get(name)
    if not isinstance(column, list) or not column:
        raise _BrokenError(f"{name!r} is not a list with one entry a step")
    return column


def _constant(batch: dict[str, Any], name: str) -> int:
    """A whole number that is the same in every row."""
    column = _column(batch, name)
    if type(column[0]) is not int:
        raise _BrokenError(f"{name!r} holds {str(column[0])[:40]!r}, not a whole number", 0)
    for step, value in enumerate(column):
        if value != column[0]:
            raise _BrokenError(f"{name!r} changes within the line, which has to be one episode", step)
    return column[0]


def _read_batch(batch: dict[str, Any], episode: int, file: str) -> Recording:
    """One line of a file."""
    text = batch.get("obs")
    if not isinstance(text, str):
        raise _BrokenError("'obs' is not text")
    try:
        table = unpack(text)
    except ValueError as error:
        raise _BrokenError(f"the observations: {error}") from error
    actions, rewards = _column(batch, "actions"), _column(batch, "rewards")
    num_inventories, rest = divmod(table.shape[1] - _PLANES * CELLS - 1, 10)
    if rest or num_inventories < 1:
        raise _BrokenError(
            f"an observation has {table.shape[1]} numbers, not {_PLANES} planes, inventories and a clock"
        )
    if not len(table) == len(actions) == len(rewards) == len(batch["eps_id"]):
        raise _BrokenError(f"there are {len(table)} observations, {len(actions)} actions and {len(rewards)} rewards")
    for step, action in enumerate(actions):
        if type(action) is not int or not 0 <= action < NUM_ACTIONS:
            raise _BrokenError(f"action {str(action)[:40]} is not one of the {NUM_ACTIONS} from 0", step)
    for step, reward in enumerate(rewards):
        if type(reward) not in (int, float) or not abs(reward) < 1e6:
            raise _BrokenError(f"reward {str(reward)[:40]} is not a number that a step can give", step)
    goal = _plane(table, _GOAL, NUM_KINDS, "goal block")
    if (moved := (goal != goal[0]).any((1, 2, 3))).any():
        raise _BrokenError("the goal changes within the episode", int(moved.argmax()))
    players = _plane(table, _PLAYERS, 3, "player")
    feet = find_feet(players)
    return Recording(
        episode=episode,
        participant=_constant(batch, "participant_id"),
        file=file,
        agent_index=_constant(batch, "agent_index"),
        with_partner=num_inventories > 1 or bool((feet[:, OTHER] != ABSENT).any()),
        blocks=_plane(table, _BLOCKS, NUM_KINDS, "block"),
        goal=goal[0],
        feet=feet,
        touched=_plane(table, _TOUCHED, 3, "player"),
        actions=np.array(actions, np.int64),
        rewards=np.array(rewards, np.float64),
        timesteps=table[:, -1].copy(),
    )


def _plane(table: Int64[np.ndarray, "T _"], plane: int, num_values: int, what: str) -> Int8[np.ndarray, "T X Y Z"]:
    """One of the six planes of all the observations, whose entries are to lie below `num_values`."""
    values = table[:, plane * CELLS : (plane + 1) * CELLS]
    if (wrong := ((values < 0) | (values >= num_values)).any(1)).any():
        raise _BrokenError(f"there is no {what} with an id outside 0 to {num_values - 1}", int(wrong.argmax()))
    return values.astype(np.int8).reshape(-1, *WORLD)


def find_feet(players: Int8[np.ndarray, "T X Y Z"]) -> Int[np.ndarray, "T 2 3"]:
    """The lower cell of both bodies, from a plane with 1 in the player's cells and 2 in the partner's.

    A body fills two cells, one above the other. Only one shows when the head sticks out of the world's top, or when the
    other body, drawn over it, hides a half. Where a body does not show, or one half does and nothing hides the other,
    it is ABSENT.
    """
    feet = np.tile(np.array(ABSENT, np.int32), (len(players), 2, 1))
    for who in (SELF, OTHER):
        steps, *where = np.nonzero(players == who + 1)
        cells = np.stack(where, -1)
        starts = np.flatnonzero(np.diff(steps, prepend=-1))
        for step, body in zip(steps[starts], np.split(cells, starts[1:]), strict=False):
            low, high = body[0], body[-1]
            if len(body) > 2 or (len(body) == 2 and (high - low).tolist() != [0, 1, 0]):
                raise _BrokenError(f"player {who + 1} is in {len(body)} cells that are not a body", int(step))
            feet[step, who] = low if len(body) == 2 else _lower_half(players[step], low.tolist(), who)
    return feet


def _lower_half(players: Int8[np.ndarray, "X Y Z"], cell: list[int], who: int) -> tuple[int, int, int]:
    """The feet of a body of which only `cell` shows."""
    x, y, z = cell
    column = players[x, :, z]
    hides = 1 + OTHER if who == SELF else 1 + SELF
    if y + 1 == len(column) or column[y + 1] == hides:
        return x, y, z
    if y > 0 and column[y - 1] == hides:
        return x, y - 1, z
    return ABSENT

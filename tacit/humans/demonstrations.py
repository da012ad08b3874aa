"""What did somebody choose, turn by turn, and from what? Recorded or played episodes in the terms of a chooser."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from tacit.core import HUMAN
from tacit.games.building.actions import Action, decode
from tacit.games.building.blocks import FIRST_PLACEABLE
from tacit.games.building.checking import recorded_game
from tacit.games.building.game import ABSENT, BuildingGame, House, State
from tacit.games.building.recorded import knows_house, states
from tacit.games.building.recordings import Refused, load_recordings
from tacit.humans.past import FILL, HARM, LITTER, MEND, REST, SORTS, STEP, Past, nothing_yet
from tacit.humans.situation import NUM_FEATURES, Situation, situation
from tacit.learning.cloning import Choices, Demonstrations, Moments, Sizes, stack

CHUNK = 128
"""Rows that are looked at together."""
KIND = STEP
"""The list of kinds. The list of each sort of action but resting is one less than the sort."""
SIZES = Sizes(
    NUM_FEATURES.moment,
    SORTS,
    alike=SORTS,
    width=24,
    options=((NUM_FEATURES.cell, 24), (NUM_FEATURES.cell, 24), (NUM_FEATURES.move, 24), (NUM_FEATURES.kind, 4)),
    lists=(0, 0, 1, 1, 2, 3),
)
"""Filling a cell and emptying one have a network each, whether it serves the house or not; moves and kinds too."""


class Turns(NamedTuple):
    """The turns of one episode whose action our rules offer: R rows, and every list of every row."""

    moments: Moments
    lists: tuple[Choices, ...]
    """`chosen` is -1 where the action takes nothing from the list."""
    what: Int[np.ndarray, " R"]
    """What was done: pass, place, break or move."""
    widths: Int[np.ndarray, "R 4"]
    """How many actions of each of these were legal."""
    dropped: int
    """How many turns were left out: the action is not legal under our mask, or the body is not seen."""


@eqx.filter_jit
def look_on(game: BuildingGame, goal: House, past: Past, rows: State) -> tuple[Past, Situation]:
    """What the person sees, row by row."""

    def one(past: Past, state: State) -> tuple[Past, Situation]:
        found, past = situation(goal, past, game.observe(state)[HUMAN], game.reach, game.num_kinds)
        return past, found

    return jax.lax.scan(one, past, rows)


def tell(game: BuildingGame, goal: House, states: State, actions: Int[np.ndarray, " T"], episode: int = 0) -> Turns:
    """An episode of somebody of whom nothing else is known; `states` are those before each of the actions."""
    count, parts, past = len(actions), [], nothing_yet(game.shape)
    done = decode(jnp.asarray(actions, jnp.int32), game.num_kinds, game.num_cells)
    present = (states.feet[:, HUMAN] != jnp.array(ABSENT, jnp.int32)[None]).any(-1)
    for start in range(0, count, CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), count - 1)
        now = jax.tree.map(lambda leaf, rows=rows: leaf[rows], (states, done, present))
        past, seen = look_on(game, goal, past, now[0])
        some = jax.tree.map(lambda leaf, start=start: np.asarray(leaf)[: count - start], (seen, *now[1:]))
        parts.append(_chunk(some[0], some[1], some[2], episode))
    moments = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(part.moments for part in parts))
    lists = tuple(stack(every) for every in zip(*(part.lists for part in parts), strict=True))
    what, widths = np.concatenate([part.what for part in parts]), np.concatenate([part.widths for part in parts])
    return Turns(moments, lists, what, widths, sum(part.dropped for part in parts))


def _chunk(seen: Situation, done: Action, present: Bool[np.ndarray, " T"], episode: int) -> Turns:
    """Some rows of an episode."""
    what, cell, kind, direction = map(np.asarray, done)
    place, remove, move = map(np.asarray, seen.legal)
    wanted, cells, lines = np.asarray(seen.wanted), np.asarray(seen.cells), np.arange(len(what))
    offers = [np.ones(len(lines), bool), place[lines, cell], remove[lines, cell], move[lines, direction]]
    kept = np.stack(offers, -1)[lines, what] & present
    serves = wanted[lines, cell].astype(int)
    sorts = np.array([[REST, REST], [LITTER, FILL], [HARM, MEND], [STEP, STEP]])[what, serves]
    episodes = np.full(int(kept.sum()), episode, np.int32)

    def choices(features: Any, possible: Any, chosen: Any, taken: Any) -> Choices:
        index = np.where(taken, chosen, -1).astype(np.int32)
        return jax.tree.map(
            jnp.asarray, Choices(features[kept], possible[kept], jnp.asarray(index[kept]), jnp.asarray(episodes))
        )

    def edits(sort: int, group: Bool[np.ndarray, "T N"]) -> Choices:
        order = np.argsort(~group, axis=1, kind="stable")[:, : max(int(group.sum(1).max()), 1)]
        features, there = np.take_along_axis(cells, order[:, :, None], 1), np.take_along_axis(group, order, 1)
        return choices(features, there, (order == cell[:, None]).argmax(-1), sorts == sort)

    placeable = np.arange(seen.kinds.shape[2]) >= FIRST_PLACEABLE
    lists = (
        edits(FILL, place & wanted),
        edits(LITTER, place & ~wanted),
        edits(MEND, remove & wanted),
        edits(HARM, remove & ~wanted),
        choices(np.asarray(seen.moves), move, direction, sorts == STEP),
        choices(
            np.asarray(seen.kinds)[lines, cell],
            np.broadcast_to(placeable, (len(lines), len(placeable))),
            kind,
            (sorts == FILL) | (sorts == LITTER),
        ),
    )
    possible = [np.ones(len(episodes), bool), *(np.asarray(one.possible).any(-1) for one in lists[:KIND])]
    moments = Moments(
        jnp.asarray(seen.moment[kept]),
        jnp.asarray(seen.habit[kept]),
        jnp.asarray(seen.like[kept]),
        jnp.asarray(np.stack(possible, -1)),
        jnp.asarray(sorts[kept], jnp.int32),
        jnp.asarray(episodes),
    )
    widths = [np.ones(len(lines), int), place.sum(-1) * int(placeable.sum()), remove.sum(-1), move.sum(-1)]
    return Turns(moments, lists, what[kept], np.stack(widths, -1)[kept], int((~kept).sum()))


def demonstrations(episodes: Sequence[Turns]) -> Demonstrations:
    """What was chosen in all of these episodes; each list has the rows in which something was chosen from it."""

    def taken(choices: Choices) -> Choices:
        rows = choices.chosen >= 0
        if not rows.any():  # one row with a single option, which costs nothing, stands for none
            blank = jax.tree.map(lambda leaf: leaf[:1], choices)
            only = np.arange(choices.possible.shape[1])[None] == 0
            return blank._replace(possible=jnp.asarray(only), chosen=jnp.zeros(1, jnp.int32))
        return jax.tree.map(lambda leaf: leaf[rows], choices)

    moments = jax.tree.map(lambda *leaves: jnp.asarray(np.concatenate(leaves)), *(one.moments for one in episodes))
    lists = (taken(stack(every)) for every in zip(*(one.lists for one in episodes), strict=True))
    return jax.tree.map(jnp.asarray, Demonstrations(moments, tuple(lists)))


class Told(NamedTuple):
    """An episode of somebody's who was recorded."""

    participant: int
    with_partner: bool
    turns: Turns


def recorded(path: Path, max_turns: int | None = None) -> list[Told]:
    """The episodes of those who knew the house, in a file or a folder of recordings.

    Of each only the first `max_turns` are taken. What cannot be read is left out. Raises ValueError, in one sentence,
    where nothing is left.
    """
    refused: list[Refused] = []
    found: list[Told] = []
    for recording in load_recordings(path, refused.append):
        if not knows_house(recording):
            continue
        game = recorded_game(recording.goal[None])
        first = slice(0, max_turns)
        seen = jax.tree.map(lambda leaf, first=first: leaf[first], states(recording))
        turns = tell(game, jnp.asarray(recording.goal), seen, recording.actions[first], len(found))
        if len(turns.what):
            found.append(Told(recording.participant, recording.with_partner, turns))
    if not found:
        why = f" ({str(refused[0]).rstrip('.')})" if refused else ""
        raise ValueError(f"{path} holds no recording of a person who knew the house and did what our rules offer{why}.")
    return found


def weights(episodes: Sequence[Told], among: Sequence[int]) -> tuple[Float[Array, " E"], Float[Array, " E"]]:
    """Which of the episodes to learn from, and which to stop by: 1 or 0, only those of the participants `among`.

    Held out are the shortest episode of those who built alone, and of those who had a partner, each by somebody of whom
    another is left; or else the shortest of all. A single one is both learned from and stopped by.
    """
    mine = [number for number, one in enumerate(episodes) if one.participant in among]
    kinds = [(one.participant, one.with_partner) for one in episodes]

    def shortest(numbers: list[int]) -> list[int]:
        return sorted(numbers, key=lambda number: len(episodes[number].turns.what))[:1]

    several = [number for number in mine if sum(kinds[other] == kinds[number] for other in mine) > 1]
    groups = [[number for number in several if kinds[number][1] == partner] for partner in (False, True)]
    held = [number for group in groups for number in shortest(group)] or shortest(mine)
    left = [number for number in mine if number not in held] or mine
    rows = jnp.arange(len(episodes))
    training, held_out = (jnp.isin(rows, jnp.array(some)).astype(jnp.float32) for some in (left, held))
    return training, held_out

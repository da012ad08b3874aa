"""Which assistant helps more, and how sure are we? The same goals, people and chances for each, with intervals.

Every contender meets the same episodes: theta, the first state and the human's own randomness come from the same keys
(common random numbers), so differences are paired.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Key

from tacit.assistants.oracle import reveal
from tacit.core import Assistant, Game, Human, Theta
from tacit.evaluation.metrics import yardstick
from tacit.play import Moment, Turn, advance, begin

CHUNK = 25
"""Turns between two looks at whether everybody has finished."""

SLOTS = 32
"""Episodes that a processor plays at the same time: enough to keep it busy, few enough that beliefs stay in memory."""
FEW = 8
"""Of a short contest it plays so many at least, and otherwise a quarter of its share: a slot that plays one episode
only is idle until the longest of all is over."""

Tally = Any
"""A record of NumPy arrays with a leading axis of episodes; which one, the game's yardstick says."""

KEYS = (
    "goal_completed",
    "human_actions",
    "assistant_share",
    "turns",
    "belief_nll",
    "calibration_error",
)
"""The figures that every row has, null where they do not apply."""


class Figure(NamedTuple):
    """A value with its 95 % interval."""

    mean: float
    low: float
    high: float


class Contest(NamedTuple):
    """The episodes that every contender meets. `practice` draws the goals that an assistant may know beforehand."""

    game: Game
    practice: Game
    human: Human
    num_episodes: int
    seed: int


class Contender(NamedTuple):
    """An assistant and the name it goes by. `absent`: it is nobody, so the world does not hold its body."""

    name: str
    assistant: Assistant
    absent: bool = False


def run(
    contest: Contest, contender: Contender, report: Callable[[int, int], None] = lambda finished, turns: None
) -> Tally:
    """Play every episode of the contest and count what happened.

    Each processor plays up to `SLOTS` episodes at a time for `CHUNK` turns; those that are over make room for the next.
    `report` is called after each chunk with how many are over and how many turns have been played in each slot.
    """
    game = contest.game.alone() if contender.absent else contest.game
    count, _ = yardstick(contest.game, contest.practice)
    keys = jax.random.split(jax.random.key(contest.seed), contest.num_episodes)
    theta, moment = first_moments(game, contest.human, contender.assistant, keys)

    def some(rows: np.ndarray) -> tuple[Moment, Tally]:
        goals, moments = take((theta, moment), rows)
        played = some_turns(game, contest.human, contender.assistant, count, goals, moments, keys[rows])
        return jax.block_until_ready(played)

    groups = max(1, min(os.cpu_count() or 1, contest.num_episodes))
    each = contest.num_episodes // groups
    slots = min(SLOTS, each, max(FEW, each // 4))
    finished = np.asarray(moment.finished)
    total, turns = None, 0
    with ThreadPoolExecutor(groups) as pool:
        while total is None or not finished.all():
            # Those that are over stand still and count nothing, so they may fill the slots that nobody needs.
            order = np.split(np.argsort(finished, kind="stable")[: groups * slots], groups)
            # The first chunk in turn, or each thread would compile.
            for rows, (now, tally) in zip(order, list((map if total is None else pool.map)(some, order)), strict=True):
                moment = jax.tree.map(lambda every, one, rows=rows: every.at[rows].set(one), moment, now)
                if total is None:
                    total = jax.tree.map(lambda leaf: np.zeros((contest.num_episodes, *leaf.shape[1:])), tally)
                total = jax.tree.map(lambda every, one, rows=rows: add_rows(every, rows, np.asarray(one)), total, tally)
            finished = np.asarray(moment.finished)
            turns += CHUNK
            report(int(finished.sum()), turns)
    return total


def take(every: Any, rows: np.ndarray) -> Any:
    """Some of the episodes."""
    return jax.tree.map(lambda leaf: leaf[rows], every)


def add_rows(every: np.ndarray, rows: np.ndarray, some: np.ndarray) -> np.ndarray:
    """`every` with `some` added at these rows, each of which is named once."""
    added = every.copy()
    added[rows] += some
    return added


def draw(game: Game, key: Key[Array, ""]) -> tuple[Theta, Key[Array, ""]]:
    """The goal of the episode whose key this is, and the key to play it with."""
    theta_key, play_key = jax.random.split(key)
    return game.sample_theta(theta_key), play_key


@eqx.filter_jit
def first_moments(game: Game, human: Human, assistant: Assistant, keys: Key[Array, " B"]) -> tuple[Theta, Moment]:
    """Each episode's goal and the moment before its first turn."""

    def one(key: Key[Array, ""]) -> tuple[Theta, Moment]:
        theta, play_key = draw(game, key)
        return theta, begin(game, human, reveal(assistant, theta), theta, play_key)

    return jax.vmap(one)(keys)


@eqx.filter_jit
def some_turns(
    game: Game, human: Human, assistant: Assistant, count: Any, theta: Theta, moment: Moment, keys: Key[Array, " B"]
) -> tuple[Moment, Tally]:
    """Play the next CHUNK turns of every episode; the tally is summed over them."""

    def one(theta: Theta, moment: Moment, key: Key[Array, ""]) -> tuple[Moment, Tally]:
        seeing = reveal(assistant, theta)

        def record(before: Moment, after: Moment, turn: Turn) -> Tally:
            return count.count(theta, before.state, turn, seeing.thoughts(after.assistant))

        moment, tallies = advance(game, human, seeing, theta, moment, CHUNK, record, jax.random.split(key)[1])
        return moment, jax.tree.map(lambda x: x.sum(0), tallies)

    return jax.vmap(one)(theta, moment, keys)


def interval(figure: Callable[..., float], *tallies: Tally, seed: int = 0, num_resamples: int = 1000) -> Figure | None:
    """A figure of one or more tallies of the same episodes with its bootstrap interval; None where it does not apply.

    With two tallies the episodes are resampled together, so the interval is a paired one.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = float(figure(*tallies))
        if np.isnan(mean):
            return None
        count = len(tallies[0].turns)
        drawn = np.random.default_rng(seed).integers(0, count, (num_resamples, count))
        values = [figure(*(jax.tree.map(lambda x, rows=rows: x[rows], tally) for tally in tallies)) for rows in drawn]
    low, high = np.percentile(values, [2.5, 97.5])
    return Figure(mean, float(low), float(high))


def sure(figure: Figure | None) -> Figure:
    """A figure that applies wherever there are episodes."""
    assert figure is not None
    return figure


def saving(assisted: Tally, alone: Tally) -> float:
    """The fraction of the human's edits that an assistant saves."""
    return 1 - assisted.human_edits.mean() / alone.human_edits.mean()


def figures(contest: Contest, tally: Tally) -> dict[str, Figure | None]:
    """Every figure of one contender by name, the keys of a row first."""
    _, known = yardstick(contest.game, contest.practice)
    found = {name: interval(figure, tally, seed=contest.seed) for name, figure in known.items()}
    return {name: found.get(name) for name in (*KEYS, *found)}

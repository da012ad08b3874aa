"""Which assistant helps more, and how sure are we? The same goals, people and chances for each, with intervals.

Every contender meets the same episodes: theta, the first state and the human's own randomness come from the same keys
(common random numbers), so differences are paired.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from tacit.assistants.oracle import reveal
from tacit.core import Assistant, Game, Human, Theta
from tacit.evaluation.metrics import yardstick
from tacit.play import Moment, Turn, advance, begin

CHUNK = 25
"""Turns between two looks at whether everybody has finished."""

BATCH = 64
"""Episodes that are played together: enough to keep two cores busy, few enough that beliefs stay in memory."""

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

    `report(finished, turns)` is called after every few turns with the number of episodes that are over and the turn
    that the others have reached.
    """
    game = contest.game.alone() if contender.absent else contest.game
    count, _ = yardstick(contest.game, contest.practice)
    keys = jax.random.split(jax.random.key(contest.seed), contest.num_episodes)
    num_batches = math.ceil(contest.num_episodes / BATCH)
    size = math.ceil(contest.num_episodes / num_batches)
    tallies = []
    for first in range(0, contest.num_episodes, size):
        # Every batch has the same size, so that there is one compilation; the last begins a little earlier.
        start = min(first, contest.num_episodes - size)

        def progress(finished: int, turns: int, before: int = start) -> None:
            report(before + finished, turns)

        tally = run_batch(contest.human, contender.assistant, game, count, keys[start : start + size], progress)
        tallies.append(jax.tree.map(lambda leaf, skip=first - start: np.asarray(leaf)[skip:], tally))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *tallies)


def run_batch(
    human: Human,
    assistant: Assistant,
    game: Game,
    count: Any,
    keys: Key[Array, " B"],
    report: Callable[[int, int], None],
) -> Tally:
    """Play the episodes of these keys together until all are over."""
    theta, moment = first_moments(game, human, assistant, keys)
    total = None
    for turns in range(CHUNK, game.horizon + CHUNK, CHUNK):
        moment, tally = some_turns(game, human, assistant, count, theta, moment, keys)
        total = tally if total is None else jax.tree.map(jnp.add, total, tally)
        num_finished = int(moment.finished.sum())
        report(num_finished, turns)
        if num_finished == len(keys):
            break
    return total


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


def saving(assisted: Tally, alone: Tally) -> float:
    """The fraction of the human's edits that an assistant saves."""
    return 1 - assisted.human_edits.mean() / alone.human_edits.mean()


def figures(contest: Contest, tally: Tally) -> dict[str, Figure | None]:
    """Every figure of one contender by name, the keys of a row first."""
    _, known = yardstick(contest.game, contest.practice)
    found = {name: interval(figure, tally, seed=contest.seed) for name, figure in known.items()}
    return {name: found.get(name) for name in (*KEYS, *found)}

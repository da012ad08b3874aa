"""Which assistant helps more, and how sure are we? The same houses, people and chances for each, with intervals.

Every contender meets the same episodes: theta, the first state and the human's own randomness come from the same keys
(common random numbers), so differences are paired.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from tacit.assistants.oracle import reveal
from tacit.core import Assistant, Game, Human, Theta
from tacit.evaluation.metrics import FIGURES, Outcome, Tally, measure
from tacit.games.building.game import BuildingGame, edit_distance
from tacit.play import Moment, advance, begin

CHUNK = 25
"""Turns between two looks at whether everybody has finished."""


class Figure(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


class Contender(NamedTuple):
    """An assistant and the name it goes by. `alone`: it is nobody, so its body is absent from the world."""

    name: str
    assistant: Assistant
    alone: bool = False


def run(
    game: BuildingGame,
    human: Human,
    contender: Contender,
    num_episodes: int,
    seed: int,
    report: Callable[[int, int], None] = lambda finished, turns: None,
) -> Outcome:
    """Play `num_episodes` episodes of the building game and count what happened.

    `report(finished, turns)` is called after every few turns.
    """
    world = game.alone() if contender.alone else game
    keys = jax.random.split(jax.random.key(seed), num_episodes)
    prior = marginal_prior(game, jax.random.key(0))
    theta, moment = first_moments(world, human, contender.assistant, keys)
    needed = jax.vmap(edit_distance)(moment.state.blocks, theta)
    total = None
    for turns in range(CHUNK, game.horizon + CHUNK, CHUNK):
        moment, tally = some_turns(world, human, contender.assistant, theta, moment, prior, keys)
        total = tally if total is None else jax.tree.map(jnp.add, total, tally)
        num_finished = int(moment.finished.sum())
        report(num_finished, turns)
        if num_finished == num_episodes:
            break
    left = jax.vmap(edit_distance)(moment.state.blocks, theta)
    return jax.tree.map(np.asarray, Outcome(total, needed, left))


def draw(game: Game, key: Key[Array, ""]) -> tuple[Theta, Key[Array, ""]]:
    """The goal of the episode whose key this is, and the key to play it with."""
    theta_key, play_key = jax.random.split(key)
    return game.sample_theta(theta_key), play_key


@eqx.filter_jit
def first_moments(
    game: BuildingGame, human: Human, assistant: Assistant, keys: Key[Array, " B"]
) -> tuple[Theta, Moment]:
    """Each episode's goal and the moment before its first turn."""

    def one(key: Key[Array, ""]) -> tuple[Theta, Moment]:
        theta, play_key = draw(game, key)
        return theta, begin(game, human, reveal(assistant, theta), theta, play_key)

    return jax.vmap(one)(keys)


@eqx.filter_jit
def some_turns(
    game: BuildingGame,
    human: Human,
    assistant: Assistant,
    theta: Theta,
    moment: Moment,
    prior: Array,
    keys: Key[Array, " B"],
) -> tuple[Moment, Tally]:
    """Play the next CHUNK turns of every episode; the tally is summed over them."""

    def one(theta: Theta, moment: Moment, key: Key[Array, ""]) -> tuple[Moment, Tally]:
        seeing = reveal(assistant, theta)

        def count(before: Moment, after: Moment, turn: Any) -> Tally:
            thoughts = seeing.thoughts(after.assistant)
            return measure(theta, before.state, turn, None if thoughts is None else thoughts.probabilities, prior)

        _, play_key = draw(game, key)
        moment, tallies = advance(game, human, seeing, theta, moment, CHUNK, count, play_key)
        return moment, jax.tree.map(lambda x: x.sum(0), tallies)

    return jax.vmap(one)(theta, moment, keys)


@eqx.filter_jit
def marginal_prior(game: BuildingGame, key: Key[Array, ""], num_houses: int = 2048) -> Array:
    """How often each cell holds each kind in the houses that an assistant may know, with add-one smoothing [X, Y, Z, M]."""
    houses = jax.vmap(game.known().sample_theta)(jax.random.split(key, num_houses))
    counts = jax.nn.one_hot(houses, game.num_kinds).sum(0) + 1.0
    return counts / counts.sum(-1, keepdims=True)


def figures(outcome: Outcome, seed: int, num_resamples: int = 1000) -> dict[str, Figure | None]:
    """Every figure with its bootstrap interval over episodes; None where it does not apply."""
    resample = resamples(outcome, seed, num_resamples)
    found = {}
    for name, figure in FIGURES.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = figure(outcome)
            low, high = np.percentile([figure(one) for one in resample], [2.5, 97.5])
        found[name] = None if np.isnan(mean) else Figure(mean, float(low), float(high))
    return found


def difference(
    of: Callable[[Outcome, Outcome], float], one: Outcome, other: Outcome, seed: int, num_resamples: int = 1000
) -> Figure:
    """A paired figure of two contenders on the same episodes, e.g. the saving in human actions, with its interval."""
    pairs = zip(resamples(one, seed, num_resamples), resamples(other, seed, num_resamples), strict=True)
    low, high = np.percentile([of(a, b) for a, b in pairs], [2.5, 97.5])
    return Figure(of(one, other), float(low), float(high))


def saving(assisted: Outcome, alone: Outcome) -> float:
    """The fraction of the human's edits that the assistant saves."""
    return 1 - float(np.mean(assisted.tally.human_edits)) / float(np.mean(alone.tally.human_edits))


def resamples(outcome: Outcome, seed: int, num_resamples: int) -> list[Outcome]:
    """Bootstrap resamples of the episodes; the same seed draws the same episodes."""
    count = len(outcome.edits_needed)
    drawn = np.random.default_rng(seed).integers(0, count, (num_resamples, count))
    return [jax.tree.map(lambda x, index=index: x[index], outcome) for index in drawn]


def evaluate(
    game_name: str,
    game: BuildingGame,
    human_name: str,
    human: Human,
    contenders: Sequence[Contender],
    num_episodes: int,
    seed: int,
    report: Callable[[str, int, int], None] = lambda name, finished, turns: None,
) -> list[dict[str, Any]]:
    """One row a contender, with the keys of `tacit evaluate --json`; figures are {mean, low, high} or None."""
    rows = []
    for contender in contenders:

        def progress(finished: int, turns: int, name: str = contender.name) -> None:
            report(name, finished, turns)

        outcome = run(game, human, contender, num_episodes, seed, progress)
        row: dict[str, Any] = {
            "assistant": contender.name,
            "human": human_name,
            "game": game_name,
            "episodes": num_episodes,
            "seed": seed,
        }
        for name, figure in figures(outcome, seed).items():
            row[name] = None if figure is None else figure._asdict()
        rows.append(row)
    return rows

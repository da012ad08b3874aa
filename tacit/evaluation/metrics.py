"""What happened in an episode, and how good was the assistant's belief while it ran?

A yardstick counts each turn while the episode is played, so that no episode has to be kept, and the counts are summed
over time into one tally an episode. Figures are functions of the tallies of many episodes, so that an interval can be
bootstrapped for each of them, ratios and calibration errors included.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from tacit.core import ASSISTANT, HUMAN, Game, State, Theta, Thoughts
from tacit.games.building.blocks import AIR
from tacit.games.building.game import BuildingGame, House, edit_distance
from tacit.games.building.game import State as WorldState
from tacit.play import Turn

NUM_BINS = 10
"""Confidence bins of the calibration error."""

EARLY = 100
"""Turns whose reward is also told apart: by the end nearly every house stands, whoever helped."""


class Tally(NamedTuple):
    """Counts and sums over turns of any game; under `vmap` a leading axis of episodes."""

    turns: Float[Array, "*B"]
    reward: Float[Array, "*B"]


class BuildingTally(NamedTuple):
    """The same for the building game. Beliefs are scored on the cells that may differ between houses.

    `edits_needed` is the house's edit distance from the first world; a bin holds [number, sum of confidence, hits].
    """

    turns: Float[Array, "*B"]
    reward: Float[Array, "*B"]
    early_reward: Float[Array, "*B"]
    edits_needed: Float[Array, "*B"]
    human_edits: Float[Array, "*B"]
    assistant_edits: Float[Array, "*B"]
    assistant_gain: Float[Array, "*B"]
    cells_air: Float[Array, "*B"]
    cells_occupied: Float[Array, "*B"]
    nll_air: Float[Array, "*B"]
    nll_occupied: Float[Array, "*B"]
    prior_nll_air: Float[Array, "*B"]
    prior_nll_occupied: Float[Array, "*B"]
    bins: Float[Array, "*B 10 3"]
    acted_bins: Float[Array, "*B 10 3"]


class Yardstick(eqx.Module):
    """How to count a turn: `count(theta, before, turn, thoughts)`, with the thoughts on which the assistant acted."""

    def count(self, theta: Theta, before: State, turn: Turn, thoughts: Thoughts) -> Tally:
        """The turn's tally."""
        del theta, before, thoughts
        return Tally(turn.active.astype(jnp.float32), turn.rewards.sum())


class BuildingYardstick(eqx.Module):
    """The same for the building game, with the marginal prior as the belief to beat."""

    prior: Float[Array, "X Y Z M"]

    def count(self, theta: House, before: WorldState, turn: Turn, thoughts: Thoughts) -> BuildingTally:
        """The turn's tally. `thoughts` is None or holds `probabilities` [X, Y, Z, M]."""
        after = turn.state
        active = turn.active.astype(jnp.float32)
        edited = (after.edits.cell >= 0).astype(jnp.float32) * active
        inside = jnp.zeros(theta.shape, bool).at[1:-1, 1:-1, 1:-1].set(True)
        air = (inside & (before.blocks == AIR)).astype(jnp.float32) * active
        occupied = (inside & (before.blocks != AIR)).astype(jnp.float32) * active
        prior_nll = -jnp.log(at_kind(self.prior, theta))
        if thoughts is None:
            nll = jnp.full(theta.shape, jnp.nan)
            bins = acted_bins = jnp.full((NUM_BINS, 3), jnp.nan)
        else:
            belief = thoughts.probabilities
            nll = -jnp.log(jnp.maximum(at_kind(belief, theta), 1e-6))
            hit = (jnp.argmax(belief, -1).astype(theta.dtype) == theta).astype(jnp.float32)
            bins = binned(belief.max(-1), hit, air + occupied)
            acted_bins = binned(*acted(theta, after, belief), edited[ASSISTANT])
        return BuildingTally(
            turns=active,
            reward=turn.rewards.sum(),
            early_reward=jnp.where(before.time < EARLY, turn.rewards.sum(), 0.0),
            edits_needed=jnp.where(before.time == 0, edit_distance(before.blocks, theta), 0).astype(jnp.float32),
            human_edits=edited[HUMAN],
            assistant_edits=edited[ASSISTANT],
            assistant_gain=turn.rewards[ASSISTANT],
            cells_air=air.sum(),
            cells_occupied=occupied.sum(),
            nll_air=(nll * air).sum(),
            nll_occupied=(nll * occupied).sum(),
            prior_nll_air=(prior_nll * air).sum(),
            prior_nll_occupied=(prior_nll * occupied).sum(),
            bins=bins,
            acted_bins=acted_bins,
        )


def at_kind(probabilities: Float[Array, "X Y Z M"], house: House) -> Float[Array, "X Y Z"]:
    """The probability of each cell's kind in `house`."""
    index = house.astype(jnp.int32)[..., None]
    return jnp.take_along_axis(probabilities, index, axis=-1)[..., 0]


def acted(
    theta: House, after: State, probabilities: Float[Array, "X Y Z M"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """How sure the belief was that the assistant's edit helps, and whether it did."""
    cell = jnp.maximum(after.edits.cell[ASSISTANT], 0)
    old = after.edits.before[ASSISTANT].astype(jnp.int32)
    new = after.edits.after[ASSISTANT].astype(jnp.int32)
    belief = probabilities.reshape(-1, probabilities.shape[-1])[cell]
    wanted = theta.reshape(-1)[cell].astype(jnp.int32)
    placed = new != AIR
    sure = jnp.where(placed, belief[new], 1 - belief[old])
    hit = jnp.where(placed, wanted == new, wanted != old)
    return sure, hit.astype(jnp.float32)


def binned(confidence: Float[Array, "*N"], hit: Float[Array, "*N"], weight: Float[Array, "*N"]) -> Float[Array, "10 3"]:
    """Sums of weight, confidence and hits by confidence bin."""
    index = jnp.clip((confidence * NUM_BINS).astype(jnp.int32), 0, NUM_BINS - 1).reshape(-1)
    rows = jnp.stack([weight, weight * confidence, weight * hit], -1).reshape(-1, 3)
    return jnp.zeros((NUM_BINS, 3)).at[index].add(rows)


def calibration_error(bins: np.ndarray) -> float:
    """Expected calibration error Σ_b n_b/n · |confidence_b - accuracy_b| of bins pooled over episodes [B, 10, 3]."""
    count, confidence, hits = bins.sum(0).T
    return float(np.abs(confidence - hits).sum() / count.sum()) if count.sum() > 0 else float("nan")


FIGURES: dict[str, Callable[[Any], float]] = {
    "turns": lambda t: t.turns.mean(),
    "reward": lambda t: t.reward.mean(),
}
"""The figures of any game, by name: functions of the tally of many episodes."""

BUILDING_FIGURES: dict[str, Callable[[Any], float]] = {
    "goal_completed": lambda t: 100 * (t.reward / t.edits_needed).mean(),
    "finished": lambda t: 100 * (t.reward == t.edits_needed).mean(),
    "human_actions": lambda t: t.human_edits.mean(),
    "assistant_share": lambda t: (t.assistant_gain / t.edits_needed).mean(),
    **FIGURES,
    "early_reward": lambda t: t.early_reward.mean(),
    "belief_nll": lambda t: (t.nll_air + t.nll_occupied).sum() / (t.cells_air + t.cells_occupied).sum(),
    "belief_nll_air": lambda t: t.nll_air.sum() / t.cells_air.sum(),
    "belief_nll_occupied": lambda t: t.nll_occupied.sum() / t.cells_occupied.sum(),
    "prior_nll_air": lambda t: t.prior_nll_air.sum() / t.cells_air.sum(),
    "prior_nll_occupied": lambda t: t.prior_nll_occupied.sum() / t.cells_occupied.sum(),
    "calibration_error": lambda t: calibration_error(t.bins),
    "calibration_error_acted": lambda t: calibration_error(t.acted_bins),
}
"""The building game's. NaN where one does not apply: nobody's belief is scored when the assistant has none.

Completion telescopes: a turn's reward is exactly the drop in edit distance (Laidlaw et al. 2025).
"""


def yardstick(game: Game, practice: Game) -> tuple[Any, dict[str, Callable[[Any], float]]]:
    """What to count in `game` and the figures to make of it; `practice` draws the goals an assistant may know."""
    if isinstance(game, BuildingGame) and isinstance(practice, BuildingGame):
        return BuildingYardstick(marginal_prior(practice, jax.random.key(0))), BUILDING_FIGURES
    return Yardstick(), FIGURES


@eqx.filter_jit
def marginal_prior(game: BuildingGame, key: Key[Array, ""]) -> Float[Array, "X Y Z M"]:
    """How often each cell holds each kind over the game's houses, with add-one smoothing."""
    houses = jax.vmap(game.sample_theta)(jax.random.split(key, 2048))
    counts = jax.nn.one_hot(houses, game.num_kinds).sum(0) + 1.0
    return counts / counts.sum(-1, keepdims=True)

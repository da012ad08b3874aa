"""What happened in an episode of the building game, and how good was the assistant's belief while it ran?

Everything is counted turn by turn while the episode is played (`measure`), so that no episode has to be kept, then
summed over time into one `Tally` an episode. Figures are functions of tallies (`FIGURES`), so that an interval over
episodes can be bootstrapped for each of them, ratios and calibration errors included.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tacit.core import ASSISTANT, HUMAN
from tacit.games.building.blocks import AIR
from tacit.games.building.game import House, State
from tacit.play import Turn

NUM_BINS = 10
"""Confidence bins of the calibration error."""


class Tally(NamedTuple):
    """Counts and sums over turns; under `vmap` a leading axis of episodes. Beliefs are scored on cells that may differ.

    A bin row holds [number, sum of confidence, sum of hits].
    """

    turns: Float[Array, "*B"]
    reward: Float[Array, "*B"]
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


def measure(
    theta: House,
    before: State,
    turn: Turn,
    probabilities: Float[Array, "X Y Z M"] | None,
    prior: Float[Array, "X Y Z M"],
) -> Tally:
    """Count one turn. `probabilities` is the belief on which the assistant acted, None if it has none."""
    after = turn.state
    active = turn.active.astype(jnp.float32)
    edited = (after.edits.cell >= 0).astype(jnp.float32) * active
    inside = jnp.zeros(theta.shape, bool).at[1:-1, 1:-1, 1:-1].set(True)
    air = (inside & (before.blocks == AIR)).astype(jnp.float32) * active
    occupied = (inside & (before.blocks != AIR)).astype(jnp.float32) * active
    prior_nll = -jnp.log(at_kind(prior, theta))
    if probabilities is None:
        nll = jnp.full(theta.shape, jnp.nan)
        bins = acted_bins = jnp.full((NUM_BINS, 3), jnp.nan)
    else:
        nll = -jnp.log(jnp.maximum(at_kind(probabilities, theta), 1e-6))
        hit = (jnp.argmax(probabilities, -1) == theta).astype(jnp.float32)
        bins = binned(probabilities.max(-1), hit, air + occupied)
        acted_bins = binned(*acted(theta, after, probabilities), edited[ASSISTANT])
    return Tally(
        turns=active,
        reward=turn.rewards.sum(),
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


class Outcome(NamedTuple):
    """One row's raw material: a tally an episode, and each house's edits at the start and at the end. NumPy arrays."""

    tally: Tally
    edits_needed: np.ndarray
    edits_left: np.ndarray


def calibration_error(bins: np.ndarray) -> float:
    """Expected calibration error Σ_b n_b/n · |confidence_b - accuracy_b| of bins pooled over episodes [B, 10, 3]."""
    count, confidence, hits = bins.sum(0).T
    return float(np.abs(confidence - hits).sum() / count.sum()) if count.sum() > 0 else float("nan")


FIGURES: dict[str, Callable[[Outcome], float]] = {
    "goal_completed": lambda o: float(np.mean(100 * (1 - o.edits_left / o.edits_needed))),
    "finished": lambda o: float(np.mean(100 * (o.edits_left == 0))),
    "human_actions": lambda o: float(np.mean(o.tally.human_edits)),
    "assistant_share": lambda o: float(np.mean(o.tally.assistant_gain / o.edits_needed)),
    "turns": lambda o: float(np.mean(o.tally.turns)),
    "reward": lambda o: float(np.mean(o.tally.reward)),
    "belief_nll": lambda o: float(
        np.sum(o.tally.nll_air + o.tally.nll_occupied) / np.sum(o.tally.cells_air + o.tally.cells_occupied)
    ),
    "belief_nll_air": lambda o: float(np.sum(o.tally.nll_air) / np.sum(o.tally.cells_air)),
    "belief_nll_occupied": lambda o: float(np.sum(o.tally.nll_occupied) / np.sum(o.tally.cells_occupied)),
    "prior_nll_air": lambda o: float(np.sum(o.tally.prior_nll_air) / np.sum(o.tally.cells_air)),
    "prior_nll_occupied": lambda o: float(np.sum(o.tally.prior_nll_occupied) / np.sum(o.tally.cells_occupied)),
    "calibration_error": lambda o: calibration_error(np.asarray(o.tally.bins)),
    "calibration_error_acted": lambda o: calibration_error(np.asarray(o.tally.acted_bins)),
}
"""Every figure of a row by name; NaN where it does not apply (an assistant without a belief)."""

"""A human who knows theta and mostly does what is worth most: the noisily rational person of a game given by arrays."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from tacit.core import HUMAN, Game, Human
from tacit.games.tabular import Numbers, Observation, TabularGame
from tacit.planning import value_iteration

TIE = 1e-5
"""Values that differ by less are taken for equal, so that a perfectly rational human shares ties evenly."""


class Boltzmann(Human):
    """P(h | s, θ) ∝ exp(rationality · Q_t(s, h; θ)); with infinite rationality, evenly among the best actions.

    `gaps` holds Q minus the best legal Q, `state_seen` which state an observation shows.
    Axis letters: T turns, N thetas, S states, H the human's actions.
    """

    gaps: Float[Array, "T N S H"]
    state_seen: Int[Array, " S"]
    rationality: Float[Array, ""]

    def init(self, key: Key[Array, ""]) -> None:
        """No memory."""
        del key

    def logits(
        self, theta: Int[Array, ""], memory: None, observation: Observation, key: Key[Array, ""]
    ) -> tuple[Float[Array, " H"], None]:
        """Rationality times how much less than the best each action is worth."""
        del key
        gaps = self.gaps[observation.time, theta, self.state_seen[observation.seen]]
        return jnp.where(gaps == 0.0, 0.0, self.rationality * gaps), memory


def action_values(game: TabularGame, partner: Numbers | None = None) -> Float[Array, "T N S H"]:
    """Q_t(s, h; θ) for a human who expects the assistant to do a with probability `partner[s, a]`.

    By default the assistant is expected to pass: the human acts as if alone, the "demonstration by expert" of
    Hadfield-Menell et al. 2016.
    """
    states, assistants = game.arrays.legal_assistant.shape
    expected = np.eye(assistants)[np.zeros(states, int)] if partner is None else np.asarray(partner, np.float64)
    if expected.shape != (states, assistants) or (expected < 0).any() or not np.allclose(expected.sum(-1), 1.0):
        raise ValueError(f"partner must hold a distribution over {assistants} actions for each of {states} states.")
    if (expected > 0)[~np.asarray(game.arrays.legal_assistant)].any():
        raise ValueError("partner gives weight to an action that is not legal for the assistant.")
    arrays = game.arrays
    transitions = jnp.asarray(np.einsum("shat,sa->sht", arrays.transitions, expected))
    rewards = jnp.asarray(np.einsum("nsha,sa->nsh", arrays.rewards, expected))
    legal = jnp.asarray(arrays.legal_human)

    def solve(rewards: Float[Array, "S H"]) -> Float[Array, "T S H"]:
        return value_iteration.finite_horizon(transitions, rewards, legal, game.horizon, game.discount)

    return jnp.swapaxes(jax.vmap(solve)(rewards), 0, 1)


def make(game: Game, rationality: float = 1.0, partner: Numbers | None = None) -> Boltzmann:
    """The noisily rational human of a game given by arrays. `rationality` is in nats per unit of reward."""
    if not isinstance(game, TabularGame):
        raise ValueError("A Boltzmann human needs a game given by arrays (TabularGame) to know what actions are worth.")
    if not rationality >= 0.0:
        raise ValueError(f"The rationality is {rationality}; it must be at least 0.")
    seen = np.asarray(game.arrays.sees[HUMAN])
    if len(np.unique(seen)) < len(seen):
        raise ValueError("A Boltzmann human must see the whole state, but two states look the same to the human.")
    values = action_values(game, partner)
    gaps = (
        values
        - value_iteration.best(values, jnp.broadcast_to(jnp.asarray(game.arrays.legal_human), values.shape))[..., None]
    )
    # An action that is not legal may promise more than any legal one: it is never drawn, so its gap does not matter.
    gaps = jnp.where(gaps > -TIE, 0.0, gaps)
    state_seen = jnp.zeros(len(seen), jnp.int32).at[seen].set(jnp.arange(len(seen), dtype=jnp.int32))
    return Boltzmann(gaps, state_seen, jnp.asarray(rationality, jnp.float32))

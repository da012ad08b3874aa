"""A human who learns what they like: asks for the arm that has felt best so far, and now and then for any.

Chan et al. 2019, "The Assistive Multi-Armed Bandit", arXiv 1901.08654. Theta is ignored: all this person knows is what
they felt.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.core import Game, Human, Theta
from tacit.games.bandit import Bandit, State


class Tried(NamedTuple):
    """How often each arm was pulled, and what it paid in all."""

    counts: Int[Array, " K"]
    sums: Float[Array, " K"]


class EpsilonGreedy(Human):
    """With probability `epsilon` any arm, else one of those with the best mean so far; an untried arm's counts as 0."""

    num_arms: int = eqx.field(static=True)
    epsilon: Float[Array, ""]

    def init(self, key: Key[Array, ""]) -> Tried:
        """Nothing tried."""
        del key
        return Tried(jnp.zeros(self.num_arms, jnp.int32), jnp.zeros(self.num_arms))

    def logits(
        self, theta: Theta, memory: Tried, observation: State, key: Key[Array, ""]
    ) -> tuple[Float[Array, " A"], Tried]:
        """The log of the probability of each arm. Passing comes first, and counts only where nothing else is legal."""
        del theta, observation, key
        means = memory.sums / jnp.maximum(memory.counts, 1).astype(jnp.float32)
        best = (means == jnp.max(means)).astype(jnp.float32)
        chances = self.epsilon / self.num_arms + (1.0 - self.epsilon) * best / jnp.sum(best)
        return jnp.concatenate([jnp.zeros(1), jnp.log(chances)]), memory

    def feel(self, memory: Tried, observation: State, felt: Float[Array, ""]) -> Tried:
        """Count the pull and what it paid. Where nothing was pulled (-1), nothing changes."""
        pulled = jnp.arange(self.num_arms) == observation.pulled
        return Tried(memory.counts + pulled.astype(jnp.int32), memory.sums + jnp.where(pulled, felt, 0.0))


def make(game: Game, epsilon: float = 0.1) -> EpsilonGreedy:
    """The learner of a bandit. With `epsilon` 0 it is the greedy one."""
    if not isinstance(game, Bandit):
        raise ValueError("An epsilon-greedy learner needs a bandit.")
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"epsilon is {epsilon}; a probability lies between 0 and 1.")
    return EpsilonGreedy(game.num_arms, jnp.asarray(epsilon, jnp.float32))

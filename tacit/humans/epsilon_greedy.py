"""A human who learns what they like: asks for the arm that has felt best so far, and now and then for any.

Chan et al. 2019, "The Assistive Multi-Armed Bandit", arXiv 1901.08654. Theta is ignored: all this person knows is what
they felt. With `epsilon` 0 it is the greedy learner, with 1 someone who asks at random.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tacit.core import Game
from tacit.humans.counting import CountingLearner, Tried, bandit, best, evenly


class EpsilonGreedy(CountingLearner):
    """With probability `epsilon` any arm, else one of those with the best mean so far; an untried arm's counts as 0."""

    num_arms: int = eqx.field(static=True)
    epsilon: Float[Array, ""]

    def chances(self, tried: Tried, time: Int[Array, ""]) -> Float[Array, " K"]:
        """ε / K + (1 - ε) / (how many are best), the second for the best alone."""
        del time
        means = tried.sums / jnp.maximum(tried.counts, 1).astype(jnp.float32)
        return self.epsilon / self.num_arms + (1.0 - self.epsilon) * evenly(best(means))


def make(game: Game, epsilon: float = 0.1) -> EpsilonGreedy:
    """The learner of a bandit. With `epsilon` 0 it is the greedy one."""
    arms = bandit(game, "An epsilon-greedy learner").num_arms
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"Epsilon is {epsilon}; a probability lies between 0 and 1.")
    return EpsilonGreedy(arms, jnp.asarray(epsilon, jnp.float32))

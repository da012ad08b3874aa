"""A human who knows what they like: asks for the best arm, and now and then for any. No learner, but taken for one.

Chan et al. 2019, "The Assistive Multi-Armed Bandit", arXiv 1901.08654: the expert whom apprenticeship assumes.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from tacit.core import Game, Human
from tacit.games.bandit import State
from tacit.humans.counting import arm_logits, bandit, best, evenly


class EpsilonOptimal(Human):
    """With probability `epsilon` any arm, else one of the best in truth."""

    num_arms: int = eqx.field(static=True)
    epsilon: Float[Array, ""]

    def init(self, key: Key[Array, ""]) -> None:
        """Nothing to remember."""
        del key

    def logits(
        self, theta: Float[Array, " K"], memory: None, observation: State, key: Key[Array, ""]
    ) -> tuple[Float[Array, " A"], None]:
        """The log of ε / K + (1 - ε) / (how many are best), the second for the best alone."""
        del observation, key
        return arm_logits(self.epsilon / self.num_arms + (1.0 - self.epsilon) * evenly(best(theta))), memory


def make(game: Game, epsilon: float = 0.1) -> EpsilonOptimal:
    """The expert of a bandit. With `epsilon` 0 they never err."""
    arms = bandit(game, "An epsilon-optimal person").num_arms
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"Epsilon is {epsilon}; a probability lies between 0 and 1.")
    return EpsilonOptimal(arms, jnp.asarray(epsilon, jnp.float32))

"""Which of these outcomes is best? Two or more of them, compared by the reward of someone who wants theta."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Float, Key

from tacit.core import Question, Theta

Outcome = Any
"""What is compared: a feature vector, a trajectory, a house. Any pytree."""


class Comparison(Question):
    """A choice among K outcomes, a pytree with a leading axis K. `reward(theta, outcome)` is what each is worth."""

    outcomes: Outcome
    reward: Callable[[Theta, Outcome], Float[Array, ""]]

    def values(self, theta: Theta) -> Float[Array, " K"]:
        """The reward of each outcome."""
        return jax.vmap(lambda outcome: self.reward(theta, outcome))(self.outcomes)


def linear(theta: Float[Array, " D"], features: Float[Array, " D"]) -> Float[Array, ""]:
    """A reward linear in features: θ · φ."""
    return theta @ features


def make(outcomes: Outcome, reward: Callable[[Theta, Outcome], Float[Array, ""]] = linear) -> Comparison:
    """The question which of `outcomes` is best. By default they are feature vectors and theta their weights."""
    sizes = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(outcomes)}
    if len(sizes) != 1 or min(sizes) < 2:
        raise ValueError(f"The outcomes' leading axes are {sorted(sizes)}; they must all be the same, and at least 2.")
    return Comparison(outcomes, reward)


def example(key: Key[Array, ""]) -> tuple[Comparison, Float[Array, "N D"]]:
    """A question about three random outcomes of two features, and five weight vectors that someone might have."""
    outcomes_key, thetas_key = jax.random.split(key)
    return make(jax.random.normal(outcomes_key, (3, 2))), jax.random.normal(thetas_key, (5, 2))

"""What does one believe about a house? One categorical per cell: what a network makes of the history, and evidence.

    q(x, k) ∝ exp(logits(x, k) + evidence(x, k))

The network's logits are found anew every turn. The evidence stays: whatever a person says about a cell (a press, a "not
that", a correction) is added to it as a log-likelihood, and moves the belief by exactly as much.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8, Key

from tacit.core import Belief


class VoxelBelief(Belief):
    """Independent cells: b(θ) = Π_x q(x, θ_x)."""

    logits: Float[Array, "X Y Z M"]
    """From a network or a prior; any constant may be added to a cell's."""
    evidence: Float[Array, "X Y Z M"]
    """Log-likelihoods of what was observed about each cell, summed."""

    @property
    def probabilities(self) -> Float[Array, "X Y Z M"]:
        """q, the probability of each kind at each cell."""
        return jax.nn.softmax(self.logits + self.evidence)

    def update(self, log_likelihood: Float[Array, "X Y Z M"]) -> "VoxelBelief":
        """Bayes' rule for what was observed about single cells: log L(x, k), 0 where nothing was."""
        return eqx.tree_at(lambda belief: belief.evidence, self, self.evidence + log_likelihood)

    def expect(self, f: Callable[[Float[Array, "X Y Z M"]], Array]) -> Array:
        """E_b[f(θ)] of a function of θ in one-hot form that is linear in every cell: then E_b[f(θ)] = f(E_b[θ]).

        The expected reward of an edit is such a function. For any other, average over `sample`.
        """
        return f(self.probabilities)

    def sample(self, key: Key[Array, ""]) -> Int8[Array, "X Y Z"]:
        """Draw the kind of every cell."""
        return jax.random.categorical(key, self.logits + self.evidence).astype(jnp.int8)


def vague(probabilities: Float[Array, "X Y Z M"]) -> VoxelBelief:
    """The belief with these probabilities and no evidence yet."""
    logits = jnp.log(probabilities)
    return VoxelBelief(logits, jnp.zeros_like(logits))

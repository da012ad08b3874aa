"""What does one believe when theta cannot be listed? A cloud of weighted hypotheses.

Each of N hypotheses carries a log-weight. Bayes' rule moves the weights; where few hypotheses are left with any,
`resample` draws the cloud anew. Gordon, Salmond and Smith 1993, "Novel approach to nonlinear/non-Gaussian Bayesian
state estimation"; systematic resampling: Kitagawa 1996.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.core import Belief, Theta


class ParticleBelief(Belief):
    """Weighted hypotheses: b(θ) = Σₙ wₙ δ(θ = θₙ). The hypotheses are a pytree with a leading axis N."""

    hypotheses: Theta
    log_weights: Float[Array, " N"]

    @property
    def weights(self) -> Float[Array, " N"]:
        """The weights, normalised."""
        return jax.nn.softmax(self.log_weights)

    def update(self, log_likelihood: Float[Array, " N"]) -> "ParticleBelief":
        """Bayes' rule: wₙ ∝ wₙ · Lₙ. The log-weights stay normalised."""
        log_weights = jax.nn.log_softmax(self.log_weights + log_likelihood)
        return eqx.tree_at(lambda belief: belief.log_weights, self, log_weights)

    def expect(self, f: Callable[[Theta], Array]) -> Array:
        """E_b[f(θ)] = Σₙ wₙ f(θₙ)."""
        return jnp.tensordot(self.weights, jax.vmap(f)(self.hypotheses), axes=1)

    def sample(self, key: Key[Array, ""]) -> Theta:
        """Draw one hypothesis by its weight."""
        index = jax.random.categorical(key, self.log_weights)
        return jax.tree.map(lambda x: x[index], self.hypotheses)

    def effective_size(self) -> Float[Array, ""]:
        """How many equally weighted hypotheses tell as much: 1 / Σₙ wₙ² (Kong 1992)."""
        return 1.0 / jnp.sum(jnp.square(self.weights))

    def ancestors(self, key: Key[Array, ""]) -> Int[Array, " N"]:
        """Systematic resampling: N indices, in which n occurs ⌊N wₙ⌋ or ⌈N wₙ⌉ times and N wₙ times on average."""
        size = self.log_weights.shape[0]
        points = (jnp.arange(size, dtype=jnp.float32) + jax.random.uniform(key)) / size
        index = jnp.searchsorted(jnp.cumsum(self.weights), points, side="right")
        return jnp.clip(index, 0, size - 1).astype(jnp.int32)

    def resample(self, key: Key[Array, ""]) -> "ParticleBelief":
        """The same belief with equal weights: likely hypotheses occur often, unlikely ones no more."""
        index = self.ancestors(key)
        hypotheses = jax.tree.map(lambda x: x[index], self.hypotheses)
        return ParticleBelief(hypotheses, jnp.full_like(self.log_weights, -jnp.log(float(index.shape[0]))))

"""What does one believe when every theta can be listed? Bayes' rule, without approximation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from tacit.core import Belief, Theta


class ExactBelief(Belief):
    """A probability for each of N hypotheses. They are a pytree with a leading axis N; the log-weights are normalised.

    A log-weight of -inf rules a hypothesis out for good.
    """

    hypotheses: Theta
    log_weights: Float[Array, " N"]

    @property
    def probabilities(self) -> Float[Array, " N"]:
        """b(θ) of each hypothesis."""
        return jnp.exp(self.log_weights)

    def update(self, log_likelihood: Float[Array, " N"]) -> "ExactBelief":
        """Bayes' rule: b'(θ) ∝ b(θ) · L(θ).

        Evidence that every hypothesis left rules out (all of them -inf) says that the list or the likelihood is wrong,
        not which theta is right: the belief stays as it was.
        """
        joint = self.log_weights + log_likelihood
        possible = jnp.any(joint > -jnp.inf)
        posterior = jax.nn.log_softmax(jnp.where(possible, joint, 0.0))
        return ExactBelief(self.hypotheses, jnp.where(possible, posterior, self.log_weights))

    def expect(self, f: Callable[[Theta], Array]) -> Array:
        """E_b[f(θ)] = Σ b(θ) f(θ). What is ruled out does not count, even if f is infinite or undefined there."""
        values = jax.vmap(f)(self.hypotheses)
        weights = self.probabilities.reshape(-1, *[1] * (values.ndim - 1))
        return jnp.sum(jnp.where(weights > 0.0, weights * values, 0.0), axis=0)

    def sample(self, key: Key[Array, ""]) -> Theta:
        """Draw one hypothesis."""
        index = jax.random.categorical(key, self.log_weights)
        return jax.tree.map(lambda x: x[index], self.hypotheses)


def believe(hypotheses: Theta, prior: Float[Array, " N"]) -> ExactBelief:
    """The belief that holds `hypotheses` with the probabilities `prior`, which need not sum to one."""
    return ExactBelief(hypotheses, jax.nn.log_softmax(jnp.log(prior)))

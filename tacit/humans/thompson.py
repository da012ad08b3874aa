"""A human who learns what they like: asks for each arm as often as it is likely to be the best, given what they felt.

Thompson 1933, "On the likelihood that one unknown probability exceeds another in view of the evidence of two samples".
The choice is a likelihood for whoever watches, so that the probabilities are worked out and not drawn.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy import stats

from tacit.core import Game
from tacit.humans.counting import CountingLearner, Tried, bandit

MAX_ROUNDS = 250
"""The longest bandit that tables are made for; they grow with the third power of the rounds."""


class Thompson(CountingLearner):
    """P(arm k is best) = ∫ f_k(x) Π_{j≠k} F_j(x) dx, the mean of an arm being Beta(1 + successes, 1 + failures).

    The integrand is a polynomial, so that Gauss-Legendre quadrature is exact. `density[s, f]` holds an arm's density at
    the nodes, times their weights, and `below[s, f]` its distribution function.
    """

    num_arms: int = eqx.field(static=True)
    density: Float[Array, "S F Q"]
    below: Float[Array, "S F Q"]

    def chances(self, tried: Tried, time: Int[Array, ""]) -> Float[Array, " K"]:
        """How likely each arm is the best."""
        del time
        below = self.below[tried.successes, tried.failures]
        itself = jnp.eye(self.num_arms, dtype=bool)[:, :, None]
        others = jnp.prod(jnp.where(itself, 1.0, below[None]), axis=1)
        return jnp.sum(self.density[tried.successes, tried.failures] * others, axis=1)


def make(game: Game) -> Thompson:
    """The learner of a bandit who matches probabilities."""
    game = bandit(game, "A Thompson sampler")
    if game.num_rounds > MAX_ROUNDS:
        raise ValueError(f"A Thompson sampler's tables are for at most {MAX_ROUNDS} rounds, not {game.num_rounds}.")
    density, below = tables(game.num_arms, game.num_rounds)
    return Thompson(game.num_arms, jnp.asarray(density, jnp.float32), jnp.asarray(below, jnp.float32))


def tables(num_arms: int, num_pulls: int) -> tuple[Float[np.ndarray, "S F Q"], Float[np.ndarray, "S F Q"]]:
    """Densities times weights, and distribution functions, at nodes that are exact for up to `num_pulls` pulls.

    K arms with n pulls in all give a polynomial of degree n + K - 1.
    """
    nodes, weights = np.polynomial.legendre.leggauss((num_pulls + num_arms) // 2 + 1)
    nodes, weights = (1.0 + nodes) / 2.0, weights / 2.0
    successes, failures = np.indices((num_pulls + 1,) * 2)[..., None]
    shape = 1 + successes, 1 + failures
    return stats.beta.pdf(nodes, *shape) * weights, stats.beta.cdf(nodes, *shape)

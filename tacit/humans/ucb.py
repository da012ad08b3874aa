"""A human who learns what they like and is hopeful: asks for the arm that could be best, the less tried the more so.

Auer, Cesa-Bianchi and Fischer 2002, "Finite-time analysis of the multiarmed bandit problem", UCB1.
"""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tacit.core import Game
from tacit.humans.counting import CountingLearner, Tried, bandit, best, evenly


class Ucb(CountingLearner):
    """Every arm once, then the highest mean + c √(ln t / n), n the pulls of the arm and t those of all; ties evenly."""

    num_arms: int = eqx.field(static=True)
    hope: Float[Array, ""]

    def chances(self, tried: Tried, time: Int[Array, ""]) -> Float[Array, " K"]:
        """Evenly among the untried arms while there are some, then among those of the highest bound."""
        del time
        pulls = jnp.maximum(tried.counts, 1).astype(jnp.float32)
        total = jnp.maximum(jnp.sum(tried.counts), 1).astype(jnp.float32)
        bounds = tried.sums / pulls + self.hope * jnp.sqrt(jnp.log(total) / pulls)
        return evenly(best(jnp.where(tried.counts == 0, jnp.inf, bounds)))


def make(game: Game, hope: float = math.sqrt(2.0)) -> Ucb:
    """The hopeful learner of a bandit; `hope` is c, which is √2 in the paper."""
    arms = bandit(game, "A learner by upper confidence bounds").num_arms
    if not (hope >= 0.0 and math.isfinite(hope)):
        raise ValueError(f"The hope is {hope}; it must be a number of at least 0.")
    return Ucb(arms, jnp.asarray(hope, jnp.float32))

"""A human who stays with an arm that just paid and leaves one that did not: a poor learner who tells all they feel.

Whoever sees the requests knows every reward, so that an assistant can do as well for this person as anyone could alone.
Chan et al. 2019, "The Assistive Multi-Armed Bandit", arXiv 1901.08654.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.core import Game, Human, Theta
from tacit.games.bandit import NO_ARM, Bandit, State


class Last(NamedTuple):
    """The last pull (-1 for none yet) and what it paid."""

    arm: Int[Array, ""]
    felt: Float[Array, ""]


class WinStayLoseShift(Human):
    """The same arm after a win, any other after a loss, and any at first."""

    num_arms: int = eqx.field(static=True)

    def init(self, key: Key[Array, ""]) -> Last:
        """Nothing pulled."""
        del key
        return Last(jnp.full((), NO_ARM, jnp.int32), jnp.zeros(()))

    def logits(
        self, theta: Theta, memory: Last, observation: State, key: Key[Array, ""]
    ) -> tuple[Float[Array, " A"], Last]:
        """Zero for what may be chosen, -inf for the rest. Passing counts only where nothing else is legal."""
        del theta, observation, key
        same = jnp.arange(self.num_arms) == memory.arm
        wanted = same == (memory.felt > 0.5)
        return jnp.concatenate([jnp.zeros(1), jnp.where(wanted, 0.0, -jnp.inf)]), memory

    def feel(self, memory: Last, observation: State, felt: Float[Array, ""]) -> Last:
        """Keep the last pull."""
        pulled = observation.pulled != NO_ARM
        return Last(jnp.where(pulled, observation.pulled, memory.arm), jnp.where(pulled, felt, memory.felt))


def make(game: Game) -> WinStayLoseShift:
    """The person of a bandit with at least two arms."""
    if not isinstance(game, Bandit) or game.num_arms < 2:
        raise ValueError("Win-stay-lose-shift needs a bandit with at least two arms.")
    return WinStayLoseShift(game.num_arms)

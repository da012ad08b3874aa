"""The assistive bandit: what can an assistant do for a person who does not know yet what they like?

K arms pay 1 with probabilities that nobody knows. Every round the human asks for an arm (a turn in which the assistant
passes); then the assistant, who saw the request, pulls any arm (a turn in which the human passes), and the human alone
feels what it pays. Theta is the arms' means. Chan et al. 2019, "The Assistive Multi-Armed Bandit", arXiv 1901.08654.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.core import ASSISTANT, HUMAN, Game

PASS, NO_ARM = 0, -1
"""Action 0 passes and action 1 + k asks for, or pulls, arm k."""


class State(NamedTuple):
    """The public world. Even turns are for asking, odd ones for pulling; `requested` and `pulled` tell of the turn
    before, and are -1 if it was not for that.
    """

    requested: Int[Array, ""]
    pulled: Int[Array, ""]
    time: Int[Array, ""]


class Bandit(Game):
    """A Bernoulli bandit whose means are drawn evenly from [0, 1]."""

    num_arms: int = eqx.field(static=True)
    num_rounds: int = eqx.field(static=True)

    @property
    def num_actions(self) -> tuple[int, int]:
        """To pass, and each arm."""
        return self.num_arms + 1, self.num_arms + 1

    @property
    def horizon(self) -> int:
        """Two turns a round."""
        return 2 * self.num_rounds

    @property
    def discount(self) -> float:
        """Later turns weigh the same."""
        return 1.0

    def sample_theta(self, key: Key[Array, ""]) -> Float[Array, " K"]:
        """Draw the means."""
        return jax.random.uniform(key, (self.num_arms,))

    def init(self, key: Key[Array, ""]) -> State:
        """Nothing has been asked for."""
        del key
        none = jnp.full((), NO_ARM, jnp.int32)
        return State(none, none, jnp.zeros((), jnp.int32))

    def step(self, state: State, actions: Int[Array, "2"], key: Key[Array, ""]) -> State:
        """The player whose turn it is has asked or pulled; the other has passed whatever it chose."""
        del key
        arms = actions - 1  # passing, action 0, becomes NO_ARM
        asking = state.time % 2 == 0
        return State(jnp.where(asking, arms[HUMAN], NO_ARM), jnp.where(asking, NO_ARM, arms[ASSISTANT]), state.time + 1)

    def reward(
        self, theta: Float[Array, " K"], state: State, actions: Int[Array, "2"], next_state: State
    ) -> Float[Array, "2"]:
        """The mean of the arm that was pulled, which is the assistant's doing."""
        del state, actions
        paid = jnp.where(next_state.pulled == NO_ARM, 0.0, theta[next_state.pulled])
        return jnp.stack([jnp.zeros_like(paid), paid])

    def felt(
        self, theta: Float[Array, " K"], state: State, actions: Int[Array, "2"], next_state: State, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """What the pull paid: one draw, 0 or 1."""
        mean = self.reward(theta, state, actions, next_state).sum()
        return jax.random.bernoulli(key, mean).astype(jnp.float32)

    def observe(self, state: State) -> tuple[State, State]:
        """Requests and pulls are public. What a pull paid is in neither observation: the human feels it."""
        return state, state

    def legal(self, state: State) -> tuple[Bool[Array, " A"], Bool[Array, " A"]]:
        """An arm in one's own turn, and only to pass in the other's."""
        asking = state.time % 2 == 0
        passing = jnp.arange(self.num_arms + 1) == PASS
        return passing ^ asking, passing ^ ~asking

    def finished(self, theta: Float[Array, " K"], state: State) -> Bool[Array, ""]:
        """Never before the horizon."""
        del theta, state
        return jnp.zeros((), bool)


def make(num_arms: int = 4, num_rounds: int = 50) -> Bandit:
    """The bandit of the paper: four arms, fifty rounds."""
    if num_arms < 1 or num_rounds < 1:
        raise ValueError(f"A bandit needs at least one arm and one round, not {num_arms} and {num_rounds}.")
    return Bandit(num_arms, num_rounds)

"""Pulls the arm that the human asked for: what a bandit's human does alone, and what an assistant has to beat."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from tacit.core import Assistant, Game, Human
from tacit.games.bandit import Bandit, State


class Obey(Assistant):
    """Does as it is told, and believes nothing."""

    num_arms: int = eqx.field(static=True)

    def init(self, key: Key[Array, ""]) -> None:
        """No memory."""
        del key

    def logits(self, memory: None, observation: State, key: Key[Array, ""]) -> tuple[Float[Array, " A"], None]:
        """Only the requested arm; passing where nothing was requested."""
        del key
        return 1e9 * jax.nn.one_hot(observation.requested + 1, self.num_arms + 1), memory

    def thoughts(self, memory: None) -> None:
        """None."""
        del memory


def make(game: Game, human: Human) -> Obey:
    """The obedient assistant of a bandit."""
    del human
    if not isinstance(game, Bandit):
        raise ValueError("The obedient assistant needs a bandit, where it can be asked for something.")
    return Obey(game.num_arms)

"""How much could a greedy hand help if it knew the house? A yardstick, and the only assistant that is told theta."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from tacit.core import ASSISTANT, Assistant, Game, Human, Theta
from tacit.games.building.actions import EditLogits
from tacit.games.building.game import House, Observation, bare_ground, building_game
from tacit.games.building.hand import hand


class Certainty(NamedTuple):
    """The house as per-cell probabilities that are 0 or 1."""

    probabilities: Float[Array, "X Y Z M"]


class Oracle(Assistant):
    """The greedy hand on the true house, once `reveal` has told it. Until then it takes bare ground for the house."""

    theta: House
    num_kinds: int = eqx.field(static=True)

    def init(self, key: Key[Array, ""]) -> None:
        """Nothing to remember."""
        del key

    def logits(self, memory: None, observation: Observation, key: Key[Array, ""]) -> tuple[EditLogits, None]:
        """The hand's, with no doubt."""
        del key
        return hand(observation, self.thoughts(memory).probabilities, 0.0, ASSISTANT), memory

    def thoughts(self, memory: None) -> Certainty:
        """The house."""
        del memory
        return Certainty(jax.nn.one_hot(self.theta, self.num_kinds, dtype=jnp.float32))


def make(game: Game, human: Human) -> Oracle:
    """The yardstick, not yet told anything: see `reveal`."""
    del human
    building = building_game(game, "The assistant 'oracle'")
    return Oracle(bare_ground(building.shape), building.num_kinds)


def reveal(assistant: Assistant, theta: Theta) -> Assistant:
    """Tell the oracle what the human wants; every other assistant comes back as it was."""
    return dataclasses.replace(assistant, theta=theta) if isinstance(assistant, Oracle) else assistant

"""No help at all: this assistant only passes. Evaluations play it with its body absent."""

import jax.numpy as jnp
from jaxtyping import Array, Key

from tacit.core import ASSISTANT, Assistant, Game, Human, Logits, Observation
from tacit.games.building.actions import EditLogits
from tacit.games.building.game import BuildingGame

NEVER = -1e9
"""The logit of all but passing: it is done only where passing is not legal."""


class Idle(Assistant):
    """Passes every turn in which that is legal."""

    passing: Logits

    def init(self, key: Key[Array, ""]) -> None:
        """Nothing to remember."""
        del key

    def logits(self, memory: None, observation: Observation, key: Key[Array, ""]) -> tuple[Logits, None]:
        """Nothing but passing has any weight."""
        del observation, key
        return self.passing, memory

    def thoughts(self, memory: None) -> None:
        """None."""
        return memory


def make(game: Game, human: Human) -> Idle:
    """The assistant that passes; action 0 is to pass."""
    del human
    if isinstance(game, BuildingGame):
        cells = jnp.full((game.num_cells,), NEVER)
        kind = jnp.zeros((game.num_cells, game.num_kinds))
        return Idle(EditLogits(jnp.zeros(()), cells, kind, cells, jnp.full((6,), NEVER)))
    return Idle(jnp.where(jnp.arange(game.num_actions[ASSISTANT]) == 0, 0.0, NEVER))

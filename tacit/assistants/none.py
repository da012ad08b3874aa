"""No help at all: this assistant only passes. Evaluations play it with its body absent."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Key

from tacit.assistants.hand import building_game
from tacit.core import Assistant, Game, Human
from tacit.games.building.actions import EditLogits
from tacit.games.building.game import Observation


class Idle(Assistant):
    """Passes every turn."""

    num_kinds: int = eqx.field(static=True)

    def init(self, key: Key[Array, ""]) -> None:
        """Nothing to remember."""
        del key

    def logits(self, memory: None, observation: Observation, key: Key[Array, ""]) -> tuple[EditLogits, None]:
        """Nothing but passing has any weight."""
        del key
        num_cells = observation.blocks.size
        never = jnp.full((num_cells,), -jnp.inf)
        kind = jnp.zeros((num_cells, self.num_kinds))
        return EditLogits(jnp.zeros(()), never, kind, never, jnp.full((6,), -jnp.inf)), memory

    def thoughts(self, memory: None) -> None:
        """None."""
        return memory


def make(game: Game, human: Human) -> Idle:
    """The assistant that passes."""
    del human
    return Idle(building_game(game, "none").num_kinds)

"""Help without thought: this assistant draws among what is legal, edits, moves and passing alike."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Key

from tacit.assistants.hand import building_game
from tacit.core import Assistant, Game, Human
from tacit.games.building.actions import EditLogits
from tacit.games.building.game import Observation


class Uniform(Assistant):
    """Weighs every legal first choice the same, and every kind."""

    num_kinds: int = eqx.field(static=True)

    def init(self, key: Key[Array, ""]) -> None:
        """Nothing to remember."""
        del key

    def logits(self, memory: None, observation: Observation, key: Key[Array, ""]) -> tuple[EditLogits, None]:
        """All the same."""
        del key
        cells = jnp.zeros((observation.blocks.size,))
        kind = jnp.zeros((observation.blocks.size, self.num_kinds))
        return EditLogits(jnp.zeros(()), cells, kind, cells, jnp.zeros((6,))), memory

    def thoughts(self, memory: None) -> None:
        """None."""
        return memory


def make(game: Game, human: Human) -> Uniform:
    """The assistant that acts at random."""
    del human
    return Uniform(building_game(game, "random").num_kinds)

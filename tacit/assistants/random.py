"""Help without thought: this assistant draws among what is legal."""

from jaxtyping import Array, Key

from tacit.core import ASSISTANT, Assistant, Game, Human, Logits, Observation


class Uniform(Assistant):
    """Prefers nothing. In the building game edits, moves and passing are alike, then kinds of block."""

    indifferent: Logits

    def init(self, key: Key[Array, ""]) -> None:
        """Nothing to remember."""
        del key

    def logits(self, memory: None, observation: Observation, key: Key[Array, ""]) -> tuple[Logits, None]:
        """All the same."""
        del observation, key
        return self.indifferent, memory

    def thoughts(self, memory: None) -> None:
        """None."""
        return memory


def make(game: Game, human: Human) -> Uniform:
    """The assistant that acts at random."""
    del human
    return Uniform(game.indifferent(ASSISTANT))

"""Acts on its first thought: what the policy head advises, without a search.

So play those who learned a policy by other means than search (imitation, PPO), and AssistanceZero without its search:

    P(a) ∝ exp((κ · what a is worth, or leads to, by the belief + policy head(a)) / temperature)

The first term is the prior that AssistanceZero's search starts from, so that whoever learns starts from the same
policy. Of which kind a block is, the belief says. The temperature is that of Laidlaw et al. 2025 (arXiv 2504.07091).
"""

import jax
from jaxtyping import Array, Float, Key

from tacit.assistants.assistancezero import NUM_CANDIDATES, Foresight, Skill
from tacit.assistants.greedy import Greedy, Knowledge, Thoughts
from tacit.assistants.greedy import Skill as Reader
from tacit.core import Assistant
from tacit.games.building import hand, history
from tacit.games.building.actions import EditLogits
from tacit.games.building.game import BuildingGame, Observation
from tacit.learning.networks import Counsel

TEMPERATURE = 0.3


class Intuition(Assistant):
    """The learned belief with the policy head's advice."""

    game: BuildingGame
    skill: Skill
    temperature: float = TEMPERATURE

    @property
    def reader(self) -> Greedy:
        """Who reads the history."""
        return Greedy(self.game, Reader(self.skill.network.voxels, self.skill.threshold))

    def init(self, key: Key[Array, ""]) -> Knowledge:
        """Nothing seen yet."""
        return self.reader.init(key)

    def logits(self, memory: Knowledge, observation: Observation, key: Key[Array, ""]) -> tuple[EditLogits, Knowledge]:
        """Read the history anew, and do what comes to mind."""
        del key
        memory = self.reader.read(memory, observation)
        said = self.skill.network(*history.view(memory.history, observation))
        thought = first_thought(self.game, self.skill, said, memory.belief.probabilities, observation)
        return sharpened(thought, self.temperature), memory

    def thoughts(self, memory: Knowledge) -> Thoughts:
        """What each cell probably should be."""
        return self.reader.thoughts(memory)


def first_thought(
    game: BuildingGame, skill: Skill, said: Counsel, belief: Float[Array, "X Y Z M"], seen: Observation
) -> EditLogits:
    """Log P(a) at temperature 1, but for a constant."""
    promise = Foresight(game, skill, NUM_CANDIDATES).promise(belief, seen)
    return EditLogits(
        promise.rest + said.rest,
        promise.place + said.place.reshape(-1),
        hand.SHARPNESS * promise.kind,
        promise.remove + said.remove.reshape(-1),
        promise.move + said.move,
    )


def sharpened(logits: EditLogits, temperature: float) -> EditLogits:
    """The same preferences at another temperature; the kind of a block is left as sure as it is."""
    return jax.tree.map(lambda logit: logit / temperature, logits)._replace(kind=logits.kind)

"""Acts on its first thought: what the policy head advises, without a search.

So play those who learned a policy by other means than search (imitation, PPO), and AssistanceZero without its search:

    P(a) ∝ exp((κ · what a is worth, or leads to, by the belief + policy head(a)) / temperature)

The first term is the prior that AssistanceZero's search starts from, so that whoever learns starts from the same
policy. Of which kind a block is, the belief says. The temperature is that of Laidlaw et al. 2025 (arXiv 2504.07091).
"""

from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from tacit.assistants.assistancezero import Foresight, Skill, advised, load_skill
from tacit.assistants.greedy import Greedy, Knowledge, Thoughts
from tacit.assistants.greedy import Skill as Reader
from tacit.beliefs.voxels import VoxelBelief
from tacit.core import Assistant, Game
from tacit.games.building import hand
from tacit.games.building.actions import EditLogits, parted
from tacit.games.building.game import BuildingGame, Observation, building_game
from tacit.planning.tree_search import prune
from tacit.storage import shipped

TEMPERATURE = 0.3


class Intuition(Assistant):
    """The learned belief with the policy head's advice."""

    game: BuildingGame
    skill: Skill
    temperature: float = TEMPERATURE
    num_candidates: int | None = eqx.field(static=True, default=None)
    """How many first choices it chooses among, the likeliest; None for all. A search teaches the policy head nothing of
    those that it does not consider."""

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
        past = self.reader.follow(memory, observation)
        evidence = memory.belief.evidence + self.reader.not_that(memory.last, observation)
        said, belief, prior = Foresight(self.game, self.skill).glance(observation, past, evidence)
        choices = prior + advised(said)
        if self.num_candidates is not None:
            slots, logits = prune(choices, self.num_candidates)
            choices = jnp.full_like(choices, -jnp.inf).at[slots].set(logits)
        rest, place, remove, move = parted(choices / self.temperature)
        kind = hand.SHARPNESS * belief.reshape(self.game.num_cells, -1)
        known = Knowledge(VoxelBelief(said.heads.goal, evidence), past, observation, said.heads)
        return EditLogits(rest, place, kind, remove, move), known

    def tell(self, memory: Knowledge, log_likelihood: Float[Array, "X Y Z M"]) -> Knowledge:
        """The memory after evidence about single cells, which stays until the end of the episode."""
        return self.reader.tell(memory, log_likelihood)

    def thoughts(self, memory: Knowledge) -> Thoughts:
        """What each cell probably should be."""
        return self.reader.thoughts(memory)


def trained(game: Game, name: str, weights: Path | None) -> Intuition:
    """Who goes by this name, with these weights or with those of this name that come with tacit."""
    building = building_game(game, f"The assistant {name!r}")
    return Intuition(building, load_skill(building, shipped(name) if weights is None else weights))

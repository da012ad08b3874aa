"""AssistanceZero in building-paper, the published size, from a network that knows houses only as they are on average.

As assistancezero-small, with the schedule of Laidlaw et al. 2025: 500 rounds of 256 worlds and 64 turns, and 100
simulations a turn. It wants a GPU; docs/gpu.md says how to run it in pieces.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from tacit.assistants.assistancezero import AssistanceZero, Skill
from tacit.assistants.greedy import sizes
from tacit.core import Human
from tacit.evaluation.compare import Contender, Contest, run
from tacit.evaluation.metrics import BUILDING_FIGURES, marginal_prior
from tacit.games import building_paper
from tacit.games.building.game import BuildingGame
from tacit.humans import builder
from tacit.learning.counsel import Advice
from tacit.learning.counsel import Config as Losses
from tacit.learning.lessons import LessonTrainer
from tacit.learning.networks import CounselNetwork, VoxelNetwork
from tacit.planning.tree_policies import Gumbel
from tacit.planning.tree_search import Config as Search
from tacit.recipes.assistancezero_small import TRIED, SearchedBuilding
from tacit.recipes.belief_small import HelpedBuilding

THRESHOLD = 0.5
"""How much an edit has to promise to be as likely as resting."""


@dataclasses.dataclass(frozen=True)
class Config(Losses):
    """The schedule and the losses, how large the network is, and how much is searched."""

    num_rounds: int = 500
    num_updates: int = 64
    num_worlds: int = 256
    num_held_out: int = 16
    batch: int = 1024
    learning_rate: float = 0.01
    patience: int = 500
    width: int = 128
    depth: int = 4
    embedding: int = 24
    num_moments: int = 32
    """Lessons that each world gives in a round, one every second turn."""
    num_simulations: int = 100
    max_depth: int = 16
    num_trials: int = 32
    """Episodes that the finished assistant is tried in."""


class Trial(eqx.Module):
    """Plays with what was learned, on houses of the train split."""

    game: BuildingGame
    human: Human
    threshold: Float[Array, ""]
    config: Config = eqx.field(static=True)

    def __call__(self, network: CounselNetwork) -> tuple[Skill, Mapping[str, Any]]:
        """The skill, and how well it helps."""
        skill = Skill(network, self.threshold)
        playing = Search(self.config.num_simulations, self.config.max_depth)
        assistant = AssistanceZero(self.game, skill, Gumbel(scale=0.0), playing)
        contest = Contest(self.game, self.game, self.human, self.config.num_trials, seed=1)
        tally = run(contest, Contender("assistancezero", assistant))
        return skill, {name: float(BUILDING_FIGURES[name](tally)) for name in TRIED}


def make(data: Path | None) -> LessonTrainer:
    """The training."""
    del data
    config, game = Config(), building_paper.make("train")
    return trainer(config, game, Trial(game, builder.make(game), jnp.float32(THRESHOLD), config))


def trainer(config: Config, game: BuildingGame, finish: Callable[[Any], tuple]) -> LessonTrainer:
    """The training with any config."""
    prior = marginal_prior(game, jax.random.key(0))
    voxels = VoxelNetwork(sizes(game, config.width, config.depth, config.embedding), prior, jax.random.key(1))
    helped = HelpedBuilding(game=game, human=builder.make(game), unhelped=0.0)
    searching = Search(config.num_simulations, config.max_depth)
    source = SearchedBuilding(
        helped=helped,
        threshold=jnp.float32(THRESHOLD),
        policy=Gumbel(),
        config=searching,
        num_moments=config.num_moments,
    )
    start = CounselNetwork(voxels, jax.random.key(2))
    return LessonTrainer(config, source, Advice(config, start, game.num_kinds), finish)

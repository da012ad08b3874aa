"""AssistanceZero in building-paper, the published size, from a network that knows houses only as they are on average.

As assistancezero-small, with the schedule of Laidlaw et al. 2025: 500 rounds of 256 worlds and 64 turns, and 100
simulations a turn. It wants a GPU; docs/gpu.md says how to run it in pieces.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from tacit.assistants.assistancezero import EXPLORING
from tacit.assistants.greedy import sizes
from tacit.evaluation.metrics import marginal_prior
from tacit.games import building_paper
from tacit.games.building.game import BuildingGame
from tacit.humans import builder
from tacit.learning.counsel import Advice
from tacit.learning.counsel import Config as Losses
from tacit.learning.lessons import LessonTrainer
from tacit.learning.networks import CounselNetwork, VoxelNetwork
from tacit.planning.tree_search import Config as Search
from tacit.recipes.assistancezero_small import SearchedBuilding, Trial, searching
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

    @property
    def search(self) -> Search:
        """How far it looks ahead."""
        return Search(self.num_simulations, self.max_depth)


def make(data: Path | None) -> LessonTrainer:
    """The training."""
    del data
    config, game = Config(), building_paper.make("train")
    play = functools.partial(searching, config=config.search)
    trial = Trial(game, builder.make(game), jnp.float32(THRESHOLD), play, config.num_trials)
    return trainer(config, game, trial)


def trainer(config: Config, game: BuildingGame, finish: Callable[[Any], tuple]) -> LessonTrainer:
    """The training with any config."""
    prior = marginal_prior(game, jax.random.key(0))
    voxels = VoxelNetwork(sizes(game, config.width, config.depth, config.embedding), prior, jax.random.key(1))
    helped = HelpedBuilding(game=game, human=builder.make(game), unhelped=0.0)
    source = SearchedBuilding(
        helped=helped,
        threshold=jnp.float32(THRESHOLD),
        policy=EXPLORING,
        config=config.search,
        num_moments=config.num_moments,
    )
    start = CounselNetwork(voxels, jax.random.key(2))
    return LessonTrainer(config, source, Advice(config, start, game.num_kinds), finish)

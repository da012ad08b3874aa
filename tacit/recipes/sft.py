"""An assistant that does what a helper did beside people: supervised fine-tuning, in building-small.

The second rival of AssistanceZero (Laidlaw et al. 2025, arXiv 2504.07091, section 5). There, people helped people; here
a second scripted person stands in for them, who builds the same house from the assistant's place and is told it, which
the paper's helpers were not. It goes on from the weights of `tacit train pretrained`, given with --data FILE; without
these, from the learned belief.
"""

import dataclasses
from pathlib import Path

from tacit.assistants.assistancezero import load_skill, untrained
from tacit.games import building_small
from tacit.humans import mixed
from tacit.learning.lessons import LessonTrainer
from tacit.learning.networks import CounselNetwork
from tacit.recipes import pretrained


@dataclasses.dataclass(frozen=True)
class Config(pretrained.Config):
    """As for what it goes on from, but learning more gently, and what the person does too."""

    learning_rate: float = 0.001
    before: float = 3.0
    human: float = 0.06


def make(data: Path | None) -> LessonTrainer:
    """The training, from the weights in `data` if there are any."""
    return trainer(Config(), start(data))


def start(weights: Path | None) -> CounselNetwork:
    """The network to go on from. Raises StorageError for a file that is none of an assistant with a policy."""
    game = building_small.make("train")
    return (untrained(game) if weights is None else load_skill(game, weights)).network


def trainer(config: Config, network: CounselNetwork) -> LessonTrainer:
    """The training of a network with any config."""
    return pretrained.imitating(config, network, mixed.make(building_small.make("train")))

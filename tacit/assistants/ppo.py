"""Learned by trying (PPO), with no search: what came of `tacit train ppo`, or of training like it.

The third rival of AssistanceZero (Laidlaw et al. 2025, arXiv 2504.07091, section 5).
"""

from pathlib import Path

from tacit.assistants import intuition
from tacit.assistants.intuition import Intuition
from tacit.core import Game, Human


def make(game: Game, human: Human, weights: Path | None = None) -> Intuition:
    """The assistant with these weights, or with those that come with tacit for a world of this size."""
    del human
    return intuition.trained(game, "ppo", weights)

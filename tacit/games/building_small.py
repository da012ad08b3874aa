"""Build an unseen house of six materials within 8 x 8 x 8 cells: the building game with a short reach."""

from tacit.games.building.game import BuildingGame
from tacit.games.building.houses import HouseGenerator

SHAPE = (8, 8, 8)
NUM_KINDS = 8
REACH = 3.0
HORIZON = 600
"""Turns in which the scripted builder alone finishes more than 99 % of the houses."""


def make(split: str = "train", horizon: int = HORIZON) -> BuildingGame:
    """The game; `split` chooses the houses: "train", "test" or "all"."""
    return BuildingGame(HouseGenerator(SHAPE, NUM_KINDS, split), SHAPE, NUM_KINDS, reach=REACH, horizon=horizon)

"""Build an unseen house of eight materials in a world of 11 x 10 x 10: the building game at its published size.

Laidlaw et al. 2025, "AssistanceZero: Scalably Solving Assistance Games", arXiv 2504.07091: infinite blocks, no
teleporting, reach 4.5, at most 1500 turns.
"""

from tacit.games.building.game import BuildingGame
from tacit.games.building.houses import HouseGenerator

SHAPE = (11, 10, 10)
NUM_KINDS = 10
REACH = 4.5


def make(split: str = "train") -> BuildingGame:
    """The game; `split` chooses the houses: "train", "test" or "all"."""
    return BuildingGame(HouseGenerator(SHAPE, NUM_KINDS, split), SHAPE, NUM_KINDS, reach=REACH, horizon=1500)

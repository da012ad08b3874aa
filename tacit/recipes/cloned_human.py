"""A person who builds as people were recorded to build, alone and with somebody who helped.

Learned from the recordings in the public repository of the Minecraft Building Assistance Game (Laidlaw et al. 2025,
"AssistanceZero: Scalably Solving Assistance Games", arXiv 2504.07091; the package's metadata says MIT), which remain
its authors': github.com/cassidylaidlaw/minecraft-building-assistance-game, folder data/human_data_cleaned. The weights
hold no recording. Of each turn the network is told offsets from the person, relations between blocks and the house, and
what a scripted builder would do: no absolute place, no kind of block, no participant.
"""

from pathlib import Path

from tacit.humans.demonstrations import SIZES, demonstrations, recorded, weights
from tacit.learning.cloning import Cloning, Config

NEEDS = ("data",)


def make(data: Path | None) -> Cloning:
    """The training on everybody in `data`, the folder with the zips, or one zip."""
    assert data is not None
    episodes = recorded(data)
    training, held_out = weights(episodes, [one.participant for one in episodes])
    return Cloning(Config(), SIZES, demonstrations([one.turns for one in episodes]), training, held_out)

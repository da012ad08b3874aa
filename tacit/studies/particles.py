"""How much does an assistant without any training help? Bayes over generated houses with a greedy hand, on unseen ones.

The person is the scripted builder, drawn anew every episode; every contender meets the same houses. "Alone" is the same
person in a world without the assistant's body.
"""

import dataclasses
import math
from pathlib import Path

from tacit.evaluation.compare import Contest
from tacit.games import building_small
from tacit.humans import builder
from tacit.studies.claims import Claim
from tacit.studies.helping import Bars, behind_oracle, helps, played

BARS = Bars(0.3, 0.3, 0.0, "the project's own bar for an assistant that has not been trained")


@dataclasses.dataclass(frozen=True)
class Config:
    """How many unseen houses at each multiple of the person's speed, and who is compared."""

    num_episodes: dict[float, int]
    assistants: tuple[str, ...] = ("none", "particles", "oracle")
    seed: int = 7


CONFIGS = {
    "tiny": Config({1.0: 12}, assistants=("none", "particles")),
    "small": Config({0.5: 64, 1.0: 256, 2.0: 64}),
    "full": Config({0.5: 1024, 1.0: 1024, 2.0: 1024}),
}


def make(tier: str, data: Path | None) -> list[Claim]:
    """Run the table at each speed and check the bars."""
    del data
    config = CONFIGS[tier]
    return [claim for speed in config.num_episodes for claim in at_speed(config, speed)]


def at_speed(config: Config, speed: float) -> list[Claim]:
    """The claims for a person who acts `speed` times as often, with time for them to finish alone."""
    horizon = math.ceil(building_small.HORIZON / min(speed, 1.0))
    game, practice = (building_small.make(split, horizon) for split in ("test", "train"))
    contest = Contest(game, practice, builder.make(game, speed=speed), config.num_episodes[speed], config.seed)
    tallies = played(contest, config.assistants)
    claims = helps(tallies["none"], tallies["particles"], BARS)
    if "oracle" in tallies:
        claims.append(behind_oracle(tallies, "particles"))
    return [Claim(f"{claim.name}@speed{speed:g}", *claim[1:]) for claim in claims]

"""How much does an assistant without any training help? Bayes over generated houses with a greedy hand, on unseen ones.

The person is the scripted builder, drawn anew every episode; every contender meets the same houses. "Alone" is the same
person in a world without the assistant's body.
"""

import dataclasses
import math
from pathlib import Path

from tacit.evaluation.compare import Contender, Contest, Tally, interval, run, saving
from tacit.evaluation.metrics import BUILDING_FIGURES
from tacit.games import building_small
from tacit.humans import builder
from tacit.members import find
from tacit.studies.claims import Claim, at_least

SOURCE = "the project's own bar for an assistant that has not been trained"
BAR = 0.3
"""The least saving of the person's edits, and the least share of the house."""


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
    human = builder.make(game, speed=speed)
    contest = Contest(game, practice, human, config.num_episodes[speed], config.seed)
    tallies = {}
    for name in config.assistants:
        assistant = find("tacit.assistants", name).load().make(practice, human)
        tallies[name] = run(contest, Contender(name, assistant, absent=name == "none"))
    return [Claim(f"{claim.name}@speed{speed:g}", *claim[1:]) for claim in claims(tallies)]


def claims(tallies: dict[str, Tally]) -> list[Claim]:
    """The bars: fewer human edits, as much finished, a real share, a belief better than the marginal prior."""
    alone, helped = tallies["none"], tallies["particles"]
    figure = BUILDING_FIGURES

    def low(name: str, *of: Tally) -> float:
        found = interval(saving if name == "saving" else figure[name], *of)
        assert found is not None
        return found.low

    def completed(tally: Tally) -> float:
        return float(figure["goal_completed"](tally))

    def gain(belief: str, prior: str) -> float:
        return float(figure[prior](helped) - figure[belief](helped))

    found = [
        at_least("human_actions_saved", float(saving(helped, alone)), BAR, SOURCE),
        at_least("human_actions_saved_low", low("saving", helped, alone), BAR / 2, SOURCE),
        at_least("assistant_share", float(figure["assistant_share"](helped)), BAR, SOURCE),
        at_least("assistant_share_low", low("assistant_share", helped), BAR / 2, SOURCE),
        at_least("goal_completed_minus_alone", completed(helped) - completed(alone), 0.0, SOURCE),
        at_least("nats_gained_per_air_cell", gain("belief_nll_air", "prior_nll_air"), 0.0, SOURCE),
        at_least("nats_gained_per_occupied_cell", gain("belief_nll_occupied", "prior_nll_occupied"), 0.0, SOURCE),
    ]
    if "oracle" in tallies:
        ahead = float(figure["assistant_share"](tallies["oracle"]) - figure["assistant_share"](helped))
        found.append(at_least("oracle_share_minus_particles", ahead, 0.0, "knowing the goal cannot hurt"))
    return found

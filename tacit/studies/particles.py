"""How much does an assistant without any training help? Bayes over generated houses with a greedy hand, on unseen ones.

The person is the scripted builder, drawn anew every episode; every contender meets the same houses. "Alone" is the same
person in a world without the assistant's body.
"""

import dataclasses
from pathlib import Path

import jax

from tacit.assistants import none, oracle, particles, random
from tacit.evaluation.compare import Contender, Contest, Tally, interval, run, saving
from tacit.evaluation.metrics import BUILDING_FIGURES
from tacit.games import building_small
from tacit.humans import builder
from tacit.studies.claims import Claim, at_least

SOURCE = "the project's own bar for an assistant that has not been trained"


@dataclasses.dataclass(frozen=True)
class Config:
    """How many unseen houses, and at which multiples of the person's speed."""

    num_episodes: int
    speeds: tuple[float, ...]
    seed: int = 7


CONFIGS = {
    "tiny": Config(num_episodes=24, speeds=(1.0,)),
    "small": Config(num_episodes=256, speeds=(0.5, 1.0, 2.0)),
    "full": Config(num_episodes=1024, speeds=(0.5, 1.0, 2.0)),
}


def make(tier: str, data: Path | None) -> list[Claim]:
    """Run the table at each speed and check the bars."""
    del data
    config = CONFIGS[tier]
    return [claim for speed in config.speeds for claim in at_speed(config, speed)]


def at_speed(config: Config, speed: float) -> list[Claim]:
    """The claims for a person who acts `speed` times as often."""
    game, practice = building_small.make("test"), building_small.make("train")
    human = builder.make(game, speed=speed)
    contest = Contest(game, practice, human, config.num_episodes, config.seed)
    contenders = [
        Contender("none", none.make(practice, human), absent=True),
        Contender("random", random.make(practice, human)),
        Contender("particles", particles.make(practice, human)),
        Contender("oracle", oracle.make(practice, human)),
    ]
    tallies = {one.name: run(contest, one) for one in contenders}
    jax.clear_caches()
    return [Claim(f"{c.name}@speed{speed:g}", *c[1:]) for c in claims(tallies)]


def claims(tallies: dict[str, Tally]) -> list[Claim]:
    """The bars: fewer human edits, as much finished, a real share, a belief better than the marginal prior."""
    alone, helped = tallies["none"], tallies["particles"]
    figure = BUILDING_FIGURES

    def low(name: str, *of: Tally) -> float:
        found = interval(saving if name == "saving" else figure[name], *of)
        assert found is not None
        return found.low

    def gain(belief: str, prior: str) -> float:
        return float(figure[prior](helped) - figure[belief](helped))

    return [
        at_least("human_actions_saved", float(saving(helped, alone)), 0.15, SOURCE),
        at_least("human_actions_saved_low", low("saving", helped, alone), 0.15, SOURCE),
        at_least("assistant_share", float(figure["assistant_share"](helped)), 0.15, SOURCE),
        at_least("assistant_share_low", low("assistant_share", helped), 0.15, SOURCE),
        at_least(
            "goal_completed_minus_alone",
            float(figure["goal_completed"](helped) - figure["goal_completed"](alone)),
            -0.5,
            SOURCE,
        ),
        at_least("nats_gained_per_air_cell", gain("belief_nll_air", "prior_nll_air"), 0.0, SOURCE),
        at_least("nats_gained_per_occupied_cell", gain("belief_nll_occupied", "prior_nll_occupied"), 0.0, SOURCE),
        at_least(
            "oracle_share_minus_particles",
            float(figure["assistant_share"](tallies["oracle"]) - figure["assistant_share"](helped)),
            0.0,
            "knowing the goal cannot hurt",
        ),
    ]

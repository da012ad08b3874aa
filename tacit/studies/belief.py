"""Is the learned belief worth having? Against the marginal prior, against the particles, and by what it saves people.

Houses are unseen (of the test split), people are drawn anew every episode. The learned belief and the particles' are
scored on the same histories, once of episodes in which the one helps and once of those in which the other does.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
from jaxtyping import Array, Key

from tacit.assistants import greedy, particles
from tacit.core import Assistant, Logits, Memory, Observation, Thoughts
from tacit.evaluation.compare import Contender, Contest, Tally, run
from tacit.games import building_small
from tacit.humans import builder
from tacit.members import find
from tacit.studies.claims import Claim, at_least, at_most
from tacit.studies.helping import Bars, behind_oracle, helps, played, value

BARS = Bars(0.25, 0.25, 0.3, "the project's own bar for a learned belief")
EQUAL = 0.01
"""Nats per cell by which two beliefs may differ and still be called as good."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How many unseen houses with each kind of person, and how many to score both beliefs on."""

    num_episodes: dict[str, int]
    num_scored: int
    assistants: tuple[str, ...] = ("none", "particles", "greedy", "oracle")
    seed: int = 11


CONFIGS = {
    "tiny": Config({"builder": 12}, num_scored=0, assistants=("none", "greedy")),
    "small": Config({"builder": 256, "pikl": 64}, num_scored=128),
    "full": Config({"builder": 1024, "pikl": 256, "cloned": 256}, num_scored=256),
}


def make(tier: str, data: Path | None) -> list[Claim]:
    """Every check, with each kind of person."""
    del data
    config = CONFIGS[tier]
    game, practice = building_small.make("test"), building_small.make("train")
    found = []
    for name, num_episodes in config.num_episodes.items():
        human = find("tacit.humans", name).load().make(game)
        contest = Contest(game, practice, human, num_episodes, config.seed)
        found += [Claim(f"{claim.name}@{name}", *claim[1:]) for claim in with_people(contest, config.assistants)]
    if config.num_scored:
        found += side_by_side(Contest(game, practice, builder.make(game), config.num_scored, config.seed))
    return found


def with_people(contest: Contest, assistants: tuple[str, ...]) -> list[Claim]:
    """What it saves these people, how well its probabilities hold, and how near it comes to knowing the house."""
    tallies = played(contest, assistants)
    learned = tallies["greedy"]
    claims = helps(tallies["none"], learned, BARS)
    claims.append(at_most("calibration_error", value("calibration_error", learned), 0.05, BARS.source))
    claims.append(at_most("calibration_error_acted", value("calibration_error_acted", learned), 0.1, BARS.source))
    if "oracle" in tallies:
        claims.append(behind_oracle(tallies, "greedy"))
    if "particles" in tallies:
        ahead = value("assistant_share", tallies["particles"]) - value("assistant_share", learned)
        claims.append(at_least("particles_share_minus_greedy", ahead, 0.0, "the default is the one that helps most"))
    return claims


class Beside(Assistant):
    """Acts as one assistant while another watches the same episode; the thoughts are the other's."""

    acting: Assistant
    watching: Assistant

    def init(self, key: Key[Array, ""]) -> tuple[Memory, Memory]:
        """Both memories."""
        return self.acting.init(key), self.watching.init(jax.random.fold_in(key, 1))

    def logits(self, memory: Any, observation: Observation, key: Key[Array, ""]) -> tuple[Logits, Any]:
        """The first one's, with both memories brought up to date."""
        logits, acting = self.acting.logits(memory[0], observation, key)
        _, watching = self.watching.logits(memory[1], observation, jax.random.fold_in(key, 1))
        return logits, (acting, watching)

    def thoughts(self, memory: Any) -> Thoughts:
        """The other's."""
        return self.watching.thoughts(memory[1])


def side_by_side(contest: Contest) -> list[Claim]:
    """The two beliefs' log-likelihoods of the house on the same histories, whoever of the two helped."""
    both = {
        "greedy": greedy.make(contest.practice, contest.human),
        "particles": particles.make(contest.practice, contest.human),
    }
    claims = []
    for acting, actor in both.items():
        learned, bayesian = (
            run(contest, Contender(f"{acting}, {watching} watching", Beside(actor, watcher)))
            for watching, watcher in both.items()
        )
        claims.append(no_worse(f"nats_per_cell_ahead_of_particles@{acting}_acting", nats_ahead(learned, bayesian)))
    return claims


def no_worse(name: str, ahead: float) -> Claim:
    """Claim that it is ahead, or behind by a hundredth of a nat at most."""
    return Claim(name, ahead, 0.0, EQUAL, ahead >= -EQUAL, BARS.source)


def nats_ahead(learned: Tally, bayesian: Tally) -> float:
    """By how many nats a cell the learned belief is the better one."""
    cells = (learned.cells_air + learned.cells_occupied).sum()
    theirs, ours = (tally.nll_air.sum() + tally.nll_occupied.sum() for tally in (bayesian, learned))
    return float((theirs - ours) / cells)

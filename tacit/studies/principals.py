"""Are several people honest towards one machine? The bandit apprentice game, and misreports under five rules of choice.

Fickinger et al. 2020, "Multi-Principal Assistance Games", arXiv 2007.09540 and 2012.14536; Gibbard 1973.
"""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tacit.planning import collegiality, social_choice
from tacit.planning.social_choice import RULES, Rule
from tacit.studies.claims import Claim, at_least, near

EXAMPLE = np.array([[1.0, 0.9, 0.0], [1.0, 0.9, 0.0], [0.0, 0.9, 1.0], [0.0, 0.8, 1.0], [0.0, 1.0, 0.9]])
"""Five people and three arms: each person's first choice is not what is best for all."""

HONEST = (0, 0, 2, 2, 1)
PAPER = "Fickinger et al. 2020, the bandit apprentice game; counted over all 243 profiles"
GIBBARD = "Gibbard 1973: every rule over three arms that nobody dictates can be gamed"


@dataclasses.dataclass(frozen=True)
class Config:
    """How many random groups are asked, and how many people and arms each has."""

    num_groups: int = 100
    num_people: int = 3
    num_arms: int = 3
    seed: int = 0


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """The worked example, the threshold against brute force, and misreports. Every tier is the same."""
    del tier, data
    config = config or Config()
    return [*example(), *thresholds(config), *misreports(config), *hand_cases()]


def example() -> list[Claim]:
    """Honest pulls are the only equilibrium while one's own work counts for enough, and none afterwards."""
    found = []
    for ratio, number, honest in ((0.1, 1.0, 1.0), (1.0, 2.0, 0.0), (5.0, 2.0, 0.0), (20.0, 2.0, 0.0)):
        stable = [tuple(profile) for profile in collegiality.equilibria(RULES["utilitarian"], EXAMPLE, ratio)]
        found += [
            near(f"equilibria@1:{ratio:g}", float(len(stable)), number, 0.0, PAPER),
            near(f"honest_is_one@1:{ratio:g}", float(HONEST in stable), honest, 0.0, PAPER),
        ]
    limit = collegiality.threshold(RULES["utilitarian"], EXAMPLE)
    best = float(social_choice.choose(RULES["utilitarian"], EXAMPLE))
    return [
        *found,
        near(
            "collegiality_threshold",
            limit,
            1 / 9,
            1e-12,
            "person 1 pulls arm 1 instead of 0: costs .1, wins at most .9",
        ),
        near("best_for_all", best, 1.0, 0.0, "sums 2, 4.5 and 2.9"),
    ]


def thresholds(config: Config) -> list[Claim]:
    """The library's threshold against every profile of every person, on random groups."""
    rng = np.random.default_rng(config.seed)
    worst, finite = 0.0, 0.0
    for rule in RULES.values():
        for utilities in rng.uniform(size=(config.num_groups // 5, config.num_people, config.num_arms)):
            ours, all_profiles = collegiality.threshold(rule, utilities), brute_threshold(rule, utilities)
            if np.isfinite(all_profiles):
                finite += 1
            worst = max(worst, 0.0 if ours == all_profiles else abs(ours - all_profiles))
    return [
        near("threshold_against_brute_force", worst, 0.0, 1e-12, "every person, pull and profile of the others"),
        at_least(
            "groups_with_a_threshold", finite, config.num_groups / 2, "there is something to be won in most groups"
        ),
    ]


def brute_threshold(rule: Rule, utilities: Float[np.ndarray, "P K"]) -> float:
    """The collegiality threshold by going through every profile of pulls and every change of every person."""
    people, arms = utilities.shape
    lowest = np.inf
    for profile in itertools.product(range(arms), repeat=people):
        for person in range(people):
            honest = list(profile)
            honest[person] = int(utilities[person].argmax())
            served = [int(collegiality.served(rule, np.array(pulls), arms)) for pulls in (profile, honest)]
            gain = utilities[person, served[0]] - utilities[person, served[1]]
            if gain > social_choice.TIE:
                cost = utilities[person, honest[person]] - utilities[person, profile[person]]
                lowest = min(lowest, cost / gain)
    return float(lowest)


def misreports(config: Config) -> list[Claim]:
    """Each rule can be gamed, the library finds it wherever brute force does, and one who dictates has no need to."""
    rng = np.random.default_rng(config.seed + 1)
    groups = rng.uniform(size=(config.num_groups, config.num_people, config.num_arms))
    found = []
    for name, rule in RULES.items():
        gains = np.array([best_gain(rule, utilities) for utilities in groups])
        brute = np.array([brute_gain(rule, utilities, name) for utilities in groups])
        found += [
            at_least(f"groups_gamed@{name}", float((gains > 0).sum()), 1.0, GIBBARD),
            near(
                f"gains_against_brute_force@{name}",
                float(np.abs(gains - brute).max()),
                0.0,
                1e-12,
                "all reports listed",
            ),
        ]
    dictated = Rule(lambda reports: reports[..., 0, :], social_choice.only)
    gamed = float(sum(best_gain(dictated, utilities) > 0 for utilities in groups))
    return [*found, near("groups_gamed@dictatorship", gamed, 0.0, 0.0, "Gibbard 1973: the exception")]


def best_gain(rule: Rule, utilities: Float[np.ndarray, "P K"]) -> float:
    """The most that anybody gains by a misreport, by the library."""
    tried = (social_choice.misreport(rule, utilities, person) for person in range(len(utilities)))
    return max((one.gain for one in tried if one), default=0.0)


def brute_gain(rule: Rule, utilities: Float[np.ndarray, "P K"], name: str) -> float:
    """The same by trying every strict ranking (Borda), or 0, 1/2 and 1 for each arm (the others)."""
    arms = utilities.shape[1]
    rankings = np.array(list(itertools.permutations(np.linspace(0.0, 1.0, arms))))
    levels = np.array(list(itertools.product((0.0, 0.5, 1.0), repeat=arms)))
    tried = rankings if name == "borda" else levels
    honest, most = int(social_choice.choose(rule, utilities)), 0.0
    for person, own in enumerate(utilities):
        reports = np.repeat(utilities[None], len(tried), 0)
        reports[:, person] = tried
        gains = own[social_choice.choose(rule, reports)] - own[honest]
        most = max(most, float(gains.max()))
    return most if most > social_choice.TIE else 0.0


def hand_cases() -> list[Claim]:
    """Three people for whom the rules disagree, worked out by hand."""
    people = np.array([[1.0, 0.5, 0.3, 0.0], [1.0, 0.5, 0.3, 0.0], [0.0, 0.4, 0.3, 1.0]])
    source = "sums 2, 1.4, .9, 1; products 0, .1, .027, 0; minima 0, .4, .3, 0; places 6, 6, 3, 3; approvals 2, 2, 0, 1"
    chosen = {"utilitarian": 0.0, "nash": 1.0, "maximin": 1.0, "borda": 0.0, "approval": 0.0}
    return [
        near(f"chosen_by_hand@{name}", float(social_choice.choose(RULES[name], people)), arm, 0.0, source)
        for name, arm in chosen.items()
    ]


def draw(figure: Any) -> None:
    """How often each rule can be gamed as arms are added, and how many stay honest as the machine's part grows."""
    left, right = figure.subplots(1, 2)
    rng = np.random.default_rng(0)
    counts = [2, 3, 4, 5, 6]
    for name, rule in RULES.items():
        shares = [np.mean([best_gain(rule, one) > 0 for one in rng.uniform(size=(200, 5, arms))]) for arms in counts]
        left.plot(counts, shares, marker="o", label=name)
    left.set(xlabel="arms", ylabel="groups in which a lie pays", title="five people, random utilities", xticks=counts)
    left.legend(frameon=False)
    ratios = np.geomspace(0.01, 10, 60)
    for people in (2, 3, 5):
        limits = [collegiality.threshold(RULES["utilitarian"], one) for one in rng.uniform(size=(200, people, 3))]
        right.semilogx(ratios, [(np.array(limits) >= ratio).mean() for ratio in ratios], label=f"{people} people")
    right.set(
        xlabel="T2 / T1, what the machine's part counts",
        ylabel="groups in which honesty is dominant",
        title="three arms",
    )
    right.legend(frameon=False)

"""What are the classic POMDPs worth? Tiger, the 4x3 maze and RockSample, by exact plans, by bounds and by play.

Exact plans by alpha vectors and by reachable beliefs share no code but the belief update; bounds have to hold what both
find and what others published, and what a plan brings when it is played has to lie between them.
"""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tacit.arrays import Pomdp, pomdp
from tacit.planning import exact_pomdp, point_based, reachable
from tacit.planning.point_based import Bounds
from tacit.planning.simulation import simulate
from tacit.pomdps import maze, rock_sample, tiger
from tacit.studies.claims import Claim, at_least, near

TIGER_TURNS = {
    (0.95, 1): -1.0,
    (0.95, 2): -1.95,
    (0.95, 3): 2.3098,
    (0.95, 4): 1.79554421875,
    (0.95, 5): 2.763096193125,
    (0.95, 10): 6.693368431751,
    (1.0, 3): 2.72,
    (1.0, 5): 3.60915,
    (1.0, 10): 9.438167617,
    (1.0, 20): 20.390826254,
}
"""What Tiger is worth by discount and number of turns."""

TIGER_FOR_EVER = 19.371368
ROCKS = {(4, 4): 18.0, (5, 5): 19.2, (5, 7): 24.7, (7, 8): 21.4}
PUBLISHED = 0.15
"""How far published values of RockSample may be off: they are rounded, and lower bounds or means of play."""

MAX_NUMBERS = 2_000_000
"""The most numbers that the beliefs of the episodes that are played may hold."""

KAELBLING = "Kaelbling, Littman and Cassandra 1998, section 5.1; value iteration of its own"
FOR_EVER = "600 exact backups; SARSOP and pomdp-py print 19.3714"
MAZE = "HumanCompatibleAI/assistance-games tests that the return of PBVI over 20 turns is in (1.7, 2.1)"
ROCKY = "Smith and Simmons 2005 and Kurniawati, Hsu and Lee 2008, the values of HSVI2 and SARSOP"
SOUND = "a sound bound; 3 standard errors"
AGREE = "two exact planners"


@dataclasses.dataclass(frozen=True)
class Config:
    """How long and to which gap RockSample is searched, by size; how much is drawn and played."""

    rocks: tuple[tuple[int, int], ...] = ((4, 4),)
    gap: float = 1.0
    seconds: float = 30.0
    num_random: int = 8
    num_episodes: int = 2_000
    seed: int = 0


TIERS = {
    "tiny": Config(),
    "small": Config(((4, 4), (5, 5), (5, 7), (7, 8)), gap=0.1, seconds=100.0, num_random=60, num_episodes=10_000),
}


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """Tiger turn by turn and for ever, random problems, the maze, and RockSample."""
    del data
    config = config or TIERS.get(tier, TIERS["small"])
    rng = np.random.default_rng(config.seed)
    rocks = [claim for size in config.rocks for claim in rock(size, config, rng)]
    return [*tiger_turns(), *tiger_for_ever(config, rng), *agreement(config, rng), *in_the_maze(config, rng), *rocks]


def tiger_turns() -> list[Claim]:
    """Both exact planners on Tiger."""
    found = []
    for (discount, turns), value in TIGER_TURNS.items():
        problem, name = tiger.make(discount=discount), f"discount{discount:g}_turns{turns}"
        found += [
            near(f"tiger_vectors@{name}", exact_pomdp.solve(problem, turns).value, value, 1e-6, KAELBLING),
            near(f"tiger_reachable@{name}", reachable.solve(problem, turns).value, value, 1e-6, KAELBLING),
        ]
    return found


def tiger_for_ever(config: Config, rng: np.random.Generator) -> list[Claim]:
    """The exact value, bounds around it, and play."""
    problem = tiger.make()
    plan = exact_pomdp.solve_discounted(problem, 1e-8)
    found = point_based.bounds(problem, seconds=config.seconds, gap=1e-5)
    return [
        near("tiger_for_ever", plan.value, TIGER_FOR_EVER, 1e-6, FOR_EVER),
        near("tiger_bounds_gap", found.upper, found.lower, 1e-5, "the gap that was asked for"),
        *holding("tiger", found, plan.value, 0.0, FOR_EVER),
        *played("tiger", problem, found, 200, config.num_episodes, rng),
    ]


def agreement(config: Config, rng: np.random.Generator) -> list[Claim]:
    """The largest difference between the exact planners on random problems of three turns, and bounds around both."""
    differences, outside = [], []
    for _ in range(config.num_random):
        problem = random_problem(rng)
        value = exact_pomdp.solve(problem, 3).value
        differences.append(abs(value - reachable.solve(problem, 3).value))
        found = point_based.bounds(problem, 3, seconds=config.seconds, gap=1e-3)
        outside.append(max(found.lower - value, value - found.upper))
    return [
        near("random_largest_difference", max(differences), 0.0, 1e-8, AGREE),
        at_least("random_farthest_inside", -max(outside), -1e-9, "a sound bound"),
    ]


def random_problem(rng: np.random.Generator) -> Pomdp:
    """Four states, three actions and three observations, all at random."""
    return pomdp(
        rng.dirichlet(np.ones(4), (3, 4)),
        rng.dirichlet(np.ones(3), (3, 4)),
        rng.normal(size=(4, 3)),
        rng.dirichlet(np.ones(4)),
        0.9,
    )


def in_the_maze(config: Config, rng: np.random.Generator) -> list[Claim]:
    """The 4x3 maze: the value for ever, and 20 turns played by that plan without a discount."""
    problem = maze.make()
    found = point_based.bounds(problem, seconds=config.seconds, gap=0.01)
    policy = functools.partial(exact_pomdp.act, found.plan)
    returns = simulate(problem._replace(discount=1.0), policy, config.num_episodes, 20, rng)
    return [
        near("maze_lower", found.lower, 1.9, 0.2, MAZE),
        near("maze_upper", found.upper, 1.9, 0.2, MAZE),
        near("maze_played_20_turns", float(returns.mean()), 1.9, 0.2, MAZE),
        *played("maze", problem, found, 200, config.num_episodes, rng),
    ]


def rock(size: tuple[int, int], config: Config, rng: np.random.Generator) -> list[Claim]:
    """RockSample of one size: bounds, what others found, and play."""
    problem, name = rock_sample.make(*size), f"rock_sample_{size[0]}_{size[1]}"
    found = point_based.bounds(problem, seconds=config.seconds, gap=config.gap)
    claims = holding(name, found, ROCKS[size], PUBLISHED, ROCKY)
    if size == (4, 4):
        claims.append(at_least(f"{name}_near", -(found.upper - found.lower), -config.gap, "the gap asked for"))
    episodes = min(config.num_episodes, MAX_NUMBERS // len(problem.initial))
    return [*claims, *played(name, problem, found, 160, episodes, rng)]


def holding(name: str, found: Bounds, value: float, off: float, source: str) -> list[Claim]:
    """Claims that a value, known but for `off`, lies between bounds."""
    return [
        at_least(f"{name}_value_above_lower", value + off, found.lower, source),
        at_least(f"{name}_upper_above_value", found.upper, value - off, source),
    ]


def played(
    name: str, problem: Pomdp, found: Bounds, turns: int, num_episodes: int, rng: np.random.Generator
) -> list[Claim]:
    """Claims that what a plan brings is between the bounds, but for 3 standard errors and what comes after `turns`."""
    returns = simulate(problem, functools.partial(exact_pomdp.act, found.plan), num_episodes, turns, rng)
    mean, error = float(returns.mean()), float(returns.std()) / math.sqrt(num_episodes)
    later = problem.discount**turns / (1.0 - problem.discount) * float(np.abs(problem.rewards).max())
    return [
        at_least(f"{name}_played_above_lower", mean, found.lower - 3 * error - later, SOUND),
        at_least(f"{name}_upper_above_played", found.upper + 3 * error + later, mean, SOUND),
    ]


def draw(figure: Any) -> None:
    """The value of Tiger by belief and number of turns; and the bounds on RockSample(4, 4) as time goes by."""
    left, right = figure.subplots(1, 2)
    chance = np.linspace(0.0, 1.0, 401)
    beliefs = np.column_stack([chance, 1.0 - chance])
    for turns in (1, 2, 3, 5, 10):
        plan = exact_pomdp.solve(tiger.make(), turns)
        left.plot(chance, exact_pomdp.value(plan, beliefs), label=f"{turns} turn{'s' * (turns > 1)}")
    plan = exact_pomdp.solve_discounted(tiger.make(), 1e-6)
    left.plot(chance, exact_pomdp.value(plan, beliefs), color="black", label="for ever")
    left.set_title("Tiger, discount 0.95")
    left.set_xlabel("probability that the tiger is on the left")
    left.set_ylabel("value (reward)")
    left.set_ylim(top=45.0)  # the legend goes above
    left.legend(ncols=2)
    times = search()
    right.fill_between(times[:, 0], times[:, 1], times[:, 2], alpha=0.3, label="between the bounds")
    right.plot(times[:, 0], times[:, 1], label="lower bound")
    right.plot(times[:, 0], times[:, 2], label="upper bound")
    right.axhline(ROCKS[4, 4], color="black", linestyle=":", linewidth=0.8, label="published")
    right.set_xscale("log")
    right.set_title("RockSample(4, 4)")
    right.set_xlabel("time (seconds)")
    right.set_ylabel("value (reward)")
    right.legend()


def search() -> Float[np.ndarray, "B 3"]:
    """Seconds, lower and upper bound of RockSample(4, 4), trial by trial."""
    times: list[tuple[float, float, float]] = []
    point_based.bounds(
        rock_sample.make(4, 4),
        seconds=20.0,
        gap=0.01,
        report=lambda passed, lower, upper: times.append((passed, lower, upper)),
    )
    return np.array(times)

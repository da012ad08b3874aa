"""What does the generalised Bellman backup save, and what is it worth that the human cooks so as to be understood?

Small kitchens after Malik et al. 2018, arXiv 1806.03820, section 5: the pair's value, that of a human who takes the
assistant to know the recipe, noisy humans, and the cost of exact backups as recipes are added.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tacit.arrays import GameArrays
from tacit.games import chef_world
from tacit.planning import best_response, cirl, generalised_bellman, sweeps
from tacit.planning.generalised_bellman import Join, best_answer, coordinated_answer, keep_all, keep_best_at
from tacit.studies.claims import Claim, at_least, near

TABLE = "values of a mini-ChefWorld, checked by enumeration"
PAPER = "Malik et al. 2018, arXiv 1806.03820"

KITCHENS = {
    "2recipes": (((3, 1), (1, 3)), 2, 1.0, 0.375),
    "3recipes": (((3, 1), (2, 2), (1, 3)), 2, 1.0, 0.5),
    "3recipes-pure": (((4, 0), (2, 2), (0, 4)), 2, 2 / 3, 5 / 12),
    "3recipes-3turns": (((3, 3), (4, 2), (2, 4)), 3, 1.0, 7 / 12),
    "3ingredients": (((2, 1, 1), (1, 2, 1), (1, 1, 2)), 2, 1.0, 0.5),
}
"""Recipes, turns, the optimal pair's value and that of a literal human with the best assistant."""

NOISY = {
    ("2recipes", 1.0): 0.27122,
    ("2recipes", 5.0): 0.97269,
    ("2recipes", 50.0): 1.0,
    ("3recipes", 1.0): 0.33072,
    ("3recipes", 5.0): 0.97618,
    ("3recipes", 50.0): 1.0,
}
"""The value with a human of a rationality, to five decimals."""

RECIPES = ((2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 2), (3, 0, 1), (1, 3, 2))
"""Three ingredients, three turns."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How many random sets of points are tried, and how many recipes the coordinator gets to solve at most."""

    num_point_sets: int = 20
    most_coordinated: int = 3
    seed: int = 0


class Cost(NamedTuple):
    """What it took to solve a game: the value found, the plans formed and seconds of processor time."""

    value: float
    plans: int
    seconds: float


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """The table, noisy humans, the saving and points; the larger tiers let the coordinator solve one recipe more."""
    del data
    config = config or Config()
    if tier != "tiny":
        config = dataclasses.replace(config, num_point_sets=200, most_coordinated=4)
    return [*_table(), *_noisy(), *_saving(config), *_points(config)]


def kitchen(name: str) -> GameArrays:
    """One of the kitchens."""
    recipes, num_turns, _, _ = KITCHENS[name]
    return chef_world.make(recipes, num_turns).arrays


def cost(arrays: GameArrays, join: Join) -> Cost:
    """Solve a game with one form of the backup, plans being dropped in the same way."""
    keep = keep_best_at(generalised_bellman.restrictions(arrays.prior))
    start = time.process_time()
    turns = sweeps.finite(
        arrays, lambda turn, state, following: generalised_bellman.backup(arrays, state, following, join, keep, keep)
    )
    seconds = time.process_time() - start
    plans = sum(plans.formed for turn in turns for plans in turn.values())
    return Cost(sweeps.worth(arrays, turns[0]), plans, seconds)


def unpruned(arrays: GameArrays, join: Join) -> int:
    """How many plans one backup of the first state forms if none is dropped, before the last turn's plans."""
    last = dataclasses.replace(arrays, horizon=1)
    nothing = [np.zeros((1, len(arrays.prior)))] * len(arrays.initial)
    following = [
        generalised_bellman.backup(last, state, nothing, best_answer, keep_all, keep_all).values
        for state in range(len(arrays.initial))
    ]
    start = int(np.argmax(arrays.initial))
    return generalised_bellman.backup(arrays, start, following, join, keep_all, keep_all).formed


def _table() -> list[Claim]:
    """Pedagogic and literal humans with the best assistant for each."""
    found = []
    for name, (_, _, together, literal) in KITCHENS.items():
        arrays = kitchen(name)
        pair = cirl.optimal_pair(arrays).value
        taught = best_response.best_assistant(arrays, best_response.literal_human(arrays)).value
        found += [
            near(f"optimal_pair@{name}", pair, together, 1e-9, TABLE),
            near(f"literal_human@{name}", taught, literal, 1e-9, TABLE),
            at_least(f"pedagogic_gap@{name}", pair - taught, 0.2, f"{PAPER}: the pair beats a literal human's"),
        ]
    return found


def _noisy() -> list[Claim]:
    """Humans of finite rationality: planned for, met unawares, and in the limit."""
    found = []
    for (name, rationality), expected in NOISY.items():
        value = cirl.optimal_pair(kitchen(name), rationality).value
        found.append(near(f"noisy_pair@{name}-rationality{rationality:g}", value, expected, 5e-6, TABLE))
    for name in ("2recipes", "3recipes", "3recipes-pure"):
        arrays = kitchen(name)
        pair = cirl.optimal_pair(arrays)
        literal = best_response.best_assistant(arrays, best_response.literal_human(arrays))
        met, planned = cirl.with_human(pair, 5.0).value, cirl.optimal_pair(arrays, 5.0).value
        limit = cirl.optimal_pair(arrays, 1e4).value
        gain = met - cirl.with_human(literal, 5.0).value
        found += [
            near(f"limit_of_rationality@{name}", limit, pair.value, 1e-9, "rationality without bound is rational"),
            near(f"met_unawares_less_planned@{name}-rationality5", met - planned, 0.0, 1e-9, f"{PAPER}: robust"),
            at_least(f"gain_over_literal_reader@{name}-rationality5", gain, -1e-9, f"{PAPER}: pragmatic beats literal"),
        ]
    return found


def _saving(config: Config) -> list[Claim]:
    """The ratio of the plans that both forms make, and six recipes where only one of them runs."""
    found = []
    for name in ("2recipes", "3recipes", "3ingredients"):
        arrays = kitchen(name)
        thetas, _, humans, assistants = arrays.rewards.shape
        ours, theirs = unpruned(arrays, best_answer), unpruned(arrays, coordinated_answer)
        source = f"{PAPER}: |A_H|^|Θ| = {humans}^{thetas}"
        found += [
            # After each of the human's actions any of the last turn's plans, one for each of the assistant's.
            near(f"plans_formed@{name}", float(ours), float(assistants * assistants**humans), 0.0, "|A_R| |Γ|^|A_H|"),
            near(f"coordinator_over_generalised@{name}", theirs / ours, float(humans**thetas), 0.0, source),
        ]
    for count in range(2, config.most_coordinated + 1):
        arrays = chef_world.make(RECIPES[:count], 3).arrays
        gap = cost(arrays, best_answer).value - cost(arrays, coordinated_answer).value
        found.append(near(f"generalised_less_coordinator@{count}of6recipes", gap, 0.0, 1e-9, f"{PAPER}: no loss"))
    six = chef_world.make(RECIPES, 3).arrays
    start = time.process_time()
    value = cirl.optimal_pair(six).value
    spare = 1.0 - (time.process_time() - start)
    try:
        cirl.coordinator(six)
        refused = False
    except ValueError:
        refused = True
    return [
        *found,
        near("optimal_pair@6recipes", value, 1.0, 1e-9, "the recipes can all be told apart in time"),
        at_least("seconds_to_spare_of_one@6recipes", spare, 0.0, f"{PAPER}: 0.307 s"),
        near("coordinator_refused@6recipes", float(refused), 1.0, 0.0, f"{PAPER}: 4^6 maps, out of memory"),
    ]


def _points(config: Config) -> list[Claim]:
    """Point-based value iteration is never above the exact value, and meets it at all that can be believed."""
    rng, excess = np.random.default_rng(config.seed), []
    for name in ("3recipes", "3recipes-pure"):
        arrays = kitchen(name)
        exact = cirl.optimal_pair(arrays).value
        for _ in range(config.num_point_sets // 2):
            points = rng.dirichlet(np.full(len(arrays.prior), 0.3), int(rng.integers(1, 5)))
            excess.append(cirl.optimal_pair(arrays, points=points).value - exact)
    arrays = kitchen("3recipes-pure")
    everything = generalised_bellman.restrictions(arrays.prior)
    gap = cirl.optimal_pair(arrays, points=everything).value - cirl.optimal_pair(arrays).value
    return [
        at_least(f"exact_less_point_based@sets{config.num_point_sets}", -max(excess), -1e-12, "plans that exist"),
        near("point_based_less_exact@all_beliefs", gap, 0.0, 1e-9, "every belief that can be reached is a point"),
    ]


def draw(figure: Any) -> None:
    """Plans formed and seconds taken by both forms of the backup, against the number of recipes."""
    left, right = figure.subplots(1, 2)
    counts = range(2, len(RECIPES) + 1)
    forms = {"coordinator": (coordinated_answer, 4), "generalised": (best_answer, len(RECIPES))}
    for label, (join, most) in forms.items():
        solved = [cost(chef_world.make(RECIPES[:count], 3).arrays, join) for count in counts if count <= most]
        places = list(counts)[: len(solved)]
        left.semilogy(places, [one.plans for one in solved], marker="o", label=label)
        right.semilogy(places, [max(one.seconds, 1e-3) for one in solved], marker="o", label=label)
    for axes, name in ((left, "plans formed by all backups"), (right, "time (s)")):
        axes.set_xlabel("recipes, |Θ|")
        axes.set_xticks(list(counts))
        axes.set_ylabel(name)
    left.legend(title="form of the backup", frameon=False)
    right.axhline(1.0, color="0.6", linewidth=0.8, linestyle=":")
    right.text(len(RECIPES), 1.1, "coordinator refused", color="C0", ha="right", va="bottom")

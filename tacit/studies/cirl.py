"""What is it worth that the human shows what they want, instead of doing what they want? Paperclips, and random games.

The paperclips of Hadfield-Menell et al. 2016, arXiv 1606.03137, section 4, have a closed form: the human's optimum
breaks at 41/92 and 51/92, so that with 92 equal parts of [0, 1] (18 with full information, an even number for the
expert) the middles of the parts give the integrals exactly. Random games compare independent solvers.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from tacit.arrays import GameArrays, game_arrays
from tacit.games import paperclips
from tacit.games.paperclips import BALANCED, CLIPS, STAPLES, START
from tacit.planning import best_response, cirl, exact_pomdp, histories
from tacit.studies.claims import Claim, at_least, near

PAPER = "Hadfield-Menell et al. 2016, arXiv 1606.03137, section 4; closed form"
THEOREM = "Hadfield-Menell et al. 2016, theorem 1: the coordinator's POMDP is the game"
OPTIMAL = "the optimal pair is no worse than any other"
VALUE, LOW, HIGH = 92 - 2091 / 92, 41 / 92, 51 / 92


@dataclasses.dataclass(frozen=True)
class Config:
    """How fine the grid of theta is, and how many random games are drawn."""

    num_thetas: int = 201
    num_games: int = 40
    num_pomdps: int = 8
    seed: int = 0


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """Paperclips against the closed form; then random games, ten times as many in the larger tiers."""
    del data
    config = config or Config()
    if tier != "tiny":
        config = dataclasses.replace(config, num_games=10 * config.num_games, num_pomdps=10 * config.num_pomdps)
    rng = np.random.default_rng(config.seed)
    return [*_paperclips(config), *_expert(), *_random_games(config, rng), *_coordinated(config, rng)]


def balanced_range(pair: cirl.Pair) -> tuple[float, float]:
    """The least and the greatest worth of a clip at which the human makes one of each; 1 and 0 if there is none."""
    policy = cirl.human_policy(pair, 0, START, pair.arrays.prior)
    clip = paperclips.worths(len(policy))[policy[:, BALANCED] > 0.5, 0]
    return float(clip.min(initial=1.0)), float(clip.max(initial=0.0))


def random_game(rng: np.random.Generator, thetas: int, horizon: int, states: int = 2) -> GameArrays:
    """A small game with chance in the world, from one first state."""
    humans, assistants = 2, 2
    return game_arrays(
        rng.dirichlet(np.full(states, 0.5), (states, humans, assistants)),
        rng.normal(size=(thetas, states, humans, assistants)),
        rng.dirichlet(np.ones(thetas)),
        np.eye(states)[0],
        horizon,
        float(rng.uniform(0.5, 1.0)),
    )


def _paperclips(config: Config) -> list[Claim]:
    """The optimal pair by the generalised backup."""
    arrays = paperclips.make(config.num_thetas).arrays
    pair, spacing = cirl.optimal_pair(arrays), 1.0 / config.num_thetas
    low, high = balanced_range(pair)
    after = 1 + BALANCED
    belief = cirl.next_belief(pair, 0, START, arrays.prior, BALANCED)
    answer = cirl.assistant_action(pair, 1, after, belief)
    try:
        cirl.coordinator(arrays)
        refused = False
    except ValueError:
        refused = True
    grid = f"thetas{config.num_thetas}"
    exact = cirl.optimal_pair(paperclips.make(92).arrays).value
    informed = best_response.full_information(paperclips.make(18).arrays).value
    return [
        near(f"value@{grid}", pair.value, VALUE, 1e-3, PAPER),
        near(f"low_threshold@{grid}", low, LOW, spacing, PAPER),
        near(f"high_threshold@{grid}", high, HIGH, spacing, PAPER),
        near("answer_to_one_of_each", float(answer), float(BALANCED), 0.0, PAPER),
        near("value@thetas92", exact, VALUE, 1e-9, PAPER),
        near("full_information@thetas18", informed, 69 + 5 / 18, 1e-9, PAPER),
        near(f"coordinator_refused@{grid}", float(refused), 1.0, 0.0, f"there are 3^{config.num_thetas} maps"),
    ]


def _expert() -> list[Claim]:
    """Demonstration by expert, and best responses from there."""
    arrays = paperclips.make(200).arrays
    expert = best_response.expert_human(arrays)
    rally = histories.rally(arrays, expert)
    best = cirl.optimal_pair(arrays).value
    return [
        near("expert_pair@thetas200", best_response.best_assistant(arrays, expert).value, 69.0, 1e-9, PAPER),
        near("steps_until_no_one_gains@thetas200", len(rally.values) - 1.0, 1.0, 0.0, PAPER),
        near("last_pair_less_optimal@thetas200", rally.values[-1] - best, 0.0, 1e-9, PAPER),
    ]


def _random_games(config: Config, rng: np.random.Generator) -> list[Claim]:
    """What the optimal pair gains over the expert with the best assistant, and over where best responses end."""
    gains, ends, below = [], [], []
    for _ in range(config.num_games):
        arrays = random_game(rng, int(rng.integers(2, 5)), 2)
        pair, rally = cirl.optimal_pair(arrays), histories.rally(arrays)
        gains.append(pair.value - rally.values[0])
        ends.append(pair.value - rally.values[-1])
        below.append(best_response.full_information(arrays).value - pair.value)
    games = f"games{config.num_games}"
    return [
        at_least(f"smallest_gain_over_expert@{games}", min(gains), -1e-9, OPTIMAL),
        at_least(f"share_strictly_better_than_expert@{games}", np.mean(np.array(gains) > 1e-6).item(), 0.25, OPTIMAL),
        at_least(f"smallest_gain_over_best_responses@{games}", min(ends), -1e-9, OPTIMAL),
        at_least(f"smallest_gap_to_full_information@{games}", min(below), -1e-9, "what is hidden cannot help"),
    ]


def _coordinated(config: Config, rng: np.random.Generator) -> list[Claim]:
    """The generalised backup against the POMDP of the coordinator, solved by another algorithm."""
    gaps = []
    for number in range(config.num_pomdps):
        arrays = random_game(rng, 2, 2 + number % 2)
        other = exact_pomdp.solve(cirl.coordinator(arrays), 2 + number % 2)
        gaps.append(abs(cirl.optimal_pair(arrays).value - other.value))
    return [near(f"coordinator_less_generalised@games{config.num_pomdps}", max(gaps), 0.0, 1e-9, THEOREM)]


def draw(figure: Any) -> None:
    """What the human makes for each theta, alone and in the optimal pair, and what each pair loses."""
    left, right = figure.subplots(1, 2)
    arrays = paperclips.make(460).arrays
    clip = paperclips.worths(460)[:, 0]
    pair, expert = cirl.optimal_pair(arrays), best_response.expert_human(arrays)
    taught = best_response.best_assistant(arrays, expert)
    informed = best_response.full_information(arrays).q[0, :, START].max(-1)
    height = np.argsort([STAPLES, BALANCED, CLIPS])
    for label, style, together, policy in (
        ("best alone", "--", taught, expert[0, :, START]),
        ("to be understood", "-", pair, cirl.human_policy(pair, 0, START, arrays.prior)),
    ):
        values = together.turns[0][START].values[cirl.plan(together, 0, START, arrays.prior)]
        left.step(clip, height[policy.argmax(1)], style, where="mid", label=label)
        right.plot(clip, informed - values, style, label=f"{label}: worth {values.mean():.2f}")
    left.set_yticks(range(3), ["two staples", "one of each", "two clips"])
    left.set_ylabel("what the human makes")
    right.set_ylabel("lost because θ is hidden (reward)")
    right.set_ylim(top=8.0)
    for axes, place in ((left, "lower right"), (right, "upper left")):
        axes.set_xlabel("what a clip is worth, θ")
        axes.legend(title="the human acts as is", frameon=False, loc=place)

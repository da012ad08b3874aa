"""Assistance against reward learning: ask only once it matters, and work while waiting for the answer.

With the human's policy fixed, an assistance problem is a POMDP; reward learning is the case in which all questions come
before all acting. Shah et al. 2020, "Benefits of Assistance over Reward Learning": the worm in the apple and the choice
of a meal, as their published code specifies them, and random problems on which the equivalence is checked.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from tacit.arrays import GameArrays
from tacit.games import kitchen, meal_choice
from tacit.humans import answering
from tacit.planning import assistance, reachable, reward_learning, traces
from tacit.planning.reward_learning import RewardLearning, Worth
from tacit.planning.traces import Trace
from tacit.studies.claims import Claim, at_least, near

WORMY = "WormyApples of Shah et al. 2020, computed from its published specification"
MEAL = "MealChoice of Shah et al. 2020, computed from its published specification"
EQUIVALENCE = "Shah et al. 2020: two-phase communicative assistance is reward learning"

KITCHEN = {0.99: Worth(1.9523196, 1.8562796, 1.77804), 0.9: Worth(1.7136, 1.584, 1.584)}
"""The values of the worm in the apple, for each discount."""

MEALS = {0: 1.841598, 1: 1.841598, 3: 1.8049502, 4: 1.5926625, 5: 1.5926625, 6: 1.5926625}
"""The value of the choice of a meal, for each round from which the human answers."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How many random reward-learning problems are turned into assistance problems."""

    num_problems: int = 20
    seed: int = 0


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """The golden values, what the plans do, and the round trip. Higher tiers draw more random problems."""
    del data
    config = config or Config(num_problems=20 if tier == "tiny" else 200)
    return [*_worm(), *_meal(), *_round_trip(config)]


def _worm() -> list[Claim]:
    """The worm in the apple."""
    found = []
    for discount, worth in KITCHEN.items():
        arrays = kitchen.make(discount).arrays
        human = answering.policy(arrays)
        measured = reward_learning.compare(arrays, human, kitchen.QUESTIONS)
        for name in Worth._fields:
            expected = getattr(worth, name)
            found.append(near(f"worm_{name}@discount{discount:g}", getattr(measured, name), expected, 1e-9, WORMY))
    ways = kitchen_traces(0.99)
    asked = [step for way in ways for step in zip(way.actions, ("start", *way.observations), strict=True)]
    asked = [sight for action, sight in asked if action == "query"]
    worms = sum(any("wormy" in sight for sight in way.observations) for way in ways)
    first = {way.actions[0] for way in ways} == {"get-apple"}
    talk = {discount: kitchen_traces(discount, two_phase=True) for discount in KITCHEN}
    return [
        *found,
        near("worm_fetches_first", float(first), 1.0, 0.0, WORMY),
        near("worm_asks_only_if_wormy", float(asked == ["wormy"] * worms), 1.0, 0.0, WORMY),
        near("worm_two_phase_asks_first@discount0.99", float(talk[0.99][0].actions[0] == "query"), 1.0, 0.0, WORMY),
        near(
            "worm_two_phase_asks@discount0.9", float(sum("query" in way.actions for way in talk[0.9])), 0.0, 0.0, WORMY
        ),
    ]


def _meal() -> list[Claim]:
    """The choice of a meal."""
    found = []
    for time, expected in MEALS.items():
        arrays = meal_choice.make(time).arrays
        measured = reward_learning.value(arrays, answering.policy(arrays))
        found.append(near(f"meal_assistance@feedback{time}", measured, expected, 1e-9, MEAL))
    works, waits, guesses = [], [], []
    for time in range(7):
        for way in meal_traces(time):
            acted = way.actions[::2]  # every other turn is the human's
            if time <= 3:
                works.append(acted[0] == "make-dough" and acted.index("make-dough") < acted.index("query"))
                waits.append(acted.index("query") == max(time, 1))
            else:
                guesses.append(acted[:3] == ("make-dough", "bake-apple", "serve"))
    return [
        *found,
        near("meal_dough_before_question@feedback0-3", float(np.mean(works)), 1.0, 0.0, MEAL),
        near("meal_waits_to_ask@feedback0-3", float(np.mean(waits)), 1.0, 0.0, MEAL),
        near("meal_guesses_apple@feedback4-6", float(np.mean(guesses)), 1.0, 0.0, MEAL),
    ]


def _round_trip(config: Config) -> list[Claim]:
    """Reward learning by Bayes' rule, and the same problem as communicative assistance, as a POMDP."""
    rng = np.random.default_rng(config.seed)
    problems = [draw_problem(rng) for _ in range(config.num_problems)]
    gaps, asked = [], []
    for problem in problems:
        learnt = reward_learning.solve(problem)
        arrays, human = reward_learning.communicative(problem)
        gaps.append(abs(learnt.value - reward_learning.value(arrays, human)))
        asked.append(bool((learnt.first >= 0).any()))
    return [
        near("round_trip_largest_gap", max(gaps), 0.0, 1e-9, EQUIVALENCE),
        at_least("round_trip_problems_worth_a_question", float(np.mean(asked)), 0.5, "the comparison is not empty"),
    ]


def draw_problem(rng: np.random.Generator) -> RewardLearning:
    """A random world where tastes are at odds, and two cheap questions whose answers tell something but not all."""
    thetas, states, actions, kinds = 3, 3, 3, 2
    rewards = rng.normal(size=(thetas, states, actions))
    return reward_learning.reward_learning(
        rng.dirichlet(np.ones(states), (states, actions)),
        rewards - rewards.mean(0),  # so that acting on the prior is worth little
        rng.dirichlet(np.full(thetas, 5.0)),
        rng.dirichlet(np.ones(states)),
        rng.dirichlet(np.full(kinds, 0.2), (2, thetas)),
        rng.uniform(0.0, 0.1, 2),
        horizon=5,
        discount=float(rng.uniform(0.9, 1.0)),
    )


def kitchen_traces(discount: float, two_phase: bool = False) -> list[Trace]:
    """How the best plan for the worm in the apple goes, or the best that asks before it acts."""
    arrays = kitchen.make(discount).arrays
    human, names = answering.policy(arrays), kitchen.STATE_NAMES
    if two_phase:
        arrays, human = reward_learning.two_phase(arrays, human, kitchen.QUESTIONS)
        names = (*names, *(f"{name}-told" for name in names))
    return _traces(arrays, human, kitchen.ACTION_NAMES, names, kitchen.ANSWER_NAMES)


def meal_traces(feedback_time: int) -> list[Trace]:
    """How the best plan for the choice of a meal goes."""
    arrays = meal_choice.make(feedback_time).arrays
    names = meal_choice.state_names(feedback_time)
    return _traces(arrays, answering.policy(arrays), meal_choice.ACTION_NAMES, names, meal_choice.ANSWER_NAMES)


def _traces(
    arrays: GameArrays, human: np.ndarray, actions: tuple[str, ...], sights: tuple[str, ...], answers: tuple[str, ...]
) -> list[Trace]:
    """Solve and unroll."""
    pomdp = traces.named(assistance.reduce(arrays, human), actions, sights, answers)
    assert arrays.horizon is not None
    return traces.traces(pomdp, reachable.solve(pomdp, arrays.horizon))


def draw(figure: Any) -> None:
    """What each kind of assistant is worth, by what a question costs and by when the human starts to answer."""
    left, right = figure.subplots(1, 2)
    costs = np.linspace(0.0, 1.2, 49)
    times = np.arange(7)
    worms, meals = [], []
    for cost in costs:
        arrays = kitchen.make(query_cost=cost).arrays
        worms.append(reward_learning.compare(arrays, answering.policy(arrays), kitchen.QUESTIONS))
    for time in times:
        arrays = meal_choice.make(int(time)).arrays
        meals.append(reward_learning.compare(arrays, answering.policy(arrays), meal_choice.QUESTIONS))
    labels = ("assistance", "questions first (reward learning)", "never asks")
    for axes, places, values in ((left, costs, worms), (right, times, meals)):
        for label, line, style in zip(labels, np.transpose(values), ("-", "--", ":"), strict=True):
            axes.plot(places, line, style, marker="o" if axes is right else None, label=label)
        axes.set_ylabel("value (discounted reward)")
    left.set_title("the worm in the apple")
    left.set_xlabel("cost of a question (reward)")
    left.legend()
    right.set_title("the choice of a meal")
    right.set_xlabel("round from which the human answers")

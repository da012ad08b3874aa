"""Assistance, reward learning and the value of asking, against expectimax over histories and closed forms."""

import dataclasses
import itertools
from collections import defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.arrays import GameArrays, game_arrays
from tacit.core import HUMAN
from tacit.games import hidden_item, kitchen, meal_choice, off_switch
from tacit.games.tabular import State
from tacit.humans import answering
from tacit.planning import assistance, reachable, reward_learning, traces
from tacit.studies import assistance as study
from tacit.studies.assistance import draw_problem


def expectimax(arrays: GameArrays, human: np.ndarray, questions=(), never=False, first=False) -> float:
    """The value by following every history in plain loops: `never` ask, or ask `first` and then only act."""

    def best(belief: dict, left: int, talking: bool) -> float:
        if not left or not belief:
            return 0.0
        values = []
        some = next(iter(belief))[1]
        for action in range(arrays.legal_assistant.shape[1]):
            asks = action in questions
            if not arrays.legal_assistant[some, action] or (asks and (never or (first and not talking))):
                continue  # it counts as passing, which is tried as action 0
            value, following = 0.0, defaultdict(lambda: defaultdict(float))
            for (theta, state), mass in belief.items():
                for tried, chance in enumerate(human[theta, state]):
                    done = tried if arrays.legal_human[state, tried] else 0
                    value += mass * chance * arrays.rewards[theta, state, done, action]
                    for after in np.flatnonzero(arrays.transitions[state, done, action]):
                        weight = mass * chance * arrays.transitions[state, done, action, after]
                        if weight:
                            following[arrays.sees[1, after], done][theta, after] += weight
            goes_on = talking and (asks or action == 0)
            value += arrays.discount * sum(best(dict(one), left - 1, goes_on) for one in following.values())
            values.append(value)
        return max(values)

    assert arrays.horizon is not None
    starts = defaultdict(dict)
    for (theta, chance), state in itertools.product(enumerate(arrays.prior), np.flatnonzero(arrays.initial)):
        starts[arrays.sees[1, state]][theta, state] = chance * arrays.initial[state]
    return sum(best(start, arrays.horizon, True) for start in starts.values())


def draw_game(rng: np.random.Generator) -> tuple[GameArrays, np.ndarray]:
    """Two tastes, four states, one of them the end and some alike to the assistant, three actions, not all legal."""
    looks = rng.integers(3, size=4)
    legal_human, legal_assistant = rng.random((4, 3)) < 0.8, (rng.random((3, 3)) < 0.8)[looks]
    legal_human[:, 0] = legal_assistant[:, 0] = True
    transitions = rng.dirichlet(np.full(4, 0.3), (4, 3, 3)) * (rng.random((4, 3, 3, 4)) < 0.7) + 1e-3 * np.eye(4)[0]
    rewards = rng.normal(size=(2, 4, 3, 3))
    transitions[3], rewards[:, 3] = np.eye(4)[3], 0.0
    arrays = game_arrays(
        transitions / transitions.sum(-1, keepdims=True),
        rewards,
        rng.dirichlet(np.ones(2)),
        rng.dirichlet(np.ones(4)),
        horizon=3,
        discount=float(rng.uniform(0.5, 1.0)),
        sees=[np.arange(4), looks],
        legal_human=legal_human,
        legal_assistant=legal_assistant,
        terminal=[False, False, False, True],
    )
    return arrays, rng.dirichlet(np.full(3, 0.5), (2, 4))


def test_values_of_random_games() -> None:
    rng = np.random.default_rng()
    for _ in range(3):
        arrays, human = draw_game(rng)
        found = reward_learning.compare(arrays, human, [2])
        kinds = ({}, {"first": True}, {"never": True})
        expected = [expectimax(arrays, human, [2], **kind) for kind in kinds]
        np.testing.assert_allclose(found, expected, atol=1e-9)
        gain = reward_learning.value_of_asking(arrays, human, [2])
        assert gain == pytest.approx(expected[0] - expected[2], abs=1e-9)
        assert gain >= -1e-12
        assert reward_learning.value_of_asking(arrays, human, []) == 0.0


def test_what_is_seen_first_counts() -> None:
    """A coin lies in sight, and the assistant calls it: worth 1, and 1/2 if it had to call before looking."""
    rewards = np.zeros((1, 3, 1, 2))
    rewards[0, 0, 0, 0] = rewards[0, 1, 0, 1] = 1.0
    transitions = np.zeros((3, 1, 2, 3))
    transitions[..., 2] = 1.0
    arrays = game_arrays(transitions, rewards, [1.0], [0.5, 0.5, 0.0], horizon=2)
    human = np.ones((1, 3, 1))
    assert reward_learning.value(arrays, human) == pytest.approx(1.0)
    blind = dataclasses.replace(arrays, sees=np.array([[0, 1, 2], [0, 0, 2]]))
    assert reward_learning.value(blind, human) == pytest.approx(0.5)


def test_values_for_ever() -> None:
    """Without a horizon, as good as with one after which next to nothing is left."""
    rng = np.random.default_rng()
    for cost in rng.uniform(0.0, 0.5, 2):
        arrays = kitchen.make(0.5, query_cost=cost).arrays
        human = answering.policy(arrays)
        for game in (arrays, reward_learning.never_asking(arrays, kitchen.QUESTIONS)):
            endless = dataclasses.replace(game, horizon=None)
            long = dataclasses.replace(game, horizon=24)
            gap = reward_learning.value(endless, human) - reward_learning.value(long, human)
            assert abs(gap) <= 4 * 0.5**12 + 1e-9
    free = dataclasses.replace(kitchen.make(0.5, query_cost=0.0).arrays, horizon=None)
    gain = reward_learning.value_of_asking(free, answering.policy(free), kitchen.QUESTIONS)
    assert gain == pytest.approx(0.2 * 0.5 * 0.5, abs=1e-9)  # a wormy apple is left alone where nobody can be asked


def test_the_worm_at_any_price() -> None:
    rng = np.random.default_rng()
    for _ in range(3):
        discount, cost = rng.uniform(0.6, 1.0), rng.uniform(0.0, 0.6)
        arrays = kitchen.make(discount, query_cost=cost).arrays
        human = answering.policy(arrays)
        blind = max(2 * discount - 1, 0.0)
        late = discount * (1.6 + 0.2 * max(2 * discount**2 - cost, blind))
        never = discount * (1.6 + 0.2 * blind)
        early = max(1.6 * discount**2 + 0.4 * discount**3 - cost, never)
        found = reward_learning.compare(arrays, human, kitchen.QUESTIONS)
        np.testing.assert_allclose(found, [late, early, never], atol=1e-9)
        slow = [expectimax(arrays, human, kitchen.QUESTIONS, **kind) for kind in ({}, {"first": True}, {"never": True})]
        np.testing.assert_allclose(found, slow, atol=1e-9)


@pytest.mark.parametrize("time", range(7))
def test_the_meal_at_any_price(time: int) -> None:
    rng = np.random.default_rng()
    discount, cost, apple = rng.uniform(0.9, 1.0), rng.uniform(0.0, 0.1), rng.uniform(0.5, 0.9)
    arrays = meal_choice.make(time, discount, apple=apple, query_cost=cost).arrays
    asked = max(time, 1)  # the dough comes first
    told = 2 * discount ** (asked + 2) - cost * discount**asked if asked <= 3 else 0.0
    guess = discount**2 * (3 * apple - 1)
    checked = max(time, 2)  # or an apple pie is made, and served only if it is wanted
    served = 2 * apple * discount ** (checked + 1) - cost * discount**checked if checked <= 4 else 0.0
    best = max(told, guess, served)
    assert reward_learning.value(arrays, answering.policy(arrays)) == pytest.approx(best, abs=1e-9)
    unasked = reward_learning.never_asking(arrays, meal_choice.QUESTIONS)
    assert reward_learning.value(unasked, answering.policy(arrays)) == pytest.approx(guess, abs=1e-9)


def round_trip_gaps() -> list[float]:
    rng, gaps = np.random.default_rng(), []
    for _ in range(6):
        problem = draw_problem(rng)
        arrays, human = reward_learning.communicative(problem)
        gaps.append(abs(reward_learning.solve(problem).value - reward_learning.value(arrays, human)))
    return gaps


def test_reward_learning_is_two_phase_assistance() -> None:
    assert max(round_trip_gaps()) <= 1e-9


def test_reward_learning_of_other_shapes() -> None:
    rng = np.random.default_rng()
    for thetas, states, actions, questions, kinds, horizon in (
        (2, 1, 2, 1, 2, 4),
        (4, 2, 3, 3, 1, 3),
        (1, 2, 1, 1, 3, 1),
    ):
        problem = reward_learning.reward_learning(
            rng.dirichlet(np.ones(states), (states, actions)),
            rng.normal(size=(thetas, states, actions)),
            rng.dirichlet(np.ones(thetas)),
            rng.dirichlet(np.ones(states)),
            rng.dirichlet(np.ones(kinds), (questions, thetas)),
            rng.normal(size=questions),  # some questions are a pleasure
            horizon,
            float(rng.uniform(0.5, 1.0)),
        )
        arrays, human = reward_learning.communicative(problem)
        value = reward_learning.solve(problem).value
        ask = range(actions, actions + questions)
        assert reward_learning.value(arrays, human) == pytest.approx(value, abs=1e-9)
        # It is two-phase already, so that the restriction changes nothing.
        restricted = reward_learning.two_phase(arrays, human, ask)
        assert reward_learning.value(*restricted) == pytest.approx(value, abs=1e-9)
        assert expectimax(arrays, human, ask, first=True) == pytest.approx(value, abs=1e-9)


def test_acting_as_if_all_will_be_known_fails_the_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = reward_learning._plan

    def optimistic(problem, weights, turns):
        return sum(honest(problem, weights * one, turns) for one in np.eye(weights.shape[1]))

    monkeypatch.setattr(reward_learning, "_plan", optimistic)
    assert max(round_trip_gaps()) > 1e-3


def test_the_study_holds() -> None:
    claims = study.make("tiny", None, study.Config(num_problems=6, seed=1))
    assert all(claim.passed for claim in claims), [claim for claim in claims if not claim.passed]


def failures(config: study.Config) -> set[str]:
    return {claim.name for claim in study.make("tiny", None, config) if not claim.passed}


def test_a_human_who_errs_fails_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    truthful = answering.policy
    monkeypatch.setattr(answering, "policy", lambda arrays: truthful(arrays, accuracy=0.99))
    failed = failures(study.Config(num_problems=1))
    assert {"worm_assistance@discount0.99", "worm_two_phase@discount0.99", "meal_assistance@feedback3"} <= failed


def test_a_question_too_many_fails_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    solve = reachable.solve

    def curious(pomdp, horizon):
        plan = solve(pomdp, horizon)
        q = [values + np.where(np.arange(values.shape[1]) == kitchen.QUERY, 1.0, 0.0) for values in plan.q]
        return plan._replace(q=tuple(q))

    monkeypatch.setattr(reachable, "solve", curious)
    failed = failures(study.Config(num_problems=1))
    assert {"worm_fetches_first", "worm_asks_only_if_wormy", "meal_dough_before_question@feedback0-3"} <= failed


def test_traces_do_what_the_plan_is_worth() -> None:
    """Play a plan's traces in the game's own arrays, theta by theta: they earn its value."""
    arrays = meal_choice.make(2).arrays
    human = answering.policy(arrays, 0.9)
    pomdp = assistance.reduce(arrays, human)
    turns = arrays.horizon
    assert turns is not None
    plan = reachable.solve(pomdp, turns)
    found = traces.traces(pomdp, plan)
    assert sum(trace.chance for trace in found) == pytest.approx(1.0)
    assert [trace.chance for trace in found] == sorted((trace.chance for trace in found), reverse=True)
    does = {}
    for trace in found:
        assert trace == traces.follow(pomdp, plan, trace.observations)
        assert str(trace).count("\n") == turns
        for turn, action in enumerate(trace.actions):
            assert does.setdefault(trace.observations[:turn], action) == action

    def earn(theta: int, state: int, history: tuple[str, ...]) -> float:
        if len(history) == turns:
            return 0.0
        action, total = pomdp.action_names.index(does[history]), 0.0
        for told in np.flatnonzero(human[theta, state]):
            total += human[theta, state, told] * arrays.rewards[theta, state, told, action]
            for after in np.flatnonzero(arrays.transitions[state, told, action]):
                if len(history) + 1 < turns:
                    chance = human[theta, state, told] * arrays.transitions[state, told, action, after]
                    sight = f"sees{arrays.sees[1, after]}-did{told}"
                    total += arrays.discount * chance * earn(theta, int(after), (*history, sight))
        return total

    start = int(arrays.initial.argmax())
    earned = sum(chance * earn(theta, start, ()) for theta, chance in enumerate(arrays.prior))
    assert earned == pytest.approx(plan.value, abs=1e-12)


def test_traces_put_nothing_off_and_say_what_was_as_good() -> None:
    waiting = study.meal_traces(3)[0]
    assert waiting.actions[0] == "make-dough"
    assert waiting.steps[0].as_good == ("pass",)
    assert waiting.actions[2:7:2] == ("pass", "pass", "query")
    assert waiting.steps[4].as_good == ()
    assert waiting.steps[6].value == pytest.approx(2 * 0.99**2 - 0.1)


def test_the_answering_human_follows_its_policy() -> None:
    game = kitchen.make()
    person = answering.make(game, 0.8)
    policy = answering.policy(game.arrays, 0.8)
    for theta, state in itertools.product(range(2), range(len(kitchen.STATES))):
        number, zero = jnp.int32(state), jnp.int32(0)
        shown = State(number, jnp.zeros(2, jnp.int32), zero)
        logits, _ = person.logits(jnp.int32(theta), None, game.observe(shown)[HUMAN], jax.random.key(0))
        legal = game.legal(shown)[HUMAN]
        chances = [float(jnp.exp(game.log_prob(logits, legal, jnp.int32(action)))) for action in range(3)]
        np.testing.assert_allclose(chances, policy[theta, state], atol=1e-6)


def test_bad_input_is_named() -> None:
    arrays = kitchen.make().arrays
    human = answering.policy(arrays)
    with pytest.raises(ValueError, match=r"questions\[1\] is 6; .* 1 to 5"):
        reward_learning.compare(arrays, human, [5, 6])
    with pytest.raises(ValueError, match=r"questions\[0\] is 0"):
        reward_learning.value_of_asking(arrays, human, [0])
    with pytest.raises(ValueError, match="human has shape"):
        reward_learning.value(arrays, human[:1])
    with pytest.raises(ValueError, match="The feedback time is -1"):
        meal_choice.make(-1)
    with pytest.raises(ValueError, match="The discount is -1"):
        kitchen.make(-1.0)
    with pytest.raises(ValueError, match="The horizon is 0"):
        kitchen.make(rounds=0)
    with pytest.raises(ValueError, match=r"The accuracy is 1\.5"):
        answering.make(kitchen.make(), 1.5)
    with pytest.raises(ValueError, match="no mere answers"):
        answering.make(hidden_item.make())
    with pytest.raises(ValueError, match="one more action"):
        answering.make(off_switch.make())
    good = {
        "transitions": np.ones((1, 1, 1)),
        "rewards": np.zeros((2, 1, 1)),
        "prior": [0.5, 0.5],
        "initial": [1.0],
        "answers": [[[1.0, 0.0], [0.0, 1.0]]],
        "costs": [0.1],
        "horizon": 3,
    }
    reward_learning.solve(reward_learning.reward_learning(**good))
    for bad, match in (
        ({"prior": [1.0, 0.0]}, r"prior\[1\] is 0"),
        ({"answers": [[[0.5, 0.4], [0.0, 1.0]]]}, r"answers\[0, 0\] sums to 0.9"),
        ({"answers": [[[1.0, 0.0]]]}, r"answers has shape \(1, 1, 2\); it must have shape \(1, 2, 2\)"),
        ({"costs": [0.1, 0.2]}, r"costs has shape \(2,\)"),
        ({"horizon": 0}, "The horizon is 0"),
        ({"discount": 1.5}, "The discount is 1.5"),
    ):
        with pytest.raises(ValueError, match=match):
            reward_learning.reward_learning(**{**good, **bad})
    long = reward_learning.reward_learning(**{**good, "answers": np.full((9, 2, 9), 1 / 9), "costs": [0.1] * 9})
    with pytest.raises(ValueError, match="counts of answers, more than 2e"):
        reward_learning.solve(long._replace(horizon=20))
    pomdp = assistance.reduce(arrays, human)
    plan = reachable.solve(pomdp, 2)
    with pytest.raises(ValueError, match="There are 3 observations; this plan makes 1"):
        traces.follow(pomdp, plan, ["a", "b", "c"])
    with pytest.raises(ValueError, match="Turn 0 does not show 'a' but one of: sees"):
        traces.follow(pomdp, plan, ["a"])
    with pytest.raises(ValueError, match="There are 1 actions, 1 sights and 1 answers for the 6 actions and 48"):
        traces.named(pomdp, ["a"], ["b"], ["c"])

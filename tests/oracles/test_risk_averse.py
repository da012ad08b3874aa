"""Are the plans best? All trajectories of small worlds are listed; with chance, the minimax's other side is solved."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog, minimize_scalar

from tacit.planning import risk_averse
from tacit.planning.feature_world import (
    FeatureWorld,
    action_values,
    chance_of,
    feature_counts,
    feature_world,
    optimal_policies,
    visits,
)
from tacit.planning.risk_averse import plan_policy, plan_trajectory

STATES, ACTIONS, FEATURES, HORIZON, HYPOTHESES = 4, 3, 3, 4, 5


def world(rng: np.random.Generator, certain: bool) -> FeatureWorld:
    shape = (STATES, ACTIONS)
    moves = np.eye(STATES)[rng.integers(STATES, size=shape)] if certain else rng.dirichlet(np.ones(STATES), shape)
    legal = rng.random(shape) < 0.8
    legal[:, 0] = True
    first = np.eye(STATES)[0] if certain else rng.dirichlet(np.ones(STATES))
    return feature_world(moves, rng.normal(size=(*shape, FEATURES)), first, legal, horizon=HORIZON)


def listed(land: FeatureWorld) -> np.ndarray:
    """The feature counts of every legal trajectory, one action after the other."""
    found = []
    for actions in itertools.product(range(ACTIONS), repeat=HORIZON):
        state, total = int(land.initial.argmax()), np.zeros(FEATURES)
        for action in actions:
            if not land.legal[state, action]:
                break
            total += land.features[state, action]
            state = int(land.transitions[state, action].argmax())
        else:
            found.append(total)
    return np.array(found)


def lottery(margins: np.ndarray) -> float:
    """The value of the matrix game between trajectories (rows) and hypotheses (columns)."""
    rows, columns = margins.shape
    solved = linprog(
        np.append(np.zeros(rows), -1.0),
        A_ub=np.column_stack([-margins.T, np.ones(columns)]),
        b_ub=np.zeros(columns),
        A_eq=[[1.0] * rows + [0.0]],
        b_eq=[1.0],
        bounds=[(0, None)] * rows + [(None, None)],
    )
    return -solved.fun


def test_all_trajectories(rng: np.random.Generator) -> None:
    hedged = 0
    for _ in range(20):
        land, weights, reference = world(rng, True), rng.normal(size=(HYPOTHESES, FEATURES)), rng.normal(size=FEATURES)
        every = listed(land)
        margins = (every - reference) @ weights.T
        walking, drawing = plan_trajectory(land, weights, reference), plan_policy(land, weights, reference)
        assert walking.value == pytest.approx(margins.min(1).max(), abs=1e-9)
        assert np.abs(every - walking.counts).max(1).min() < 1e-9, "it must be a trajectory that exists"
        assert drawing.value == pytest.approx(lottery(margins), abs=1e-7)
        assert drawing.value >= walking.value - 1e-7
        hedged += drawing.value > walking.value + 1e-3
        some = rng.choice(HYPOTHESES, 2)
        few = plan_trajectory(land, weights, reference, some)
        assert few.value == pytest.approx(margins[:, some].min(1).max(), abs=1e-9)
        assert (few.num_considered, few.num_hypotheses) == (2, HYPOTHESES)
        np.testing.assert_array_equal(few.considered, some)
        np.testing.assert_array_equal(few.reference, reference)
        np.testing.assert_allclose(few.margins, weights[some] @ (few.counts - reference))
        best = feature_counts(land, weights)
        np.testing.assert_allclose((best * weights).sum(1), (every @ weights.T).max(0), atol=1e-9)
    assert hedged, "to draw lots must pay in some world"


def test_other_side_of_the_minimax(rng: np.random.Generator) -> None:
    """With chance: max over policies of the worst of two is the min over their mixtures of the best policy's value."""
    for _ in range(10):
        land, weights, reference = world(rng, False), rng.normal(size=(2, FEATURES)), rng.normal(size=FEATURES)

        def best(share: float, land=land, weights=weights, reference=reference) -> float:
            mixed = np.array([[share, 1.0 - share]]) @ weights
            values = action_values(land, mixed)[0, 0].max(-1)
            return float(values @ land.initial - mixed[0] @ reference)

        inner = minimize_scalar(best, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-10}).fun
        plan = plan_policy(land, weights, reference)
        assert plan.value == pytest.approx(min(inner, best(0.0), best(1.0)), abs=1e-6)
        followed = np.einsum("tsa,sad->d", visits(land, plan.policy[:, None])[:, 0], land.features)
        np.testing.assert_allclose(followed, plan.counts, atol=1e-7)


def test_the_reference_and_the_whole_support_matter(rng: np.random.Generator) -> None:
    """The checks above would notice a planner that forgets either."""
    forgets, narrow = 0, 0
    for _ in range(20):
        land, weights, reference = world(rng, True), rng.normal(size=(HYPOTHESES, FEATURES)), rng.normal(size=FEATURES)
        plan = plan_trajectory(land, weights, reference)
        bare = plan_trajectory(land, weights, np.zeros(FEATURES))
        forgets += abs((weights @ (bare.counts - reference)).min() - plan.value) > 1e-6
        first = plan_trajectory(land, weights, reference, [0])
        assert (weights @ (first.counts - reference)).min() <= plan.value + 1e-9
        narrow += (weights @ (first.counts - reference)).min() < plan.value - 1e-6
    assert forgets
    assert narrow


def test_ties_are_shared_and_seen_through_rounding() -> None:
    # 0.1 + 0.2 and 0.3 are the same reward, though not the same double.
    moves = np.zeros((3, 2, 3))
    moves[0, 0, 1] = moves[0, 1, 2] = moves[1, :, 1] = moves[2, :, 2] = 1.0
    features = np.zeros((3, 2, 1))
    features[0, :, 0], features[1, :, 0], features[2, :, 0] = (0.1, 0.3), 0.2, 0.0
    land = feature_world(moves, features, [1.0, 0.0, 0.0], horizon=2)
    np.testing.assert_allclose(optimal_policies(land, np.ones((1, 1)))[0, 0, 0], [0.5, 0.5])
    assert chance_of(land, optimal_policies(land, np.ones((1, 1)))[:, 0], np.array([False, True, False])) == 0.5


def test_chance_of_entering(rng: np.random.Generator) -> None:
    for _ in range(5):
        land, marked = world(rng, False), np.arange(STATES) == STATES - 1
        land = land._replace(initial=np.eye(STATES)[0])
        policy = optimal_policies(land, rng.normal(size=(1, FEATURES)))[:, 0]
        entered = 0.0
        for path in itertools.product(range(STATES), repeat=HORIZON):
            if marked[list(path)].any():
                states = (0, *path)
                steps = [
                    policy[turn, states[turn]] @ land.transitions[states[turn], :, states[turn + 1]]
                    for turn in range(HORIZON)
                ]
                entered += np.prod(steps)
        assert chance_of(land, policy, marked) == pytest.approx(entered, abs=1e-12)


def test_bad_input(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    land, weights, zero = world(rng, True), rng.normal(size=(HYPOTHESES, FEATURES)), np.zeros(FEATURES)
    with pytest.raises(ValueError, match=r"hypotheses has 2 columns; the world has 3 features"):
        plan_policy(land, weights[:, :2], zero)
    with pytest.raises(ValueError, match=r"hypotheses\[1, 0\] is nan"):
        plan_policy(land, np.where(np.arange(15).reshape(5, 3) == 3, np.nan, weights), zero)
    with pytest.raises(ValueError, match=r"reference has shape \(2,\)"):
        plan_policy(land, weights, zero[:2])
    with pytest.raises(ValueError, match=r"considered\[1\] is 5; hypotheses run from 0 to 4"):
        plan_trajectory(land, weights, zero, [0, 5])
    with pytest.raises(ValueError, match="at least one index"):
        plan_trajectory(land, weights, zero, [])
    with pytest.raises(ValueError, match=r"transitions\[0, 0, \d\] is .*use plan_policy"):
        plan_trajectory(world(rng, False), weights, zero)
    with pytest.raises(ValueError, match=r"legal\[0\] is False throughout"):
        feature_world(land.transitions, land.features, land.initial, np.zeros((STATES, ACTIONS)), horizon=2)
    with pytest.raises(ValueError, match=r"transitions\[0, 0\] sums to 2"):
        feature_world(land.transitions * 2, land.features, land.initial, horizon=2)
    with pytest.raises(ValueError, match="horizon is 0"):
        feature_world(land.transitions, land.features, land.initial, horizon=0)
    with pytest.raises(ValueError, match=r"features has shape \(3, 3, 3\)"):
        feature_world(land.transitions, land.features[:3], land.initial, horizon=2)
    monkeypatch.setattr(risk_averse, "MOST_VARIABLES", 3)
    with pytest.raises(
        ValueError, match=r"reachable \(turn, state, action\) triples; the exact planner takes at most 3"
    ):
        plan_policy(land, weights, zero)
    monkeypatch.setattr(risk_averse, "MOST_MARGINS", 0)
    with pytest.raises(ValueError, match="use plan_policy"):
        plan_trajectory(land, weights, zero)

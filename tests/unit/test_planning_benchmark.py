"""The benchmark compares the same problems: what the slow planners simulate is what the arrays say."""

import numpy as np
import pytest

from tacit.arrays import pomdp
from tacit.benchmarks import generative, planning
from tacit.pomdps import rock_sample

DRAWS = 4000


def agrees(counts: np.ndarray, chances: np.ndarray) -> bool:
    """Whether counts are as chance would have them, within five standard errors and nothing where nothing can be."""
    expected = chances * counts.sum()
    spread = 5 * np.sqrt(expected * (1 - chances)) + 3 * (chances > 0)
    return bool((np.abs(counts - expected) <= spread).all())


def drawn(model: generative.Generative, state, action: int, shape: tuple[int, int], number) -> np.ndarray:
    counts = np.zeros(shape)
    for _ in range(DRAWS):
        following, seen, *_ = model.step(state, action)
        counts[number(following), seen] += 1
    return counts


def test_a_tabular_model_draws_what_the_arrays_say():
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(4), (2, 4)) * (rng.random((2, 4, 4)) < 0.7) + 1e-9
    chances[:, 3] = np.eye(4)[3]
    rewards = rng.normal(size=(4, 2)) * np.array([1, 1, 1, 0])[:, None]
    problem = pomdp(
        chances / chances.sum(-1, keepdims=True), rng.dirichlet(np.ones(3), (2, 4)), rewards, np.eye(4)[1], 0.9
    )
    model = generative.tabular(problem)
    assert model.start() == 1
    for action in range(2):
        for state in range(4):
            joint = problem.transitions[action].toarray()[state][:, None] * problem.observations[action].toarray()
            assert agrees(drawn(model, state, action, joint.shape, int), joint)
            assert model.step(state, action)[2] == rewards[state, action]
    assert model.step(3, 0)[3]
    assert not model.step(0, 0)[3] or model.step(0, 0)[0] == 3


def test_rocks_are_the_rocks_of_the_arrays():
    n, k = 4, 4
    problem, model, rng = rock_sample.make(n, k), generative.rocks(n, k), np.random.default_rng(1)

    def number(state: tuple) -> int:
        x, y, good = state
        return n * n << k if x == n else ((y * n + x) << k) + sum(bool(one) << index for index, one in enumerate(good))

    assert {number(model.start()) for _ in range(500)} == set(np.flatnonzero(problem.initial).tolist())
    for _ in range(60):
        x, y, action = rng.integers(n), rng.integers(n), int(rng.integers(5 + k))
        state = (int(x), int(y), tuple((rng.random(k) < 0.5).tolist()))
        following, _, reward, over = model.step(state, action)
        before, after = number(state), number(following)
        assert problem.transitions[action][before, after] == 1.0
        assert reward == problem.rewards[before, action]
        assert over == (after == n * n << k)
        if action > 4:
            counts = drawn(model, state, action, (len(problem.initial), 3), number)[after]
            assert agrees(counts, problem.observations[action].toarray()[after])


@pytest.mark.parametrize("name", ["tiger", "kitchen", "chef-world, 3 recipes"])
def test_every_planner_runs_every_kind_of_problem(name, monkeypatch):
    monkeypatch.setattr(planning, "NUM_SIMULATIONS", 8)
    monkeypatch.setattr(planning, "NUM_REPEATS", 1)
    for speed in (planning.ours(name, 4), planning.twin(name), planning.pomdp_py(name)):
        assert speed is None or speed.rate > 0


def test_both_players_and_exact_backups(monkeypatch):
    monkeypatch.setattr(planning, "NUM_SIMULATIONS", 8)
    assert planning.pairs(2, 3).rate > 0
    assert planning.exact(2) > 0
    assert planning.coordinated(2) > 0


def test_a_row_has_the_keys_of_the_command_line():
    row = planning.row("one", "s", 1.23456, 2.0, None)
    assert row == {"name": "one", "value": 1.23, "unit": "s", "baseline": 2.0, "ratio": None}

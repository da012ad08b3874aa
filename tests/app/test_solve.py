"""`tacit solve`: exact against a search through every history, sound bounds, costs, interrupts, plain sentences."""

import json

import numpy as np
import pytest

from tacit.app import cli, solve
from tacit.arrays import Pomdp, pomdp
from tacit.pomdps import maze, rock_sample, tiger
from tacit.pomdps.writer import text, write


def drawn(seed: int, states: int = 3, actions: int = 2, observations: int = 2, discount: float = 0.9) -> Pomdp:
    rng = np.random.default_rng(seed)
    return pomdp(
        rng.dirichlet(np.ones(states), (actions, states)),
        rng.dirichlet(np.ones(observations), (actions, states)),
        rng.standard_normal((states, actions)),
        rng.dirichlet(np.ones(states)),
        discount,
    )


def every_history(problem: Pomdp, belief: np.ndarray, turns: int) -> float:
    """The best value by trying every action and observation; `belief` need not sum to one."""
    if turns == 0:
        return 0.0
    worth = []
    for action, (moves, sights) in enumerate(zip(problem.transitions, problem.observations, strict=True)):
        following = (belief @ moves.toarray())[:, None] * sights.toarray()
        ahead = sum(every_history(problem, part, turns - 1) for part in following.T)
        worth.append(float(belief @ problem.rewards[:, action]) + problem.discount * ahead)
    return max(worth)


@pytest.mark.parametrize("seed", range(4))
def test_a_finite_horizon_is_exact(seed, tmp_path, capsys):
    problem, horizon = drawn(seed, states=2 + seed % 3), 1 + seed
    write(problem, tmp_path / "drawn.pomdp")
    assert cli.main(["solve", str(tmp_path / "drawn.pomdp"), "--horizon", str(horizon), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"lower", "upper", "gap", "seconds"}
    assert answer["lower"] == answer["upper"]
    assert answer["gap"] == 0
    assert answer["lower"] == pytest.approx(every_history(problem, problem.initial, horizon), abs=1e-10)


@pytest.mark.parametrize(
    ("discount", "values"),
    [
        (0.95, {1: -1, 2: -1.95, 3: 2.3098, 4: 1.79554421875, 5: 2.763096193125, 10: 6.693368431751}),
        (1.0, {3: 2.72, 5: 3.60915, 10: 9.438167617, 20: 20.390826254498}),
    ],
)
def test_tiger_at_the_listed_horizons(discount, values):
    """Cassandra's problem; values by exact value iteration."""
    for horizon, value in values.items():
        answer = solve.solve(tiger.make(discount=discount), horizon, 30.0, 1e-6)
        assert answer.lower == answer.upper == pytest.approx(value, abs=1e-9)


def test_tiger_for_ever(tmp_path, capsys):
    costly = text(tiger.make(listening=1.0, tiger=100.0, gold=-10.0)).replace("values: reward", "values: cost")
    (tmp_path / "tiger.pomdp").write_text(costly)
    assert cli.main(["solve", str(tmp_path / "tiger.pomdp"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["lower"] <= 19.3713685 <= answer["upper"] + 1e-6
    assert answer["gap"] == pytest.approx(answer["upper"] - answer["lower"], abs=1e-12)
    assert 0 <= answer["gap"] <= 1e-6


@pytest.mark.parametrize(
    ("problem", "least", "most"),
    [(maze.make(), 1.9, 1.91), (rock_sample.make(4, 4), 18.0, 18.05), (rock_sample.make(5, 5), 19.2, 19.25)],
    ids=["maze", "rocks 4 4", "rocks 5 5"],
)
def test_published_values_lie_between_the_bounds(problem, least, most):
    """18.0 and 19.2 are reported for HSVI2 (Smith and Simmons 2005); PBVI gains 1.7 to 2.1 in the maze."""
    answer = solve.solve(problem, None, 2.0, 0.01)
    assert answer.lower <= most
    assert answer.upper >= least


def test_bounds_where_exactness_takes_long():
    problem = drawn(7, states=4, actions=3, observations=3)
    answer = solve.solve(problem, 12, 3.0, 0.01)
    shorter = solve.solve(problem, 5, 3.0, 0.01)
    tail = np.abs(problem.rewards).max() * sum(problem.discount**turn for turn in range(5, 12))
    assert shorter.lower == shorter.upper
    assert answer.lower < answer.upper
    assert answer.lower <= shorter.upper + tail
    assert answer.upper >= shorter.lower - tail


def test_an_interrupt_leaves_the_bounds_found_so_far():
    def stop(seconds: float, lower: float, upper: float) -> None:
        raise KeyboardInterrupt

    answer = solve.solve(rock_sample.make(3, 2), None, 60.0, 0.0, stop)
    assert answer.lower <= answer.upper
    assert answer.seconds < 30


def test_without_a_discount_only_the_first_turn_counts():
    answer = solve.solve(drawn(3, discount=0.0), None, 1.0, 0.0)
    problem = drawn(3)
    assert answer.lower == answer.upper == pytest.approx((problem.initial @ problem.rewards).max())


def test_in_words(tmp_path, capsys):
    write(tiger.make(), tmp_path / "tiger.pomdp")
    assert cli.main(["solve", str(tmp_path / "tiger.pomdp"), "--horizon", "3"]) == 0
    shown = capsys.readouterr().out
    assert "2 states, 3 actions, 2 observations, discount 0.95" in shown
    assert "value of the start: 2.3098 (" in shown


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--horizon", "0"], 2, "--horizon 0"),
        (["--seconds", "0"], 2, "--seconds 0"),
        (["--seconds", "nan"], 2, "--seconds nan"),
        (["--gap", "-1"], 2, "--gap -1"),
        ([], 1, "give --horizon"),
        (["--horizon", "1000000000"], 1, "give a shorter horizon"),
    ],
)
def test_wrong_usage_is_one_sentence(words, status, said, tmp_path, capsys):
    write(tiger.make(discount=1.0), tmp_path / "tiger.pomdp")
    assert cli.main(["solve", str(tmp_path / "tiger.pomdp"), *words]) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err.splitlines()[-1]
    assert shown.err.splitlines()[-1].startswith("tacit: ")


def test_a_wrong_file_is_one_sentence_with_its_line(tmp_path, capsys):
    path = tmp_path / "wrong.pomdp"
    path.write_text(text(tiger.make()).replace("0.85", "0.8"))
    assert cli.main(["solve", str(path)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"{path}, line 18: the probabilities of `O:`" in shown.err
    assert cli.main(["solve", str(tmp_path / "none.pomdp")]) == 1
    assert "none.pomdp" in capsys.readouterr().err

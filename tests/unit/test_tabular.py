"""Games given by arrays: is bad input named, do the arrays say what happens, and do the small games keep their word?"""

import inspect
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.arrays import check_horizon, doubles, number, pomdp
from tacit.games import bandit, hidden_item, off_switch, two_edits
from tacit.games.tabular import State, TabularGame

S, H, A, N = 3, 2, 4, 2


def arrays(rng: np.random.Generator) -> dict:
    return {
        "transitions": rng.dirichlet(np.ones(S), (S, H, A)),
        "rewards": rng.normal(size=(N, S, H, A)),
        "prior": rng.dirichlet(np.ones(N)),
        "initial": rng.dirichlet(np.ones(S)),
        "horizon": 4,
    }


def spoil(array: np.ndarray, where: tuple[int, ...], value: float) -> np.ndarray:
    array = array.copy()
    array[where] = value
    return array


def test_bad_input_is_named() -> None:
    rng = np.random.default_rng()
    good = arrays(rng)
    s, h, a, n = rng.integers(S), rng.integers(H), rng.integers(A), rng.integers(N)
    off = good["transitions"][s, h, a, 0] + 0.25
    terminal = np.arange(S) == s
    bad = [
        ("transitions", spoil(good["transitions"], (s, h, a, 0), off), f"transitions[{s}, {h}, {a}] sums to 1.25;"),
        ("transitions", good["transitions"][:, :, :, :2], "transitions has shape (3, 2, 4, 2)"),
        ("transitions", good["transitions"][0], "transitions has shape (2, 4, 3)"),
        ("rewards", spoil(good["rewards"], (n, s, h, a), np.nan), f"rewards[{n}, {s}, {h}, {a}] is nan;"),
        ("rewards", good["rewards"][:, :, :, :1], "rewards has shape (2, 3, 2, 1); it must have shape (2, 3, 2, 4)"),
        ("prior", np.array([1.5, -0.5]), "prior[1] is -0.5;"),
        ("prior", np.array([0.5, 0.25, 0.25]), "prior has shape (3,)"),
        ("prior", np.array([0.5, 0.25]), "prior sums to 0.75;"),
        ("prior", np.array([1.0, 0.0]), "prior[1] is 0;"),
        ("initial", np.array([0.5, 0.5]), "initial has shape (2,)"),
        ("horizon", 0, "The horizon is 0;"),
        ("horizon", None, "There is no horizon and the discount is 1;"),
        ("discount", 1.5, "The discount is 1.5;"),
        ("discount", np.nan, "The discount is nan;"),
        ("transitions", "a", "transitions is not an array of numbers;"),
        ("transitions", good["transitions"] + 1j, "transitions holds complex numbers;"),
        ("prior", [], "prior has shape (0,); it must have one axis"),
        ("sees", [[0, 1, 2], [0, 1, 3]], "sees[1, 2] is 3;"),
        ("sees", [[0, 1, 2], [0, -1, 2]], "sees[1, 1] is -1;"),
        ("sees", [[0, 0.7, 2], [0, 1, 2]], "sees[0, 1] is 0.7;"),
        ("sees", [[0, np.nan, 2], [0, 1, 2]], "sees[0, 1] is nan;"),
        ("sees", [[0, 1, 2], [0, 1]], "sees is not an array of numbers;"),
        ("sees", [0, 1, 2], "sees has shape (3,)"),
        ("legal_human", spoil(np.ones((S, H)), (s, 1), 0.3), f"legal_human[{s}, 1] is 0.3;"),
        ("legal_human", spoil(np.ones((S, H)), (s, 1), np.nan), f"legal_human[{s}, 1] is nan;"),
        ("terminal", [0, 0, 2], "terminal[2] is 2;"),
        ("legal_human", spoil(np.ones((S, H)), (s, 0), 0.0), f"legal_human[{s}, 0] is False;"),
        ("legal_assistant", np.ones((S, H)), "legal_assistant has shape (3, 2)"),
        ("terminal", terminal, f"terminal[{s}] is True but transitions[{s}] leaves"),
    ]
    for name, value, message in bad:
        with pytest.raises(ValueError, match=re.escape(message)) as refusal:
            TabularGame(**(good | {name: value}))
        assert str(refusal.value).endswith(".")
        assert "\n" not in str(refusal.value)
    stays = good["transitions"].copy()
    stays[s] = np.eye(S)[s]
    with pytest.raises(ValueError, match=re.escape(f"rewards[:, {s}] is not zero")):
        TabularGame(**(good | {"transitions": stays, "terminal": terminal}))
    told = {"sees": [[0, 1, 2], [0, 0, 0]], "legal_assistant": spoil(np.ones((S, A)), (2, 3), 0.0)}
    with pytest.raises(ValueError, match=r"legal_assistant\[0\] and legal_assistant\[2\] differ"):
        TabularGame(**(good | told))
    TabularGame(**good)


def test_bad_pomdps_are_named() -> None:
    rng = np.random.default_rng()
    good = {
        "transitions": rng.dirichlet(np.ones(S), (A, S)),
        "observations": rng.dirichlet(np.ones(2), (A, S)),
        "rewards": rng.normal(size=(S, A)),
        "initial": rng.dirichlet(np.ones(S)),
        "discount": 0.9,
    }
    a, s = rng.integers(A), rng.integers(S)
    ragged = [matrix.tolist() for matrix in good["transitions"]]
    ragged[a][s] = [1.0]
    bad = [
        ("transitions", spoil(good["transitions"], (a, s, 0), np.nan), f"transitions[{a}, {s}, 0] is nan;"),
        ("transitions", good["transitions"][1:], "transitions has 3 matrices for 4 actions;"),
        ("transitions", ragged, f"transitions[{a}] is not a matrix of numbers;"),
        ("transitions", ["ab"] * A, "transitions[0] is not a matrix of numbers;"),
        ("transitions", np.ones((A, S, S, S)), "transitions[0] is not a matrix of numbers;"),
        ("initial", [0.5, 0.5], "initial has shape (2,)"),
        ("discount", 1.5, "The discount is 1.5;"),
    ]
    for name, value, message in bad:
        with pytest.raises(ValueError, match=re.escape(message)) as refusal:
            pomdp(**(good | {name: value}))
        assert str(refusal.value).endswith(".")
    assert len(pomdp(**good).transitions) == A


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inspect.unwrap(check_horizon)(2.5), "The horizon is 2.5; it must be a whole number of turns."),
        (lambda: inspect.unwrap(check_horizon)("3"), "The horizon is '3'; it must be a whole number of turns."),
        (lambda: inspect.unwrap(number)("discount", None), "The discount is None; it must be a number."),
        (lambda: inspect.unwrap(doubles)("prior", [[1], [1, 2]]), "prior is not an array of numbers;"),
    ],
)
def test_wrong_types_are_named(call: Callable[[], None], message: str) -> None:
    # Unwrapped, because the tests' own check of types is not there where a stranger calls.
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_worlds_follow_the_arrays() -> None:
    rng = np.random.default_rng()
    given = arrays(rng)
    legal = spoil(np.ones((S, A)), (1, 2), 0.0)
    game = TabularGame(**given, legal_assistant=legal)
    keys = jax.random.split(jax.random.key(rng.integers(2**31)), 20_000)
    state = State(jnp.int32(1), jnp.zeros(2, jnp.int32), jnp.int32(0))
    for action, row in ((3, 3), (2, 0)):  # the second is not legal, so it passes
        actions = jnp.array([1, action], jnp.int32)
        after = jax.jit(jax.vmap(lambda key, actions=actions: game.step(state, actions, key)))(keys)
        share = np.bincount(np.asarray(after.number), minlength=S) / len(keys)
        assert np.abs(share - given["transitions"][1, 1, row]).max() < 5 * 0.5 / len(keys) ** 0.5
        assert np.array_equal(after.last_actions[0], [1, row])
        reward = game.reward(jnp.int32(1), state, actions, state)
        np.testing.assert_allclose(reward, [given["rewards"][1, 1, 1, row], 0.0], rtol=1e-6)
    firsts = jax.jit(jax.vmap(game.init))(keys).number
    thetas = jax.jit(jax.vmap(game.sample_theta))(keys)
    for drawn, chances in ((firsts, given["initial"]), (thetas, given["prior"])):
        share = np.bincount(np.asarray(drawn), minlength=len(chances)) / len(keys)
        assert np.abs(share - chances).max() < 5 * 0.5 / len(keys) ** 0.5


def test_off_switch_pays_what_the_paper_says() -> None:
    utility = float(np.random.default_rng().normal())
    game = off_switch.make((0.0, utility), (0.25, 0.75))
    start = game.init(jax.random.key(0))
    theta = jnp.int32(1)

    def total(first: int, answer: int) -> float:
        one, two = jnp.array([0, first], jnp.int32), jnp.array([answer, 0], jnp.int32)
        middle = game.step(start, one, jax.random.key(1))
        end = game.step(middle, two, jax.random.key(2))
        assert game.finished(theta, end)
        paid = game.reward(theta, start, one, middle) + game.reward(theta, middle, two, end)
        return float(paid.sum())

    worth = {
        (off_switch.ACT, off_switch.ALLOW): utility,
        (off_switch.SWITCH_OFF, off_switch.ALLOW): 0.0,
        (off_switch.WAIT, off_switch.ALLOW): utility,
        (off_switch.WAIT, off_switch.PRESS): 0.0,
    }
    assert {moves: pytest.approx(value) for moves, value in worth.items()} == {moves: total(*moves) for moves in worth}


def test_hidden_item_is_hidden_until_opened() -> None:
    game = hidden_item.make(swap=0.0)
    for left in (hidden_item.RED, hidden_item.BLUE):
        state = State(jnp.int32(hidden_item.STATES.index((left, 0))), jnp.zeros(2, jnp.int32), jnp.int32(0))
        human, assistant = game.observe(state)
        assert int(assistant.seen) == hidden_item.NOTHING
        assert int(human.seen) == int(state.number)
        for box, item in ((hidden_item.LEFT, left), (hidden_item.RIGHT, 1 - left)):
            actions = jnp.array([0, box], jnp.int32)
            after = game.step(state, actions, jax.random.key(0))
            assert int(game.observe(after)[1].seen) == 1 + item
            paid = [float(game.reward(jnp.int32(theta), state, actions, after).sum()) for theta in (0, 1)]
            assert paid == [1.0 if item == theta else -1.0 for theta in (0, 1)]


def test_two_edits_resolve_in_order() -> None:
    cells = 3
    game = two_edits.make(cells, 9)
    rng = np.random.default_rng()
    step, reward = jax.jit(game.step), jax.jit(game.reward)
    key = jax.random.key(0)
    state, row = game.init(key), np.zeros(cells, bool)
    seen = set()
    for turn in range(60):
        theta = rng.random(cells) < 0.5
        actions = rng.integers(0, 1 + 2 * cells, 2)
        if turn % 3 == 0 and actions[0] > 0:
            actions[1] = (actions[0] - 1 + cells * rng.integers(2)) % (2 * cells) + 1  # the same cell
        before, old = row.copy(), state
        expected, changed = [0.0, 0.0], [-1, -1]
        for player, action in enumerate(actions):
            cell, value = (int(action) - 1) % cells, action > cells
            # What was not legal at the start of the turn passes, whatever the first edit has changed.
            if action > 0 and before[cell] != value and row[cell] != value:
                row[cell], changed[player] = value, cell
                expected[player] = 1.0 if theta[cell] == value else -1.0
        moves = jnp.asarray(actions, jnp.int32)
        state = step(old, moves, key)
        assert np.array_equal(state.cells, row)
        assert np.array_equal(state.changed, changed)
        assert np.array_equal(reward(jnp.asarray(theta), old, moves, state), expected)
        both = actions[0] > 0 and actions[1] > 0 and (actions[0] - actions[1]) % cells == 0
        seen.add("same edit" if both and actions[0] == actions[1] else "opposite" if both else "apart")
    assert seen == {"same edit", "opposite", "apart"}


def test_bandit_hides_what_was_felt() -> None:
    game = bandit.make(3, 2)
    theta = jax.random.uniform(jax.random.key(np.random.default_rng().integers(2**31)), (3,))
    start = game.init(jax.random.key(0))
    asks, pulls = jnp.array([2, 1], jnp.int32), jnp.array([1, 3], jnp.int32)
    asked = game.step(start, asks, jax.random.key(1))
    assert (int(asked.requested), int(asked.pulled)) == (1, bandit.NO_ARM)
    assert float(game.reward(theta, start, asks, asked).sum()) == 0.0
    pulled = game.step(asked, pulls, jax.random.key(1))
    assert (int(pulled.requested), int(pulled.pulled)) == (bandit.NO_ARM, 2)
    np.testing.assert_allclose(game.reward(theta, asked, pulls, pulled), [0.0, theta[2]])
    keys = jax.random.split(jax.random.key(2), 20_000)
    felt = jax.jit(jax.vmap(lambda key: game.felt(theta, asked, pulls, pulled, key)))(keys)
    assert set(np.unique(felt)) <= {0.0, 1.0}
    assert abs(float(felt.mean()) - float(theta[2])) < 5 * 0.5 / len(keys) ** 0.5


@pytest.mark.parametrize(
    "call", [lambda: bandit.make(0), lambda: two_edits.make(2, 0), lambda: off_switch.make((1.0,), (0.5,))]
)
def test_games_refuse_nonsense(call) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        call()

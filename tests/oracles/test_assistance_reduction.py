"""Is the assistant's POMDP the game with its human in it? Joint probabilities against the game's own arrays."""

import numpy as np
import pytest

from tacit.arrays import game_arrays
from tacit.planning.assistance import reduce, with_choices

N, S, H, A = 2, 3, 2, 3


def random_game(rng, **more):
    return game_arrays(
        rng.dirichlet(np.ones(S), (S, H, A)),
        rng.normal(size=(N, S, H, A)),
        rng.dirichlet(np.ones(N)),
        rng.dirichlet(np.ones(S)),
        horizon=4,
        **more,
    )


def test_the_reduction_is_the_game_with_its_human() -> None:
    rng = np.random.default_rng()
    game = random_game(rng, sees=[[0, 1, 2], [0, 2, 2]])
    human = rng.dirichlet(np.ones(H), (N, S))
    problem = reduce(game, human)
    assert len(problem.transitions) == A
    for n, s, last, a in np.ndindex(N, S, H, A):
        here = (n * S + s) * H + last
        row = problem.transitions[a].toarray()[here].reshape(N, S, H)
        for m, t, h in np.ndindex(N, S, H):
            expected = human[n, s, h] * game.transitions[s, h, a, t] if m == n else 0.0
            assert row[m, t, h] == pytest.approx(expected, abs=1e-15)
        assert problem.rewards[here, a] == pytest.approx(human[n, s] @ game.rewards[n, s, :, a], abs=1e-12)
    sight = problem.observations[0].toarray().reshape(N, S, H, 2, H)
    for n, s, h in np.ndindex(N, S, H):
        assert sight[n, s, h, 0 if s == 0 else 1, h] == 1.0
    assert problem.initial.reshape(N, S, H)[..., 0] == pytest.approx(np.outer(game.prior, game.initial))


def test_what_is_not_legal_counts_as_the_pass() -> None:
    rng = np.random.default_rng()
    may_human, may_assistant = np.ones((S, H), bool), np.ones((S, A), bool)
    may_human[1, 1] = may_assistant[2, 2] = False
    game = random_game(rng, legal_human=may_human, legal_assistant=may_assistant)
    human = rng.dirichlet(np.ones(H), (N, S))
    problem = reduce(game, human)
    moves = [matrix.toarray().reshape(N, S, H, N, S, H) for matrix in problem.transitions]
    assert (moves[2][:, 2] == moves[0][:, 2]).all()
    assert (moves[0][:, 1, :, :, :, 1] == 0).all()
    rewards = problem.rewards.reshape(N, S, H, A)
    assert rewards[:, 1, 0, 1] == pytest.approx(game.rewards[:, 1, 0, 1])
    assert (rewards[:, 2, :, 2] == rewards[:, 2, :, 0]).all()


def test_ways_of_choosing_multiply_the_actions() -> None:
    rng = np.random.default_rng()
    game = random_game(rng)
    choices = rng.dirichlet(np.ones(H), (4, N, S))
    both = with_choices(game, choices)
    for c in range(4):
        alone = reduce(game, choices[c])
        for a in range(A):
            assert abs(both.transitions[c * A + a] - alone.transitions[a]).max() < 1e-15
        assert (both.rewards[:, c * A : (c + 1) * A] == alone.rewards).all()


def test_nonsense_is_refused() -> None:
    rng = np.random.default_rng()
    game = random_game(rng)
    with pytest.raises(ValueError, match="shape"):
        reduce(game, np.ones((N, S, H + 1)) / (H + 1))
    human = rng.dirichlet(np.ones(H), (N, S))
    human[1, 2] = 0.7  # H = 2
    with pytest.raises(ValueError, match=r"human\[1, 2\] sums to 1.4;"):
        reduce(game, human)
    with pytest.raises(ValueError, match="more than"):
        with_choices(game, np.broadcast_to(rng.dirichlet(np.ones(H), (N, S)), (400_000, N, S, H)))

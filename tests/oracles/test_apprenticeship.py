"""Best-response demonstrations: the formula by NumPy, the grid's rules, and a study that fails without effort."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from tacit.core import ASSISTANT, HUMAN
from tacit.feedback import demonstration
from tacit.games import feature_gridworld
from tacit.studies import apprenticeship

SMALL = apprenticeship.Config(num_people=100, num_hypotheses=400, num_grids=1)


def small_game():
    return feature_gridworld.make(side=5, num_features=2, num_steps=3, seed=int(np.random.default_rng().integers(1000)))


def test_instructive_is_its_formula() -> None:
    rng = np.random.default_rng()
    counts, theta, effort = rng.normal(size=(30, 3)), rng.normal(size=3), rng.uniform(0.1, 5.0)
    with jax.enable_x64(True):
        shown = demonstration.instructive(jnp.asarray(counts), jnp.asarray(theta), 1.3, effort)
        best = demonstration.instructive(jnp.asarray(counts), jnp.asarray(theta), 1.3, 0.0)
    typical = special.softmax(1.3 * counts @ theta) @ counts
    assert int(shown) == np.argmax(counts @ theta - effort * ((typical - counts) ** 2).sum(1))
    assert int(best) == np.argmax(counts @ theta)


def test_a_demonstration_earns_in_the_game_what_was_counted() -> None:
    game, rng = small_game(), np.random.default_rng()
    world = apprenticeship.world_of(game)
    walks = demonstration.trajectories(world)
    index = rng.integers(len(walks))
    theta = game.sample_theta(jax.random.key(int(rng.integers(1000))))
    counts = demonstration.make(world).counts[index]
    key, earned = jax.random.key(0), np.zeros(2)
    state = game.init(key)
    for turn in range(game.horizon):
        move = int(walks[index, turn % game.num_steps, 1])
        assert int(state.cell) == walks[index, turn % game.num_steps, 0]
        # The other player's move is ignored.
        actions = jnp.array([move, 3] if turn < game.num_steps else [3, move], jnp.int32)
        after = game.step(state, actions, key)
        earned += np.asarray(game.reward(theta, state, actions, after))
        state = after
    np.testing.assert_allclose(earned[[HUMAN, ASSISTANT]], float(counts @ theta), rtol=1e-5)


def test_the_study_holds_and_would_fail_without_effort() -> None:
    # The whole study runs in CI; regret needs its 500 people.
    found = {claim.name: claim.passed for claim in apprenticeship.make("tiny", None, SMALL)}
    assert found["sign_test@error"]
    assert found["sign_test@divergence"]
    idle = apprenticeship.make("tiny", None, dataclasses.replace(SMALL, effort=0.0))
    assert not any(claim.passed for claim in idle if claim.name.startswith("sign_test"))

"""A tree in which the human knows theta: against the published values of ChefWorld and against the exact pair."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.arrays import game_arrays
from tacit.games import chef_world
from tacit.planning import assistance, cirl, cirl_pomcp, particle_filter, pomcp
from tacit.planning.best_response import literal_human
from tacit.planning.tabular_simulator import TabularSimulator

TABLE = [
    (((3, 1), (1, 3)), 2, 1.0, 0.375),
    (((4, 0), (2, 2), (0, 4)), 2, 2 / 3, 0.416667),
    (((3, 3), (4, 2), (2, 4)), 3, 1.0, 0.583333),
]
"""Recipes, turns, the value of the pair and of the best answer to a human who does not teach (theory, section b)."""

EPISODES = 400


def mean(returns: jax.Array) -> tuple[float, float]:
    """Mean and standard error."""
    return float(jnp.mean(returns)), float(jnp.std(returns)) / math.sqrt(len(returns))


@pytest.mark.parametrize(("recipes", "turns", "best", "literal"), TABLE)
def test_the_pair_reaches_the_best_where_plain_pomcp_cannot(recipes, turns, best, literal):
    arrays = chef_world.make(recipes, turns).arrays
    config = cirl_pomcp.Config(exploration=1.0, num_simulations=3000)
    keys = jax.random.split(jax.random.key(0), EPISODES)
    value, error = mean(cirl_pomcp.play_pair(cirl_pomcp.PublicGame(arrays), config, turns, keys))
    assert best - 4 * error - 0.02 <= value <= best + 4 * error + 1e-6

    human = literal_human(arrays)
    problem = TabularSimulator(assistance.reduce(arrays, by_state(arrays, human)), turns)
    plain = particle_filter.play(problem, pomcp.Config(1.0, 1000), 200, turns, keys).returns
    value, error = mean(plain)
    assert literal - 4 * error - 0.04 <= value <= literal + 4 * error
    assert value < best - 0.15


def by_state(arrays, policies):
    """One policy for all turns, of a game whose states tell the turn: in each state, that of the turn it belongs to."""
    reached, policy = arrays.initial > 0, policies[0].copy()
    for here in policies:
        policy[:, reached] = here[:, reached]
        reached = (arrays.transitions[reached].sum((0, 1, 2)) > 0) & ~arrays.terminal
    return policy


@pytest.mark.parametrize(("rationality", "best"), [(1.0, 0.27122), (5.0, 0.97269), (50.0, 1.0)])
def test_a_noisy_human_is_read_as_noisy(rationality, best):
    game = cirl_pomcp.PublicGame(chef_world.make(TABLE[0][0], 2).arrays)
    config = cirl_pomcp.Config(exploration=1.0, num_simulations=4000, rationality=rationality)
    value, error = mean(cirl_pomcp.play_pair(game, config, 2, jax.random.split(jax.random.key(1), EPISODES)))
    assert best - 4 * error - 0.02 <= value <= best + 4 * error + 1e-6


def test_random_games_with_chance_and_what_is_not_legal():
    rng = np.random.default_rng(3)
    states, humans, assistants, thetas, turns = 3, 2, 3, 2, 3
    for seed in range(3):
        legal_human, legal_assistant = rng.random((states, humans)) < 0.7, rng.random((states, assistants)) < 0.7
        legal_human[:, 0] = legal_assistant[:, 0] = True
        arrays = game_arrays(
            rng.dirichlet(np.full(states, 0.3), (states, humans, assistants)),
            rng.uniform(0, 1, (thetas, states, humans, assistants)),
            rng.dirichlet(np.ones(thetas)),
            rng.dirichlet(np.ones(states)),
            turns,
            0.9,
            legal_human=legal_human,
            legal_assistant=legal_assistant,
        )
        exact = cirl.optimal_pair(arrays).value
        game, keys = cirl_pomcp.PublicGame(arrays), jax.random.split(jax.random.key(seed), EPISODES)
        value, error = mean(cirl_pomcp.play_pair(game, cirl_pomcp.Config(2.0, 2000), turns, keys))
        assert exact - 4 * error - 0.06 <= value <= exact + 4 * error
        belief = jnp.tile(game.prior, (states, 1))
        found = cirl_pomcp.search(game, jnp.arange(states), belief, cirl_pomcp.Config(2.0, 500), keys[:states])
        assert (np.asarray(found.visits)[~legal_assistant] == 0).all()
        assert (np.asarray(found.human).transpose(0, 2, 1)[~legal_human] == 0).all()


def test_a_literal_reading_of_the_human_is_worth_less():
    """The broken variant: an assistant whose tree has the human of each theta choose without regard to it."""
    arrays = chef_world.make(TABLE[0][0], 2).arrays
    game = cirl_pomcp.PublicGame(arrays)
    config = cirl_pomcp.Config(exploration=1.0, num_simulations=2000, rationality=0.0)
    value, error = mean(cirl_pomcp.play_pair(game, config, 2, jax.random.split(jax.random.key(1), EPISODES)))
    assert value + 4 * error < 0.5


def test_what_is_not_public_is_refused():
    arrays = chef_world.make(TABLE[0][0], 2).arrays
    blind = eqx.tree_at(lambda arrays: arrays.sees, arrays, np.zeros_like(arrays.sees))
    with pytest.raises(ValueError, match="look the same"):
        cirl_pomcp.PublicGame(blind)
    game, keys = cirl_pomcp.PublicGame(arrays), jax.random.split(jax.random.key(0), 2)
    state, belief = jnp.zeros(2, jnp.int32), jnp.tile(game.prior, (2, 1))
    for config, words in (
        (cirl_pomcp.Config(1.0, rationality=-1.0), "rationality is -1"),
        (cirl_pomcp.Config(1.0, 0), "num_simulations is 0"),
        (cirl_pomcp.Config(1.0, 10**9), "fewer simulations"),
    ):
        with pytest.raises(ValueError, match=words):
            cirl_pomcp.search(game, state, belief, config, keys)

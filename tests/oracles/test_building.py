"""The building game against its NumPy twin: masks, turns, rewards, on random worlds and along random episodes."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy_building as twin
import pytest

from tacit.core import ASSISTANT, HUMAN
from tacit.games.building.actions import EditLogits
from tacit.games.building.game import (
    ABSENT,
    BuildingGame,
    Edits,
    State,
    edit_distance,
    goal_completed,
)

SIZES = {"paper": ((11, 10, 10), 10, 4.5), "small": ((8, 8, 8), 8, 3.0), "odd": ((5, 6, 9), 4, 1.7)}
NUM_WORLDS = 400
NUM_TURNS = 25


class AnyHouse(eqx.Module):
    """Every cell above the bedrock of any kind: nothing can be guessed from it."""

    shape: tuple[int, int, int] = eqx.field(static=True)
    num_kinds: int = eqx.field(static=True)

    def sample(self, key):
        kinds = jax.random.randint(key, self.shape, 0, self.num_kinds, jnp.int8)
        return jnp.where(kinds == 1, jnp.int8(0), kinds).at[:, 0].set(1)


class Bench(NamedTuple):
    """One size with its compiled functions."""

    game: BuildingGame
    legal: object
    step: object
    resolve: object
    reward: object
    rng: np.random.Generator


@pytest.fixture(scope="module", params=SIZES)
def bench(request):
    shape, num_kinds, reach = SIZES[request.param]
    return Bench(
        BuildingGame(AnyHouse(shape, num_kinds), shape, num_kinds, reach, 60),
        eqx.filter_jit(lambda game, state: eqx.filter_vmap(game.legal)(state)),
        eqx.filter_jit(lambda game, state, actions: eqx.filter_vmap(game.step)(state, actions, _keys(len(actions)))),
        eqx.filter_jit(lambda game, state, actions: eqx.filter_vmap(game.resolve)(state, actions)),
        eqx.filter_jit(lambda game, *args: eqx.filter_vmap(game.reward)(*args)),
        np.random.default_rng(),
    )


def _keys(number):
    return jax.random.split(jax.random.key(0), number)


def _cluttered(rng, shape, num_kinds):
    """A world with any amount of blocks, and two bodies that may be close, walled in, on top, or absent."""
    blocks = np.where(rng.random(shape) < rng.uniform(0, 0.6), rng.integers(2, num_kinds, shape), 0)
    blocks[:, 0] = 1
    feet = [rng.integers((0, 0, 0), shape) for _ in range(2)]
    if rng.random() < 0.5:
        feet[1] = np.clip(feet[0] + rng.integers(-2, 3, 3), 0, np.array(shape) - 1)
    if rng.random() < 0.1:
        feet[0][1] = shape[1] - 1
    if rng.random() < 0.7:  # most stand where a body can
        for x, y, z in feet:
            blocks[x, y : y + 2, z] = 0
    if rng.random() < 0.05:
        feet[1] = np.array(ABSENT)
    return blocks, np.stack(feet)


def _some_action(rng, game, blocks, feet):
    """Any action at all, or one close by, so that many are just possible and many just not."""
    if rng.random() < 0.1:
        return rng.integers(game.num_actions[HUMAN])
    num_cells = game.num_cells
    near = feet + np.array((0, 1, 0)) + np.round(rng.normal(0, game.shape[1] / 4, 3)).astype(int)
    cell = np.ravel_multi_index(np.clip(near, 0, np.array(game.shape) - 1), game.shape)
    what = rng.integers(8)
    if what == 0:
        return 1 + (game.num_kinds + 1) * num_cells + rng.integers(6)
    if blocks.ravel()[cell] == 0 or what == 1:
        return 1 + rng.integers(2, game.num_kinds) * num_cells + cell
    return 1 + game.num_kinds * num_cells + cell


def _state(blocks, feet):
    size = len(blocks)
    return State(
        jnp.asarray(blocks, jnp.int8),
        jnp.zeros(blocks.shape, jnp.int8),
        jnp.asarray(feet, jnp.int32),
        Edits(jnp.full((size, 2), -1), jnp.zeros((size, 2), jnp.int8), jnp.zeros((size, 2), jnp.int8)),
        jnp.zeros((size, 2), jnp.int32),
        jnp.zeros((size, 2), bool),
        jnp.zeros((size,), jnp.int32),
    )


def _compare_turn(old, actions, state, index, game, reach, masked=True):
    """One world's turn, ours (`state`, at `index`) and the twin's; returns the twin's edits."""
    blocks, touched, feet, edits, effective = twin.step(*old, actions, game.num_kinds, reach, masked)
    np.testing.assert_array_equal(state.blocks[index], blocks)
    np.testing.assert_array_equal(state.touched[index], touched)
    np.testing.assert_array_equal(state.feet[index], feet)
    np.testing.assert_array_equal(np.stack(jax.tree.map(lambda x: x[index], state.edits)).T, edits)
    np.testing.assert_array_equal(state.effective[index], effective)
    np.testing.assert_array_equal(state.last_actions[index], actions)
    return edits


def test_random_worlds(bench, request):
    game, rng = bench.game, bench.rng
    reach = SIZES[request.node.callspec.params["bench"]][2]
    worlds = [_cluttered(rng, game.shape, game.num_kinds) for _ in range(NUM_WORLDS)]
    blocks, feet = (np.stack(part) for part in zip(*worlds, strict=True))
    actions = np.array([[_some_action(rng, game, b, f[player]) for player in (0, 1)] for b, f in worlds])
    houses = np.stack([game.sample_theta(key) for key in jax.random.split(jax.random.key(rng.integers(2**31)), 4)])
    houses = houses[np.arange(NUM_WORLDS) % len(houses)]
    state = _state(blocks, feet)
    legal = jax.tree.map(np.asarray, bench.legal(game, state))
    after = jax.tree.map(np.asarray, bench.step(game, state, jnp.asarray(actions, jnp.int32)))
    resolved = jax.tree.map(np.asarray, bench.resolve(game, state, jnp.asarray(actions, jnp.int32)))
    rewards = np.asarray(bench.reward(game, jnp.asarray(houses), state, jnp.asarray(actions), after))
    did = 0
    for index in range(NUM_WORLDS):
        for player in (HUMAN, ASSISTANT):
            ours = legal[player]
            theirs = twin.masks(blocks[index], feet[index, player], feet[index, 1 - player], reach)
            for mine, yours in zip((ours.place, ours.remove, ours.move), theirs, strict=True):
                np.testing.assert_array_equal(mine[index], yours)
        old = blocks[index], np.zeros_like(blocks[index]), feet[index]
        _compare_turn(old, actions[index], resolved, index, game, reach, masked=False)
        edits = _compare_turn(old, actions[index], after, index, game, reach)
        world, theirs = blocks[index].copy(), []
        for cell, _, kind in edits:
            before = twin.distance(world, houses[index])
            if cell >= 0:
                world.ravel()[cell] = kind
                did += 1
            theirs.append(before - twin.distance(world, houses[index]))
        np.testing.assert_array_equal(rewards[index], theirs)
    assert did > NUM_WORLDS / 10  # the test would say little if nothing ever happened
    assert (resolved.effective & ~after.effective).any()  # nor if the rules never allowed more than the mask


def test_random_episodes(bench, request):
    """From the start, choosing evenly: the twin follows, and the rewards add up to the edits saved."""
    game, rng = bench.game, bench.rng
    reach = SIZES[request.node.callspec.params["bench"]][2]
    num_cells = game.num_cells
    even = EditLogits(
        jnp.zeros(()), jnp.zeros(num_cells), jnp.zeros((num_cells, game.num_kinds)), jnp.zeros(num_cells), jnp.zeros(6)
    )

    @eqx.filter_jit
    def play(game, house, key):
        def turn(state, key):
            keys = jax.random.split(key, 3)
            actions = jnp.stack([game.sample(even, game.legal(state)[player], keys[player]) for player in (0, 1)])
            after = game.step(state, actions, keys[2])
            return after, (after, actions, game.reward(house, state, actions, after))

        start = game.init(jax.random.fold_in(key, 0))
        return start, jax.lax.scan(turn, start, jax.random.split(key, NUM_TURNS))[1]

    for key in jax.random.split(jax.random.key(rng.integers(2**31)), 4):
        house = game.sample_theta(key)
        start, (states, actions, rewards) = jax.tree.map(np.asarray, play(game, house, key))
        assert twin.can_stand(start.blocks, start.feet[0], start.feet[1])
        assert twin.can_stand(start.blocks, start.feet[1], start.feet[0])
        old = start.blocks, start.touched, start.feet
        for turn in range(NUM_TURNS):
            for player, action in enumerate(actions[turn]):
                assert twin.offered(old[0], old[2][player], old[2][1 - player], action, game.num_kinds, reach)
            _compare_turn(old, actions[turn], states, turn, game, reach)
            old = states.blocks[turn], states.touched[turn], states.feet[turn]
            assert states.time[turn] == turn + 1
        saved = twin.distance(start.blocks, np.asarray(house)) - twin.distance(old[0], np.asarray(house))
        assert rewards.sum() == saved
        assert edit_distance(jnp.asarray(old[0]), house) == twin.distance(old[0], np.asarray(house))
        total = twin.distance(start.blocks, np.asarray(house))
        np.testing.assert_allclose(goal_completed(jnp.asarray(old[0]), house), saved / total, atol=1e-6)

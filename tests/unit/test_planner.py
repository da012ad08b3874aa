"""The planning human: values against closed forms, chances against all flat actions, and houses built alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.core import HUMAN
from tacit.games import building_small, two_edits
from tacit.games.building.actions import BREAK, MOVE, PASS, PLACE, EditLogits, decode, flatten, flatten_legal
from tacit.games.building.blocks import AIR, FIRST_PLACEABLE
from tacit.games.building.game import BuildingGame, bare_ground
from tacit.games.building.hand import HASTE
from tacit.humans import planner
from tacit.humans.planner import WORTH, action_values, prospects, reweigh, watch

RNG = np.random.default_rng()
GAME = building_small.make("test").alone()
SHAPE, N, M = GAME.shape, GAME.num_cells, GAME.num_kinds
PLANNER = planner.make(GAME, jnp.float32(10.0))
NO_PASSAGES = jnp.zeros(SHAPE, jnp.int32)


@pytest.fixture
def compile_quickly():
    """For a test that computes little and compiles much."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def seed():
    return int(RNG.integers(1 << 30))


def flat_values(values):
    """Q of every flat action."""
    return np.concatenate([values.rest[None], values.place.T.reshape(-1), values.remove, values.move])


@eqx.filter_jit
def look(theta, passages, state, human=PLANNER):
    sees = GAME.observe(state)[HUMAN]
    ahead = prospects(theta, watch(passages, theta, sees), sees, M, GAME.reach)
    values = action_values(ahead, ahead.best)
    logits, memory = human.logits(theta, passages, sees, jax.random.key(0))
    return values, logits, sees.legal[HUMAN], memory


@eqx.filter_jit
def play(thetas, states, memories, keys):
    """Turns of several people at once: the last states and memories, and what each did when it was not finished."""

    def one(theta, carry, key):
        state, memory = carry
        sees = GAME.observe(state)[HUMAN]
        logits, memory = PLANNER.logits(theta, memory, sees, key)
        action = GAME.sample(logits, sees.legal[HUMAN], key)
        new = GAME.step(state, jnp.stack([action, jnp.int32(0)]), key)
        done = GAME.finished(theta, state)
        what = jnp.where(done, -1, decode(action, M, N).what)
        return jax.tree.map(lambda after, before: jnp.where(done, before, after), (new, memory), carry), what

    return jax.lax.scan(lambda carry, keys: jax.vmap(one)(thetas, carry, keys), (states, memories), keys)


NUM_HOUSES = 32


def build(thetas, states, num_turns):
    """Let everybody build: the last states, and what each did in each turn."""
    memories = jnp.zeros((NUM_HOUSES, *SHAPE), jnp.int32)
    carry, done = (states, memories), []
    for keys in jax.random.split(jax.random.key(seed()), (num_turns // 50, 50, NUM_HOUSES)):
        carry, what = play(thetas, *carry, keys)
        done.append(np.asarray(what))
        if (done[-1][-1] == -1).all():
            break
    return carry[0], np.concatenate(done)


@pytest.fixture(scope="module")
def houses():
    return jax.jit(jax.vmap(GAME.sample_theta))(jax.random.split(jax.random.key(seed()), NUM_HOUSES))


@pytest.fixture(scope="module")
def starts():
    return jax.jit(jax.vmap(GAME.init))(jax.random.split(jax.random.key(seed()), NUM_HOUSES))


@pytest.fixture(scope="module")
def worlds(houses, starts):
    """Thetas and states that have nothing to do with each other: right blocks, wrong ones, holes, floating ones."""
    other = houses[RNG.permutation(NUM_HOUSES)]
    some = RNG.random((NUM_HOUSES, *SHAPE)) < RNG.random((NUM_HOUSES, 1, 1, 1))
    blocks = jnp.where(some, other, jnp.where(RNG.random(some.shape) < 0.5, houses, starts.blocks))
    feet = np.asarray(starts.feet[:, HUMAN])
    for at, (x, y, z) in enumerate(feet):
        blocks = blocks.at[at, x, y : y + 2, z].set(AIR)
    return houses, starts._replace(blocks=blocks)


def expected(values, legal, rationality):
    """exp(rationality · Q) over all legal flat actions, normalised: the definition, one number an action."""
    weight = rationality * flat_values(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), values))
    weight = np.where(np.asarray(flatten_legal(legal, M)), weight, -np.inf)
    return np.exp(weight - weight.max()) / np.exp(weight - weight.max()).sum()


def softmax(logits, legal):
    weight = np.where(np.asarray(flatten_legal(legal, M)), np.asarray(flatten(logits), np.float64), -np.inf)
    return np.exp(weight - weight.max()) / np.exp(weight - weight.max()).sum()


@pytest.mark.parametrize("rationality", [0.0, 0.7, 3.0, 10.0])
def test_it_is_boltzmann_in_the_value_of_every_flat_action(worlds, rationality):
    human = eqx.tree_at(lambda planner: planner.rationality, PLANNER, jnp.float32(rationality))
    for at in range(4):
        theta, state = jax.tree.map(lambda leaf, at=at: leaf[at], worlds)
        values, logits, legal, _ = look(theta, NO_PASSAGES, state, human)
        np.testing.assert_allclose(softmax(logits, legal), expected(values, legal, rationality), rtol=2e-4, atol=1e-9)


def test_a_planner_who_forgets_how_many_kinds_there_are_is_noticed(worlds):
    theta, state = jax.tree.map(lambda leaf: leaf[0], worlds)
    values, _, legal, _ = look(theta, NO_PASSAGES, state)
    even = GAME.indifferent(HUMAN)
    broken = softmax(reweigh(even, jax.tree.map(lambda q: 1.0 * q, values)), legal)
    assert np.abs(broken - expected(values, legal, 1.0)).max() > 1e-3


def test_values_are_what_the_docstring_says(worlds):
    for at in range(NUM_HOUSES):
        theta, state = jax.tree.map(lambda leaf, at=at: leaf[at], worlds)
        values, _, legal, _ = look(theta, NO_PASSAGES, state)
        flat, allowed = flat_values(values), np.asarray(flatten_legal(legal, M))
        action = np.arange(flat.size)
        what, cell, kind, _ = (np.asarray(part) for part in decode(jnp.asarray(action), M, N))
        goal, blocks = np.asarray(theta).reshape(-1)[cell], np.asarray(state.blocks).reshape(-1)[cell]
        best = flat[allowed & (what != PASS)].max()
        assert best > 0  # there is always something to do in these worlds
        np.testing.assert_allclose(values.rest, HASTE * best, rtol=1e-5)
        right = allowed & (what == PLACE) & (kind == goal)
        wrong = allowed & (what == PLACE) & (kind != goal)
        repair = allowed & (what == BREAK) & (blocks != goal)
        np.testing.assert_allclose(flat[right | repair], WORTH, rtol=1e-5)
        np.testing.assert_allclose(flat[wrong], HASTE * best - 1.0, rtol=1e-5)
        assert (flat[what == MOVE] >= np.float32(HASTE**2 * best - 1e-4)).all()
        assert (flat[what == MOVE] <= WORTH * HASTE + 1e-4).all()


def test_each_step_towards_the_only_edit_brings_it_a_turn_nearer():
    theta = bare_ground(SHAPE).at[tuple(RNG.integers(0, 4, 3) * np.array([1, 0, 1]) + np.array([0, 2, 0]))].set(5)
    state = GAME.init(jax.random.key(0))
    state = state._replace(feet=state.feet.at[HUMAN].set(jnp.array([6, 5, 6])))
    steps = []
    while not (state.blocks == theta).all():
        values, _, legal, _ = look(theta, NO_PASSAGES, state)
        flat = np.where(np.asarray(flatten_legal(legal, M)), flat_values(values), -np.inf)
        steps.append(np.log(flat.max() / WORTH) / np.log(HASTE))
        state = GAME.step(state, jnp.array([flat.argmax(), 0], jnp.int32), jax.random.key(0))
    np.testing.assert_allclose(steps[:-1], np.arange(len(steps) - 1)[::-1] + np.round(steps[-2]), atol=1e-3)
    assert len(steps) > 2
    np.testing.assert_allclose(steps[-1], 0.0, atol=1e-4)  # offered, perhaps sooner than was sure


def test_a_passage_is_remembered_until_it_is_closed_and_closed_last():
    theta = bare_ground(SHAPE).at[4, 2:4, 4].set(6)
    state = GAME.init(jax.random.key(0))
    state = state._replace(blocks=theta, feet=state.feet.at[HUMAN].set(jnp.array([4, 2, 5])))
    broken = 1 + M * N + int(np.ravel_multi_index((4, 2, 4), SHAPE))
    state = GAME.step(state, jnp.array([broken, 0]), jax.random.key(0))
    assert state.blocks[4, 2, 4] == AIR
    values, _, legal, memory = look(theta, NO_PASSAGES, state)
    assert memory[4, 2, 4] == 1
    assert (memory > 0).sum() == 1
    cell = np.ravel_multi_index((4, 2, 4), SHAPE)
    assert legal.place[cell]
    np.testing.assert_allclose(values.place[cell, 6], WORTH, rtol=1e-5)  # nothing else is left to do
    more = theta.at[4, 2, 6].set(5)
    values, _, _, memory = look(more, memory, state)
    assert values.place[cell, 6] < values.rest
    filled = state._replace(blocks=theta)
    assert (look(theta, memory, filled)[3] == 0).all()
    # What was wrong and was broken is no passage.
    state = state._replace(edits=state.edits._replace(before=state.edits.before.at[HUMAN].set(3)))
    assert (look(theta, NO_PASSAGES, state)[3] == 0).all()


def test_alone_it_finishes_every_house(houses, starts):
    states, what = build(houses, starts, GAME.horizon)
    assert (states.blocks == houses).all()
    acted = (what != -1).sum(0)
    assert acted.mean() < 0.35 * GAME.horizon
    edits = ((what == PLACE) | (what == BREAK)).sum(0)
    needed = ((np.asarray(houses) != np.asarray(starts.blocks)).reshape(NUM_HOUSES, -1)).sum(1)
    assert (edits >= needed).all()


def test_shut_in_it_digs_itself_out_even_for_one_block(starts):
    walls = bare_ground(SHAPE).at[3:6, 2:6, 3:6].set(6).at[4, 2:5, 4].set(AIR)
    house = walls.at[1, 2, 1].set(5)
    start = jax.tree.map(lambda leaf: leaf[:1].repeat(NUM_HOUSES, 0), starts)
    inside = jnp.array([4, 2, 4], jnp.int32)
    start = start._replace(blocks=start.blocks.at[:].set(walls), feet=start.feet.at[:, HUMAN].set(inside))
    states, what = build(house[None].repeat(NUM_HOUSES, 0), start, 100)
    assert (np.asarray(states.blocks) == np.asarray(house)).all()
    assert ((what == BREAK).sum(0) >= 1).all()


def test_it_plays_houses_of_other_sizes_and_kinds(compile_quickly):
    game = BuildingGame(GAME.houses, (5, 6, 7), 4, 2.5, 40)
    human = planner.make(game)
    state = game.init(jax.random.key(seed()))
    theta = jnp.asarray(RNG.integers(0, 4, (5, 6, 7)), jnp.int8)
    logits, _ = eqx.filter_jit(human.logits)(
        theta, human.init(jax.random.key(0)), game.observe(state)[HUMAN], jax.random.key(0)
    )
    assert isinstance(logits, EditLogits)
    assert not any(np.isnan(np.asarray(leaf)).any() for leaf in logits)
    assert logits.kind.shape == (5 * 6 * 7, 4)
    assert np.isfinite(np.asarray(logits.kind[:, FIRST_PLACEABLE:])).all()


def test_it_refuses_another_game():
    with pytest.raises(ValueError, match="'planner' plays the building game only"):
        planner.make(two_edits.make())

"""The particle assistant's inference against enumeration, importance sampling and the builder's exact likelihood."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.assistants import evidence, particles, parts
from tacit.core import HUMAN
from tacit.games import building_small
from tacit.games.building.blocks import AIR, DIRT
from tacit.games.building.game import BuildingGame
from tacit.games.building.houses import HouseGenerator
from tacit.games.building.plans import Plan
from tacit.humans import builder
from tacit.play import advance, begin, join

RNG = np.random.default_rng()
SHAPE, NUM_KINDS = building_small.SHAPE, building_small.NUM_KINDS
GENERATOR = HouseGenerator(SHAPE, NUM_KINDS, "train")


def fresh_key():
    return jax.random.key(RNG.integers(2**31))


@pytest.mark.parametrize(("shape", "num_kinds"), [(SHAPE, NUM_KINDS), ((11, 10, 10), 10)])
def test_parts_and_materials_give_the_generators_house(shape, num_kinds):
    generator = HouseGenerator(shape, num_kinds, "all")

    @jax.jit
    @jax.vmap
    def same(key):
        plan = generator.draw_plan(key)
        return (parts.materials(plan)[parts.lay_out(generator, plan)] == generator.build(plan)).all()

    assert same(jax.random.split(fresh_key(), 300)).all()


def test_materials_are_summed_out_and_drawn_as_by_enumeration():
    plan = GENERATOR.draw_plan(fresh_key())
    scores = RNG.normal(size=(parts.NUM_PARTS, NUM_KINDS)).astype(np.float32)
    prior = {n: np.exp(np.asarray(r))[:NUM_KINDS] for n, r in zip(Plan._fields, GENERATOR.log_prior, strict=True)}
    names = ("wall_kind", "corner_kind", "plinth_kind", "floor_kind")
    windows, chimney = bool(plan.window_kind != AIR), bool(plan.chimney_kind != AIR)

    def present(name, there):
        weights = prior[name] * (np.arange(NUM_KINDS) != AIR if there else np.arange(NUM_KINDS) == AIR)
        return weights / weights.sum()

    table = {}
    for wall, corner, plinth, floor in itertools.product(*(np.flatnonzero(prior[name]) for name in names)):
        weight = np.prod([prior[n][k] for n, k in zip(names, (wall, corner, plinth, floor), strict=True)])
        log_likelihood = scores[parts.WALL, wall] + scores[parts.CORNER, corner or wall]
        log_likelihood += scores[parts.PLINTH, plinth or wall]
        log_likelihood += scores[parts.FLOOR, floor or DIRT] + scores[parts.CEILING, floor or wall]
        table[wall, corner, plinth, floor] = weight * np.exp(log_likelihood)
    rest = sum(prior["roof_kind"][k] * np.exp(scores[parts.ROOF, k]) for k in range(NUM_KINDS))
    kinds = range(NUM_KINDS)
    weights = present("window_kind", windows)
    rest *= sum(weights[k] * np.exp(scores[parts.WINDOW, k] if k else 0.0) for k in kinds)
    weights = present("chimney_kind", chimney)
    rest *= sum(weights[k] * np.exp(scores[parts.CHIMNEY, k] if k else 0.0) for k in kinds)
    total = sum(table.values())

    @jax.jit
    @jax.vmap
    def draw(key):
        return parts.draw_materials(parts.weigh(GENERATOR, plan, jnp.asarray(scores)), plan, key)

    drawn, log_evidence = draw(jax.random.split(fresh_key(), 4000))
    np.testing.assert_allclose(log_evidence, np.log(total * rest), rtol=1e-3, atol=1e-3)
    walls = np.bincount(np.asarray(drawn.wall_kind), minlength=NUM_KINDS) / 4000
    expected = [sum(v for key, v in table.items() if key[0] == k) / total for k in kinds]
    np.testing.assert_allclose(walls, expected, atol=0.04)
    pairs = np.asarray(drawn.corner_kind) == np.asarray(drawn.floor_kind)
    np.testing.assert_allclose(pairs.mean(), sum(v for k, v in table.items() if k[1] == k[3]) / total, atol=0.04)


def test_the_moves_leave_the_posterior_as_it_is():
    """Long chains give the same cell probabilities as weighted draws from the prior."""
    everything = HouseGenerator(SHAPE, NUM_KINDS, "all")
    table = jnp.zeros((512, NUM_KINDS))
    # Few cells but strong words, about cells that are as often empty as not: chains that listen to nothing must fail.
    empty = np.asarray(particles.marginal_prior(everything, NUM_KINDS))[:, AIR]
    cells = RNG.choice(np.flatnonzero((empty > 0.35) & (empty < 0.65)), 2, replace=False)
    table = table.at[cells, AIR].set(jnp.array([2.5, -2.5]))

    @eqx.filter_jit
    def weighted(generator, keys):
        houses = jax.vmap(generator.sample)(keys).reshape(len(keys), -1)
        log_weights = jnp.take_along_axis(table[None], houses[..., None].astype(jnp.int32), 2).sum((1, 2))
        hot = jax.nn.one_hot(houses, NUM_KINDS, dtype=jnp.float32)
        return jnp.tensordot(jax.nn.softmax(log_weights), hot, 1)

    @eqx.filter_jit
    def chains(generator, keys):
        def one(key):
            start_key, fit_key, *move_keys = jax.random.split(key, 22)
            plan = generator.sample_plan(start_key)
            start = parts.fit(generator, plan, parts.lay_out(generator, plan), table, fit_key)._replace(plan=plan)

            def step(now, key):
                fit_key, move_key = jax.random.split(key)
                return parts.move(generator, parts.fit(generator, *now[:2], table, fit_key), table, move_key), None

            return jax.lax.scan(step, start, jnp.stack(move_keys))[0]

        cloud = jax.vmap(one)(keys)
        houses = jax.vmap(lambda one: one.house.reshape(-1))(cloud)
        return jax.nn.one_hot(houses, NUM_KINDS, dtype=jnp.float32).mean(0)

    expected = np.asarray(weighted(everything, jax.random.split(fresh_key(), 20_000)))
    found = chains(everything, jax.random.split(fresh_key(), 600))
    assert np.abs(np.asarray(found) - expected).max() < 0.13
    assert np.abs(np.asarray(found) - expected).mean() < 0.005


@pytest.fixture(scope="module")
def helped():
    """An episode of the assistant with the builder, and its belief at each turn."""
    game = BuildingGame(GENERATOR, SHAPE, NUM_KINDS, reach=3.0, horizon=70)
    human = builder.make(game)
    assistant = eqx.tree_at(lambda a: a.threshold, particles.make(game, human), jnp.float32(0.5))

    @eqx.filter_jit
    def run(game, human, assistant, key):
        theta_key, play_key = jax.random.split(key)
        theta = game.sample_theta(theta_key)
        start = begin(game, human, assistant, theta, play_key)

        def record(before, after, turn):
            return turn, assistant.thoughts(after.assistant).probabilities

        _, (turns, beliefs) = advance(game, human, assistant, theta, start, game.horizon, record, play_key)
        return join(theta, start.state, turns, play_key), beliefs

    return game, human, assistant, *run(game, human, assistant, fresh_key())


def test_the_belief_beats_the_prior_by_the_end(helped):
    _, _, assistant, episode, beliefs = helped
    last = int(episode.active.sum()) - 1
    belief = np.asarray(beliefs[last]).reshape(-1, NUM_KINDS)
    np.testing.assert_allclose(belief.sum(-1), 1.0, atol=1e-3)
    goal = np.asarray(episode.theta).reshape(-1)
    occupied = np.asarray(episode.states.blocks[last]).reshape(-1) != AIR
    nll = -np.log(np.maximum(belief[np.arange(512), goal], 1e-6))
    prior = -np.log(np.asarray(assistant.prior)[np.arange(512), goal])
    assert nll.mean() < prior.mean()
    assert nll[occupied].mean() < prior[occupied].mean()


def test_evidence_is_the_builders_likelihood_where_all_else_is_known(helped):
    """Of two houses that differ in one cell, evidence prefers one by as much as the builder's exact likelihood."""
    game, human, _, episode, _ = helped
    theta = episode.theta

    @eqx.filter_jit
    def exact(house, memory, state, action):
        sees = game.observe(state)[HUMAN]
        return game.log_prob(human.logits(house, memory, sees, fresh)[0], sees.legal[HUMAN], action)

    @eqx.filter_jit
    def table(memory, state, action, probabilities):
        sees = game.observe(state)[HUMAN]
        scene, notes = builder.look(sees, memory.notes, human.reach, NUM_KINDS)
        people = jax.tree.map(lambda x: x[None], memory.persona)
        return evidence.read(people, jnp.zeros((1,)), sees, scene, action, probabilities), notes

    fresh = fresh_key()
    memory, compared = human.init(fresh), 0
    known = jax.nn.one_hot(theta.reshape(-1), NUM_KINDS, dtype=jnp.float32)
    for time in range(int(episode.active.sum())):
        state = jax.tree.map(lambda x, t=time: x[t], episode.states)
        action = episode.actions[time, HUMAN]
        reading, notes = table(memory, state, action, known)
        if int(action) != 0:
            cell = RNG.choice(np.flatnonzero(np.asarray(state.blocks[1:-1, 2:6, 1:-1]).reshape(-1) == AIR))
            cell = np.unravel_index(cell, (6, 4, 6))
            cell = (int(cell[0]) + 1, int(cell[1]) + 2, int(cell[2]) + 1)
            flat = int(np.ravel_multi_index(cell, SHAPE))
            supported = any(
                int(state.blocks[tuple(np.add(cell, d))]) != AIR
                for d in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
            )
            other = int(theta[cell]) or 3
            right, empty = (
                exact(theta.at[cell].set(other), memory, state, action),
                exact(theta.at[cell].set(AIR), memory, state, action),
            )
            # Where the rule explains the action well under both, the two ways agree.
            if supported and min(right, empty) > np.log(0.2):
                compared += 1
                assert abs(float(reading.cells[flat, other] - reading.cells[flat, AIR]) - float(right - empty)) < 0.25
        memory = memory._replace(notes=notes)
    assert compared >= 1

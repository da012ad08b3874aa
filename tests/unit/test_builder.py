"""The scripted builder: its probabilities are the ones it is drawn from, and alone it finishes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.core import HUMAN
from tacit.games import building_small
from tacit.games.building.actions import BREAK, DIRECTIONS, MOVE, PASS, PLACE, Action, encode
from tacit.games.building.blocks import AIR, BEDROCK, DIRT, FIRST_PLACEABLE
from tacit.games.building.game import ABSENT, BuildingGame
from tacit.humans import builder, persona

GAME = building_small.make()
SOLO = BuildingGame(GAME.houses, GAME.shape, GAME.num_kinds, GAME.reach, horizon=600, solo=True)
HUMAN_ = builder.make(GAME)
RNG = np.random.default_rng()
N, M = GAME.num_cells, GAME.num_kinds


def seed():
    return int(RNG.integers(1 << 30))


@eqx.filter_jit
def turn(thetas, carry, keys):
    def one(theta, carry, key):
        state, memory = carry
        sees = SOLO.observe(state)[HUMAN]
        logits, memory = HUMAN_.logits(theta, memory, sees, key)
        action = SOLO.sample(logits, sees.legal[HUMAN], key)
        new = SOLO.step(state, jnp.stack([action, jnp.int32(0)]), key)
        done = SOLO.finished(theta, state)
        return (jax.tree.map(lambda now, then: jnp.where(done, then, now), new, state), memory), done

    def many(carry, keys):
        return jax.vmap(one)(thetas, carry, keys)

    return jax.lax.scan(many, carry, keys)


def build(thetas, states, num_turns, seed):
    """Let 64 people build; the carry after `num_turns` and how many turns each needed (num_turns: not finished)."""
    keys = jax.random.split(jax.random.key(seed), (num_turns // 50, 50, 64))
    memories = jax.vmap(HUMAN_.init)(jax.random.split(jax.random.key(seed + 1), 64))
    carry, turns = (states, memories), np.zeros(64, int)
    for some in keys:
        carry, done = turn(thetas, carry, some)
        turns += (~np.asarray(done)).sum(0)
        if np.asarray(done)[-1].all():
            break
    return carry, turns


@pytest.fixture(scope="module")
def houses():
    return eqx.filter_jit(eqx.filter_vmap(GAME.sample_theta))(jax.random.split(jax.random.key(seed()), 64))


@pytest.fixture(scope="module")
def starts():
    return eqx.filter_jit(eqx.filter_vmap(SOLO.init))(jax.random.split(jax.random.key(seed()), 64))


@pytest.fixture(scope="module")
def midway(houses, starts):
    """64 worlds in the middle of being built."""
    return build(houses, starts, 50, seed())[0]


@eqx.filter_jit
def look_and_choose(theta, memory, state):
    sees = SOLO.observe(state)[HUMAN]
    scene, notes = builder.look(sees, memory.notes, HUMAN_.reach, M)
    wish = builder.plan(theta, memory.persona, state.blocks, scene)
    logits, after = HUMAN_.logits(theta, memory, sees, jax.random.key(0))
    return sees.legal[HUMAN], scene, wish, logits, notes, after


@eqx.filter_jit
def probabilities(logits, legal):
    every = jnp.arange(GAME.num_actions[HUMAN])
    return jnp.exp(jax.vmap(lambda action: GAME.log_prob(logits, legal, action))(every))


@eqx.filter_jit
def draws(logits, legal, key):
    return jax.vmap(lambda key: GAME.sample(logits, legal, key))(jax.random.split(key, 1 << 14))


def action(what, cell=0, kind=0, direction=0):
    return int(encode(Action(*(jnp.int32(part) for part in (what, cell, kind, direction))), M, N))


def by_hand(legal, scene, wish, persona, state):  # noqa: PLR0912
    """The probability of every action, told as a story: pass, stray, or choose an edit and slip, in plain loops."""
    p = {name: float(value) for name, value in persona._asdict().items()}
    out = np.zeros(GAME.num_actions[HUMAN])
    legal = jax.tree.map(np.asarray, legal)
    utility = np.asarray(wish.utility, np.float64).reshape(-1)
    passing = p["linger"] if bool(scene.passed) else p["pause"]
    if np.isneginf(utility).all():
        out[0] = 1.0
        return out
    out[0] += passing
    chosen = np.exp(utility - utility.max())
    chosen /= chosen.sum()
    handy = (utility > -500) & (legal.place | legal.remove)
    if handy.any():
        chosen = (1 - p["whim"]) * chosen + p["whim"] * handy / handy.sum()
    cells = np.stack(np.unravel_index(np.arange(N), GAME.shape), -1)
    gaps = cells - (np.asarray(state.feet)[HUMAN] + [0, 1, 0])
    towards = chosen @ (gaps / np.maximum(np.linalg.norm(gaps, axis=-1, keepdims=True), 1))
    towards = np.array([towards @ np.array(step) for step in DIRECTIONS])
    pull = np.where(legal.move, np.exp(p["keep"] * np.asarray(scene.onward) + p["drift"] * towards), 0.0)
    for direction in range(6):
        amount = (1 - passing) * p["stray"] * pull[direction] / max(pull.sum(), 1e-9)
        out[action(MOVE, direction=direction)] += amount
    if not legal.move.any():
        out[0] += (1 - passing) * p["stray"]
    chosen *= (1 - passing) * (1 - p["stray"])
    first, bars = np.asarray(scene.first), np.asarray(scene.bars)
    placeable, spare = range(FIRST_PLACEABLE, M), M - FIRST_PLACEABLE
    for cell in np.flatnonzero(chosen):
        amount = chosen[cell]
        if legal.place[cell]:
            want = int(np.asarray(wish.kind).reshape(-1)[cell])
            for kind in placeable:
                right = 1 - p["mistake"] if kind == want else p["mistake"] / (spare - 1)
                out[action(PLACE, cell, kind)] += amount * (1 - p["slip"]) * right
            for other in np.flatnonzero(legal.place):
                for kind in placeable:
                    out[1 + kind * N + other] += amount * p["slip"] / (legal.place.sum() * spare)
        elif legal.remove[cell]:
            out[action(BREAK, cell)] += amount * (1 - p["slip"])
            for other in np.flatnonzero(legal.remove):
                out[1 + M * N + other] += amount * p["slip"] / legal.remove.sum()
        elif first[cell].any() and legal.move[first[cell].argmax()]:
            out[action(MOVE, direction=int(first[cell].argmax()))] += amount
        elif first[cell].any() and bars[first[cell].argmax()].any():
            barring = np.flatnonzero(bars[first[cell].argmax()])
            for other in barring:
                out[1 + M * N + other] += amount / len(barring)
        else:
            out[action(PASS)] += amount
    return out


def test_probabilities_are_exact(houses, midway):
    states, memories = midway
    for i in np.random.default_rng().integers(0, 64, 6).tolist():
        state, memory, theta = jax.tree.map(lambda leaf, i=i: leaf[i], (states, memories, houses))
        legal, scene, wish, logits, _, _ = look_and_choose(theta, memory, state)
        found = np.asarray(probabilities(logits, legal), np.float64)
        assert found.sum() == pytest.approx(1, abs=1e-4)
        np.testing.assert_allclose(found, by_hand(legal, scene, wish, memory.persona, state), atol=2e-5)
        counts = np.bincount(np.asarray(draws(logits, legal, jax.random.key(i))), minlength=len(found)) / (1 << 14)
        assert (np.abs(counts - found) <= 6 * np.sqrt(found * (1 - found) / (1 << 14)) + 3e-4).all()


def test_notes_do_not_know_the_house(houses, midway):
    states, memories = midway
    state, memory = jax.tree.map(lambda leaf: leaf[0], (states, memories))
    *_, notes, mine = look_and_choose(houses[0], memory, state)
    *_, others = look_and_choose(houses[1], memory, state)
    for one, other, alone in zip(*map(jax.tree.leaves, (mine.notes, others.notes, notes)), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, alone)


def test_alone_they_finish(houses, starts):
    _, turns = build(houses, starts, 1200, seed())
    assert (turns < 1200).mean() >= 0.98
    assert np.median(turns) < 500


def special_world():
    """A house with a block that hangs by an edge, a floor of stone, and a closed hut; the person starts in the hut."""
    blocks = np.zeros(GAME.shape, np.int8)
    blocks[:, 0], blocks[:, 1] = BEDROCK, DIRT
    house = blocks.copy()
    house[2:6, 1, 2:6] = 3
    house[2:6, 2:5, 2:6] = 4
    house[3:5, 2:4, 3:5] = AIR
    house[6, 5, 3] = 5  # it shares but an edge with the roof
    blocks[2:6, 2:5, 2:6] = house[2:6, 2:5, 2:6]
    return house, blocks


def test_digs_out_scaffolds_and_leaves_nothing_behind(starts):
    house, blocks = special_world()
    feet = np.array([[3, 2, 3], ABSENT], np.int32)
    states = starts._replace(
        blocks=jnp.broadcast_to(jnp.asarray(blocks), (64, *GAME.shape)),
        feet=jnp.broadcast_to(jnp.asarray(feet), (64, 2, 3)),
    )
    _, turns = build(jnp.broadcast_to(jnp.asarray(house), (64, *GAME.shape)), states, 1200, seed())
    assert (turns < 1200).all()


def test_stands_aside_and_never_walks_through_the_assistant():
    house, blocks = special_world()
    blocks[2:6, 2:, 2:6] = AIR
    house = blocks.copy()
    house[4, 2, 4] = 3
    state = GAME.init(jax.random.key(0))._replace(blocks=jnp.asarray(blocks))
    memory = HUMAN_.init(jax.random.key(1))
    for feet, may in (([[4, 2, 4], [0, 2, 0]], {MOVE}), ([[0, 2, 0], [4, 2, 4]], {PASS})):
        now = state._replace(feet=jnp.array(feet, jnp.int32))
        still = {name: jnp.zeros(()) for name in ("stray", "slip", "pause", "linger", "whim")}
        calm = memory._replace(persona=memory.persona._replace(**still))
        legal, _, _, logits, _, _ = look_and_choose(jnp.asarray(house), calm, now)
        chance = np.asarray(probabilities(logits, legal), np.float64)
        total = {PASS: chance[0], PLACE: chance[1 : 1 + M * N].sum(), MOVE: chance[-6:].sum()}
        assert {what for what, amount in total.items() if amount > 1e-6} == may


def test_speed_scales_how_often_they_act(houses, midway):
    states, memories = midway
    state, memory = jax.tree.map(lambda leaf: leaf[3], (states, memories))
    persona = memory.persona._replace(pause=jnp.float32(0.6), linger=jnp.float32(0.6))
    legal, scene, wish, _, _, _ = look_and_choose(houses[3], memory, state)
    rests = []
    for speed in (0.5, 1.0, 2.0):
        logits = builder.decide(wish, persona, scene, legal, speed, M)
        rests.append(float(probabilities(logits, legal)[0]))
    assert builder.make(GAME, speed=0.5).speed == 0.5
    np.testing.assert_allclose(rests, [0.8, 0.6, 0.2], atol=0.02)


def test_what_is_hidden_is_walked_to():
    """The distance to what is hidden is that of the sure grade, so that a person who cannot see goes closer."""
    blocks = np.zeros(GAME.shape, np.int8)
    blocks[:, 0], blocks[:, 1] = BEDROCK, DIRT
    blocks[3, 2:8, :] = 4  # a wall up to the top: no way but through
    state = SOLO.init(jax.random.key(0))._replace(
        blocks=jnp.asarray(blocks), feet=jnp.array([[1, 2, 4], ABSENT], jnp.int32)
    )
    memory = HUMAN_.init(jax.random.key(1))
    _, scene, _, _, notes, _ = look_and_choose(state.blocks, memory, state)
    assert bool(notes.hidden[4, 3, 4])  # within reach, behind the wall
    assert float(scene.digs[4, 3, 4]) >= 1
    assert float(scene.digs[2, 2, 4]) == 0


@pytest.mark.parametrize("speed", [0.25, 0.5, 1.0, 1.2])
def test_in_the_long_run_speed_is_a_factor(speed):
    rng = np.random.default_rng()
    pause, linger = rng.uniform(0.2, 0.4), rng.uniform(0.4, 0.9)
    who = persona.draw_persona(jax.random.key(0))._replace(pause=jnp.float32(pause), linger=jnp.float32(linger))
    onward, resume = (float(persona.eagerness(who, jnp.array(passed), speed)) for passed in (False, True))
    share = resume / (resume + 1 - onward)
    assert share == pytest.approx(speed * (1 - linger) / (1 - linger + pause), rel=1e-3)

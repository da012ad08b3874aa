"""The greedy hand: gains against sums over all goals, and what it does in worlds drawn at test time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.assistants import oracle, particles
from tacit.core import ASSISTANT, HUMAN
from tacit.games import building_small, two_edits
from tacit.games.building.actions import BREAK, MOVE, PLACE, decode
from tacit.games.building.blocks import AIR, BEDROCK, FIRST_PLACEABLE
from tacit.games.building.game import ABSENT, bare_ground, similarity
from tacit.games.building.hand import gains, hand, worth
from tacit.games.building.walking import UNREACHABLE, collides, standable, walk, walk_cost
from tacit.humans import builder

RNG = np.random.default_rng()
GAME = building_small.make()
SHAPE, NUM_KINDS = GAME.shape, GAME.num_kinds


def certain(house):
    return jax.nn.one_hot(house, NUM_KINDS, dtype=jnp.float32)


@jax.jit
def act(state, probabilities, key):
    """The assistant's turn by the hand, the human passing: the next state and what was done."""
    logits = hand(GAME.observe(state)[ASSISTANT], probabilities, 0.2, ASSISTANT)
    action = GAME.sample(logits, GAME.legal(state)[ASSISTANT], key)
    return GAME.step(state, jnp.stack([jnp.zeros((), jnp.int32), action]), key), decode(action, NUM_KINDS, 512)


def work(state, probabilities, turns):
    done = []
    for key in jax.random.split(jax.random.key(RNG.integers(2**31)), turns):
        state, action = act(state, probabilities, key)
        done.append(int(action.what))
    return state, done


def start(blocks=None, human=(0, 6, 0), assistant=(4, 2, 4)):
    state = GAME.init(jax.random.key(0))
    blocks = bare_ground(SHAPE) if blocks is None else blocks
    return state._replace(blocks=blocks, feet=jnp.array([human, assistant], jnp.int32))


def test_gains_are_the_expected_change_in_similarity():
    blocks = RNG.integers(0, NUM_KINDS, SHAPE).astype(np.int8)
    beliefs = RNG.dirichlet(np.full(NUM_KINDS, 0.3), SHAPE).astype(np.float32)
    found = gains(jnp.asarray(blocks), jnp.asarray(beliefs))

    def expected(new):
        per_goal = [
            similarity(jnp.asarray(new), jnp.full(SHAPE, goal, jnp.int8))
            - similarity(jnp.asarray(blocks), jnp.full(SHAPE, goal, jnp.int8))
            for goal in range(NUM_KINDS)
        ]
        return (beliefs * np.stack(per_goal, -1)).sum(-1)

    kinds = range(FIRST_PLACEABLE, NUM_KINDS)
    place = np.max([expected(np.full(SHAPE, kind, np.int8)) for kind in kinds], axis=0)
    remove = expected(np.zeros(SHAPE, np.int8))
    air, breakable = blocks == AIR, (blocks != AIR) & (blocks != BEDROCK)
    np.testing.assert_allclose(np.asarray(found.place)[air], place[air], atol=1e-5)
    np.testing.assert_allclose(np.asarray(found.remove)[breakable], remove[breakable], atol=1e-5)
    assert (np.asarray(found.place)[~air] < 0).all()
    assert (np.asarray(found.remove)[~breakable] < 0).all()


def test_it_walks_to_a_missing_block_and_places_it_then_rests():
    cell = tuple(RNG.integers(1, 7, 3) * np.array([1, 0, 1]) + np.array([0, 2, 0]))
    house = bare_ground(SHAPE).at[cell].set(5)
    corner = [(1 if cell[0] > 3 else 6), 5, (1 if cell[2] > 3 else 6)]
    state, done = work(start(assistant=tuple(corner)), certain(house), 16)
    assert (state.blocks == house).all()
    assert done.count(PLACE) == 1
    assert done.count(BREAK) == 0
    assert done[0] == MOVE


def test_it_breaks_what_is_wrong_and_puts_what_is_right():
    wrong = bare_ground(SHAPE).at[4, 2, 5].set(3)
    house = bare_ground(SHAPE).at[4, 2, 5].set(6)
    state, done = work(start(wrong), certain(house), 4)
    assert (state.blocks == house).all()
    assert done[:2] == [BREAK, PLACE]


def test_it_prefers_the_surer_of_two_edits_and_leaves_the_doubtful():
    first, second, third = (4, 2, 5), (5, 2, 4), (3, 2, 4)
    belief = certain(bare_ground(SHAPE))
    for cell, chance in ((first, 0.95), (second, 0.75), (third, 0.55)):
        belief = belief.at[cell].set(jnp.zeros(NUM_KINDS).at[AIR].set(1 - chance).at[4].set(chance))
    state, done = work(start(), belief, 1)
    assert state.blocks[first] == 4
    state, done = work(state, belief, 1)
    assert state.blocks[second] == 4
    state, _ = work(state, belief, 6)
    assert state.blocks[third] == AIR  # gain 0.1 is less than the threshold
    assert done == [PLACE]


def test_it_steps_out_of_a_cell_that_may_be_needed():
    belief = certain(bare_ground(SHAPE)).at[4, 2, 4].set(jnp.zeros(NUM_KINDS).at[AIR].set(0.5).at[3].set(0.5))
    state, done = work(start(), belief, 5)
    assert tuple(np.asarray(state.feet[ASSISTANT])) not in {(4, 2, 4), (4, 1, 4)}
    assert PLACE not in done
    assert done[-1] == 0


def test_it_makes_room_for_the_human():
    state, _ = work(start(human=(4, 2, 5)), certain(bare_ground(SHAPE)), 12)
    assert np.abs(np.asarray(state.feet[ASSISTANT] - state.feet[HUMAN])).max() >= 2


@jax.jit
def shut(blocks, feet):
    """How many places somebody in the corner cannot get to any more, with another's body at these feet."""
    corner = jnp.array([0, 7, 0], jnp.int32)
    before, after = (walk(walk_cost(blocks, jnp.array(at)), corner).distance < UNREACHABLE for at in (ABSENT, feet))
    return (before & ~after & ~collides(feet, SHAPE)).sum()


@jax.jit
def ways_out(state, probabilities):
    return worth(GAME.observe(state)[ASSISTANT], probabilities, 0.2, ASSISTANT).move


def test_it_does_not_rest_in_the_only_way_in():
    cells = jnp.stack(jnp.indices(SHAPE), -1).reshape(-1, 3).astype(jnp.int32)
    num_shut = 0
    for key in jax.random.split(jax.random.key(RNG.integers(2**31)), 8):
        house = GAME.sample_theta(key)
        free = standable(house, jnp.array([0, 7, 0])).reshape(-1)
        worst = cells[jnp.argmax(jnp.where(free, jax.vmap(shut, (None, 0))(house, cells), 0))]
        num_shut += int(shut(house, worst)) > 0
        state = start(house, human=(0, 7, 0), assistant=tuple(worst.tolist()))
        moves = ways_out(state, certain(house))
        assert ((moves == 0) | (moves == moves.max())).all(), "the shortest way"
        state, done = work(state, certain(house), 40)
        assert shut(house, state.feet[ASSISTANT]) == 0
        assert done[-1] == 0
    assert num_shut > 4


def test_shut_in_it_digs_itself_out_for_enough_work():
    walls = bare_ground(SHAPE).at[3:6, 2:5, 3:6].set(6).at[4, 2:4, 4].set(AIR)
    house = walls.at[1, 2:5, 1:5].set(5)
    state, done = work(start(walls), certain(house), 60)
    assert (state.blocks == house).all()
    assert 1 <= done.count(BREAK) <= 3


def test_the_humans_hand_is_the_assistants_with_the_bodies_exchanged():
    walls = bare_ground(SHAPE).at[3:6, 2:5, 3:6].set(6).at[4, 2:4, 4].set(AIR)
    belief = jnp.asarray(RNG.dirichlet(np.full(NUM_KINDS, 0.2), SHAPE), jnp.float32)

    @jax.jit
    def hands(state, probabilities):
        other = state._replace(feet=state.feet[::-1])
        return (
            hand(GAME.observe(state)[ASSISTANT], probabilities, 0.2, ASSISTANT),
            hand(GAME.observe(other)[HUMAN], probabilities, 0.2, HUMAN),
            hand(GAME.observe(state)[HUMAN], probabilities, 0.2, HUMAN),
        )

    for state, probabilities in ((start(), belief), (start(walls), certain(walls.at[1, 2:5, 1:5].set(5)))):
        assistant, human, own = hands(state, probabilities)
        assert all(np.array_equal(one, other) for one, other in zip(assistant, human, strict=True))
        assert not all(np.array_equal(one, other) for one, other in zip(assistant, own, strict=True))


@pytest.mark.parametrize("module", [oracle, particles])
def test_they_refuse_another_game(module):
    with pytest.raises(ValueError, match="building game"):
        module.make(two_edits.make(), builder.make(GAME))

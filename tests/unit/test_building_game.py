"""What the building game promises beyond its twin: order within a turn, fair starts, the game alone, bad input."""

import collections

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.core import ASSISTANT, HUMAN
from tacit.games.building.actions import BREAK, MOVE, PASS, PLACE, Action, encode
from tacit.games.building.game import ABSENT, BuildingGame, bare_ground, text

SHAPE, NUM_KINDS = (4, 5, 3), 4


class Bare(eqx.Module):
    """No house at all."""

    def sample(self, key):
        return bare_ground(SHAPE)


@pytest.fixture(scope="module")
def game():
    return BuildingGame(Bare(), SHAPE, NUM_KINDS, reach=2.5, horizon=10)


@pytest.fixture(scope="module")
def step(game):
    compiled = eqx.filter_jit(lambda game, state, actions: game.step(state, actions, jax.random.key(0)))
    return lambda state, *acts: compiled(game, state, jnp.stack([_code(*act) for act in acts]))


@pytest.fixture(scope="module")
def start(game):
    """The human in one corner, the assistant in the opposite one; both reach the cell between them."""
    return game.init(jax.random.key(0))._replace(feet=jnp.array([[0, 2, 1], [3, 2, 1]], jnp.int32))


def _code(what, cell=(0, 0, 0), kind=0, direction=0):
    index = np.ravel_multi_index(cell, SHAPE)
    return encode(Action(*map(jnp.int32, (what, index, kind, direction))), NUM_KINDS, int(np.prod(SHAPE)))


def test_the_first_to_place_in_a_cell_has_it(step, start):
    after = step(start, (PLACE, (1, 2, 1), 2), (PLACE, (1, 2, 1), 3))
    assert after.blocks[1, 2, 1] == 2
    assert after.touched[1, 2, 1] == HUMAN + 1
    assert after.effective.tolist() == [True, False]
    assert after.edits.cell[ASSISTANT] == -1


def test_what_the_human_places_the_assistant_can_break_in_the_same_turn(game, step, start):
    after = step(start, (PLACE, (1, 2, 1), 2), (BREAK, (1, 2, 1)))
    assert (after.blocks == start.blocks).all()
    assert after.touched[1, 2, 1] == ASSISTANT + 1
    assert after.effective.all()
    np.testing.assert_array_equal(np.stack(after.edits), [[np.ravel_multi_index((1, 2, 1), SHAPE)] * 2, [0, 2], [2, 0]])
    house = start.blocks.at[1, 2, 1].set(2)
    assert game.reward(house, start, after.last_actions, after).tolist() == [1.0, -1.0]


def test_what_the_human_breaks_the_assistant_can_replace_in_the_same_turn(game, step, start):
    near = start._replace(feet=jnp.array([[0, 2, 1], [2, 2, 1]], jnp.int32))
    after = step(near, (BREAK, (1, 1, 1)), (PLACE, (1, 1, 1), 3))
    assert after.blocks[1, 1, 1] == 3
    assert after.effective.all()
    # From the wrong block to the right one is two edits, one each.
    assert game.reward(start.blocks.at[1, 1, 1].set(3), start, after.last_actions, after).tolist() == [1.0, 1.0]


def test_the_assistant_cannot_enter_where_the_human_has_gone(step, start):
    near = start._replace(feet=jnp.array([[0, 2, 1], [2, 2, 1]], jnp.int32))
    after = step(near, (MOVE, (0, 0, 0), 0, 0), (MOVE, (0, 0, 0), 0, 1))
    assert after.feet.tolist() == [[1, 2, 1], [2, 2, 1]]
    assert after.effective.tolist() == [True, False]


def test_bedrock_stays(step, start):
    hole = start._replace(blocks=start.blocks.at[1, 1, 1].set(0))
    after = step(hole, (BREAK, (1, 0, 1)), (PASS,))
    assert not after.effective.any()
    assert (after.blocks == hole.blocks).all()


def test_starts_are_uniform_over_pairs_that_do_not_collide(game):
    number = 60_000
    feet = np.asarray(eqx.filter_jit(eqx.filter_vmap(lambda key: game.init(key).feet))(_keys(number)))
    counts = collections.Counter(map(tuple, feet.reshape(number, 6).tolist()))
    places = [(x, y, z) for x in range(SHAPE[0]) for y in range(2, SHAPE[1]) for z in range(SHAPE[2])]
    free = {
        one: [two for two in places if (one[0], one[2]) != (two[0], two[2]) or abs(one[1] - two[1]) > 1]
        for one in places
    }
    assert sum(counts.values()) == sum(counts[one + two] for one in places for two in free[one])
    for one in places:
        for two in free[one]:
            expected = number / len(places) / len(free[one])
            assert abs(counts[one + two] - expected) < 6.5 * np.sqrt(expected)


def _keys(number):
    return jax.random.split(jax.random.key(3), number)


def test_alone_the_assistant_is_absent(game, start):
    alone = game.alone()
    state = alone.init(jax.random.key(0))
    assert tuple(state.feet[ASSISTANT].tolist()) == ABSENT
    human, assistant = alone.legal(state)
    assert not any(np.asarray(part).any() for part in assistant)
    assert np.asarray(human.move).any()
    # Without the other body in the way the human sees at least as much.
    with_other = game.legal(state._replace(feet=state.feet.at[ASSISTANT].set(start.feet[ASSISTANT])))[HUMAN]
    assert all((np.asarray(more) >= np.asarray(less)).all() for more, less in zip(human, with_other, strict=True))


def test_finished_when_the_house_stands(game, start):
    assert game.finished(start.blocks, start)
    assert not game.finished(start.blocks.at[1, 2, 1].set(2), start)


def test_state_and_observation_name_no_goal(game, start):
    fields = set(start._fields) | set(game.observe(start)[ASSISTANT]._fields)
    assert fields == {"blocks", "touched", "feet", "edits", "last_actions", "effective", "time", "legal"}


def test_text_shows_layers_from_the_ground_up(start):
    assert text(start.blocks.at[1, 2, 0].set(3), start.feet) == (
        "####  dddd  .c..  ....  ....\n####  dddd  H..A  H..A  ....\n####  dddd  ....  ....  ...."
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"shape": (4, 3, 4)}, "3 cells high"), ({"num_kinds": 2}, "not 2"), ({"reach": 0.5}, "reach of 0.5")],
)
def test_bad_sizes_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        BuildingGame(**{"houses": Bare(), "shape": SHAPE, "num_kinds": 4, "reach": 2.0, "horizon": 5} | changes)

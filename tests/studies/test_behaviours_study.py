"""The scripted situations can be mastered by someone who knows the house, and by nobody who does not act on it."""

import jax
import jax.numpy as jnp
import pytest

from tacit.assistants import none, oracle
from tacit.core import ASSISTANT, HUMAN
from tacit.games import building_small
from tacit.games.building.blocks import AIR
from tacit.humans import builder
from tacit.studies.behaviours import BAR, FLOOR, SITUATIONS, tried

NUM_HOUSES = 8
SEED = 23


@pytest.fixture(scope="module")
def shares():
    """What the oracle and nobody bring about in each situation."""
    game = building_small.make("test")
    human = builder.make(game)
    found = {}
    for name, member in (("oracle", oracle), ("none", none)):
        assistant = member.make(game, human)
        found |= {(name, situation): tried(game, assistant, situation, NUM_HOUSES, SEED) for situation in SITUATIONS}
    return found


@pytest.mark.parametrize("situation", SITUATIONS)
def test_who_knows_the_house_does_the_work(shares, situation):
    share, came_about = shares["oracle", situation]
    assert came_about >= 0.5
    assert share >= BAR


@pytest.mark.parametrize("situation", SITUATIONS)
def test_who_does_nothing_has_done_nothing(shares, situation):
    assert shares["none", situation][0] == 0.0


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_work_is_left_undone_and_the_signs_are_given(situation):
    houses = building_small.make("test").houses
    scripts = jax.vmap(lambda key: SITUATIONS[situation](houses, key))(jax.random.split(jax.random.key(3), 32))
    assert scripts.judged.any((1, 2, 3)).all()
    # Nobody is told to put a judged cell right, and all the rest is right of what the person leaves behind.
    wrong = scripts.worlds[:, -1] != scripts.theta
    assert (scripts.judged <= wrong).all()
    if situation == "foundation":
        floor = jnp.arange(scripts.theta.shape[2]) == FLOOR
        assert not scripts.judged[:, :, ~floor].any()
        assert (wrong[:, :, floor] == scripts.judged[:, :, floor]).all()
    else:
        assert (wrong == scripts.judged).all()
    if situation == "correction":
        done, high, broken = scripts.worlds.swapaxes(0, 1)
        assert (done == scripts.theta).all()
        assert ((high != AIR) & (done == AIR))[scripts.judged].all()
        assert ((high != broken).sum((1, 2, 3)) == 1).all()
        assert (scripts.players == jnp.array([[HUMAN, ASSISTANT, HUMAN]])).all()

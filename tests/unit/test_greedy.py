"""The assistant of the learned belief: what it takes from a block of its own that is broken again."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.assistants import greedy
from tacit.core import ASSISTANT, HUMAN
from tacit.games import building_small
from tacit.games.building.blocks import AIR
from tacit.humans import builder

RNG = np.random.default_rng()
GAME = building_small.make()
GREEDY = greedy.make(GAME, builder.make(GAME))


def broken(who, whose, kind=5):
    """Some cell, and the moments before and after one player breaks a block of one of them there."""
    cell = tuple(int(size) for size in RNG.integers(2, 6, 3))
    before = GAME.observe(GAME.init(jax.random.key(0)))[ASSISTANT]
    before = before._replace(
        blocks=before.blocks.at[cell].set(kind), touched=before.touched.at[cell].set(whose + 1), time=jnp.int32(7)
    )
    edits = before.edits._replace(
        cell=before.edits.cell.at[who].set(int(np.ravel_multi_index(cell, GAME.shape))),
        before=before.edits.before.at[who].set(kind),
        after=before.edits.after.at[who].set(AIR),
    )
    after = before._replace(
        blocks=before.blocks.at[cell].set(AIR),
        touched=before.touched.at[cell].set(who + 1),
        edits=edits,
        time=jnp.int32(8),
    )
    return cell, before, after


@pytest.mark.parametrize(("who", "factor"), [(HUMAN, greedy.SLIP), (ASSISTANT, greedy.DOUBT)])
def test_a_block_of_its_own_that_is_broken_was_wrong_whoever_broke_it(who, factor):
    cell, before, after = broken(who, whose=ASSISTANT)
    told = np.asarray(GREEDY.not_that(before, after))
    np.testing.assert_allclose(told[(*cell, 5)], np.log(factor), rtol=1e-6)
    assert np.count_nonzero(told) == 1


@pytest.mark.parametrize("who", [HUMAN, ASSISTANT])
def test_a_block_of_the_persons_that_is_broken_tells_nothing_by_itself(who):
    _, before, after = broken(who, whose=HUMAN)
    assert not np.asarray(GREEDY.not_that(before, after)).any()
    kept = after._replace(edits=after.edits._replace(after=after.edits.after.at[who].set(4)))
    assert not np.asarray(GREEDY.not_that(before, kept)).any()


def test_what_it_took_back_is_still_taken_back_a_turn_later():
    cell, before, after = broken(ASSISTANT, whose=ASSISTANT)
    memory = GREEDY.init(jax.random.key(0))._replace(last=before)
    read = eqx.filter_jit(GREEDY.read)
    memory = read(memory, after)
    idle = after._replace(edits=after.edits._replace(cell=jnp.full_like(after.edits.cell, -1)), time=jnp.int32(9))
    memory = read(memory, idle)
    told = np.asarray(memory.belief.evidence)
    np.testing.assert_allclose(told[(*cell, 5)], np.log(greedy.DOUBT), rtol=1e-6)
    assert np.count_nonzero(told) == 1

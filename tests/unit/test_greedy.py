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


def test_a_block_of_its_own_that_the_person_breaks_was_probably_wrong():
    cell, before, after = broken(HUMAN, whose=ASSISTANT)
    told = np.asarray(GREEDY.not_that(before, after))
    np.testing.assert_allclose(told[(*cell, 5)], np.log(greedy.SLIP), rtol=1e-6)
    assert np.count_nonzero(told) == 1


@pytest.mark.parametrize(("who", "whose"), [(HUMAN, HUMAN), (ASSISTANT, HUMAN), (ASSISTANT, ASSISTANT)])
def test_any_other_block_that_is_broken_tells_nothing_by_itself(who, whose):
    _, before, after = broken(who, whose)
    assert not np.asarray(GREEDY.not_that(before, after)).any()


@pytest.mark.parametrize("whose", [ASSISTANT, HUMAN])
def test_what_the_person_puts_where_it_took_a_block_away_was_probably_right(whose):
    """And what anybody puts where the person was last tells nothing by itself."""
    cell, standing, gone = broken(ASSISTANT, whose=HUMAN)
    gone = gone._replace(touched=gone.touched.at[cell].set(whose + 1))
    nobody = jnp.full_like(gone.edits.cell, -1)
    edits = gone.edits._replace(
        cell=nobody.at[HUMAN].set(gone.edits.cell[ASSISTANT]), after=gone.edits.after.at[HUMAN].set(5)
    )
    again = standing._replace(edits=edits, time=jnp.int32(9))
    told = np.asarray(GREEDY.not_that(gone, again))
    others = np.arange(GAME.num_kinds) != 5
    np.testing.assert_allclose(told[cell], np.log(greedy.SLIP) * others * (whose == ASSISTANT), rtol=1e-6)
    assert np.count_nonzero(told) == np.count_nonzero(told[cell])


def test_a_correction_stays():
    cell, before, after = broken(HUMAN, whose=ASSISTANT)
    read = eqx.filter_jit(GREEDY.read)
    memory = read(GREEDY.init(jax.random.key(0))._replace(last=before), after)
    idle = after._replace(edits=after.edits._replace(cell=jnp.full_like(after.edits.cell, -1)), time=jnp.int32(9))
    told = np.asarray(read(memory, idle).belief.evidence)
    np.testing.assert_allclose(told[(*cell, 5)], np.log(greedy.SLIP), rtol=1e-6)
    assert np.count_nonzero(told) == 1

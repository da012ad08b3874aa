"""What AssistanceZero's training keeps of a turn: what the search made of that moment, and what really followed."""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.assistants import greedy
from tacit.assistants.assistancezero import EXPLORING
from tacit.core import ASSISTANT, HUMAN
from tacit.games import building_small
from tacit.games.building import history
from tacit.games.building.actions import PLACE, decode, first_choice
from tacit.humans import builder
from tacit.learning.counsel import FULL, flat
from tacit.learning.moments import packed
from tacit.learning.networks import CounselNetwork
from tacit.planning.tree_search import Config
from tacit.recipes.assistancezero_small import SearchedBuilding
from tacit.recipes.belief_small import HelpedBuilding
from tacit.storage import shipped

GAME = building_small.make()
READER = greedy.load_skill(GAME, shipped("belief-small"))
NUM_WORLDS, CUT = 6, 8


@pytest.fixture(autouse=True, scope="module")
def compile_quickly() -> Iterator[None]:
    """Little is played here and much compiled."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.slow
def test_a_lesson_tells_of_its_own_turn_and_of_what_followed_that(rng):
    """Turn by turn against the worlds before and after: G = r + γ V', and r alone where the episode is over."""
    network = CounselNetwork(READER.network, jax.random.key(0))
    heads = ("policy_head", "value_head")
    drawn = [jnp.asarray(0.1 * rng.normal(size=getattr(network, head).weight.shape), jnp.float32) for head in heads]
    network = eqx.tree_at(lambda net: [getattr(net, head).weight for head in heads], network, drawn)
    helped = HelpedBuilding(game=GAME, human=builder.make(GAME), unhelped=0.0)
    source = SearchedBuilding(helped, READER.threshold, EXPLORING, Config(16, 2), num_moments=1, every=1)

    @eqx.filter_jit
    def collect(worlds, key):
        return source.collect(worlds, network, key)

    @eqx.filter_jit
    @jax.vmap
    def told(before, after):
        seen, later = (GAME.observe(world.state)[ASSISTANT] for world in (before, after))
        said, then = (network(*history.view(world.history, at)) for world, at in ((before, seen), (after, later)))
        reward = GAME.reward(before.house, before.state, after.state.last_actions, after.state).sum()
        over = GAME.finished(after.house, after.state) | (after.state.time >= GAME.horizon)
        shown = packed(history.view(before.history, seen).cells)
        return reward, then.value, jax.nn.softmax(said.heads.goal), over, shown, seen.legal[HUMAN].place

    key = jax.random.key(int(rng.integers(1 << 30)))
    worlds = source.begin(NUM_WORLDS, key)._replace(last_turn=jnp.asarray([CUT] + [99] * (NUM_WORLDS - 1)))
    times = jnp.asarray([0] * (NUM_WORLDS - 1) + [GAME.horizon - CUT], jnp.int32)
    half = jnp.where(rng.random(worlds.house.shape) < 0.5, worlds.house, worlds.state.blocks)
    worlds = worlds._replace(
        state=worlds.state._replace(time=times, blocks=half), last_turn=worlds.last_turn.at[-1].set(GAME.horizon)
    )
    earned, placed = 0.0, 0
    for number in range(CUT):
        after, lessons = collect(worlds, jax.random.fold_in(key, number))
        reward, hoped, believed, over, shown, may_place = map(np.asarray, told(worlds, after))
        lessons = jax.tree.map(lambda leaf: leaf[:, 0], lessons)
        np.testing.assert_array_equal(lessons.moment.cells, shown)
        np.testing.assert_array_equal(lessons.moment.may_place.reshape(NUM_WORLDS, -1), may_place)
        assert list(over) == [False] * (NUM_WORLDS - 1) + [number == CUT - 1]
        np.testing.assert_allclose(lessons.value, reward + np.where(over, 0.0, GAME.discount) * hoped, atol=1e-3)
        then = np.moveaxis(np.asarray(lessons.believed, np.float64) / FULL, 1, -1)
        np.testing.assert_allclose(then, believed, atol=0.6 / FULL)
        np.testing.assert_array_equal(lessons.moment.goal, worlds.house)
        improved, prior = (np.asarray(flat(leaf), np.float64) for leaf in (lessons.improved, lessons.prior))
        np.testing.assert_allclose(improved.sum(1), 1.0, atol=1e-2)
        assert (improved[prior == -np.inf] == 0.0).all(), "it learns of nothing that was not considered"
        assert ((prior > -np.inf).sum(1) <= 16).all()
        done = first_choice(after.state.last_actions[:, ASSISTANT], GAME.num_kinds, GAME.num_cells)
        for world, choice in enumerate(np.asarray(done)):
            assert prior[world, choice - 1] > -np.inf, "what it did it had considered"  # rest comes last there
            what, cell, *_ = decode(after.state.last_actions[world, HUMAN], GAME.num_kinds, GAME.num_cells)
            there = np.flatnonzero(lessons.moment.place[world])
            assert list(there) == ([int(cell)] if int(what) == PLACE else []), "the human's answer is of the same turn"
            placed += len(there)
        earned += np.abs(reward).sum()
        worlds = after
    assert earned > 0.0
    assert placed > 0
    again, _ = collect(worlds, key)
    assert again.state.time[0] == 1, "an episode that is to be cut short is, between rounds"
    assert again.state.time[-1] == 1, "one that is over is followed by another"
    assert (again.state.time[1:-1] == CUT + 1).all()

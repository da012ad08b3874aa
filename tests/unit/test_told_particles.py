"""The particles, told about single cells by somebody."""

import jax
import jax.numpy as jnp
import numpy as np

from tacit.assistants import particles
from tacit.beliefs.particles import ParticleBelief
from tacit.core import ASSISTANT, HUMAN
from tacit.games import building_small
from tacit.games.building.actions import BREAK, MOVE, PASS, PLACE, Action, encode
from tacit.humans import builder

RNG = np.random.default_rng()


def test_what_is_said_of_a_cell_moves_it_as_soon_as_they_think_again():
    game = building_small.make()
    assistant = particles.make(game, builder.make(game))
    key = jax.random.key(int(RNG.integers(1 << 30)))
    cell, kind = (3, 3, 3), int(RNG.integers(2, game.num_kinds))

    @jax.jit
    def believed(said):
        memory = assistant.tell(assistant.init(key), said)
        _, memory = assistant.logits(memory, game.observe(game.init(key))[ASSISTANT], key)
        return assistant.thoughts(memory).probabilities[cell][kind], memory.evidence

    nothing = jnp.zeros((*game.shape, game.num_kinds))
    before, _ = believed(nothing)
    like_that, _ = believed(nothing.at[*cell, kind].set(3.0))
    not_that, _ = believed(nothing.at[*cell, kind].set(-3.0))
    assert float(not_that) < 0.5 * float(before) < float(before) < 0.5 * float(like_that)
    _, shouted = believed(nothing.at[*cell, kind].set(1e6))
    assert float(jnp.ptp(shouted)) <= float(assistant.bound) + 1e-4, "no more than the bound allows"


def test_leaving_a_cell_alone_says_less_than_an_edit_there():
    game = building_small.make()
    assistant = particles.make(game, builder.make(game))
    memory = assistant.init(jax.random.key(int(RNG.integers(1 << 30))))
    log_weights = jnp.full_like(memory.belief.log_weights, -jnp.inf).at[0].set(0.0)
    likeliest = jax.tree.map(lambda leaf: leaf[0], memory.belief.hypotheses)
    wanted = np.asarray(likeliest.house).reshape(-1)
    cell = int(RNG.choice(np.flatnonzero(wanted > 1)))
    against = jnp.zeros_like(memory.evidence).at[cell, wanted[cell]].set(-assistant.bound)
    belief, nobody = ParticleBelief(memory.belief.hypotheses, log_weights), jnp.zeros_like(memory.shown)
    passed_over, edited = (
        float(assistant.combine(belief, against, shown)[cell, wanted[cell]]) for shown in (nobody, ~nobody)
    )
    assert edited < 0.3
    assert passed_over > 0.6


def test_a_walk_tells_of_the_house_only_if_it_leads_to_an_edit():
    game = building_small.make()
    assistant = particles.make(game, builder.make(game))
    key, start = jax.random.key(int(RNG.integers(1 << 30))), game.init(jax.random.key(0))

    @jax.jit
    def after(state, memory, what):
        """A turn in which the person does the first legal thing of this sort."""
        legal = game.observe(state)[HUMAN].legal[HUMAN]
        cell = jnp.argmax(jnp.where(what == PLACE, legal.place, legal.remove)).astype(jnp.int32)
        meant = Action(what, cell, jnp.int32(3), jnp.argmax(legal.move).astype(jnp.int32))
        action = encode(meant, game.num_kinds, assistant.prior.shape[0])
        state = game.step(state, jnp.stack([action, jnp.zeros_like(action)]), key)
        return state, assistant.learn(memory, game.observe(state)[ASSISTANT], key)

    def told(*doings):
        """What all cells' evidence is after each turn."""
        state = start
        memory = assistant.learn(assistant.init(key), game.observe(state)[ASSISTANT], key)
        tables = []
        for what in doings:
            state, memory = after(state, memory, jnp.int32(what))
            assert what == PASS or bool(state.effective[HUMAN])
            tables.append(np.asarray(memory.evidence))
        return tables

    walk, rest = (MOVE,) * 2, (PASS,) * particles.REST
    edited, _, walked, *_, still, rested = told(PLACE, *walk, *rest)
    assert np.abs(walked - edited).max() > 0.1
    np.testing.assert_array_equal(still, walked)
    np.testing.assert_array_equal(rested, edited)
    _, _, _, arrived, *_, later = told(PLACE, *walk, BREAK, *rest)
    assert np.abs(arrived - edited).max() > 0.1
    np.testing.assert_array_equal(later, arrived)

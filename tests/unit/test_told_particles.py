"""The particles, told about single cells by somebody."""

import jax
import jax.numpy as jnp
import numpy as np

from tacit.assistants import particles
from tacit.core import ASSISTANT
from tacit.games import building_small
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

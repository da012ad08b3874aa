"""How long does an assistant think for each turn, belief and hand together? The learned belief against the particles.

Both look at the same moments of building-small, in the middle of an episode, many at a time and one at a time.
"""

import time
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Key

from tacit.assistants import greedy, none, particles
from tacit.core import ASSISTANT, Assistant, Memory, Observation
from tacit.games import building_small
from tacit.humans import builder
from tacit.play import advance, begin

BATCHES = (1, 32)
NUM_TURNS = 40
"""Turns played before the clock starts."""
NUM_REPEATS = 10
"""The best of these counts: other programs can only slow us down."""


@eqx.filter_jit
def think(
    assistant: Assistant, memory: Memory, observation: Observation, keys: Key[Array, " B"]
) -> tuple[Memory, Memory]:
    """One turn of an assistant's thought in each episode."""
    return jax.vmap(assistant.logits)(memory, observation, keys)


def seconds(assistant: Assistant, observation: Observation, keys: Key[Array, " B"]) -> float:
    """Seconds that a turn takes for all of these moments together."""
    memory = jax.jit(jax.vmap(assistant.init))(keys)
    memory = jax.block_until_ready(think(assistant, memory, observation, keys))[1]
    best = float("inf")
    for _ in range(NUM_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(think(assistant, memory, observation, keys))
        best = min(best, time.perf_counter() - start)
    return best


def moments(num: int) -> Observation:
    """What is seen in the middle of this many episodes."""
    game = building_small.make("test")
    human, helper = builder.make(game), none.make(game, builder.make(game))

    def one(key: Key[Array, ""]) -> Observation:
        theta = game.sample_theta(key)
        start = begin(game, human, helper, theta, key)
        moment, _ = advance(game, human, helper, theta, start, NUM_TURNS, lambda before, after, turn: None, key)
        return game.observe(moment.state)[ASSISTANT]

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), num))


def make() -> list[dict[str, Any]]:
    """Time both at each batch size; the ratio is how many times as fast the learned belief is."""
    practice = building_small.make("train")
    human = builder.make(practice)
    learned, bayesian = greedy.make(practice, human), particles.make(practice, human)
    rows = []
    for batch in BATCHES:
        seen, keys = moments(batch), jax.random.split(jax.random.key(1), batch)
        ours, theirs = (1e3 * seconds(one, seen, keys) / batch for one in (learned, bayesian))
        rows.append(
            {
                "name": f"greedy, batch {batch}",
                "value": round(ours, 3),
                "unit": "ms/turn",
                "baseline": round(theirs, 3),
                "ratio": round(theirs / ours, 2),
            }
        )
    return rows

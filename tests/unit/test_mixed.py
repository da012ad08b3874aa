"""Somebody of one of several kinds: one kind an episode, each as often as the others, with a memory of its own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tacit.core import Human
from tacit.humans.mixed import Mixed

NUM_PEOPLE = 400


class Steady(Human):
    """Who prefers one action, and counts turns and feelings."""

    favourite: int = eqx.field(static=True)

    def init(self, key):
        return jax.random.uniform(key), jnp.zeros(())

    def logits(self, theta, memory, observation, key):
        del theta, observation, key
        return 10.0 * jax.nn.one_hot(self.favourite, 3), (memory[0], memory[1] + 1.0)

    def feel(self, memory, observation, felt):
        del observation
        return memory[0], memory[1] + (self.favourite + 1) * felt


@jax.jit
def live(key):
    """Three turns: what was preferred in each, and the last memory."""
    human = Mixed((Steady(0), Steady(2)))
    memory, preferred = human.init(key), []
    for _ in range(3):
        logits, memory = human.logits(None, memory, None, key)
        memory = human.feel(memory, None, jnp.float32(100.0))
        preferred.append(logits)
    return jnp.stack(preferred), memory


def test_one_kind_an_episode_each_as_often_as_the_others():
    preferred, memory = jax.vmap(live)(
        jax.random.split(jax.random.key(np.random.default_rng().integers(1 << 30)), NUM_PEOPLE)
    )
    which = np.asarray(memory.which)
    assert abs(which.mean() - 0.5) < 4 * 0.5 / NUM_PEOPLE**0.5
    expected = 10.0 * np.eye(3)[[0, 2]][which]
    np.testing.assert_array_equal(preferred, np.broadcast_to(expected[:, None], preferred.shape))


def test_each_kind_remembers_and_feels_by_itself():
    _, memory = jax.vmap(live)(jax.random.split(jax.random.key(0), NUM_PEOPLE))
    (first, counted), (second, counted_too) = memory.memories
    np.testing.assert_array_equal(counted, 303.0)
    np.testing.assert_array_equal(counted_too, 903.0)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.25  # drawn apart

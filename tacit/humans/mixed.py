"""Somebody of one of several kinds, drawn at the start of each episode: whom does an assistant meet who helps anyone?

As a member: one half scripted builders, one half people who plan and act like recorded ones (piKL).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.core import Game, Human, Logits, Memory, Observation, Theta
from tacit.humans import builder, pikl


class Mind(NamedTuple):
    """Which kind of person this is, and the memory of each kind."""

    which: Int[Array, ""]
    memories: tuple[Memory, ...]


class Mixed(Human):
    """Somebody of one of these kinds, each as likely as the others. All kinds have logits of the same form."""

    kinds: tuple[Human, ...]

    def init(self, key: Key[Array, ""]) -> Mind:
        """Draw the kind, and a person of it."""
        which_key, *keys = jax.random.split(key, 1 + len(self.kinds))
        which = jax.random.randint(which_key, (), 0, len(self.kinds))
        return Mind(which, tuple(kind.init(key) for kind, key in zip(self.kinds, keys, strict=True)))

    def logits(self, theta: Theta, memory: Mind, observation: Observation, key: Key[Array, ""]) -> tuple[Logits, Mind]:
        """What somebody of the kind prefers."""
        every = [
            kind.logits(theta, own, observation, key) for kind, own in zip(self.kinds, memory.memories, strict=True)
        ]
        chosen: Any = jax.tree.map(lambda *leaves: jnp.stack(leaves)[memory.which], *(logits for logits, _ in every))
        return chosen, Mind(memory.which, tuple(own for _, own in every))

    def feel(self, memory: Mind, observation: Observation, felt: Float[Array, ""]) -> Mind:
        """What somebody of each kind feels."""
        felt_by = (kind.feel(own, observation, felt) for kind, own in zip(self.kinds, memory.memories, strict=True))
        return memory._replace(memories=tuple(felt_by))


def make(game: Game) -> Mixed:
    """A builder or somebody like the recorded people who plans, by the flip of a coin."""
    return Mixed((builder.make(game), pikl.make(game)))

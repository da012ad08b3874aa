"""A human who answers when asked and changes nothing else: where action 1 + theta may be taken, takes it.

For games given by arrays in which the human only talks: what the human does neither moves the world nor pays, and there
is one answer for each theta. Shah et al. 2020 call such an assistance problem communicative.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from tacit.arrays import GameArrays
from tacit.core import HUMAN, Game, Human
from tacit.games.tabular import Observation, TabularGame


class Answering(Human):
    """P(answer = 1 + θ) = accuracy where every answer may be given, the other answers sharing the rest; else passes.

    `chances` is that policy, `state_seen` which state an observation shows.
    """

    chances: Float[Array, "N S H"]
    state_seen: Int[Array, " S"]

    def init(self, key: Key[Array, ""]) -> None:
        """No memory."""
        del key

    def logits(
        self, theta: Int[Array, ""], memory: None, observation: Observation, key: Key[Array, ""]
    ) -> tuple[Float[Array, " H"], None]:
        """The log of the probability of each answer."""
        del key
        return jnp.log(self.chances[theta, self.state_seen[observation.seen]]), memory


def policy(arrays: GameArrays, accuracy: float = 1.0) -> Float[np.ndarray, "N S H"]:
    """The probability of each of the human's actions for each theta in each state, in double precision."""
    thetas, states, humans, _ = arrays.rewards.shape
    if humans != thetas + 1:
        raise ValueError(f"The human has {humans} actions and theta {thetas} values; answering takes one more action.")
    if (arrays.transitions != arrays.transitions[:, :1]).any() or (arrays.rewards != arrays.rewards[:, :, :1]).any():
        raise ValueError("The human's actions change the world or pay in this game, so that they are no mere answers.")
    if not 0.0 <= accuracy <= 1.0:
        raise ValueError(f"The accuracy is {accuracy}; a probability lies between 0 and 1.")
    others = (1.0 - accuracy) / max(thetas - 1, 1)
    answers = np.full((thetas, thetas), others) + (accuracy - others) * np.eye(thetas)
    asked = arrays.legal_human.all(-1)
    chances = np.zeros((thetas, states, humans))
    chances[:, ~asked, 0] = 1.0
    chances[:, asked, 1:] = (answers / answers.sum(-1, keepdims=True))[:, None]
    return chances


def make(game: Game, accuracy: float = 1.0) -> Answering:
    """The human of a game given by arrays who answers truly with probability `accuracy`."""
    if not isinstance(game, TabularGame):
        raise ValueError("An answering human needs a game given by arrays (TabularGame).")
    seen = np.asarray(game.arrays.sees[HUMAN])
    if len(np.unique(seen)) < len(seen):
        raise ValueError("An answering human must see the whole state, but two states look the same to the human.")
    state_seen = jnp.zeros(len(seen), jnp.int32).at[seen].set(jnp.arange(len(seen), dtype=jnp.int32))
    return Answering(jnp.asarray(policy(game.arrays, accuracy), jnp.float32), state_seen)

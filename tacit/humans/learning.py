"""How does someone choose who is still finding out what they like, in any game given by arrays?

A learner knows the world, not their taste. From what they have felt they guess what everything pays, plan a few turns
ahead as if the guess were the truth, and mostly do what seems best: P(h) ∝ exp(rationality · Q(s, h; guess)), so that
rationality says how well they know what they themselves think. The same arrays make the human who is played and the
human who is planned for (`planning.discovery`). Chan et al. 2019, arXiv 1901.08654.

Axis letters: N thetas, S states, H the human's actions, A the assistant's, M memories, F feelings.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from scipy.special import softmax

from tacit.arrays import GameArrays, Numbers
from tacit.core import ASSISTANT, HUMAN, Game, Human
from tacit.games.asking import feelings
from tacit.games.tabular import Observation, TabularGame
from tacit.planning.assistance import counted
from tacit.planning.discovery import LearnerArrays, learner_arrays

TIE = 1e-9
"""Values that differ by less are taken for equal, so that a perfectly rational human shares ties evenly."""

FORGOTTEN = -1
"""The memory's number before the first turn, when theta has not yet said what the human knows beforehand."""


class Memory(NamedTuple):
    """The number of the memory, what the human saw last, and the luck that decides what they know beforehand."""

    number: Int[Array, ""]
    seen: Int[Array, ""]
    luck: Float[Array, ""]


class Learner(Human):
    """Plays a `LearnerArrays`. `levels[f]` is what feeling f feels like, `look[z]` a state that looks like z."""

    arrays: LearnerArrays
    levels: Float[np.ndarray, " F"]
    look: Int[np.ndarray, " Z"]

    def init(self, key: Key[Array, ""]) -> Memory:
        """Nothing seen yet."""
        return Memory(jnp.full((), FORGOTTEN, jnp.int32), jnp.zeros((), jnp.int32), jax.random.uniform(key))

    def logits(
        self, theta: Int[Array, ""], memory: Memory, observation: Observation, key: Key[Array, ""]
    ) -> tuple[Float[Array, " H"], Memory]:
        """The log of `choose`. Theta says only, once, how likely each first memory is: `start`."""
        del key
        start = jnp.asarray(self.arrays.start, jnp.float32)[theta]
        # The chances are scaled by their sum in single precision, so that rounding leads to no memory without a chance.
        passed = jnp.cumsum(start) <= memory.luck * jnp.cumsum(start)[-1]
        number = jnp.where(memory.number == FORGOTTEN, passed.sum(dtype=jnp.int32), memory.number)
        state = jnp.asarray(self.look, jnp.int32)[observation.seen]
        chances = jnp.asarray(self.arrays.choose, jnp.float32)[number, state]
        return jnp.log(chances), Memory(number, observation.seen, memory.luck)

    def feel(self, memory: Memory, observation: Observation, felt: Float[Array, ""]) -> Memory:
        """Remember what was felt after what both did where the human was before."""
        state = jnp.asarray(self.look, jnp.int32)[memory.seen]
        level = jnp.argmin(jnp.abs(jnp.asarray(self.levels, jnp.float32) - felt))
        did = observation.last_actions
        following = jnp.asarray(self.arrays.learn, jnp.int32)[memory.number, state, did[HUMAN], did[ASSISTANT], level]
        return memory._replace(number=following)


def learner(game: TabularGame, start: Numbers, choose: Numbers, learn: Numbers) -> Learner:
    """The human of this game with these arrays, as `discovery.learner_arrays` reads them; they feel what it says."""
    levels, feels = feelings(game)
    arrays = learner_arrays(game.arrays, start, choose, feels, learn)
    seen, first = np.unique(game.arrays.sees[HUMAN], return_index=True)
    look = np.zeros(int(seen.max()) + 1, int)
    look[seen] = first
    return Learner(arrays, levels, look)


def expert(game: TabularGame, rationality: float, lookahead: int = 2) -> Learner:
    """Someone who knows what they want from the start, and has nothing to learn: their memory is theta."""
    thetas = len(game.arrays.prior)
    choose = choices(game.arrays, game.arrays.rewards, rationality, lookahead)
    feelings_shape = feelings(game)[1].shape[1:]
    learn = np.broadcast_to(np.arange(thetas)[:, None, None, None, None], (thetas, *feelings_shape))
    return learner(game, np.eye(thetas), choose, learn)


def choices(
    arrays: GameArrays,
    guesses: Float[np.ndarray, "M S H A"],
    rationality: float,
    lookahead: int = 2,
    partner: Float[np.ndarray, "S A"] | None = None,
) -> Float[np.ndarray, "M S H"]:
    """P(h | m, s) ∝ exp(rationality · Q(s, h; m)), Q being worth over `lookahead` turns if memory m guesses right.

    The assistant is expected to do a with probability `partner[s, a]`: to pass, unless it is given. With infinite
    rationality the best actions share evenly.
    """
    if not rationality >= 0.0:
        raise ValueError(f"The rationality is {rationality}; it must be at least 0.")
    if lookahead < 1:
        raise ValueError(f"The lookahead is {lookahead}; whoever chooses looks at least one turn ahead.")
    transitions, _ = counted(arrays)
    allowed = np.where(arrays.legal_assistant[:, None, :], guesses, guesses[..., :1])
    expected = np.eye(guesses.shape[-1])[np.zeros(guesses.shape[1], int)] if partner is None else partner
    moves = np.einsum("shat,sa->sht", transitions, expected)
    paid = np.einsum("msha,sa->msh", allowed, expected)
    worth = np.where(arrays.legal_human, paid, -np.inf)
    for _ in range(lookahead - 1):
        following = arrays.discount * np.einsum("sht,mt->msh", moves, worth.max(-1))
        worth = np.where(arrays.legal_human, paid + following, -np.inf)
    gaps = worth - worth.max(-1, keepdims=True)
    best = gaps >= -TIE
    if np.isinf(rationality):
        return best / best.sum(-1, keepdims=True)
    return softmax(rationality * np.where(best, 0.0, gaps), -1) if rationality else _even(arrays, len(guesses))


def tabular(game: Game) -> TabularGame:
    """The game, if it is given by arrays and its human can tell what they see."""
    if not isinstance(game, TabularGame):
        raise ValueError("A learner needs a game given by arrays (TabularGame).")
    sees = game.arrays.sees[HUMAN]
    if len(np.unique(sees)) < len(sees):
        raise ValueError("This learner must see the whole state, but two states look the same to the human.")
    return game


def _even(arrays: GameArrays, memories: int) -> Float[np.ndarray, "M S H"]:
    """Anything legal is as likely."""
    even = arrays.legal_human / arrays.legal_human.sum(-1, keepdims=True)
    return np.broadcast_to(even, (memories, *even.shape))

"""What do people who learn a bandit share? They count what they felt, ignore theta, and choose by their counts.

Each learner is one file that says how likely it asks for each arm, given the counts.
"""

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.core import Game, Human, Theta
from tacit.games.bandit import Bandit, State


class Tried(NamedTuple):
    """How often each arm was pulled, and what it paid in all."""

    counts: Int[Array, " K"]
    sums: Float[Array, " K"]

    @property
    def successes(self) -> Int[Array, " K"]:
        """How often each arm paid 1."""
        return self.sums.astype(jnp.int32)

    @property
    def failures(self) -> Int[Array, " K"]:
        """How often each arm paid 0."""
        return self.counts - self.successes

    def add(self, arm: Int[Array, ""], felt: Float[Array, ""]) -> "Tried":
        """Count a pull and what it paid. Where nothing was pulled (-1), nothing changes."""
        pulled = jnp.arange(self.counts.shape[0]) == arm
        return Tried(self.counts + pulled.astype(jnp.int32), self.sums + jnp.where(pulled, felt, 0.0))


def nothing_tried(num_arms: int) -> Tried:
    """No pull yet."""
    return Tried(jnp.zeros(num_arms, jnp.int32), jnp.zeros(num_arms))


class CountingLearner(Human):
    """Someone who knows of the arms what they paid, and nothing else."""

    num_arms: eqx.AbstractVar[int]

    @abc.abstractmethod
    def chances(self, tried: Tried, time: Int[Array, ""]) -> Float[Array, " K"]:
        """The probability of asking for each arm in turn `time`; two turns are a round."""

    def init(self, key: Key[Array, ""]) -> Tried:
        """Nothing tried."""
        del key
        return nothing_tried(self.num_arms)

    def logits(
        self, theta: Theta, memory: Tried, observation: State, key: Key[Array, ""]
    ) -> tuple[Float[Array, " A"], Tried]:
        """The log of the probability of each arm. Passing comes first, and counts only where nothing else is legal."""
        del theta, key
        return arm_logits(self.chances(memory, observation.time)), memory

    def feel(self, memory: Tried, observation: State, felt: Float[Array, ""]) -> Tried:
        """Count the pull and what it paid."""
        return memory.add(observation.pulled, felt)


def best(scores: Float[Array, " K"]) -> Bool[Array, " K"]:
    """Which arms score highest."""
    return scores == jnp.max(scores)


def evenly(among: Bool[Array, " K"]) -> Float[Array, " K"]:
    """The same chance for each arm of a set."""
    members = among.astype(jnp.float32)
    return members / jnp.sum(members)


def arm_logits(chances: Float[Array, " K"]) -> Float[Array, " A"]:
    """Logits over actions for these chances of the arms. Passing counts only where nothing else is legal."""
    return jnp.concatenate([jnp.zeros(1), jnp.log(chances)])


def bandit(game: Game, who: str) -> Bandit:
    """The game, if it is a bandit; `who` begins the sentence that refuses any other."""
    if not isinstance(game, Bandit):
        raise ValueError(f"{who} needs a bandit.")
    return game

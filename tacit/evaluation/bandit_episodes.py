"""What do a human and an assistant earn at a bandit, as they are played? Many episodes, many people, one program."""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key

from tacit.core import Assistant, Game, Human, Logits, Memory, Observation, Theta
from tacit.games.bandit import Bandit
from tacit.play import play

BATCH = 2_500
"""Episodes that are played at a time."""


class Company(Human):
    """One of several people; who is data, so that one compiled program plays them all."""

    members: tuple[Human, ...]
    who: Int[Array, ""]

    def init(self, key: Key[Array, ""]) -> tuple[Memory, ...]:
        """Everyone's memory."""
        return tuple(member.init(key) for member in self.members)

    def logits(
        self, theta: Theta, memory: tuple[Memory, ...], observation: Observation, key: Key[Array, ""]
    ) -> tuple[Logits, tuple[Memory, ...]]:
        """Those of the one, whose memory alone changes."""

        def choose(place: int) -> tuple[Logits, tuple[Memory, ...]]:
            logits, after = self.members[place].logits(theta, memory[place], observation, key)
            return logits, (*memory[:place], after, *memory[place + 1 :])

        return jax.lax.switch(self.who, [lambda place=place: choose(place) for place in range(len(self.members))])

    def feel(self, memory: tuple[Memory, ...], observation: Observation, felt: Float[Array, ""]) -> tuple[Memory, ...]:
        """Everyone feels it."""
        return tuple(one.feel(own, observation, felt) for one, own in zip(self.members, memory, strict=True))


class Mean(NamedTuple):
    """An average over episodes and its standard error."""

    value: float
    error: float


def reward(game: Bandit, human: Human, assistant: Assistant, num_episodes: int, seed: int) -> Mean:
    """The mean sum of rewards of this many episodes."""
    return mean_reward(*in_batches(lambda keys: _play(game, human, assistant, keys), num_episodes, seed))


def in_batches(run: Callable[[Array], tuple[Array, ...]], num_episodes: int, seed: int) -> list[np.ndarray]:
    """What `run` returns for each of this many keys."""
    keys = jax.random.split(jax.random.key(seed), num_episodes)
    parts = [run(keys[start : start + BATCH]) for start in range(0, num_episodes, BATCH)]
    return [np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True)]


def mean_reward(totals: Float[np.ndarray, " B"], means: Float[np.ndarray, "B K"]) -> Mean:
    """The average of `totals`. What the luck of the arms explains is taken out, for its average is known.

    Linear control variates: the k-th lowest of K even draws is k / (K + 1) on average.
    """
    episodes, arms = means.shape
    luck = np.sort(means, 1) - np.arange(1, arms + 1) / (arms + 1)
    design = np.column_stack([np.ones(episodes), luck])
    weights, *_ = np.linalg.lstsq(design, totals, rcond=None)
    return Mean(float(weights[0]), float((totals - design @ weights).std()) / math.sqrt(episodes))


@eqx.filter_jit
def _play(
    game: Game, human: Human, assistant: Assistant, keys: Key[Array, " B"]
) -> tuple[Float[Array, " B"], Float[Array, "B K"]]:
    """The reward of each episode, and the arms' means in it."""

    def one(key: Key[Array, ""]) -> tuple[Float[Array, ""], Float[Array, " K"]]:
        theta_key, play_key = jax.random.split(key)
        theta = game.sample_theta(theta_key)
        return play(game, human, assistant, theta, play_key).rewards.sum(), theta

    return jax.vmap(one)(keys)

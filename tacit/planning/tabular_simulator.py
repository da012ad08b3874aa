"""How is a POMDP given by arrays played? One state at a time, in single precision, many at once under `jax.vmap`.

Successors are kept in rows of equal length, so that 12,545 states with 13 actions take a few megabytes. A state from
which nothing leads away and nothing is paid ends the episode.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key
from scipy import sparse

from tacit.arrays import Pomdp
from tacit.core import Simulator

NOTHING = 1e-6
"""Without a horizon, an episode is cut where the discount has made the next reward this small."""


class State(NamedTuple):
    """The number of the state, the action that led to it and what was seen then (zeros at first)."""

    number: Int[Array, ""]
    action: Int[Array, ""]
    seen: Int[Array, ""]


class Rows(NamedTuple):
    """Sparse distributions in rows of K entries: where to, how likely, and the sum up to each (the last: 2)."""

    places: Int[Array, "A S K"]
    chances: Float[Array, "A S K"]
    sums: Float[Array, "A S K"]


class TabularSimulator(Simulator):
    """A POMDP by arrays as a simulator; every action is legal."""

    moves: Rows
    sights: Rows
    rewards: Float[Array, "S A"]
    start: Rows
    ends: Bool[Array, " S"]
    sizes: tuple[int, int]
    num_turns: int
    gamma: float

    def __init__(self, pomdp: Pomdp, horizon: int | None = None):
        """Without a horizon the discount must be below 1."""
        if horizon is None and pomdp.discount >= 1.0:
            raise ValueError("There is no horizon and the discount is 1; give a horizon, or a discount below 1.")
        self.moves, self.sights = (
            rows(pomdp.transitions, len(pomdp.initial)),
            rows(pomdp.observations, len(pomdp.initial)),
        )
        self.rewards = jnp.asarray(pomdp.rewards, jnp.float32)
        self.start = rows([sparse.csr_array(pomdp.initial[None])], 1)
        stays = np.stack([matrix.diagonal() for matrix in pomdp.transitions]) > 1.0 - 1e-12
        self.ends = jnp.asarray(stays.all(0) & ~pomdp.rewards.any(1))
        self.sizes = (pomdp.rewards.shape[1], len(pomdp.observation_names))
        self.gamma = pomdp.discount
        faint = math.ceil(math.log(NOTHING) / math.log(self.gamma)) if 0.0 < self.gamma < 1.0 else 1
        self.num_turns = faint if horizon is None else horizon

    @property
    def num_actions(self) -> int:
        """A."""
        return self.sizes[0]

    @property
    def num_observations(self) -> int:
        """O."""
        return self.sizes[1]

    @property
    def horizon(self) -> int:
        """As given, or until rewards are too faint to count."""
        return self.num_turns

    @property
    def discount(self) -> float:
        """As given."""
        return self.gamma

    def init(self, key: Key[Array, ""]) -> State:
        """Draw the first state."""
        zero = jnp.zeros((), jnp.int32)
        return State(draw(self.start, zero, zero, jax.random.uniform(key)), zero, zero)

    def step(
        self, state: State, action: Int[Array, ""], key: Key[Array, ""]
    ) -> tuple[State, Float[Array, ""], Bool[Array, ""]]:
        """Draw the next state and what is seen; the reward is the expected one."""
        move, sight = jax.random.uniform(key, (2,))
        number = draw(self.moves, action, state.number, move)
        seen = draw(self.sights, action, number, sight)
        return State(number, action, seen), self.rewards[state.number, action], self.ends[number]

    def observe(self, state: State) -> Int[Array, ""]:
        """What was seen on arrival."""
        return state.seen

    def legal(self, state: State) -> Bool[Array, " A"]:
        """Everything."""
        del state
        return jnp.ones(self.num_actions, bool)

    def likelihood(self, state: State, observation: Int[Array, ""]) -> Float[Array, ""]:
        """O(o | s', a), exactly."""
        places = self.sights.places[state.action, state.number]
        return jnp.sum(jnp.where(places == observation, self.sights.chances[state.action, state.number], 0.0))

    def states(self, numbers: Int[Array, "*B"]) -> State:
        """States of these numbers, as particles for a search: draw the numbers from an exact belief."""
        nothing = jnp.zeros_like(numbers)
        return State(numbers, nothing, nothing)


def pick(rows: Rows, action: Int[Array, ""], row: Int[Array, ""], chance: Float[Array, ""]) -> Int[Array, ""]:
    """The entry of a row that an even `chance` in [0, 1) falls on; its place is `rows.places[action, row, entry]`."""
    if rows.places.shape[-1] == 1:
        return jnp.zeros((), jnp.int32)
    return jnp.sum(chance >= rows.sums[action, row]).astype(jnp.int32)


def draw(rows: Rows, action: Int[Array, ""], row: Int[Array, ""], chance: Float[Array, ""]) -> Int[Array, ""]:
    """The place that an even `chance` in [0, 1) falls on."""
    return rows.places[action, row, pick(rows, action, row, chance)]


def rows(matrices: Sequence[sparse.csr_array], num_rows: int) -> Rows:
    """Sparse matrices whose rows are distributions, one for each action, as rows of equal length."""
    found = [sparse.find(matrix) for matrix in matrices]
    held = np.stack([np.bincount(row, minlength=num_rows) for row, _, _ in found])
    shape = (*held.shape, held.max())
    places, chances, sums = np.zeros(shape, np.int32), np.zeros(shape), np.full(shape, 2.0)
    for index, (origin, place, chance) in enumerate(found):
        order = np.argsort(origin, kind="stable")
        row, firsts = origin[order], np.cumsum(held[index]) - held[index]
        column = np.arange(len(row)) - firsts[row]
        places[index, row, column], chances[index, row, column] = place[order], chance[order]
        inner = column < held[index, row] - 1
        summed = np.cumsum(chances[index], axis=1)
        sums[index, row[inner], column[inner]] = summed[row[inner], column[inner]]
    return Rows(jnp.asarray(places), jnp.asarray(chances, jnp.float32), jnp.asarray(sums, jnp.float32))

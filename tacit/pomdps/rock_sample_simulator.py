"""How is RockSample played when its states cannot be listed? The same problem, the rover and the rocks kept apart.

Draws what `pomdps.rock_sample` has in its arrays, in time that does not grow with the 2ᵏ ways the rocks can be.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.core import Simulator
from tacit.pomdps.rock_sample import BAD, EXIT, GOOD, NONE, SEEN_BAD, SEEN_GOOD, rock_cells, sensor_range

MOST_ROCKS = 30
"""Rocks are the bits of one number."""
EAST, SAMPLE, CHECK = 2, 4, 5
RIGHT, UP = np.array([0, 0, 1, -1]), np.array([1, -1, 0, 0])
"""North, south, east, west."""


class State(NamedTuple):
    """The rover's cell y · n + x, which rocks are good (bits), whether it has left, what it last did and saw."""

    cell: Int[Array, ""]
    rocks: Int[Array, ""]
    left: Bool[Array, ""]
    action: Int[Array, ""]
    seen: Int[Array, ""]


class RockSampleSimulator(Simulator):
    """RockSample(n, k), its arguments as in `rock_sample.make`."""

    sizes: tuple[int, int]
    moves: Int[Array, "4 N"]
    """Where each move leads from each cell; -1 off the east edge."""
    here: Int[Array, " N"]
    """The rock on each cell, or -1."""
    accuracy: Float[Array, "K N"]
    """How likely a check of each rock is right from each cell."""
    gamma: float
    num_turns: int

    def __init__(
        self,
        n: int = 4,
        k: int = 4,
        rocks: Sequence[tuple[int, int]] | None = None,
        half_distance: float | None = None,
        discount: float = 0.95,
        seed: int = 0,
        horizon: int = 300,
    ):
        """An episode is cut after `horizon` turns."""
        if n < 1 or not 0 <= k <= min(n * n, MOST_ROCKS):
            raise ValueError(
                f"RockSample({n}, {k}) cannot be simulated: up to {MOST_ROCKS} rocks on {n} x {n} cells can."
            )
        half_distance = sensor_range(n, k, rocks, half_distance)
        places = np.array(rock_cells(n, k, rocks, seed), np.int64).reshape(k, 2)
        y, x = np.divmod(np.arange(n * n), n)
        to_x, to_y = x + RIGHT[:, None], np.clip(y + UP[:, None], 0, n - 1)
        here = np.full(n * n, -1)
        here[places[:, 1] * n + places[:, 0]] = np.arange(k)
        distance = np.hypot(x - places[:, :1], y - places[:, 1:])
        self.sizes = (n, k)
        self.moves = jnp.asarray(np.where(to_x == n, -1, to_y * n + np.clip(to_x, 0, n - 1)), jnp.int32)
        self.here = jnp.asarray(here, jnp.int32)
        self.accuracy = jnp.asarray(0.5 * (1.0 + 2.0 ** (-distance / half_distance)), jnp.float32)
        self.gamma, self.num_turns = discount, horizon

    @property
    def num_actions(self) -> int:
        """North, south, east, west, sample, and a check of each rock."""
        return CHECK + self.sizes[1]

    @property
    def num_observations(self) -> int:
        """Nothing, good, bad."""
        return 3

    @property
    def horizon(self) -> int:
        """As given."""
        return self.num_turns

    @property
    def discount(self) -> float:
        """As given."""
        return self.gamma

    def init(self, key: Key[Array, ""]) -> State:
        """The middle of the west edge, every rock good or bad with equal odds."""
        n, k = self.sizes
        zero = jnp.zeros((), jnp.int32)
        rocks = jax.random.randint(key, (), 0, 1 << k, jnp.int32)
        return State(jnp.asarray(n // 2 * n, jnp.int32), rocks, jnp.zeros((), bool), zero, zero)

    def step(
        self, state: State, action: Int[Array, ""], key: Key[Array, ""]
    ) -> tuple[State, Float[Array, ""], Bool[Array, ""]]:
        """Move, sample or check."""
        to = self.moves[jnp.minimum(action, SAMPLE - 1), state.cell]
        moves, samples = (action < SAMPLE) & ~state.left, (action == SAMPLE) & ~state.left
        left = state.left | (moves & (to < 0))
        rock = self.here[state.cell]
        sampled = samples & (rock >= 0)
        bit = jnp.where(sampled, jnp.left_shift(1, jnp.maximum(rock, 0)), 0)
        worth = jnp.where(state.rocks & bit, GOOD, BAD)
        reward = jnp.where(moves & (to < 0), EXIT, jnp.where(sampled, worth, 0.0))
        cell = jnp.where(moves & (to >= 0), to, state.cell)
        new = State(cell, state.rocks & ~bit, left, action, jnp.zeros((), jnp.int32))
        seen = jnp.where(jax.random.uniform(key) < self.sight(new), SEEN_GOOD, SEEN_BAD)
        checks = (action >= CHECK) & ~left
        return new._replace(seen=jnp.where(checks, seen, NONE).astype(jnp.int32)), reward, left

    def sight(self, state: State) -> Float[Array, ""]:
        """How likely the check that led to this state, if it was one, shows its rock as good."""
        if self.sizes[1] == 0:
            return jnp.zeros(())
        rock = jnp.maximum(state.action - CHECK, 0)
        right = self.accuracy[rock, state.cell]
        return jnp.where(jnp.right_shift(state.rocks, rock) & 1, right, 1.0 - right)

    def observe(self, state: State) -> Int[Array, ""]:
        """What was seen on arrival."""
        return state.seen

    def legal(self, state: State) -> Bool[Array, " A"]:
        """Everything."""
        del state
        return jnp.ones(self.num_actions, bool)

    def likelihood(self, state: State, observation: Int[Array, ""]) -> Float[Array, ""]:
        """Exactly, as in the arrays."""
        good = self.sight(state)
        checked = jnp.where(observation == SEEN_GOOD, good, jnp.where(observation == SEEN_BAD, 1.0 - good, 0.0))
        nothing = (observation == NONE).astype(jnp.float32)
        return jnp.where((state.action >= CHECK) & ~state.left, checked, nothing)

    def number(self, state: State) -> Int[Array, ""]:
        """The state's number in the arrays of `rock_sample.make`."""
        n, k = self.sizes
        return jnp.where(state.left, (n * n) << k, (state.cell << k) + state.rocks)

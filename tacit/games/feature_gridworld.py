"""Apprenticeship on a grid: the human walks first and shows what is liked, then the assistant walks alone.

The reward of a step is θ · φ(cell entered), φ radial basis features around random places; θ is even on [-1, 1]^D.
Walks start in the middle: after half of the turns the walker is set back there, and the other player walks.
Hadfield-Menell et al. 2016, "Cooperative Inverse Reinforcement Learning", arXiv 1606.03137, section 4.2.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.core import ASSISTANT, HUMAN, Game

MOVES = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]])
"""Stay (the pass), up, down, left, right. At the edge one stays."""


class State(NamedTuple):
    """The cell of the walker (row by row), what both last did and how many turns have passed."""

    cell: Int[Array, ""]
    last_actions: Int[Array, "2"]
    time: Int[Array, ""]


class FeatureGridworld(Game):
    """`features[cell]` are those of the cell; `follow[cell, move]` is the cell that a move leads to."""

    features: Float[Array, "S D"]
    follow: Int[Array, "S 5"]
    start: int = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)

    @property
    def num_actions(self) -> tuple[int, int]:
        """The five moves, for both."""
        return len(MOVES), len(MOVES)

    @property
    def horizon(self) -> int:
        """Each player's steps, one after the other's."""
        return 2 * self.num_steps

    @property
    def discount(self) -> float:
        """Later steps weigh the same."""
        return 1.0

    def sample_theta(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """Draw the weights of the features."""
        return jax.random.uniform(key, (self.features.shape[1],), minval=-1.0, maxval=1.0)

    def init(self, key: Key[Array, ""]) -> State:
        """The middle of the grid."""
        del key
        return State(jnp.full((), self.start, jnp.int32), jnp.zeros(2, jnp.int32), jnp.zeros((), jnp.int32))

    def step(self, state: State, actions: Int[Array, "2"], key: Key[Array, ""]) -> State:
        """Whose turn it is walks; after the human's last step the walk starts again."""
        del key
        taken = self.taken(state, actions)
        cell = jnp.where(state.time + 1 == self.num_steps, self.start, self.follow[state.cell, taken.sum()])
        return State(cell, taken, state.time + 1)

    def reward(
        self, theta: Float[Array, " D"], state: State, actions: Int[Array, "2"], next_state: State
    ) -> Float[Array, "2"]:
        """θ · φ of the cell entered, to whoever walks."""
        del next_state
        entered = self.follow[state.cell, self.taken(state, actions).sum()]
        walks = jnp.arange(2) == jnp.where(state.time < self.num_steps, HUMAN, ASSISTANT)
        return jnp.where(walks, self.features[entered] @ theta, 0.0)

    def observe(self, state: State) -> tuple[State, State]:
        """Both see the walk."""
        return state, state

    def legal(self, state: State) -> tuple[Bool[Array, "5"], Bool[Array, "5"]]:
        """Every move in one's own half, and only to pass in the other's."""
        first = state.time < self.num_steps
        passing = jnp.arange(len(MOVES)) == 0
        return passing | first, passing | ~first

    def finished(self, theta: Float[Array, " D"], state: State) -> Bool[Array, ""]:
        """Never before the horizon."""
        del theta, state
        return jnp.zeros((), bool)

    def taken(self, state: State, actions: Int[Array, "2"]) -> Int[Array, "2"]:
        """The moves as they count: the other player's is to stay."""
        legal = self.legal(state)
        return jnp.stack([jnp.where(may[action], action, 0) for may, action in zip(legal, actions, strict=True)])


def make(
    side: int = 10, num_features: int = 3, num_steps: int = 6, width: float = 2.0, seed: int = 0
) -> FeatureGridworld:
    """A grid of `side` x `side` cells; features fall off with the distance to random places, over `width` cells."""
    if side < 2 or num_features < 1 or num_steps < 1 or not width > 0:
        raise ValueError(
            f"side {side}, num_features {num_features}, num_steps {num_steps}, width {width:g}: a grid has two cells a "
            "side, at least one feature and one step, and a positive width."
        )
    cells = np.stack(np.divmod(np.arange(side * side), side), -1)
    centres = np.random.default_rng(seed).uniform(0, side - 1, (num_features, 2))
    distances = ((cells[:, None] - centres) ** 2).sum(-1)
    follow = np.clip(cells[:, None] + MOVES, 0, side - 1) @ np.array([side, 1])
    return FeatureGridworld(
        jnp.asarray(np.exp(-distances / (2 * width**2)), jnp.float32),
        jnp.asarray(follow, jnp.int32),
        side // 2 * side + side // 2,
        num_steps,
    )

"""What is an assistance game small enough to write down? One given by arrays, which exact solvers can read.

Axis letters: S states, H the human's actions, A the assistant's, N values of theta. All randomness of the world is in
`transitions`; what a player does not see is said by `sees`, which names what each state looks like to each player, so
that a noisy sight is a part of the state.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.arrays import GameArrays, Numbers, game_arrays
from tacit.core import ASSISTANT, HUMAN, Game

NEGLIGIBLE = 1e-4
"""A game without a horizon is played until what is left weighs less than this."""


class State(NamedTuple):
    """Which state the world is in, what both players last did (zeros at first) and how many turns have passed."""

    number: Int[Array, ""]
    last_actions: Int[Array, "2"]
    time: Int[Array, ""]


class Observation(NamedTuple):
    """What the state looks like to one player. The last actions are public; an illegal one shows as the pass it was."""

    seen: Int[Array, ""]
    last_actions: Int[Array, "2"]
    time: Int[Array, ""]


class TabularGame(Game):
    """A game given by arrays; theta is an index into `prior`.

    Action 0 passes: where a player may not take an action, taking it counts as action 0, which is legal everywhere.
    The parts of the shared reward are not told apart: all of it is the human's.
    """

    arrays: GameArrays

    def __init__(
        self,
        transitions: Numbers,
        rewards: Numbers,
        prior: Numbers,
        initial: Numbers,
        horizon: int | None = None,
        discount: float = 1.0,
        sees: Numbers | None = None,
        legal_human: Numbers | None = None,
        legal_assistant: Numbers | None = None,
        terminal: Numbers | None = None,
    ):
        """As `arrays.game_arrays`, which checks them and says what they mean."""
        self.arrays = game_arrays(
            transitions, rewards, prior, initial, horizon, discount, sees, legal_human, legal_assistant, terminal
        )

    @property
    def num_actions(self) -> tuple[int, int]:
        """H and A."""
        return self.arrays.transitions.shape[1], self.arrays.transitions.shape[2]

    @property
    def horizon(self) -> int:
        """As given; without one, as many turns as matter."""
        return self.arrays.horizon or math.ceil(math.log(NEGLIGIBLE) / math.log(self.arrays.discount))

    @property
    def discount(self) -> float:
        """As given."""
        return self.arrays.discount

    def sample_theta(self, key: Key[Array, ""]) -> Int[Array, ""]:
        """Draw an index from the prior."""
        return jax.random.categorical(key, jnp.log(jnp.asarray(self.arrays.prior))).astype(jnp.int32)

    def init(self, key: Key[Array, ""]) -> State:
        """Draw the first state."""
        number = jax.random.categorical(key, jnp.log(jnp.asarray(self.arrays.initial))).astype(jnp.int32)
        return State(number, jnp.zeros(2, jnp.int32), jnp.zeros((), jnp.int32))

    def step(self, state: State, actions: Int[Array, "2"], key: Key[Array, ""]) -> State:
        """Draw the next state."""
        taken = self.taken(state, actions)
        row = jnp.asarray(self.arrays.transitions)[state.number, taken[HUMAN], taken[ASSISTANT]]
        return State(jax.random.categorical(key, jnp.log(row)).astype(jnp.int32), taken, state.time + 1)

    def reward(
        self, theta: Int[Array, ""], state: State, actions: Int[Array, "2"], next_state: State
    ) -> Float[Array, "2"]:
        """`rewards[theta, s, h, a]`, all of it the human's part."""
        del next_state
        taken = self.taken(state, actions)
        shared = jnp.asarray(self.arrays.rewards)[theta, state.number, taken[HUMAN], taken[ASSISTANT]]
        return jnp.stack([shared, jnp.zeros_like(shared)])

    def observe(self, state: State) -> tuple[Observation, Observation]:
        """What the state looks like to each, the last actions and the clock."""
        human, assistant = jnp.asarray(self.arrays.sees, jnp.int32)[:, state.number]
        return (
            Observation(human, state.last_actions, state.time),
            Observation(assistant, state.last_actions, state.time),
        )

    def legal(self, state: State) -> tuple[Bool[Array, " H"], Bool[Array, " A"]]:
        """The rows of the two tables."""
        return jnp.asarray(self.arrays.legal_human)[state.number], jnp.asarray(self.arrays.legal_assistant)[
            state.number
        ]

    def finished(self, theta: Int[Array, ""], state: State) -> Bool[Array, ""]:
        """Whether the state is terminal."""
        del theta
        return jnp.asarray(self.arrays.terminal)[state.number]

    def taken(self, state: State, actions: Int[Array, "2"]) -> Int[Array, "2"]:
        """The actions as they count: an illegal one passes."""
        human, assistant = self.legal(state)
        legal = jnp.stack([human[actions[HUMAN]], assistant[actions[ASSISTANT]]])
        return jnp.where(legal, actions, 0)

"""What is an assistance game small enough to write down? One given by arrays, which exact solvers can read.

Axis letters: S states, H the human's actions, A the assistant's, N values of theta. All randomness of the world is in
`transitions`; what a player does not see is said by `sees`, which names what each state looks like to each player, so
that a noisy sight is a part of the state.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.core import ASSISTANT, HUMAN, Game

Numbers = Sequence[Any] | np.ndarray | Array
"""An array, or nested sequences of numbers."""

TOLERANCE = 1e-5
"""How far from one probabilities may sum, in float32."""


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

    transitions: Float[Array, "S H A S"]
    rewards: Float[Array, "N S H A"]
    prior: Float[Array, " N"]
    initial: Float[Array, " S"]
    sees: Int[Array, "2 S"]
    legal_human: Bool[Array, "S H"]
    legal_assistant: Bool[Array, "S A"]
    terminal: Bool[Array, " S"]
    num_turns: int = eqx.field(static=True)
    gamma: float = eqx.field(static=True)

    def __init__(
        self,
        transitions: Numbers,
        rewards: Numbers,
        prior: Numbers,
        initial: Numbers,
        horizon: int,
        discount: float = 1.0,
        sees: Numbers | None = None,
        legal_human: Numbers | None = None,
        legal_assistant: Numbers | None = None,
        terminal: Numbers | None = None,
    ):
        """By default both players see the state, every action is legal and no state is terminal.

        `transitions[s, h, a, s']` and `initial[s]` are probabilities, `rewards[n, s, h, a]` expected rewards for
        someone who wants the n-th theta. A terminal state keeps still and pays nothing.
        """
        transitions, rewards = _numbers("transitions", transitions, 4), _numbers("rewards", rewards, 4)
        states, humans, assistants, last = transitions.shape
        if last != states:
            raise ValueError(f"transitions has shape {transitions.shape}; its first and last axis are both the state.")
        thetas = rewards.shape[0]
        prior = _distributions("prior", _numbers("prior", prior, 1, (thetas,)))
        initial = _distributions("initial", _numbers("initial", initial, 1, (states,)))
        transitions = _distributions("transitions", transitions)
        rewards = _numbers("rewards", rewards, 4, (thetas, states, humans, assistants))
        if horizon < 1:
            raise ValueError(f"The horizon is {horizon}; a game has at least one turn.")
        if not 0.0 < discount <= 1.0:
            raise ValueError(f"The discount is {discount}; it must be above 0 and at most 1.")
        sight = _table("sees", np.arange(states) + np.zeros((2, 1), int) if sees is None else sees, (2, states))
        if sight.min() < 0 or sight.max() >= states:
            raise ValueError(f"sees holds {sight.min()} to {sight.max()}; its names run from 0 to {states - 1}.")
        may = (
            _table("legal_human", np.ones((states, humans)) if legal_human is None else legal_human, (states, humans)),
            _table(
                "legal_assistant",
                np.ones((states, assistants)) if legal_assistant is None else legal_assistant,
                (states, assistants),
            ),
        )
        for name, legal, look in zip(("legal_human", "legal_assistant"), may, sight, strict=True):
            _check_legal(name, legal.astype(bool), look)
        ends = _table("terminal", np.zeros(states) if terminal is None else terminal, (states,)).astype(bool)
        _check_terminal(transitions, rewards, ends)
        self.transitions = jnp.asarray(transitions, jnp.float32)
        self.rewards = jnp.asarray(rewards, jnp.float32)
        self.prior = jnp.asarray(prior, jnp.float32)
        self.initial = jnp.asarray(initial, jnp.float32)
        self.sees = jnp.asarray(sight, jnp.int32)
        self.legal_human, self.legal_assistant = (jnp.asarray(legal, bool) for legal in may)
        self.terminal = jnp.asarray(ends)
        self.num_turns, self.gamma = horizon, discount

    @property
    def num_actions(self) -> tuple[int, int]:
        """H and A."""
        return self.transitions.shape[1], self.transitions.shape[2]

    @property
    def horizon(self) -> int:
        """As given."""
        return self.num_turns

    @property
    def discount(self) -> float:
        """As given."""
        return self.gamma

    def sample_theta(self, key: Key[Array, ""]) -> Int[Array, ""]:
        """Draw an index from the prior."""
        return jax.random.categorical(key, jnp.log(self.prior)).astype(jnp.int32)

    def init(self, key: Key[Array, ""]) -> State:
        """Draw the first state."""
        number = jax.random.categorical(key, jnp.log(self.initial)).astype(jnp.int32)
        return State(number, jnp.zeros(2, jnp.int32), jnp.zeros((), jnp.int32))

    def step(self, state: State, actions: Int[Array, "2"], key: Key[Array, ""]) -> State:
        """Draw the next state."""
        taken = self.taken(state, actions)
        row = self.transitions[state.number, taken[HUMAN], taken[ASSISTANT]]
        return State(jax.random.categorical(key, jnp.log(row)).astype(jnp.int32), taken, state.time + 1)

    def reward(
        self, theta: Int[Array, ""], state: State, actions: Int[Array, "2"], next_state: State
    ) -> Float[Array, "2"]:
        """`rewards[theta, s, h, a]`, all of it the human's part."""
        del next_state
        taken = self.taken(state, actions)
        shared = self.rewards[theta, state.number, taken[HUMAN], taken[ASSISTANT]]
        return jnp.stack([shared, jnp.zeros_like(shared)])

    def observe(self, state: State) -> tuple[Observation, Observation]:
        """What the state looks like to each, the last actions and the clock."""
        human, assistant = self.sees[:, state.number]
        return (
            Observation(human, state.last_actions, state.time),
            Observation(assistant, state.last_actions, state.time),
        )

    def legal(self, state: State) -> tuple[Bool[Array, " H"], Bool[Array, " A"]]:
        """The rows of the two tables."""
        return self.legal_human[state.number], self.legal_assistant[state.number]

    def finished(self, theta: Int[Array, ""], state: State) -> Bool[Array, ""]:
        """Whether the state is terminal."""
        del theta
        return self.terminal[state.number]

    def taken(self, state: State, actions: Int[Array, "2"]) -> Int[Array, "2"]:
        """The actions as they count: an illegal one passes."""
        human, assistant = self.legal(state)
        legal = jnp.stack([human[actions[HUMAN]], assistant[actions[ASSISTANT]]])
        return jnp.where(legal, actions, 0)


def _numbers(name: str, values: Numbers, rank: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """`values` as finite float64 of this rank (and shape)."""
    array = np.asarray(values, np.float64)
    if array.ndim != rank or 0 in array.shape or (shape is not None and array.shape != shape):
        wanted = f"shape {shape}" if shape else f"{rank} axes, none of them empty"
        raise ValueError(f"{name} has shape {array.shape}; it must have {wanted}.")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name}{list(where)} is {array[where]}; every entry must be finite.")
    return array


def _distributions(name: str, array: np.ndarray) -> np.ndarray:
    """`array` with its last axis made to sum to exactly one; an error if it was not a distribution."""
    if (array < 0).any():
        where = tuple(int(i) for i in np.argwhere(array < 0)[0])
        raise ValueError(f"{name}{list(where)} is {array[where]:g}; a probability cannot be negative.")
    sums = array.sum(-1)
    wrong = np.abs(sums - 1.0) > TOLERANCE
    if wrong.any():
        where = [int(i) for i in np.argwhere(wrong)[0]]
        raise ValueError(f"{name}{where or ''} sums to {sums[tuple(where)]:g}; probabilities must sum to 1.")
    return array / sums[..., None]


def _table(name: str, values: Numbers, shape: tuple[int, ...]) -> np.ndarray:
    """`values` as an array of this shape."""
    array = np.asarray(values)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; it must have shape {shape}.")
    return array


def _check_legal(name: str, legal: np.ndarray, look: np.ndarray) -> None:
    """Passing is legal everywhere, and a player can tell what is legal from what it sees."""
    if not legal[:, 0].all():
        state = int(np.argmin(legal[:, 0]))
        raise ValueError(f"{name}[{state}, 0] is False; action 0 is the pass, which must be legal in every state.")
    for seen in np.unique(look):
        rows = np.flatnonzero(look == seen)
        differ = rows[(legal[rows] != legal[rows[0]]).any(1)]
        if differ.size:
            raise ValueError(
                f"{name}[{rows[0]}] and {name}[{differ[0]}] differ, but both states look like {seen} to that player; "
                "what looks the same must have the same legal actions."
            )


def _check_terminal(transitions: np.ndarray, rewards: np.ndarray, terminal: np.ndarray) -> None:
    """A terminal state keeps still and pays nothing, so that planning need not know that it is one."""
    for state in np.flatnonzero(terminal):
        if not (transitions[state, :, :, state] > 1.0 - TOLERANCE).all():
            raise ValueError(f"terminal[{state}] is True but transitions[{state}] leaves that state.")
        if rewards[:, state].any():
            raise ValueError(f"terminal[{state}] is True but rewards[:, {state}] is not zero.")

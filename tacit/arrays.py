"""What is a game, or a POMDP, that is small enough to write down? Arrays in double precision, checked once.

Exact planners read these records, `games.tabular` plays them, `pomdps` reads and writes them as files. Axis letters:
S states, H the human's actions, A the assistant's (or the only player's), N values of theta, O observations.
"""

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy import sparse

Numbers = Sequence[Any] | np.ndarray | Array
"""An array, or nested sequences of numbers."""

TOLERANCE = 1e-5
"""How far from one probabilities may sum before they are refused; within it they are scaled to sum to one."""

ROUNDING = 1e-12
"""How far from one they may sum and be left alone, so that to check arrays a second time changes no bit of them."""


class GameArrays(eqx.Module):
    """An assistance game by arrays, as `game_arrays` checked it.

    `transitions[s, h, a, s']` are probabilities and `rewards[n, s, h, a]` expected rewards for someone who wants the
    n-th theta. `sees[i, s]` names what state s looks like to player i. Action 0 passes: taking an action that is not
    legal counts as action 0. A terminal state keeps still and pays nothing. Without a horizon the game goes on for ever
    and the discount is below 1.
    """

    transitions: Float[np.ndarray, "S H A S"]
    rewards: Float[np.ndarray, "N S H A"]
    prior: Float[np.ndarray, " N"]
    initial: Float[np.ndarray, " S"]
    sees: Int[np.ndarray, "2 S"]
    legal_human: Bool[np.ndarray, "S H"]
    legal_assistant: Bool[np.ndarray, "S A"]
    terminal: Bool[np.ndarray, " S"]
    horizon: int | None = eqx.field(static=True)
    discount: float = eqx.field(static=True)


def game_arrays(
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
) -> GameArrays:
    """Check the arrays of a game. By default both players see the state, all is legal and no state is terminal.

    Raises ValueError naming the array, the index and the value that is wrong.
    """
    transitions, rewards = numbers("transitions", transitions, 4), numbers("rewards", rewards, 4)
    states, humans, assistants, last = transitions.shape
    if last != states:
        raise ValueError(f"transitions has shape {transitions.shape}; its first and last axis are both the state.")
    prior = numbers("prior", prior, 1)
    if len(prior) != len(rewards):
        raise ValueError(
            f"prior has shape {prior.shape} and rewards has shape {rewards.shape}; the first axis of both is theta."
        )
    prior = distributions("prior", prior)
    if not prior.all():
        raise ValueError(f"prior[{np.argmin(prior)}] is 0; leave out a theta that nobody has.")
    initial = distributions("initial", numbers("initial", initial, 1, (states,)))
    transitions = distributions("transitions", transitions)
    rewards = numbers("rewards", rewards, 4, (len(prior), states, humans, assistants))
    sight = indices("sees", np.tile(np.arange(states), (2, 1)) if sees is None else sees, (2, states), states)
    legal = []
    for name, given, count, look in (
        ("legal_human", legal_human, humans, sight[0]),
        ("legal_assistant", legal_assistant, assistants, sight[1]),
    ):
        legal.append(flags(name, np.ones((states, count)) if given is None else given, (states, count)))
        _check_legal(name, legal[-1], look)
    ends = flags("terminal", np.zeros(states) if terminal is None else terminal, (states,))
    _check_terminal(transitions, rewards, ends)
    check_clock(horizon, discount)
    turns = None if horizon is None else int(horizon)
    return GameArrays(transitions, rewards, prior, initial, sight, legal[0], legal[1], ends, turns, float(discount))


class Pomdp(NamedTuple):
    """A partially observed problem of one player, as `pomdp` checked it; sparse, one matrix for each action.

    `transitions[a][s, s']` and `observations[a][s', o]` are probabilities: the observation comes after the move.
    `rewards[s, a]` is expected. Names are for people and files.
    """

    transitions: tuple[sparse.csr_array, ...]
    observations: tuple[sparse.csr_array, ...]
    rewards: Float[np.ndarray, "S A"]
    initial: Float[np.ndarray, " S"]
    discount: float
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    observation_names: tuple[str, ...]


def pomdp(
    transitions: Numbers | Sequence[sparse.sparray],
    observations: Numbers | Sequence[sparse.sparray],
    rewards: Numbers,
    initial: Numbers,
    discount: float,
    state_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
    observation_names: Sequence[str] | None = None,
) -> Pomdp:
    """Check the arrays of a POMDP: `transitions[a, s, s']`, `observations[a, s', o]`, `rewards[s, a]`, `initial[s]`.

    The first two may be lists of sparse matrices, one for each action. Raises ValueError naming the array, the index
    and the value that is wrong.
    """
    rewards = numbers("rewards", rewards, 2)
    states, actions = rewards.shape
    moves = _stochastic("transitions", transitions, actions, (states, states))
    sights = _stochastic("observations", observations, actions, (states, None))
    width = cast(tuple[int, int], sights[0].shape)[1]
    initial = distributions("initial", numbers("initial", initial, 1, (states,)))
    if not 0.0 <= number("discount", discount) <= 1.0:
        raise ValueError(f"The discount is {discount}; it must be at least 0 and at most 1.")
    return Pomdp(
        moves,
        sights,
        rewards,
        initial,
        float(discount),
        _names("state_names", state_names, "s", states),
        _names("action_names", action_names, "a", actions),
        _names("observation_names", observation_names, "o", width),
    )


def check_clock(horizon: int | None, discount: float) -> None:
    """A horizon of at least one turn, or a discount below one."""
    if horizon is not None:
        check_horizon(horizon)
    if not 0.0 < number("discount", discount) <= 1.0:
        raise ValueError(f"The discount is {discount}; it must be above 0 and at most 1.")
    if horizon is None and discount == 1.0:
        raise ValueError("There is no horizon and the discount is 1; give a horizon, or a discount below 1.")


def check_horizon(horizon: int) -> None:
    """A whole number of turns, at least one."""
    try:
        turns = operator.index(horizon)
    except TypeError:
        raise ValueError(f"The horizon is {horizon!r}; it must be a whole number of turns.") from None
    if turns < 1:
        raise ValueError(f"The horizon is {horizon}; a game has at least one turn.")


def number(name: str, value: float) -> float:
    """`value` as one number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"The {name} is {value!r}; it must be a number.") from None


def numbers(name: str, values: Numbers, rank: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """`values` as finite doubles with this many axes, none of them empty, and this shape."""
    array = doubles(name, values)
    if array.ndim != rank or 0 in array.shape or (shape is not None and array.shape != shape):
        axes = "one axis, not empty" if rank == 1 else f"{rank} axes, none of them empty"
        wanted = f"shape {shape}" if shape else axes
        raise ValueError(f"{name} has shape {array.shape}; it must have {wanted}.")
    if not np.isfinite(array).all():
        where = _first(~np.isfinite(array))
        raise ValueError(f"{name}{list(where)} is {array[where]}; every entry must be finite.")
    return array


def doubles(name: str, values: Numbers) -> np.ndarray:
    """`values` as an array of doubles."""
    try:
        array = np.asarray(values)
        array = array if array.dtype.kind == "c" else array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is not an array of numbers; its rows must be equally long.") from None
    if array.dtype.kind == "c":
        raise ValueError(f"{name} holds complex numbers; they must be real.")
    return array


def distributions(name: str, array: np.ndarray) -> np.ndarray:
    """`array` with its last axis made to sum to one; an error if it was not a distribution."""
    if (array < 0).any():
        where = _first(array < 0)
        raise ValueError(f"{name}{list(where)} is {array[where]:g}; a probability cannot be negative.")
    sums = array.sum(-1)
    wrong = np.asarray(np.abs(sums - 1.0) > TOLERANCE)
    if wrong.any():
        where = _first(wrong)
        raise ValueError(f"{name}{list(where) or ''} sums to {sums[where]:g}; probabilities must sum to 1.")
    return array / np.where(np.abs(sums - 1.0) > ROUNDING, sums, 1.0)[..., None]


def indices(name: str, values: Numbers, shape: tuple[int, ...], count: int) -> Int[np.ndarray, "..."]:
    """`values` as an array of this shape of whole numbers from 0 to `count` - 1."""
    array = numbers(name, values, len(shape), shape)
    wrong = (array < 0) | (array >= count) | (array != np.floor(array))
    if wrong.any():
        where = _first(wrong)
        raise ValueError(
            f"{name}{list(where)} is {array[where]:g}; its entries are whole numbers from 0 to {count - 1}."
        )
    return array.astype(int)


def flags(name: str, values: Numbers, shape: tuple[int, ...]) -> Bool[np.ndarray, "..."]:
    """`values`, each of them true or false, as an array of this shape."""
    array = numbers(name, values, len(shape), shape)
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        where = _first(wrong)
        raise ValueError(f"{name}{list(where)} is {array[where]:g}; it must be True or False (1 or 0).")
    return array.astype(bool)


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    """The index of the first entry that is true."""
    return tuple(int(i) for i in np.argwhere(wrong)[0])


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


def _stochastic(
    name: str, matrices: Numbers | Sequence[sparse.sparray], count: int, shape: tuple[int, int | None]
) -> tuple[sparse.csr_array, ...]:
    """One sparse matrix for each action, its rows distributions; the first says how many columns, if need be."""
    try:
        given = [matrices[action] for action in range(len(matrices))]
    except (TypeError, IndexError, KeyError):
        raise ValueError(f"{name} is not a list of matrices; give one for each action.") from None
    if len(given) != count:
        raise ValueError(f"{name} has {len(given)} matrices for {count} actions; give one for each action.")
    checked = []
    for action, entries in enumerate(given):
        try:
            matrix = sparse.csr_array(entries, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{name}[{action}] is not a matrix of numbers; its rows must be equally long.") from None
        matrix.sum_duplicates()
        found = cast(tuple[int, int], matrix.shape)
        shape = shape[0], shape[1] or found[1]
        if found != shape:
            raise ValueError(f"{name}[{action}] has shape {found}; it must have shape {shape}.")
        values = matrix.data
        if not np.isfinite(values).all() or (values < 0).any():
            entry = int(np.argmax(~np.isfinite(values) | (values < 0)))
            row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1
            where = [action, row, int(matrix.indices[entry])]
            raise ValueError(f"{name}{where} is {values[entry]:g}; a probability lies between 0 and 1.")
        sums = matrix.sum(1)
        wrong = np.abs(sums - 1.0) > TOLERANCE
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"{name}{[action, row]} sums to {sums[row]:g}; probabilities must sum to 1.")
        scale = np.where(np.abs(sums - 1.0) > ROUNDING, 1.0 / sums, 1.0)
        checked.append(sparse.csr_array(sparse.diags_array(scale) @ matrix))
    return tuple(checked)


def _names(name: str, given: Sequence[str] | None, letter: str, count: int) -> tuple[str, ...]:
    """The names as given, or s0, s1, ..."""
    if given is None:
        return tuple(f"{letter}{index}" for index in range(count))
    if len(given) != count:
        raise ValueError(f"{name} has {len(given)} entries; there are {count} to name.")
    return tuple(given)

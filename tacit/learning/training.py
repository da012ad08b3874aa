"""What can be trained, and how does training go on, round by round, so that it can stop anywhere and be taken up again?

A trainer is pure: its whole memory is the state, arrays only, so that a saved state is a saved training, and a training
that was killed and resumed ends with the same weights, bit for bit, as one that was not.
"""

import abc
import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from tacit.core import State
from tacit.storage.weights import is_array

Report = Callable[[int, dict[str, float]], None]
"""What is told after every round: how many rounds are done, and the numbers of the last one."""

Keep = Callable[[int, State], None]
"""Is handed the state after every round, to keep it when it likes; how many rounds are done comes first."""


class TrainingError(ValueError):
    """Training cannot go on; the message is one sentence for the user."""


class Trainer(eqx.Module):
    """Something that can be trained.

    `config` is a frozen dataclass of everything that was chosen (declare it as a field, `eqx.field(static=True)`): a
    training is resumed only with an equal one.
    """

    config: eqx.AbstractVar[Any]

    @property
    @abc.abstractmethod
    def num_rounds(self) -> int:
        """How many rounds training takes, unless it is `done` before."""

    @abc.abstractmethod
    def init(self, key: Key[Array, ""]) -> State:
        """The state before the first round: a pytree whose arrays are all that changes, the random key included."""

    @abc.abstractmethod
    def advance(self, state: State) -> tuple[State, Mapping[str, Any]]:
        """One round, of some seconds: the next state, and numbers to watch by name, all finite."""

    def done(self, state: State) -> bool:
        """Whether to stop before the last round."""
        del state
        return False

    @abc.abstractmethod
    def release(self, state: State) -> tuple[eqx.Module, Mapping[str, Any]]:
        """The Module whose weights are worth keeping, and figures that say by name how good they are."""


def train(trainer: Trainer, state: State, num_done: int, report: Report, keep: Keep) -> tuple[int, State]:
    """Advance `state`, which has seen `num_done` rounds, to the end; returns the number of rounds and the last state.

    Raises TrainingError when a number is not finite or a part of the state changes that no checkpoint holds; `keep` is
    not called with such a state.
    """
    state = _settled(state)
    while not finished(trainer, state, num_done):
        before = _unkept(state)
        state, measured = trainer.advance(state)
        state, num_done = _settled(state), num_done + 1
        numbers = {name: float(value) for name, value in measured.items()}
        for name, number in numbers.items():
            if not math.isfinite(number):
                raise TrainingError(f"Round {num_done} went wrong: {name} is {number}.")
        if not eqx.tree_equal(before, _unkept(state)):
            raise TrainingError(
                f"The state of {type(trainer).__name__} changed in something that is no array, and that no checkpoint "
                "would hold: make it an array."
            )
        report(num_done, numbers)
        keep(num_done, state)
    return num_done, state


def finished(trainer: Trainer, state: State, num_done: int) -> bool:
    """Whether a training that has seen `num_done` rounds is at its end."""
    return num_done >= trainer.num_rounds or bool(trainer.done(state))


def not_a_number(state: State) -> str | None:
    """The name of a leaf of `state` that holds a NaN, if there is one."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(state, eqx.is_inexact_array_like)):
        if np.isnan(leaf).any():
            return jax.tree_util.keystr(path, simple=True, separator=".")
    return None


def _settled(state: State) -> State:
    """`state` with every array's type fixed, as it would be in a file, so that a resumed run computes with the same."""
    return jax.tree.map(_fix_type, state)


def _fix_type(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array) or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    return jax.lax.convert_element_type(leaf, leaf.dtype)


def _unkept(state: State) -> State:
    """What of `state` is in no checkpoint."""
    return eqx.filter(state, is_array, inverse=True)

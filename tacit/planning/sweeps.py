"""How are the plans of every turn found, last turn first, or those of a game that goes on for ever?

A plan from state s says what the assistant does now, how a human who wants theta answers, and which plan follows each
(human action, next state). Its value is a vector over theta, so that V(s, b) = max over plans of Σ_θ b(θ) α(θ). A
*backup* makes the plans of one state from the values of those that can follow; sweeps call it for state after state.
Both players see the state. Axis letters: N thetas, S states, H the human's actions, K plans, B beliefs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tacit.arrays import GameArrays
from tacit.core import ASSISTANT, HUMAN

MAX_SWEEPS = 20_000
"""The most sweeps over a game without a horizon."""


class Plans(NamedTuple):
    """What the pair may do from one state on, one row for each plan.

    `values[k, n]` is plan k's value to someone who wants theta n, `assistant[k]` its action now, `human[k, n, h]` how
    likely the human is to do h, and `following[k][h, s']` the number of the plan that goes on from s'. `formed` counts
    the candidates of which these were kept.
    """

    values: Float[np.ndarray, "K N"]
    assistant: Int[np.ndarray, " K"]
    human: Float[np.ndarray, "K N H"]
    following: tuple[dict[tuple[int, int], int], ...]
    formed: int


Backup = Callable[[int, int, Sequence[Float[np.ndarray, "_ N"]]], Plans]
"""The plans of a turn and a state, given the values of the plans that can follow in each state."""


def finite(arrays: GameArrays, backup: Backup) -> tuple[dict[int, Plans], ...]:
    """The plans of every turn in the states that can be reached by then; the first turn first."""
    nothing = np.zeros((1, len(arrays.prior)))
    following = [nothing] * len(arrays.initial)
    turns = []
    for turn, states in reversed(list(enumerate(reached(arrays)))):
        turns.append({int(s): backup(turn, int(s), following) for s in states})
        following = [turns[-1][s].values if s in turns[-1] else nothing for s in range(len(arrays.initial))]
    return tuple(reversed(turns))


def for_ever(
    arrays: GameArrays, backup: Backup, tolerance: float, beliefs: Mapping[int, Float[np.ndarray, "_ N"]] | None
) -> tuple[dict[int, Plans], float]:
    """The plans of a game without a horizon, and what to add to their value to be within `tolerance` of the best.

    `beliefs[s]` are all that can come up in state s, if these are few: then MacQueen's bounds end the sweeps (Puterman
    1994, theorem 6.6.5), V* lying between V + c·min ΔV and V + c·max ΔV with c = γ / (1 - γ). Otherwise they end when
    what they started from, the worst reward for ever, weighs less than the tolerance.
    """
    if not tolerance > 0.0:
        raise ValueError(f"The tolerance is {tolerance}; it must be above 0.")
    discount, low, high = arrays.discount, float(arrays.rewards.min()), float(arrays.rewards.max())
    start = np.full((1, len(arrays.prior)), low / (1.0 - discount))
    following = [start] * len(arrays.initial)
    states = reached(arrays)[0].tolist()
    left = max((high - low) / (1.0 - discount), tolerance)
    sweeps = 1 + math.ceil(math.log(left / tolerance) / -math.log(discount))
    if sweeps > MAX_SWEEPS:
        raise ValueError(f"A tolerance of {tolerance} takes {sweeps} sweeps, more than {MAX_SWEEPS}; ask for less.")
    plans: dict[int, Plans] = {}
    for _ in range(sweeps):
        plans = {s: backup(0, s, following) for s in states}
        before = following
        following = [plans[s].values if s in plans else start for s in range(len(before))]
        if beliefs is not None:
            rises = np.concatenate([_best(following[s], beliefs[s]) - _best(before[s], beliefs[s]) for s in states])
            least, most = discount / (1.0 - discount) * rises.min(), discount / (1.0 - discount) * rises.max()
            if most - least <= tolerance:
                return plans, float(most + least) / 2.0
    return plans, 0.0


def reached(arrays: GameArrays) -> list[Int[np.ndarray, " _"]]:
    """The states that can be reached at each turn, or (without a horizon, one entry) ever."""
    allowed = arrays.legal_human[:, :, None, None] & arrays.legal_assistant[:, None, :, None]
    steps = np.asarray(((arrays.transitions > 0) & allowed).any((1, 2)))
    turns = [arrays.initial > 0]
    if arrays.horizon is None:
        for _ in range(len(steps)):
            turns[0] = turns[0] | (turns[0] @ steps)
    else:
        for _ in range(arrays.horizon - 1):
            turns.append(turns[-1] @ steps)
    return [np.flatnonzero(turn) for turn in turns]


def worth(arrays: GameArrays, plans: Mapping[int, Plans]) -> float:
    """The value of the prior before the first state is drawn."""
    starts = np.flatnonzero(arrays.initial).tolist()
    return float(sum(arrays.initial[s] * (plans[s].values @ arrays.prior).max() for s in starts))


def check_sight(arrays: GameArrays) -> None:
    """Both players see the state."""
    for player, name in ((HUMAN, "human"), (ASSISTANT, "assistant")):
        _, first, counts = np.unique(arrays.sees[player], return_index=True, return_counts=True)
        if (counts > 1).any():
            one = int(first[np.argmax(counts > 1)])
            other = int(np.flatnonzero(arrays.sees[player] == arrays.sees[player][one])[1])
            raise ValueError(
                f"States {one} and {other} look the same to the {name}, but this planner needs both players to see the "
                "state; fix the human's policy and solve `planning.assistance.reduce`, a POMDP, instead."
            )


def _best(vectors: Float[np.ndarray, "K N"], beliefs: Float[np.ndarray, "B N"]) -> Float[np.ndarray, " B"]:
    """V(b) = max_α Σ_θ b(θ) α(θ)."""
    return (beliefs @ vectors.T).max(1)

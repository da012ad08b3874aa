"""Between what can the value of a POMDP be, at a glance? Bounds from problems that are easier than it, for any belief.

Below: to do the same thing for ever, whatever is seen. Above: the fast informed bound, whose player is told the state
one turn late, Q(s, a) = R(s, a) + γ Σ_o max_a' Σ_s' T_a(s, s') O_a(s', o) Q(s', a'); it starts from the values of a
player who always knows the state (QMDP). A sweep takes a bound to a tighter one, so sweeps may stop at any time.

Hauskrecht 2000, "Value-function approximations for partially observable Markov decision processes", sections 4.1, 4.3;
blind policies: Smith and Simmons 2005, section 3.3. Axis letters: S states, A actions.
"""

import time
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import sparse

from tacit.arrays import Pomdp
from tacit.planning.belief_update import joint

SETTLED = 1e-9
"""A sweep that moves no value by more than this part of the largest is the last."""


def blind(pomdp: Pomdp, horizon: int | None, deadline: float) -> list[Float[np.ndarray, "S A"]]:
    """For each turn, what doing one thing to the end is worth: a lower bound. One table for all turns if no horizon."""

    def sweep(following: np.ndarray) -> np.ndarray:
        moved = [moves @ following[:, action] for action, moves in enumerate(pomdp.transitions)]
        return pomdp.rewards + pomdp.discount * np.stack(moved, 1)

    least = pomdp.rewards.min(0) / (1.0 - pomdp.discount) if horizon is None else np.zeros(pomdp.rewards.shape[1])
    return _sweeps(sweep, np.broadcast_to(least, pomdp.rewards.shape), horizon, deadline)


def informed(pomdp: Pomdp, horizon: int | None, deadline: float) -> list[Float[np.ndarray, "S A"]]:
    """For each turn the fast informed bound, Q(s, a); max_a b·Q_a is at least V(b)."""
    branches = [_branches(pomdp, matrix) for matrix in joint(pomdp)]

    def knowing(following: np.ndarray) -> np.ndarray:
        best = following.max(1)
        return pomdp.rewards + pomdp.discount * np.stack([moves @ best for moves in pomdp.transitions], 1)

    def late(following: np.ndarray) -> np.ndarray:
        told = [np.add.reduceat((matrix @ following).max(1), starts) for matrix, starts in branches]
        return pomdp.rewards + pomdp.discount * np.stack(told, 1)

    if horizon is not None:
        return _sweeps(late, np.zeros(pomdp.rewards.shape), horizon, deadline)
    most = np.full(pomdp.rewards.shape, pomdp.rewards.max() / (1.0 - pomdp.discount))
    return _sweeps(late, _sweeps(knowing, most, None, deadline)[0], None, deadline)


def _sweeps(
    sweep: Callable[[np.ndarray], np.ndarray], start: np.ndarray, horizon: int | None, deadline: float
) -> list[np.ndarray]:
    """The tables of each turn, the first turn first; without a horizon the last one before the deadline."""
    tables = [sweep(start)]
    if horizon is not None:
        for _ in range(horizon - 1):
            tables.append(sweep(tables[-1]))
        return tables[::-1]
    table, before = tables[0], start
    while np.abs(table - before).max() > SETTLED * np.abs(table).max() and time.perf_counter() < deadline:
        table, before = sweep(table), table
    return [table]


def _branches(pomdp: Pomdp, matrix: sparse.csr_array) -> tuple[sparse.csr_array, np.ndarray]:
    """The rows (state, observation) of P(s', o | s) that can happen, and where each state's rows start."""
    states = len(pomdp.initial)
    table = sparse.csr_array(matrix.reshape(states * len(pomdp.observation_names), states))
    rows = np.flatnonzero(np.diff(table.indptr))
    starts = np.searchsorted(rows // len(pomdp.observation_names), np.arange(states))
    return sparse.csr_array(table[rows]), starts

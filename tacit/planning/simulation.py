"""What does a plan for a POMDP bring when it is carried out? Many episodes at once, each with its own belief.

The mean of the returns is within a few standard errors of what the policy is worth, so it tests a planner's bounds from
outside. Axis letters: B episodes, S states, A actions.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tacit.arrays import Pomdp

Policy = Callable[[Float[np.ndarray, "B S"], int], Int[np.ndarray, " B"]]
"""Actions for the beliefs of a turn, such as `functools.partial(exact_pomdp.act, plan)`."""


def simulate(
    pomdp: Pomdp, policy: Policy, num_episodes: int, horizon: int, rng: np.random.Generator
) -> Float[np.ndarray, " B"]:
    """The discounted return of each episode of `horizon` turns."""
    if num_episodes < 1 or horizon < 1:
        raise ValueError(f"There are {num_episodes} episodes of {horizon} turns to simulate; both must be at least 1.")
    states = rng.choice(len(pomdp.initial), num_episodes, p=pomdp.initial)
    beliefs = np.tile(pomdp.initial, (num_episodes, 1))
    returns = np.zeros(num_episodes)
    for turn in range(horizon):
        actions = np.asarray(policy(beliefs, turn))
        returns += pomdp.discount**turn * pomdp.rewards[states, actions]
        for action in np.unique(actions):
            mine = np.flatnonzero(actions == action)
            moves, sights = pomdp.transitions[action], pomdp.observations[action]
            states[mine] = _draw(moves, states[mine], rng)
            seen = _draw(sights, states[mine], rng)
            weights = (beliefs[mine] @ moves) * sparse.csr_array(sights.T)[seen].toarray()
            beliefs[mine] = weights / weights.sum(1, keepdims=True)
    return returns


def _draw(matrix: sparse.csr_array, rows: Int[np.ndarray, " B"], rng: np.random.Generator) -> Int[np.ndarray, " B"]:
    """A column for each of the rows, by the probabilities in them."""
    ends = np.cumsum(matrix.data)
    first, last = matrix.indptr[rows], matrix.indptr[rows + 1] - 1
    before = ends[first] - matrix.data[first]
    entries = np.searchsorted(ends, before + rng.random(len(rows)) * (ends[last] - before), side="right")
    return matrix.indices[np.clip(entries, first, last)]

"""What is the best way to act when the state is hidden? Exact, for every belief at once, by alpha vectors.

With t turns to go the value is the upper surface of finitely many linear functions of the belief, V(b) = max_α α·b. One
backup makes those of t + 1 turns: an action, and for each observation the vector to go on with. Most combinations are
best nowhere, and incremental pruning throws them out after each observation, before they multiply.

Cassandra, Littman and Zhang 1997, "Incremental pruning", section 3; Lark's filter: White 1991. A vector goes if it is
nowhere better than the rest by more than PRECISION of the largest value, so that a backup is off by at most twice that
for each observation. With two states vectors are lines and their upper envelope is found by sorting; with more, a
linear program asks for a belief where a vector wins, after beliefs drawn at random have found most winners.

The number of vectors can grow doubly exponentially with the horizon: a backup that would combine more than
MAX_CANDIDATES is refused before it starts. `reachable` is exact too, from one belief, and `point_based` gives bounds.

Axis letters: S states, A actions, O observations, K vectors, B beliefs.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linprog

from tacit.arrays import Pomdp

PRECISION = 1e-13
"""By how much vectors must differ to be told apart, as a part of the largest value."""

WITNESS = 1e-9
"""How much better than the rest a vector must be somewhere to be kept, likewise; linear programs are no finer."""

SAMPLES = 20
"""How many beliefs are tried for each state before linear programs are asked."""

MAX_CANDIDATES = 20_000
"""The most vectors that may be combined before pruning."""

MAX_BACKUPS = 20_000
"""The most backups of an infinite horizon."""


class Plan(NamedTuple):
    """Alpha vectors and their actions for each turn, the first turn first; one set for all turns without a horizon.

    `value` is that of the initial belief, and no belief's value is off by more than `error` (rounding aside).
    """

    vectors: tuple[Float[np.ndarray, "_ S"], ...]
    actions: tuple[Int[np.ndarray, " _"], ...]
    horizon: int | None
    value: float
    error: float


def solve(pomdp: Pomdp, horizon: int) -> Plan:
    """The exact value function of each turn of a finite horizon; ValueError if it is too large for that."""
    if horizon < 1:
        raise ValueError(f"The horizon is {horizon}; a plan has at least one turn.")
    following = np.zeros((1, len(pomdp.initial)))
    turns = []
    for _ in range(horizon):
        turns.append(backup(pomdp, following))
        following = turns[-1][0]
    turns.reverse()
    vectors, actions = zip(*turns, strict=True)
    return Plan(vectors, actions, horizon, float((following @ pomdp.initial).max()), 0.0)


def solve_discounted(pomdp: Pomdp, tolerance: float = 1e-6) -> Plan:
    """One set of vectors for ever, whose value is within `tolerance` of the best everywhere.

    Backups go on until the last one moved no belief's value by more than tolerance (1 - γ) / γ.
    """
    if not tolerance > 0:
        raise ValueError(f"The tolerance is {tolerance}; it must be above 0.")
    if pomdp.discount >= 1.0:
        raise ValueError("The discount is 1, so the value for ever may be infinite; give a horizon.")
    rate = pomdp.discount / (1.0 - pomdp.discount)
    vectors = np.full((1, len(pomdp.initial)), pomdp.rewards.max(1).min() / (1.0 - pomdp.discount))
    for _ in range(MAX_BACKUPS):
        before = vectors
        vectors, actions = backup(pomdp, before)
        error = rate * max(_rise(before, vectors), _rise(vectors, before))
        if error <= tolerance:
            return Plan((vectors,), (actions,), None, float((vectors @ pomdp.initial).max()), error)
    raise ValueError(f"{MAX_BACKUPS} backups were not enough for a tolerance of {tolerance}; ask for less.")


def value(plan: Plan, belief: Float[np.ndarray, "*B S"], turn: int = 0) -> Float[np.ndarray, "*B"]:
    """V(b) = max_α α·b, from `turn` to the end."""
    return np.asarray((belief @ plan.vectors[_index(plan, turn)].T).max(-1))


def act(plan: Plan, belief: Float[np.ndarray, "*B S"], turn: int = 0) -> Int[np.ndarray, "*B"]:
    """The action of the vector that is best at each belief."""
    index = _index(plan, turn)
    return plan.actions[index][(belief @ plan.vectors[index].T).argmax(-1)]


def backup(pomdp: Pomdp, following: Float[np.ndarray, "K S"]) -> tuple[Float[np.ndarray, "L S"], Int[np.ndarray, " L"]]:
    """The vectors of one turn more, α(s) = R(s, a) + γ Σ_s' T(s, s') Σ_o O(s', o) α_o(s'), and their actions."""
    vectors, actions = [], []
    for action, (moves, sights) in enumerate(zip(pomdp.transitions, pomdp.observations, strict=True)):
        parts = []
        for likelihood in sights.T.toarray():
            part = pomdp.discount * (moves @ (likelihood * following).T).T
            parts.append(part[prune(part)])
        total = pomdp.rewards[None, :, action]
        for part in sorted(parts, key=len):
            total = _cross_sum(total, part)
        vectors.append(total)
        actions.append(np.full(len(total), action))
    together, chosen = np.concatenate(vectors), np.concatenate(actions)
    kept = prune(together)
    return together[kept], chosen[kept]


def prune(vectors: Float[np.ndarray, "K S"]) -> Int[np.ndarray, " L"]:
    """The indices of vectors that are the best at some belief, one of each that are equal, in order."""
    scale = float(np.abs(vectors).max())
    kept = _undominated(vectors, PRECISION * scale)
    if len(kept) > 1:
        best = _envelope if vectors.shape[1] == 2 else _winners
        kept = kept[best(vectors[kept], scale)]
    return np.sort(kept)


def _cross_sum(left: Float[np.ndarray, "K S"], right: Float[np.ndarray, "L S"]) -> Float[np.ndarray, "M S"]:
    """The sums of one vector of each set that are best somewhere."""
    candidates = len(left) * len(right)
    if candidates > MAX_CANDIDATES:
        raise ValueError(
            f"An exact backup has to combine {len(left)} and {len(right)} vectors into {candidates}, more than "
            f"{MAX_CANDIDATES}; use planning.reachable for one belief and few turns, planning.point_based for bounds, "
            "or planning.pomcp."
        )
    sums = (left[:, None] + right[None]).reshape(candidates, -1)
    return sums if len(left) == 1 or len(right) == 1 else sums[prune(sums)]


def _undominated(vectors: Float[np.ndarray, "K S"], slack: float) -> Int[np.ndarray, " L"]:
    """The indices of vectors that no other one reaches in every state, one of each that are equal."""
    waiting = np.argsort(-vectors.sum(1), kind="stable")
    kept = []
    while len(waiting):
        kept.append(waiting[0])
        waiting = waiting[(vectors[waiting] > vectors[waiting[0]] + slack).any(1)]
    return np.array(kept)


def _envelope(lines: Float[np.ndarray, "K 2"], scale: float) -> list[int]:
    """The indices of lines on the upper envelope; none of them dominates another.

    Sorted by slope, a line is out if it is not above its neighbours where these cross.
    """
    kept: list[int] = []
    for index in np.argsort(lines[:, 1] - lines[:, 0]):
        while len(kept) > 1:
            first, middle, last = lines[kept[-2]], lines[kept[-1]], lines[index]
            fall, rise = first - last
            where = np.array([-rise, fall]) / (fall - rise)
            if (middle - first) @ where > PRECISION * scale:
                break
            kept.pop()
        kept.append(int(index))
    return kept


def _winners(vectors: Float[np.ndarray, "K S"], scale: float) -> list[int]:
    """The indices of vectors that beat all others somewhere: first at random beliefs, then where a program says."""
    drawn = np.random.default_rng(0).dirichlet(np.ones(vectors.shape[1]), SAMPLES * vectors.shape[1])
    kept = sorted(set((drawn @ vectors.T).argmax(1).tolist()))
    waiting = sorted(set(range(len(vectors))) - set(kept))
    while waiting:
        belief = _witness(vectors[waiting[-1]], vectors[kept], scale)
        if belief is None:
            waiting.pop()
            continue
        # Of vectors that are equal there, the lexicographically largest is one that wins in a whole region.
        worth = vectors[waiting] @ belief
        tied = [waiting[place] for place in np.flatnonzero(worth >= worth.max() - PRECISION * scale)]
        winner = max(tied, key=lambda index: tuple(vectors[index]))
        kept.append(winner)
        waiting.remove(winner)
    return kept


def _witness(
    vector: Float[np.ndarray, " S"], others: Float[np.ndarray, "K S"], scale: float
) -> Float[np.ndarray, " S"] | None:
    """A belief where `vector` is better than all the others, or None: max d such that b·(α - β) ≥ d for each β."""
    states = len(vector)
    ahead = (vector - others) / scale
    found = linprog(
        np.append(np.zeros(states), -1.0),
        A_ub=np.column_stack([-ahead, np.ones(len(others))]),
        b_ub=np.zeros(len(others)),
        A_eq=np.append(np.ones(states), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0.0, None)] * states + [(None, None)],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if found.x is None:
        raise RuntimeError(f"The linear program that compares vectors failed: {found.message}")
    belief = np.maximum(found.x[:-1], 0.0)
    belief /= belief.sum()
    return belief if (ahead @ belief).min() > WITNESS else None


def _rise(before: Float[np.ndarray, "K S"], after: Float[np.ndarray, "L S"]) -> float:
    """At most how much the value rose at any belief: max_α min_β max_s α(s) - β(s)."""
    return max(float((vector - before).max(1).min()) for vector in after)


def _index(plan: Plan, turn: int) -> int:
    """Which set of vectors a turn uses."""
    if plan.horizon is None:
        return 0
    if not 0 <= turn < plan.horizon:
        raise ValueError(f"The turn is {turn}; this plan has turns 0 to {plan.horizon - 1}.")
    return turn

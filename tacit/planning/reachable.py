"""What is the best way to act when the state is hidden, from one belief on? Exact, over the beliefs it can lead to.

After every action and observation the belief is one of finitely many; beliefs of one turn that are equal are one,
however they came about. Values then go backwards through these layers, as in any problem whose state is known:

    V_t(b) = max_a [ b·R_a + γ Σ_o P(o | b, a) V_t+1(b_ao) ]

Where moves and sights are nearly deterministic, as in most problems of assistance, few beliefs are reachable and this
costs far less than `exact_pomdp`, which plans for all beliefs. Åström 1965, "Optimal control of Markov processes with
incomplete state information"; Kaelbling, Littman and Cassandra 1998, section 3.3.

Axis letters: S states, A actions, O observations, B beliefs of one turn, K ways to go on from them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from tacit.arrays import Pomdp
from tacit.planning.belief_update import joint, num_rows, posteriors

MAX_NUMBERS = 20_000_000
"""The most numbers that the beliefs after one turn may hold, so that memory does not run out."""

DIGITS = 12
"""Beliefs whose projections on four random directions agree to so many decimals are one."""


class Links(NamedTuple):
    """How one turn's beliefs lead to the next turn's: an entry for each belief, action and observation that can be."""

    parents: Int[np.ndarray, " K"]
    actions: Int[np.ndarray, " K"]
    observations: Int[np.ndarray, " K"]
    chances: Float[np.ndarray, " K"]
    children: Int[np.ndarray, " K"]


class ReachablePlan(NamedTuple):
    """For each turn its beliefs [B, S], the ways from them to the next, Q(b, a), and the best actions.

    The first turn has one belief, the initial one; `value` is what it is worth. The last turn has no links.
    """

    beliefs: tuple[sparse.csr_array, ...]
    links: tuple[Links, ...]
    q: tuple[Float[np.ndarray, "_ A"], ...]
    actions: tuple[Int[np.ndarray, " _"], ...]
    value: float


def solve(pomdp: Pomdp, horizon: int, most: int = MAX_NUMBERS) -> ReachablePlan:
    """The best plan from the initial belief; ValueError if the beliefs of a turn take more than `most` numbers."""
    _check_horizon(horizon)
    matrices = joint(pomdp)
    beliefs, links = [sparse.csr_array(pomdp.initial[None])], []
    for turn in range(1, horizon):
        everywhere = np.ones((num_rows(beliefs[-1]), len(matrices)), bool)
        following, ways = _expand(pomdp, matrices, beliefs[-1], everywhere, turn, most)
        beliefs.append(following)
        links.append(ways)
    q = [beliefs[-1] @ pomdp.rewards]
    for layer, ways in zip(reversed(beliefs[:-1]), reversed(links), strict=True):
        values = layer @ pomdp.rewards
        worth = pomdp.discount * ways.chances * q[-1].max(1)[ways.children]
        np.add.at(values, (ways.parents, ways.actions), worth)
        q.append(values)
    q.reverse()
    actions = tuple(values.argmax(1) for values in q)
    return ReachablePlan(tuple(beliefs), tuple(links), tuple(q), actions, float(q[0].max()))


def evaluate(
    pomdp: Pomdp, horizon: int, policy: Callable[[Float[np.ndarray, "B S"], int], Int[np.ndarray, " B"]]
) -> float:
    """What a given policy, actions for the beliefs of a turn, is worth from the initial belief: no simulation."""
    _check_horizon(horizon)
    matrices = joint(pomdp)
    beliefs, masses, total = sparse.csr_array(pomdp.initial[None]), np.ones(1), 0.0
    for turn in range(horizon):
        actions = np.asarray(policy(beliefs.toarray(), turn))
        rewards = (beliefs @ pomdp.rewards)[np.arange(len(masses)), actions]
        total += pomdp.discount**turn * float(masses @ rewards)
        if turn + 1 < horizon:
            beliefs, ways = _expand(pomdp, matrices, beliefs, actions[:, None] == np.arange(len(matrices)), turn + 1)
            masses = np.bincount(ways.children, masses[ways.parents] * ways.chances, num_rows(beliefs))
    return total


def find(plan: ReachablePlan, turn: int, belief: Float[np.ndarray, " S"]) -> int:
    """Which of a turn's beliefs this is."""
    distances = np.asarray(abs(plan.beliefs[turn] - belief[None]).sum(1))
    nearest = int(distances.argmin())
    if distances[nearest] > 1e-9:
        raise ValueError(f"This belief cannot be reached at turn {turn}; the nearest is {distances[nearest]:g} away.")
    return nearest


def _check_horizon(horizon: int) -> None:
    if horizon < 1:
        raise ValueError(f"The horizon is {horizon}; a plan has at least one turn.")


def _expand(
    pomdp: Pomdp,
    matrices: tuple[sparse.csr_array, ...],
    beliefs: sparse.csr_array,
    taken: Bool[np.ndarray, "B A"],
    turn: int,
    most: int = MAX_NUMBERS,
) -> tuple[sparse.csr_array, Links]:
    """The beliefs of the next turn, each once, and the ways to them by the actions that are `taken`."""
    supports = sparse.csr_array(
        (np.ones(beliefs.nnz), beliefs.indices, beliefs.indptr), (num_rows(beliefs), len(pomdp.initial))
    )
    sizes = [taken[:, action] @ (supports @ np.diff(matrix.indptr)) for action, matrix in enumerate(matrices)]
    if sum(sizes) > most:
        raise ValueError(
            f"The beliefs that can be reached at turn {turn} take up to {sum(sizes):.2g} numbers ({num_rows(beliefs)} "
            f"beliefs at the turn before), more than {most:.2g}; ask for fewer turns, or use "
            "planning.point_based for bounds or planning.pomcp."
        )
    parents, actions, observations, chances, blocks = [], [], [], [], []
    for action, matrix in enumerate(matrices):
        rows = np.flatnonzero(taken[:, action])
        if len(rows):
            found = posteriors(pomdp, matrix, sparse.csr_array(beliefs[rows]))
            parents.append(rows[found.parents])
            actions.append(np.full(len(found.parents), action))
            observations.append(found.observations)
            chances.append(found.chances)
            blocks.append(found.beliefs)
    together = sparse.csr_array(sparse.vstack(blocks, format="csr"))
    firsts, children = _same(pomdp, together)
    links = Links(
        np.concatenate(parents),
        np.concatenate(actions),
        np.concatenate(observations),
        np.concatenate(chances),
        children,
    )
    return sparse.csr_array(together[firsts]), links


def _same(pomdp: Pomdp, beliefs: sparse.csr_array) -> tuple[Int[np.ndarray, " B"], Int[np.ndarray, " K"]]:
    """Where each different belief comes first, and which of these each belief is."""
    directions = np.random.default_rng(0).standard_normal((len(pomdp.initial), 4))
    shadows = np.round(beliefs @ directions, DIGITS) + 0.0
    _, firsts, which = np.unique(shadows, axis=0, return_index=True, return_inverse=True)
    return firsts, which.ravel()

"""What should be believed after acting and seeing? Bayes' rule on the sparse arrays of a POMDP.

    b'(s') ∝ O_a(s', o) Σ_s b(s) T_a(s, s')

Kaelbling, Littman and Cassandra 1998, "Planning and acting in partially observable stochastic domains", equation 5.
Axis letters: S states, O observations, B beliefs.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tacit.arrays import Pomdp


def after(
    pomdp: Pomdp, belief: Float[np.ndarray, " S"], action: int
) -> tuple[Float[np.ndarray, " O"], Float[np.ndarray, "O S"]]:
    """How likely each observation is after an action, and the belief it leads to (zeros where it cannot happen)."""
    moved = belief @ pomdp.transitions[action]
    weights = pomdp.observations[action].T.toarray() * moved
    chances = weights.sum(1)
    return chances, np.divide(weights, chances[:, None], out=np.zeros_like(weights), where=chances[:, None] > 0)


def joint(pomdp: Pomdp) -> tuple[sparse.csr_array, ...]:
    """For each action the matrix P(s', o | s, a), its columns numbered o · S + s'.

    A row of beliefs times this, cut into rows of S, is every posterior at once, still weighted by its probability.
    """
    states, width = len(pomdp.initial), len(pomdp.observation_names)
    matrices = []
    for moves, sights in zip(pomdp.transitions, pomdp.observations, strict=True):
        state, observation, chance = sparse.find(sights)
        columns = observation.astype(np.int64) * states + state
        spread = sparse.csr_array((chance, (state.astype(np.int64), columns)), shape=(states, states * width))
        product = sparse.csr_array(moves @ spread)
        product.eliminate_zeros()
        matrices.append(product)
    return tuple(matrices)


class Posteriors(NamedTuple):
    """The beliefs that can follow some beliefs and an action: where each came from, how likely it was, what it is."""

    parents: Int[np.ndarray, " K"]
    observations: Int[np.ndarray, " K"]
    chances: Float[np.ndarray, " K"]
    beliefs: sparse.csr_array


def posteriors(pomdp: Pomdp, matrix: sparse.csr_array, beliefs: sparse.csr_array) -> Posteriors:
    """Every belief that can follow `beliefs` [B, S] by one action, whose matrix `joint` gave."""
    count, width, states = num_rows(beliefs), len(pomdp.observation_names), len(pomdp.initial)
    weighted = sparse.csr_array((beliefs @ matrix).reshape(count * width, states))
    chances = np.asarray(weighted.sum(1))
    rows = np.flatnonzero(chances > 0)
    kept = weighted[rows]
    kept.data /= np.repeat(chances[rows], np.diff(kept.indptr))
    return Posteriors(rows // width, rows % width, chances[rows], kept)


class SparseBelief(NamedTuple):
    """A belief by the states that it holds possible, in order."""

    states: Int[np.ndarray, " K"]
    weights: Float[np.ndarray, " K"]

    @property
    def name(self) -> bytes:
        """The same for beliefs that are exactly equal."""
        return self.states.tobytes() + self.weights.tobytes()


def sparse_belief(belief: Float[np.ndarray, " S"]) -> SparseBelief:
    """The states that a belief holds possible, and how likely they are."""
    states = np.flatnonzero(belief)
    return SparseBelief(states, belief[states])


def num_rows(matrix: sparse.csr_array) -> int:
    """How many rows a sparse matrix has."""
    return len(matrix.indptr) - 1

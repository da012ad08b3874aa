"""At most how good is a belief, given that some beliefs are worth at most so much? The sawtooth upper bound.

The value is convex in the belief, so it lies below the straight lines from a point to the corners of the simplex, which
stand for knowing the state. With corner values c(s) and points b_j worth at most v_j,

    V(b) ≤ c·b + min_j φ_j (v_j - c·b_j),  φ_j = min over s with b_j(s) > 0 of b(s) / b_j(s)

Hauskrecht 2000, "Value-function approximations for partially observable Markov decision processes", section 4.2.3.
The bound is homogeneous: it takes beliefs weighted by a probability and gives values weighted alike.
Axis letters: S states, A actions, K states or points, R rows, U states that some row holds possible.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tacit.planning.belief_update import SparseBelief


class Points(NamedTuple):
    """The fast informed bound, its corners, and beliefs that are worth at most so much; arrays have room for more.

    Point j holds `states[starts[j]:starts[j + 1]]` possible, with `weights`; the likeliest is `pivots[j]`, and
    `excess[j]` is v_j - c·b_j. `places` finds a belief that is a point already.
    """

    informed: Float[np.ndarray, "S A"]
    corners: Float[np.ndarray, " S"]
    starts: Int[np.ndarray, " _"]
    states: Int[np.ndarray, " _"]
    weights: Float[np.ndarray, " _"]
    pivots: Int[np.ndarray, " _"]
    excess: Float[np.ndarray, " _"]
    places: dict[bytes, int]
    size: int


def no_points(informed: Float[np.ndarray, "S A"]) -> Points:
    """The bound to start with: max_a b·Q_a."""
    none, nothing = np.zeros(0, np.int64), np.zeros(0)
    return Points(informed, informed.max(1), np.zeros(1, np.int64), none, nothing, none, nothing, {}, 0)


def beliefs(points: Points) -> sparse.csr_array:
    """The points, one a row."""
    size, shape = points.starts[points.size], (points.size, len(points.corners))
    return sparse.csr_array(
        (points.weights[:size], points.states[:size], points.starts[: points.size + 1]), shape=shape
    )


def flat(points: Points, states: Int[np.ndarray, " U"], rows: sparse.csr_array) -> Float[np.ndarray, " R"]:
    """The bound of each row without its points: the fast informed bound and the corners."""
    return np.minimum((rows @ points.informed[states]).max(1), rows @ points.corners[states])


def teeth(
    points: Points, states: Int[np.ndarray, " U"], rows: sparse.csr_array, which: range
) -> Float[np.ndarray, " _"]:
    """The sawtooth of some of the rows, whose columns stand for `states`."""
    values, corners, belief = [], points.corners[states], np.zeros(len(points.corners))
    pivots = points.pivots[: points.size]
    for index in which:
        part = slice(rows.indptr[index], rows.indptr[index + 1])
        here, weights = rows.indices[part], rows.data[part]
        values.append(float(weights @ corners[here]))
        here = states[here]
        belief[here] = weights
        near = np.flatnonzero(belief[pivots])
        if len(near):
            values[-1] += min(0.0, _lowest_tooth(points, near, belief))
        belief[here] = 0.0
    return np.array(values)


def upper(points: Points, belief: SparseBelief) -> float:
    """The bound of one belief."""
    row = sparse.csr_array(belief.weights[None])
    return float(min(flat(points, belief.states, row)[0], teeth(points, belief.states, row, range(1))[0]))


def add(points: Points, belief: SparseBelief, value: float) -> Points:
    """The bound, now knowing that this belief is worth at most `value`. An interrupt leaves it sound."""
    value = min(value, upper(points, belief))
    if len(belief.states) == 1:
        _lower_corner(points, int(belief.states[0]), value)
    excess = value - float(belief.weights @ points.corners[belief.states])
    count, start = points.size, int(points.starts[points.size])
    place = points.places.get(belief.name, count)
    if place < count:
        points.excess[place] = excess
        return points
    end = start + len(belief.states)
    points = points._replace(
        starts=_room(points.starts, count + 2),
        states=_room(points.states, end),
        weights=_room(points.weights, end),
        pivots=_room(points.pivots, count + 1),
        excess=_room(points.excess, count + 1),
        size=count + 1,
    )
    points.starts[count + 1] = end
    points.states[start:end], points.weights[start:end] = belief
    points.pivots[count], points.excess[count] = belief.states[belief.weights.argmax()], excess
    points.places[belief.name] = count
    return points


def _lowest_tooth(points: Points, near: Int[np.ndarray, " K"], belief: Float[np.ndarray, " S"]) -> float:
    """min_j φ_j (v_j - c·b_j) over the points `near`; others have φ_j = 0."""
    starts = points.starts[near]
    lengths = points.starts[near + 1] - starts
    ends = np.cumsum(lengths)
    entries = np.arange(ends[-1]) + np.repeat(starts - ends + lengths, lengths)
    ratios = belief[points.states[entries]] / points.weights[entries]
    return float((np.minimum.reduceat(ratios, ends - lengths) * points.excess[near]).min())


def _lower_corner(points: Points, state: int, value: float) -> None:
    """A state that is known for certain is worth at most `value`; what the points are worth stays as it was."""
    drop = max(0.0, points.corners[state] - value)
    entries = np.flatnonzero(points.states[: points.starts[points.size]] == state)
    owners = np.searchsorted(points.starts[: points.size + 1], entries, side="right") - 1
    points.excess[owners] += drop * points.weights[entries]
    points.corners[state] -= drop


def _room(array: np.ndarray, size: int) -> np.ndarray:
    """The array, or a longer one that starts with it, with at least `size` entries."""
    if len(array) >= size:
        return array
    longer = np.zeros((max(size, 2 * len(array)), *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer

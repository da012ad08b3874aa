"""Which vectors are the best at some belief? The others can go: the upper surface of linear functions of a belief.

A vector stays if it is better than the rest somewhere (Lark's filter: White 1991). With two states vectors are lines,
and sorting finds their upper envelope. With more, beliefs drawn at random find most winners, and linear programs ask
for a belief where one of the others wins. Programs start with the rivals that are likely to matter and get one more at
a time, and many vectors share one call. A vector that is better by less than 1e-10 of the largest value may go, too.

Axis letters: S states, K L vectors, B vectors that are compared with M rivals each.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.optimize import linprog

PRECISION = 1e-13
"""By how much vectors must differ to be told apart, as a part of the largest value."""

WITNESS = 1e-11
"""How much better than the rest a vector must be somewhere to be kept, likewise. Programs are good to 1e-10."""

SAMPLES = 20
"""How many beliefs are tried for each state before linear programs are asked, and at most how many in all."""

MAX_SAMPLES = 1_000

BATCH = 64
"""How many vectors one linear program compares with the rest; most of the time of a small program is the call."""


def prune(vectors: Float[np.ndarray, "K S"], slack: float = 0.0) -> Int[np.ndarray, " L"]:
    """The indices of vectors that are the best at some belief, one of each that are equal, in order.

    A vector that is better than the others by no more than `slack` may go, too.
    """
    scale = float(np.abs(vectors).max())
    slack = max(slack, PRECISION * scale)
    kept = _undominated(vectors, slack)
    if len(kept) > 1:
        kept = kept[
            _envelope(vectors[kept], slack)
            if vectors.shape[1] == 2
            else _winners(vectors[kept], max(slack, WITNESS * scale))
        ]
    return np.sort(kept)


def _undominated(vectors: Float[np.ndarray, "K S"], slack: float) -> Int[np.ndarray, " L"]:
    """The indices of vectors that no other one reaches in every state, one of each that are equal."""
    waiting = np.argsort(-vectors.sum(1), kind="stable")
    kept = []
    while len(waiting):
        kept.append(waiting[0])
        waiting = waiting[(vectors[waiting] > vectors[waiting[0]] + slack).any(1)]
    return np.array(kept)


def _envelope(lines: Float[np.ndarray, "K 2"], slack: float) -> list[int]:
    """The indices of lines on the upper envelope; none of them dominates another.

    Sorted by slope, a line is out if it is not above its neighbours where these cross.
    """
    kept: list[int] = []
    for index in np.argsort(lines[:, 1] - lines[:, 0]):
        while len(kept) > 1:
            first, middle, last = lines[kept[-2]], lines[kept[-1]], lines[index]
            fall, rise = first - last
            where = np.array([-rise, fall]) / (fall - rise)
            if (middle - first) @ where > slack:
                break
            kept.pop()
        kept.append(int(index))
    return kept


def _winners(vectors: Float[np.ndarray, "K S"], slack: float) -> list[int]:
    """The indices of vectors that beat all others somewhere: first at random beliefs, then where a program says."""
    states = vectors.shape[1]
    drawn = np.random.default_rng(0).dirichlet(np.ones(states), min(SAMPLES * states, MAX_SAMPLES))
    values = drawn @ vectors.T
    tops = values.argmax(1)
    kept = list(dict.fromkeys(tops.tolist()))
    waiting = [index for index in range(len(vectors)) if index not in set(kept)]
    ahead = values - values[np.arange(len(drawn)), tops][:, None]
    while waiting:
        batch = np.array(waiting[:BATCH])
        # At first the rivals are those that win where the vector comes closest to winning.
        closest = np.argsort(-ahead[:, batch], axis=0)[: states + 1].T
        lost = _compete(vectors, batch, tops[closest], kept, waiting, slack)
        waiting = [index for index in waiting if index not in lost]
    return kept


def _compete(
    vectors: Float[np.ndarray, "K S"],
    batch: Int[np.ndarray, " B"],
    rivals: Int[np.ndarray, "B M"],
    kept: list[int],
    waiting: list[int],
    slack: float,
) -> set[int]:
    """Decide each of a batch of vectors that wait: it moves to those kept, or it is returned among those that lost.

    A program that knows few rivals is small. Who loses to them is out; who wins has to face, where it does, all that
    are kept, and the best of these is one rival more.
    """
    lost: set[int] = set()
    while len(batch):
        beliefs, leads = most_ahead(vectors[batch][:, None] - vectors[rivals])
        undecided, more = [], []
        for place, (index, belief) in enumerate(zip(batch.tolist(), beliefs, strict=True)):
            worth = vectors @ belief
            if index not in waiting:
                continue
            rival = kept[int(worth[kept].argmax())]
            if leads[place] <= slack or (worth[index] - worth[rival] <= slack and rival in rivals[place]):
                lost.add(index)
                continue
            if worth[index] - worth[rival] > slack:
                # Of vectors that are equal there, the lexicographically largest is one that wins in a whole region.
                hopeful = np.array([other for other in waiting if other not in lost])
                tied = hopeful[worth[hopeful] >= worth[hopeful].max() - PRECISION * np.abs(worth).max()]
                rival = max(tied.tolist(), key=lambda other: tuple(vectors[other]))
                kept.append(rival)
                waiting.remove(rival)
            if rival != index:
                undecided.append(place)
                more.append(rival)
        batch = batch[undecided]
        rivals = np.column_stack([rivals[undecided], np.array(more, np.int64)])
    return lost


def most_ahead(ahead: Float[np.ndarray, "B M S"]) -> tuple[Float[np.ndarray, "B S"], Float[np.ndarray, " B"]]:
    """For each vector the belief where it is most ahead of all its rivals, max_b min_m b·(α - β_m), and by how much."""
    count, rivals, states = ahead.shape
    scale = np.abs(ahead).max()
    blocks = np.concatenate([-ahead / scale, np.ones((count, rivals, 1))], -1)
    width = states + 1
    columns = np.broadcast_to(np.arange(count)[:, None, None] * width + np.arange(width), blocks.shape)
    starts = np.arange(count * rivals + 1) * width
    found = linprog(
        np.tile(np.append(np.zeros(states), -1.0), count),
        A_ub=sparse.csr_array((blocks.ravel(), columns.ravel(), starts), shape=(count * rivals, count * width)),
        b_ub=np.zeros(count * rivals),
        A_eq=sparse.kron(sparse.eye_array(count), np.append(np.ones(states), 0.0)[None], format="csr"),
        b_eq=np.ones(count),
        bounds=np.tile([[0.0, np.inf]] * states + [[-np.inf, np.inf]], (count, 1)),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if found.x is None:
        raise RuntimeError(f"The linear program that compares vectors failed: {found.message}")
    answers = found.x.reshape(count, width)
    beliefs = np.maximum(answers[:, :-1], 0.0)
    return beliefs / beliefs.sum(1, keepdims=True), answers[:, -1] * scale

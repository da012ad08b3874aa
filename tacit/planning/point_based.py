"""How good can a plan be, between which two numbers? Bounds for POMDPs that are too large to be solved exactly.

The lower bound is a set of alpha vectors, each the worth of a plan one could follow; the upper bound is the sawtooth
surface through beliefs whose value is known to be at most so much, under the fast informed bound. A trial walks from
the initial belief along the action that the upper bound likes best and the observation whose belief adds most to the
uncertainty, until the bounds are close, and backs both up on the way home. Both are sound whenever it is stopped.
With a horizon every turn has bounds of its own.

Smith and Simmons 2005, "Point-based POMDP algorithms: improved analysis and implementation" (HSVI2), sections 3 and 4.
Where we differ: a trial aims for a part of the present gap, not for the final one; vectors are kept if they are best at
some point visited; what can follow a belief is remembered, and its upper bounds are refreshed only for actions that
could be the best. Axis letters: S states, A actions, K vectors, U states that can be next, R rows (see `_Outlook`).
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tacit.arrays import Pomdp, check_clock
from tacit.planning import sawtooth
from tacit.planning.belief_update import SparseBelief, joint, sparse_belief
from tacit.planning.exact_pomdp import Plan
from tacit.planning.fast_bounds import blind, informed
from tacit.planning.sawtooth import Points, no_points

SHARE = 0.3
"""The part of the time that the bounds to start with may take."""

NARROW = 0.9
"""A trial aims for this part of the present gap."""

ROUNDING = 1e-12
"""Values are good to this part of the largest one."""

SPARE = 32
"""Room for so many vectors to start with."""

MAX_REMEMBERED = 30_000_000
"""What can follow a belief is remembered for about so many numbers."""

Report = Callable[[float, float, float], None]
"""Told the seconds so far, the lower and the upper bound, after each trial."""


class Bounds(NamedTuple):
    """The value of the initial belief lies between `lower` and `upper`; `plan` holds the vectors of the lower bound.

    To act by it, `exact_pomdp.act(plan, belief, turn)`.
    """

    lower: float
    upper: float
    seconds: float
    num_vectors: int
    num_points: int
    plan: Plan


class _Vectors(NamedTuple):
    """A turn's lower bound; the first `size` columns are in use."""

    values: Float[np.ndarray, "S _"]
    actions: Int[np.ndarray, " _"]
    size: int


class _Outlook(NamedTuple):
    """What can follow a belief: a row for each action and observation that can be, over the states U that can be next.

    Rows are weighted by their probability, so that values add up. `highs` are upper bounds of the rows as last known.
    """

    rewards: Float[np.ndarray, " A"]
    actions: Int[np.ndarray, " R"]
    observations: Int[np.ndarray, " R"]
    states: Int[np.ndarray, " U"]
    rows: sparse.csr_array
    highs: Float[np.ndarray, " R"]


class _Search(NamedTuple):
    """The problem, P(s', o | s, a) of all actions side by side, and each turn's bounds and outlooks, which change."""

    pomdp: Pomdp
    stacked: sparse.csr_array
    horizon: int | None
    margin: float
    vectors: list[_Vectors]
    points: list[Points]
    outlooks: list[dict[bytes, _Outlook]]


def bounds(
    pomdp: Pomdp,
    horizon: int | None = None,
    seconds: float | int = 30.0,
    gap: float | int = 1e-3,
    report: Report | None = None,
) -> Bounds:
    """Bounds on the value of the initial belief, tightened until they are within `gap` or the time is up.

    An interrupt from the keyboard also stops it, with what is known by then.
    """
    check_clock(horizon, pomdp.discount)
    started = time.perf_counter()
    search = _begin(pomdp, horizon, started + SHARE * seconds)
    first = sparse_belief(pomdp.initial)
    lower, upper = _root(search, first)
    try:
        while upper - lower > gap and time.perf_counter() < started + seconds:
            _trial(search, first, max(gap, NARROW * (upper - lower)), started + seconds)
            lower, upper = _root(search, first)
            if report is not None:
                report(time.perf_counter() - started, lower, upper)
    except KeyboardInterrupt:
        lower, upper = _root(search, first)
    turns = search.vectors[: 1 if horizon is None else horizon]
    plan = Plan(
        tuple(turn.values[:, : turn.size].T.copy() for turn in turns),
        tuple(turn.actions[: turn.size].copy() for turn in turns),
        horizon,
        lower,
        upper - lower,
    )
    counts = sum(turn.size for turn in turns), sum(turn.size for turn in search.points)
    return Bounds(lower, upper, time.perf_counter() - started, *counts, plan)


def _begin(pomdp: Pomdp, horizon: int | None, deadline: float) -> _Search:
    """The bounds to start with; after the last turn of a horizon both are zero."""
    below, above = blind(pomdp, horizon, deadline), informed(pomdp, horizon, deadline)
    if horizon is not None:
        below.append(np.zeros_like(below[0]))
        above.append(np.zeros_like(above[0]))
    stacked = sparse.csr_array(sparse.hstack(joint(pomdp), format="csr"))
    actions = np.arange(pomdp.rewards.shape[1])
    vectors = [_enlarge(table, actions) for table in below]
    margin = ROUNDING * float(max(np.abs(below).max(), np.abs(above).max()))
    return _Search(pomdp, stacked, horizon, margin, vectors, [no_points(table) for table in above], [{} for _ in above])


def _root(search: _Search, first: SparseBelief) -> tuple[float, float]:
    """The bounds of the initial belief, rounded outwards."""
    lower, upper = _lower(search.vectors[0], first), sawtooth.upper(search.points[0], first)
    return lower - search.margin, upper + search.margin


def _trial(search: _Search, first: SparseBelief, target: float | int, deadline: float) -> None:
    """Walk down from the initial belief to where the bounds are close, and back both up on the way home."""
    pomdp, path, belief, turn = search.pomdp, [], first, 0
    while turn != search.horizon and time.perf_counter() < deadline:
        following = _after(search, turn)
        outlook = _look(search, following, belief)
        q = _optimism(pomdp, search.points[following], outlook)
        path.append((turn, belief, outlook))
        turn += 1
        mine = _rows(outlook, int(q.argmax()))
        lows, _ = _pessimism(search.vectors[following], outlook, mine)
        chances = np.add.reduceat(outlook.rows.data, outlook.rows.indptr[:-1])
        share = 1.0 if search.horizon is None else 1.0 - turn / search.horizon
        wanted = (outlook.highs[mine] - lows) * pomdp.discount**turn - share * target * chances[mine]
        best = int(wanted.argmax())
        if wanted[best] <= 0:
            break
        index = mine.start + best
        row = slice(outlook.rows.indptr[index], outlook.rows.indptr[index + 1])
        belief = SparseBelief(outlook.states[outlook.rows.indices[row]], outlook.rows.data[row] / chances[index])
    for turn, belief, outlook in reversed(path):
        _back_up(search, turn, belief, outlook)


def _back_up(search: _Search, turn: int, belief: SparseBelief, outlook: _Outlook) -> None:
    """Tighten both bounds of a turn at a belief by looking one turn ahead."""
    following, index = _after(search, turn), turn if search.horizon is not None else 0
    q = _optimism(search.pomdp, search.points[following], outlook)
    search.points[index] = sawtooth.add(search.points[index], belief, float(q.max()))
    ahead, worth = search.vectors[following], _lower(search.vectors[index], belief)
    worth += ROUNDING * abs(worth)
    better = None
    for action in map(int, np.argsort(-q)):
        if q[action] <= worth:
            break
        lows, chosen = _pessimism(ahead, outlook, _rows(outlook, action))
        value = outlook.rewards[action] + search.pomdp.discount * lows.sum()
        if value > worth:
            worth, better = value, (action, chosen)
    if better is not None:
        vector = _vector(search.pomdp, ahead, outlook, *better)
        search.vectors[index] = _add_vector(search.vectors[index], search.points[index], vector, better[0])


def _after(search: _Search, turn: int) -> int:
    """Which bounds the turn after this one has."""
    return 0 if search.horizon is None else turn + 1


def _look(search: _Search, following: int, belief: SparseBelief) -> _Outlook:
    """Every posterior of a belief at once; remembered, while there is room."""
    known, name = search.outlooks[following], belief.name
    if name in known:
        return known[name]
    found = sparse.csr_array(search.stacked[belief.states])
    spread = np.repeat(belief.weights, np.diff(found.indptr))
    columns, places = np.unique(found.indices, return_inverse=True)
    values = np.bincount(places, found.data * spread)
    number, state = np.divmod(columns, len(search.pomdp.initial))
    present, starts = np.unique(number, return_index=True)
    states, local = np.unique(state, return_inverse=True)
    rows = sparse.csr_array((values, local, np.append(starts, len(values))), shape=(len(present), len(states)))
    actions, observations = np.divmod(present, len(search.pomdp.observation_names))
    points = search.points[following]
    highs = sawtooth.flat(points, states, rows)
    rewards = belief.weights @ search.pomdp.rewards[belief.states]
    outlook = _Outlook(rewards, actions, observations, states, rows, highs)
    if sum(map(len, search.outlooks)) * len(values) < MAX_REMEMBERED:
        known[name] = outlook
    return outlook


def _lower(vectors: _Vectors, belief: SparseBelief) -> float:
    """max_α α·b."""
    return float((belief.weights @ vectors.values[belief.states, : vectors.size]).max())


def _rows(outlook: _Outlook, action: int) -> slice:
    """The rows of one action."""
    first, last = np.searchsorted(outlook.actions, [action, action + 1])
    return slice(int(first), int(last))


def _pessimism(
    vectors: _Vectors, outlook: _Outlook, which: slice
) -> tuple[Float[np.ndarray, " _"], Int[np.ndarray, " _"]]:
    """The lower bound of some of the rows, and the vectors that give it."""
    indptr = outlook.rows.indptr[which.start : which.stop + 1]
    entries = slice(indptr[0], indptr[-1])
    columns, local = np.unique(outlook.rows.indices[entries], return_inverse=True)
    rows = np.zeros((len(indptr) - 1, len(columns)))
    rows[np.repeat(np.arange(len(rows)), np.diff(indptr)), local] = outlook.rows.data[entries]
    scores = rows @ vectors.values[outlook.states[columns], : vectors.size]
    chosen = scores.argmax(1)
    return scores[np.arange(len(chosen)), chosen], chosen


def _optimism(pomdp: Pomdp, points: Points, outlook: _Outlook) -> Float[np.ndarray, " A"]:
    """Upper bounds Q. Rows are worked out anew for actions that could be best, until one is, and remembered."""
    highs = outlook.highs
    q = outlook.rewards + pomdp.discount * np.bincount(outlook.actions, highs, len(outlook.rewards))
    fresh = np.zeros(len(q), bool)
    while not fresh[q.argmax()]:
        action = int(q.argmax())
        mine = _rows(outlook, action)
        teeth = sawtooth.teeth(points, outlook.states, outlook.rows, range(mine.start, mine.stop))
        highs[mine] = np.minimum(highs[mine], teeth)
        q[action] = outlook.rewards[action] + pomdp.discount * highs[mine].sum()
        fresh[action] = True
    return q


def _vector(
    pomdp: Pomdp, ahead: _Vectors, outlook: _Outlook, action: int, chosen: Int[np.ndarray, " _"]
) -> Float[np.ndarray, " S"]:
    """α(s) = R(s, a) + γ Σ_s' T(s, s') Σ_o O(s', o) α_o(s'), with the vector chosen for each observation."""
    plans = np.full(len(pomdp.observation_names), chosen[0])
    plans[outlook.observations[_rows(outlook, action)]] = chosen
    state, observation, chance = sparse.find(pomdp.observations[action])
    worth = np.bincount(state, chance * ahead.values[state, plans[observation]], len(pomdp.initial))
    return pomdp.rewards[:, action] + pomdp.discount * (pomdp.transitions[action] @ worth)


def _add_vector(vectors: _Vectors, points: Points, vector: Float[np.ndarray, " S"], action: int) -> _Vectors:
    """The lower bound with one vector more; when there is no room, only those that are best at some point are kept."""
    if vectors.size == len(vectors.actions):
        kept = np.unique((sawtooth.beliefs(points) @ vectors.values).argmax(1))
        vectors = _enlarge(vectors.values[:, kept], vectors.actions[kept])
    values, actions, size = vectors
    values[:, size], actions[size] = vector, action
    return _Vectors(values, actions, size + 1)


def _enlarge(values: Float[np.ndarray, "S K"], actions: Int[np.ndarray, " K"]) -> _Vectors:
    """These vectors, with room for as many more."""
    spare = max(len(actions), SPARE)
    wider = np.concatenate([values, np.zeros((len(values), spare))], 1)
    return _Vectors(wider, np.concatenate([actions, np.zeros(spare, np.int64)]), len(actions))

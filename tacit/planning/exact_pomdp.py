"""What is the best way to act when the state is hidden? Exact, for every belief at once, by alpha vectors.

With t turns to go the value is the upper surface of finitely many linear functions of the belief, V(b) = max_α α·b. One
backup makes those of t + 1 turns: an action, and for each observation the vector to go on with. Most combinations are
best nowhere, and incremental pruning throws them out after each observation, before they multiply.

Cassandra, Littman and Zhang 1997, "Incremental pruning", section 3; Lark's filter: White 1991. A vector stays if it is
better than the rest somewhere. With two states vectors are lines, and sorting finds their upper envelope. With more,
beliefs drawn at random find most winners, and linear programs ask for a belief where one of the others wins; a vector
that is better by less than WITNESS of the largest value may be lost, so much is a backup off for each observation.

The number of vectors can grow doubly exponentially with the horizon: a backup that would combine more than
MAX_CANDIDATES is refused before it starts. `reachable` is exact too, from one belief, and `point_based` gives bounds.

Axis letters: S states, A actions, O observations, K vectors, B beliefs.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.optimize import linprog

from tacit.arrays import Pomdp

PRECISION = 1e-13
"""By how much vectors must differ to be told apart, as a part of the largest value."""

WITNESS = 1e-11
"""How much better than the rest a vector must be somewhere to be kept, likewise; linear programs are no finer."""

SAMPLES = 20
"""How many beliefs are tried for each state before linear programs are asked, and at most how many in all."""

MAX_SAMPLES = 1_000

INSTEAD = (
    "use planning.reachable for one belief and few turns, planning.point_based for bounds, or planning.pomcp to act"
)
"""What to do with larger problems."""

MAX_CANDIDATES = 10_000
"""The most vectors that may be combined before pruning."""

MAX_LINES = 40_000
"""The same with two states, where pruning is quick."""

MAX_STATES = 500
"""The most states."""

SLACK = 0.3
"""The part of the tolerance that may be lost by going on with fewer vectors."""

MAX_BACKUPS = 20_000
"""The most backups of an infinite horizon."""

FOLLOWED = 200
"""Between two of these, for how many turns the policy that the last one found is followed."""

BATCH = 64
"""How many vectors one linear program compares with the rest; most of the time of a small program is the call."""


class Plan(NamedTuple):
    """Alpha vectors and their actions for each turn, the first turn first; one set for all turns without a horizon.

    `value` is that of the initial belief and off by at most `error`, rounding and pruning aside.
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
    _check_states(pomdp)
    turns: list[Backup] = []
    for _ in range(horizon):
        turns.append(backup(pomdp, turns[-1].vectors if turns else np.zeros((1, len(pomdp.initial)))))
    turns.reverse()
    worth = float((turns[0].vectors @ pomdp.initial).max())
    return Plan(tuple(turn.vectors for turn in turns), tuple(turn.actions for turn in turns), horizon, worth, 0.0)


def solve_discounted(pomdp: Pomdp, tolerance: float | int = 1e-6) -> Plan:
    """One set of vectors for ever, whose value is within `tolerance` of the best everywhere.

    Backups go on until the last one moved no belief's value by more than tolerance (1 - γ) / γ, whatever it started
    from. In between the policy found is followed for a while, as in policy iteration: Hansen 1998, section 3.
    """
    if not tolerance > 0:
        raise ValueError(f"The tolerance is {tolerance}; it must be above 0.")
    if pomdp.discount >= 1.0:
        raise ValueError("The discount is 1, so the value for ever may be infinite; give a horizon.")
    _check_states(pomdp)
    rate = pomdp.discount / (1.0 - pomdp.discount)
    vectors = np.full((1, len(pomdp.initial)), pomdp.rewards.min(0).max() / (1.0 - pomdp.discount))
    for _ in range(MAX_BACKUPS):
        found = backup(pomdp, vectors)
        enough = tolerance / rate if rate else np.inf
        error = rate * max(_rise(vectors, found.vectors, enough), _rise(found.vectors, vectors, enough))
        if error <= tolerance:
            worth = float((found.vectors @ pomdp.initial).max())
            return Plan((found.vectors,), (found.actions,), None, worth, error)
        vectors = _follow(pomdp, vectors, found, SLACK * enough)
    raise ValueError(f"{MAX_BACKUPS} backups were not enough for a tolerance of {tolerance}; ask for less.")


def value(plan: Plan, belief: Float[np.ndarray, "*B S"], turn: int = 0) -> Float[np.ndarray, "*B"]:
    """V(b) = max_α α·b, from `turn` to the end."""
    return np.asarray((belief @ plan.vectors[_index(plan, turn)].T).max(-1))


def act(plan: Plan, belief: Float[np.ndarray, "*B S"], turn: int = 0) -> Int[np.ndarray, "*B"]:
    """The action of the vector that is best at each belief."""
    index = _index(plan, turn)
    return plan.actions[index][(belief @ plan.vectors[index].T).argmax(-1)]


class Backup(NamedTuple):
    """Vectors of one turn more, their actions, and which vector each goes on with after each observation."""

    vectors: Float[np.ndarray, "L S"]
    actions: Int[np.ndarray, " L"]
    following: Int[np.ndarray, "L O"]


def backup(pomdp: Pomdp, following: Float[np.ndarray, "K S"]) -> Backup:
    """The vectors of one turn more, α(s) = R(s, a) + γ Σ_s' T(s, s') Σ_o O(s', o) α_o(s'), pruned."""
    found = []
    for action, (moves, sights) in enumerate(zip(pomdp.transitions, pomdp.observations, strict=True)):
        parts = []
        for observation, likelihood in enumerate(sights.T.toarray()):
            part = pomdp.discount * (moves @ (likelihood * following).T).T
            kept = prune(part)
            parts.append((part[kept], kept, observation))
        vectors, plans = pomdp.rewards[None, :, action], np.zeros((1, len(parts)), np.int64)
        for part, kept, observation in sorted(parts, key=lambda part: len(part[0])):
            _check_candidates(len(vectors), len(part), len(pomdp.initial))
            vectors = (vectors[:, None] + part[None]).reshape(-1, len(pomdp.initial))
            plans = np.repeat(plans, len(part), axis=0)
            plans[:, observation] = np.tile(kept, len(plans) // len(part))
            best = prune(vectors)
            vectors, plans = vectors[best], plans[best]
        found.append(Backup(vectors, np.full(len(vectors), action), plans))
    vectors, actions, plans = (np.concatenate(part) for part in zip(*found, strict=True))
    kept = prune(vectors)
    return Backup(vectors[kept], actions[kept], plans[kept])


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


def _check_states(pomdp: Pomdp) -> None:
    """Refuse problems whose vectors are too long."""
    if len(pomdp.initial) > MAX_STATES:
        raise ValueError(
            f"The problem has {len(pomdp.initial)} states; an exact plan for every belief takes at most {MAX_STATES}: "
            f"{INSTEAD}."
        )


def _check_candidates(left: int, right: int, states: int) -> None:
    """Refuse to combine too many vectors."""
    most = MAX_LINES if states == 2 else MAX_CANDIDATES
    if left * right > most:
        raise ValueError(
            f"An exact backup has to combine {left} and {right} vectors, which is more than {most}; {INSTEAD}."
        )


def _follow(pomdp: Pomdp, before: Float[np.ndarray, "K S"], found: Backup, slack: float) -> Float[np.ndarray, "M S"]:
    """The vectors just found, and what they are worth if their policy is followed for some turns more.

    A vector that the policy would go on with is replaced by the new one that falls short of it the least.
    """
    new = np.array([(vector - found.vectors).max(1).argmin() for vector in before])[found.following]
    vectors = found.vectors
    for _ in range(FOLLOWED):
        later = np.empty_like(vectors)
        for action in np.unique(found.actions):
            mine = found.actions == action
            seen = np.einsum("kos,so->ks", vectors[new[mine]], pomdp.observations[action].toarray())
            later[mine] = pomdp.rewards[:, action] + pomdp.discount * (pomdp.transitions[action] @ seen.T).T
        vectors = later
    together = np.concatenate([found.vectors, vectors])
    return together[prune(together, slack)]


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
        beliefs, leads = _witnesses(vectors[batch][:, None] - vectors[rivals])
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


def _witnesses(ahead: Float[np.ndarray, "B M S"]) -> tuple[Float[np.ndarray, "B S"], Float[np.ndarray, " B"]]:
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


def _rise(before: Float[np.ndarray, "K S"], later: Float[np.ndarray, "L S"], enough: float) -> float:
    """At most how much the value rose at any belief, max_α max_b min_β b·(α - β); not exact if that is above `enough`.

    What rose in single states, max_α min_β max_s α(s) - β(s), is a bound; where that is too much, programs decide.
    """
    bounds = np.array([(vector - before).max(1).min() for vector in later])
    order, rise = np.argsort(-bounds), 0.0
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        if rise > enough or bounds[batch[0]] <= enough:
            return max(rise, float(bounds[batch[0]]))
        rise = max(rise, float(_witnesses(later[batch][:, None] - before)[1].max()))
    return rise


def _index(plan: Plan, turn: int) -> int:
    """Which set of vectors a turn uses."""
    if plan.horizon is None:
        return 0
    if not 0 <= turn < plan.horizon:
        raise ValueError(f"The turn is {turn}; this plan has turns 0 to {plan.horizon - 1}.")
    return turn

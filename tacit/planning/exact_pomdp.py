"""What is the best way to act when the state is hidden? Exact, for every belief at once, by alpha vectors.

With t turns to go the value is the upper surface of finitely many linear functions of the belief, V(b) = max_α α·b. One
backup makes those of t + 1 turns: an action, and for each observation the vector to go on with. Most combinations are
best nowhere, and incremental pruning throws them out after each observation, before they multiply.

Cassandra, Littman and Zhang 1997, "Incremental pruning", section 3. Pruning is good to about 1e-10 of the largest value
(`pruning`), and so much a backup may be off for each observation.

The number of vectors can grow doubly exponentially with the horizon: a backup that would combine more than
MAX_CANDIDATES is refused before it starts. `reachable` is exact too, from one belief, and `point_based` gives bounds.

Axis letters: S states, A actions, O observations, K vectors, B beliefs.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tacit.arrays import Pomdp
from tacit.planning.pruning import BATCH, most_ahead, prune

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
        rise = max(rise, float(most_ahead(later[batch][:, None] - before)[1].max()))
    return rise


def _index(plan: Plan, turn: int) -> int:
    """Which set of vectors a turn uses."""
    if plan.horizon is None:
        return 0
    if not 0 <= turn < plan.horizon:
        raise ValueError(f"The turn is {turn}; this plan has turns 0 to {plan.horizon - 1}.")
    return turn

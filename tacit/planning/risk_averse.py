"""How does one act when any of several rewards may be the true one? So that even the worst of them comes out well.

Every hypothesis is a weight vector w of a reward that is linear in features, and a plan is judged by

    min_w  w · (φ - φ_ref),

where φ are its expected feature counts and φ_ref those of a reference: "how much better than the reference, at worst".
Without a reference point the answer depends on what each hypothesis calls zero, and a plan that does nothing can win.
Hadfield-Menell, Milli, Abbeel, Russell and Dragan 2017, "Inverse Reward Design", arXiv 1711.02827, section 4.2.

Two exact planners: `plan_policy` over policies that may draw lots (a linear program over how often each action is
taken; to draw lots hedges, for no hypothesis is then bad for all of it), and `plan_trajectory` over single trajectories
of a world without chance (fronts of margins that no other beats under every hypothesis). The first is never worth less.
Axis letters: T turns, S states, A actions, D features, N hypotheses, M of them considered, P margins on a front.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy import sparse
from scipy.optimize import linprog

from tacit.arrays import Numbers, numbers
from tacit.planning.feature_world import FeatureWorld, weight_vectors

MOST_VARIABLES = 200_000
"""Above this many (turn, state, action) triples the linear program takes minutes or the machine's memory."""

MOST_MARGINS = 20_000
"""Above this many margins on one front, trajectories are too many to tell apart."""

SAME = 1e-12
"""Margins closer than this are the same but for rounding."""


class RiskAversePlan(NamedTuple):
    """A plan, and everything that its value depends on.

    `value` is the least of `margins[m]` = w_m · (counts - reference), over the hypotheses `considered` (indices, as
    given; `num_considered` of them) out of a support of `num_hypotheses`.
    """

    value: float
    margins: Float[np.ndarray, " M"]
    counts: Float[np.ndarray, " D"]
    policy: Float[np.ndarray, "T S A"]
    reference: Float[np.ndarray, " D"]
    considered: Int[np.ndarray, " M"]
    num_considered: int
    num_hypotheses: int


Planner = Callable[[FeatureWorld, Float[np.ndarray, "M D"], Float[np.ndarray, " D"]], Float[np.ndarray, "T S A"]]
"""From a world, the different hypotheses considered and the reference to how likely each (turn, state, action) is."""


def plan_policy(
    world: FeatureWorld,
    hypotheses: Numbers | Array,
    reference: Numbers | Array,
    considered: Numbers | Array | None = None,
) -> RiskAversePlan:
    """Max over policies, randomised ones included, of min over w of w · (φ - φ_ref).

    The minimum is over all of `hypotheses` (one row each), or over the rows whose indices `considered` lists.
    """
    return _plan(_by_linear_program, world, hypotheses, reference, considered)


def plan_trajectory(
    world: FeatureWorld,
    hypotheses: Numbers | Array,
    reference: Numbers | Array,
    considered: Numbers | Array | None = None,
) -> RiskAversePlan:
    """Max over single trajectories of min over w of w · (φ - φ_ref), in a world without chance.

    Raises ValueError if a move or the first state is left to chance.
    """
    for name, chances in (("transitions", world.transitions), ("initial", world.initial)):
        mixed = (chances > 0.0) & (chances < 1.0)
        if mixed.any():
            where = tuple(int(index) for index in np.argwhere(mixed)[0])
            raise ValueError(
                f"{name}{list(where)} is {chances[where]:g}; in a world with chance no trajectory can be chosen: "
                "use plan_policy."
            )
    return _plan(_by_fronts, world, hypotheses, reference, considered)


def _plan(
    planner: Planner,
    world: FeatureWorld,
    hypotheses: Numbers | Array,
    reference: Numbers | Array,
    considered: Numbers | Array | None,
) -> RiskAversePlan:
    rows = weight_vectors("hypotheses", hypotheses, world)
    chosen = _considered(considered, len(rows))
    origin = numbers("reference", reference, 1, (world.features.shape[-1],))
    taken = planner(world, np.unique(rows[chosen], axis=0), origin)
    counts = np.einsum("tsa,sad->d", taken, world.features)
    margins = rows[chosen] @ (counts - origin)
    policy = _policy(world, taken)
    return RiskAversePlan(float(margins.min()), margins, counts, policy, origin, chosen, len(chosen), len(rows))


def _considered(given: Numbers | Array | None, num_hypotheses: int) -> Int[np.ndarray, " M"]:
    """The indices as given, or all of them."""
    chosen = np.arange(num_hypotheses) if given is None else np.asarray(given)
    if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu":
        raise ValueError(f"considered has shape {chosen.shape} and kind {chosen.dtype}; it lists at least one index.")
    wrong = (chosen < 0) | (chosen >= num_hypotheses)
    if wrong.any():
        index = int(np.argmax(wrong))
        raise ValueError(f"considered[{index}] is {chosen[index]}; hypotheses run from 0 to {num_hypotheses - 1}.")
    return chosen.astype(int)


def _reachable(world: FeatureWorld) -> Bool[np.ndarray, "T S"]:
    """Which states can be met at each turn."""
    leads = ((world.transitions > 0.0) & world.legal[:, :, None]).any(1)
    here = np.empty((world.horizon, len(world.initial)), bool)
    here[0] = world.initial > 0.0
    for turn in range(1, world.horizon):
        here[turn] = here[turn - 1] @ leads
    return here


def _by_linear_program(
    world: FeatureWorld, weights: Float[np.ndarray, "M D"], reference: Float[np.ndarray, " D"]
) -> Float[np.ndarray, "T S A"]:
    """Maximise v subject to v ≤ w · (φ(ρ) - φ_ref) for every w, over the visits ρ that some policy has."""
    turn, state, action = np.nonzero(_reachable(world)[:, :, None] & world.legal)
    size, states = len(turn), len(world.initial)
    if size > MOST_VARIABLES:
        raise ValueError(
            f"The world has {size} reachable (turn, state, action) triples; the exact planner takes at most "
            f"{MOST_VARIABLES}. Shorten the horizon, or plan for one weight vector with feature_world.optimal_policies."
        )
    # What leaves a state at a turn is what came into it: Σ_a ρ_t(s', a) = Σ ρ_{t-1}(s, a) T(s' | s, a).
    shape = world.horizon * states, size + 1
    leave = sparse.csr_array((np.ones(size), (turn * states + state, np.arange(size))), shape)
    going = np.flatnonzero(turn < world.horizon - 1)
    moves = sparse.coo_array(world.transitions[state[going], action[going]])
    enter = sparse.csr_array((moves.data, ((turn[going][moves.row] + 1) * states + moves.col, going[moves.row])), shape)
    balance = sparse.csr_array(leave - enter)
    met = np.diff(balance.indptr) > 0
    first = np.append(world.initial, np.zeros(shape[0] - states))
    gains = weights @ world.features[state, action].T
    solved = linprog(
        np.append(np.zeros(size), -1.0),
        A_ub=np.column_stack([-gains, np.ones(len(weights))]),
        b_ub=-weights @ reference,
        A_eq=balance[met],
        b_eq=first[met],
        bounds=[(0.0, None)] * size + [(None, None)],
        method="highs",
    )
    if not solved.success:
        raise RuntimeError(f"HiGHS found no plan: {solved.message}")
    taken = np.zeros((world.horizon, *world.legal.shape))
    taken[turn, state, action] = np.maximum(solved.x[:-1], 0.0)
    return taken


class _Front(NamedTuple):
    """What can still be earned from a state: margins of which none is beaten, and how to go on for each."""

    margins: Float[np.ndarray, "P M"]
    actions: Int[np.ndarray, " P"]
    follows: Int[np.ndarray, " P"]


def _by_fronts(
    world: FeatureWorld, weights: Float[np.ndarray, "M D"], reference: Float[np.ndarray, " D"]
) -> Float[np.ndarray, "T S A"]:
    """Keep, from each state and turn, every way to go on that no other way beats under all hypotheses."""
    after = world.transitions.argmax(-1)
    gains = np.einsum("sad,md->sam", world.features, weights)
    end = _Front(np.zeros((1, len(weights))), np.zeros(1, int), np.zeros(1, int))
    fronts = [dict.fromkeys(range(len(after)), end)]
    for here in _reachable(world)[::-1]:
        later = fronts[-1]
        fronts.append({s: _front(s, world.legal[s], after, gains, later) for s in np.flatnonzero(here).tolist()})
    fronts.reverse()
    state = int(world.initial.argmax())
    choice = int((fronts[0][state].margins - weights @ reference).min(1).argmax())
    taken = np.zeros((world.horizon, *world.legal.shape))
    for turn in range(world.horizon):
        front = fronts[turn][state]
        action, choice = front.actions[choice], int(front.follows[choice])
        taken[turn, state, action] = 1.0
        state = int(after[state, action])
    return taken


def _front(
    state: int,
    legal: Bool[np.ndarray, " A"],
    after: Int[np.ndarray, "S A"],
    gains: Float[np.ndarray, "S A M"],
    later: dict[int, _Front],
) -> _Front:
    """One action and then a way to go on from where it leads, for all that are worth it."""
    actions = np.flatnonzero(legal)
    ways = [later[int(after[state, action])].margins for action in actions]
    margins = np.concatenate([gains[state, action] + way for action, way in zip(actions, ways, strict=True)])
    taken = np.repeat(actions, [len(way) for way in ways])
    follows = np.concatenate([np.arange(len(way)) for way in ways])
    kept = _unbeaten(margins)
    return _Front(margins[kept], taken[kept], follows[kept])


def _unbeaten(margins: Float[np.ndarray, "P M"]) -> Int[np.ndarray, " Q"]:
    """The rows that no other row beats or equals everywhere; of equal rows one."""
    left = np.argsort(-margins.sum(1), kind="stable")
    kept = []
    while left.size:
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[(margins[left] > margins[best] + SAME).any(1)]
        if len(kept) > MOST_MARGINS:
            raise ValueError(
                f"Some state has more than {MOST_MARGINS} ways to go on that no other beats; shorten the horizon, "
                "consider fewer hypotheses or use plan_policy."
            )
    return np.array(kept)


def _policy(world: FeatureWorld, taken: Float[np.ndarray, "T S A"]) -> Float[np.ndarray, "T S A"]:
    """π_t(a | s) = ρ_t(s, a) / Σ_a ρ_t(s, a); even over the legal actions where the plan never comes."""
    here = taken.sum(-1, keepdims=True)
    even = world.legal / world.legal.sum(-1, keepdims=True)
    return np.where(here > 0.0, taken / np.where(here > 0.0, here, 1.0), even)

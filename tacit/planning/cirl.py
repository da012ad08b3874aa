"""What is the best that a human who knows theta and an assistant who does not can do together, and how do they do it?

Cooperative inverse reinforcement learning: both want the same, only the human knows what (Hadfield-Menell et al. 2016,
arXiv 1606.03137). A coordinator who hands the human a map from theta to actions and the assistant an action faces a
POMDP (`coordinator`), whose actions grow exponentially in the thetas. `optimal_pair` finds the same value with the
generalised backup of Malik et al. 2018, which needs no maps. The pair's human is pedagogic, its assistant pragmatic:
each choice is made, and read, for what it tells.

A rational human who is told to do h splits the thetas into those who do h and those who do not; so from one prior only
its restrictions to a set of thetas can be reached. With few thetas, plans that are best at none of these are dropped;
with more, plans that are best at no belief at all. With given `points`, plans that are best at none of them: the value
is then one that a pair reaches, and at most the best (point-based value iteration, Pineau et al. 2003).

Axis letters: N thetas, S states, H the human's actions, A the assistant's, K plans, B beliefs.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tacit.arrays import GameArrays, Numbers, Pomdp, distributions, numbers
from tacit.planning.assistance import with_choices
from tacit.planning.generalised_bellman import (
    Join,
    Keep,
    backup,
    best_answer,
    check_maps,
    keep_all,
    keep_best_at,
    keep_different,
    keep_undominated,
    noisy_answer,
    restrictions,
)
from tacit.planning.pruning import prune
from tacit.planning.sweeps import Plans, check_sight, finite, for_ever, worth

MAX_THETAS = 12
"""Up to here plans are kept for every restriction of the prior, of which there are 2^N - 1."""


class Pair(NamedTuple):
    """The optimal pair: its value, and `turns[t][s]`, the plans from state s at turn t, for the states in play.

    Without a horizon there is one entry, which serves for ever, and the value is within the tolerance asked for.
    """

    arrays: GameArrays
    value: float
    turns: tuple[dict[int, Plans], ...]


def optimal_pair(
    arrays: GameArrays, rationality: float = math.inf, points: Numbers | None = None, tolerance: float = 1e-9
) -> Pair:
    """The best value that human and assistant reach together, and how.

    A human of finite rationality chooses with P(h) ∝ exp(rationality · Q(h, θ)), in nats per unit of reward, knowing
    the plan that the assistant is committed to; infinity is rational. `points[b, n]` are beliefs: with them the value
    is a lower bound. `tolerance` is for games without a horizon. ValueError if a player does not see the state, or if
    exact backups would not fit in memory.
    """
    check_sight(arrays)
    if not rationality >= 0.0:
        raise ValueError(f"The rationality is {rationality}; it must be at least 0.")
    rational = math.isinf(rationality)
    join = best_answer if rational else noisy_answer(rationality)
    keep, between, few = _keeps(arrays, rational, points)

    def back(turn: int, state: int, following: Sequence[Float[np.ndarray, "_ N"]]) -> Plans:
        del turn
        return backup(arrays, state, following, join, keep, between)

    if arrays.horizon is not None:
        turns = finite(arrays, back)
        return Pair(arrays, worth(arrays, turns[0]), turns)
    if not rational and points is None:
        raise ValueError(
            "The plans of a noisily rational human cannot be dropped exactly, so that their number grows without end; "
            "give a horizon, or `points` (beliefs) at which to keep the best plans."
        )
    plans, correction = for_ever(arrays, back, tolerance, few)
    return Pair(arrays, worth(arrays, plans) + correction, (plans,))


def coordinator(arrays: GameArrays) -> Pomdp:
    """The game as one player's POMDP, who tells the assistant what to do and the human what to do for each theta.

    Action c·A + a is map c with a, where map c is the c-th of `itertools.product(range(H), repeat=N)`; hidden are
    theta, the state and the human's last action. As in `assistance.reduce`, nothing is seen before the first action: if
    `initial` is spread over several states, the POMDP is worth less than the game, whose players see where they start.
    Hadfield-Menell et al. 2016, theorem 1.
    """
    thetas, states, humans, _ = arrays.rewards.shape
    check_maps(humans, thetas)
    check_sight(arrays)
    maps = np.array(list(itertools.product(range(humans), repeat=thetas)))
    return with_choices(arrays, np.broadcast_to(np.eye(humans)[maps][:, :, None], (len(maps), thetas, states, humans)))


def plan(pair: Pair, turn: int, state: int, belief: Numbers) -> int:
    """The number of the plan that is best at a belief about theta."""
    belief = distributions("belief", numbers("belief", belief, 1, pair.arrays.prior.shape))
    return int(np.argmax(_plans(pair, turn, state).values @ belief))


def assistant_action(pair: Pair, turn: int, state: int, belief: Numbers) -> int:
    """What the pair's assistant does who believes this about theta."""
    return int(_plans(pair, turn, state).assistant[plan(pair, turn, state, belief)])


def human_policy(pair: Pair, turn: int, state: int, belief: Numbers) -> Float[np.ndarray, "N H"]:
    """How the pair's human chooses for each theta, while the assistant believes this."""
    return _plans(pair, turn, state).human[plan(pair, turn, state, belief)]


def next_belief(pair: Pair, turn: int, state: int, belief: Numbers, human_action: int) -> Float[np.ndarray, " N"]:
    """What the assistant believes after it saw the human act; what should not have happened changes nothing."""
    belief = distributions("belief", numbers("belief", belief, 1, pair.arrays.prior.shape))
    likely = belief * human_policy(pair, turn, state, belief)[:, human_action]
    return likely / likely.sum() if likely.sum() > 0.0 else belief


def with_human(pair: Pair, rationality: float) -> Pair:
    """The pair's assistant, committed to its plans, with a human of another rationality who knows them.

    Infinity is rational. The value is that of the plan that the assistant starts with, best for the pair's own human.
    """
    arrays = pair.arrays
    if arrays.horizon is None:
        raise ValueError("The game has no horizon; give it one to try the pair's assistant with another human.")
    join = best_answer if math.isinf(rationality) else noisy_answer(rationality)
    turns, after = [], None
    for plans in reversed(pair.turns):
        after = {state: _answered(arrays, state, here, after, join) for state, here in plans.items()}
        turns.append(after)
    starts = np.flatnonzero(arrays.initial).tolist()
    first = {state: turns[-1][state].values[plan(pair, 0, state, arrays.prior)] for state in starts}
    value = sum(arrays.initial[state] * (vector @ arrays.prior) for state, vector in first.items())
    return Pair(arrays, float(value), tuple(reversed(turns)))


def _answered(arrays: GameArrays, state: int, here: Plans, after: Mapping[int, Plans] | None, join: Join) -> Plans:
    """Plans with the human's answers and their values found anew; the assistant's part is as it was."""
    legal = np.flatnonzero(arrays.legal_human[state]).tolist()
    values, human = np.zeros_like(here.values), np.zeros_like(here.human)
    for number, action in enumerate(here.assistant.tolist()):
        q = arrays.rewards[:, state, :, action].T.copy()
        if after is not None:
            for (answer, following), chosen in here.following[number].items():
                odds = arrays.transitions[state, answer, action, following]
                q[answer] += arrays.discount * odds * after[following].values[chosen]
        joint = join([q[answer][None] for answer in legal], keep_all)
        values[number], human[number][:, legal] = joint.values[0], joint.human[0]
    return here._replace(values=values, human=human)


def _keeps(
    arrays: GameArrays, rational: bool, points: Numbers | None
) -> tuple[Keep, Keep, dict[int, Float[np.ndarray, "_ N"]] | None]:
    """Which plans are kept, which partial ones, and all the beliefs that can come up in each state if these are few."""
    partly = keep_undominated if rational else keep_different
    if points is not None:
        beliefs = numbers("points", points, 2)
        if beliefs.shape[1] != len(arrays.prior):
            raise ValueError(
                f"points has shape {beliefs.shape}; its rows are beliefs about {len(arrays.prior)} thetas."
            )
        return keep_best_at(distributions("points", beliefs)), partly, None
    if rational and len(arrays.prior) <= MAX_THETAS:
        best = keep_best_at(restrictions(arrays.prior))
        return best, best, dict.fromkeys(range(len(arrays.initial)), restrictions(arrays.prior))
    return (prune, prune, None) if rational else (keep_different, keep_different, None)


def _plans(pair: Pair, turn: int, state: int) -> Plans:
    """The plans of a turn and a state."""
    if not 0 <= turn < (pair.arrays.horizon or turn + 1):
        raise ValueError(f"The turn is {turn}; this pair has turns 0 to {len(pair.turns) - 1}.")
    plans = pair.turns[turn if pair.arrays.horizon else 0]
    if state not in plans:
        raise ValueError(f"State {state} cannot be reached by turn {turn}; there are no plans from it.")
    return plans[state]

"""What should one player do, given how the other acts?

An assistant whose human follows a known policy learns about theta from each choice: of a *literal* human, who acts as
would be best if the assistant knew theta already, or of an *expert*, who acts as if the assistant did nothing (the
"demonstration by expert" of Hadfield-Menell et al. 2016, arXiv 1606.03137). A human who knows theta and how the
assistant acts faces a plain decision problem. Both players see the state; where one does not, fix the human and solve
`planning.assistance.reduce`.

Axis letters: T turns (one without a horizon), N thetas, S states, H the human's actions, A the assistant's, B beliefs.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from tacit.arrays import GameArrays, Numbers, distributions, doubles, numbers
from tacit.planning.cirl import Pair
from tacit.planning.sweeps import Plans, check_sight, finite, for_ever, reached, worth

MAX_NUMBERS = 20_000_000
"""The most numbers that the beliefs of one turn may hold."""

MAX_BELIEFS = 5_000
"""Without a horizon: the most beliefs that are followed until no new ones come up."""

TIE = 1e-9
"""Values that differ by less than this part of the largest are taken for equal."""

Beliefs = dict[int, Float[np.ndarray, "_ N"]]
"""Those that can come up in each state."""


class Reply(NamedTuple):
    """A human's best response: its value, what each action is worth, and a policy that shares ties evenly."""

    value: float
    q: Float[np.ndarray, "T N S H"]
    policy: Float[np.ndarray, "T N S H"]


def best_assistant(arrays: GameArrays, human: Numbers, points: Numbers | None = None, tolerance: float = 1e-9) -> Pair:
    """The best response of an assistant to a human who does h with probability `human[n, s, h]`.

    Or `human[t, n, s, h]`. Exact, over the beliefs that can be reached from the prior; without a horizon to `tolerance`
    and only if these come to an end, as they do for a human who leaves nothing to chance. With `points[b, n]`, beliefs
    to plan for in their stead, a lower bound.
    """
    check_sight(arrays)
    policy = human_policies(arrays, human)
    if points is not None:
        layers = [_everywhere(arrays, points)] * len(policy)
    else:
        layers = _layers(arrays, policy) if arrays.horizon is not None else [_closure(arrays, policy[0])]

    def back(turn: int, state: int, following: Sequence[Float[np.ndarray, "_ N"]]) -> Plans:
        return point_backup(arrays, state, following, policy[turn, :, state], layers[turn][state])

    if arrays.horizon is not None:
        turns = finite(arrays, back)
        return Pair(arrays, worth(arrays, turns[0]), turns)
    plans, correction = for_ever(arrays, back, tolerance, layers[0] if points is None else None)
    return Pair(arrays, worth(arrays, plans) + correction, (plans,))


def point_backup(
    arrays: GameArrays,
    state: int,
    following: Sequence[Float[np.ndarray, "_ N"]],
    policy: Float[np.ndarray, "N H"],
    beliefs: Float[np.ndarray, "B N"],
) -> Plans:
    """The best plan at each of these beliefs with a human of known policy: after h, go on with what is best there."""
    legal = np.flatnonzero(arrays.legal_human[state]).tolist()
    weights = {h: beliefs * policy[:, h] for h in legal}
    # A choice that cannot happen leaves the belief as it was, so that there is always a plan to go on with.
    after = {h: np.where(weight.any(1, keepdims=True), weight, beliefs) for h, weight in weights.items()}
    scores, choices = [], []
    actions = np.flatnonzero(arrays.legal_assistant[state]).tolist()
    for action in actions:
        score, chosen = np.zeros(len(beliefs)), {}
        for h in legal:
            score += weights[h] @ arrays.rewards[:, state, h, action]
            for s in np.flatnonzero(arrays.transitions[state, h, action]).tolist():
                chosen[h, s] = (after[h] @ following[s].T).argmax(1)
                worths = (weights[h] * following[s][chosen[h, s]]).sum(1)
                score += arrays.discount * arrays.transitions[state, h, action, s] * worths
        scores.append(score)
        choices.append(chosen)
    plans: dict[tuple, tuple[int, dict[tuple[int, int], int]]] = {}
    for row, best in enumerate(np.argmax(scores, axis=0).tolist()):
        follow = {key: int(chosen[row]) for key, chosen in choices[best].items()}
        plans.setdefault((best, *follow.values()), (actions[best], follow))
    values = np.zeros((len(plans), len(policy)))
    for row, (action, follow) in enumerate(plans.values()):
        for h in legal:
            values[row] += policy[:, h] * arrays.rewards[:, state, h, action]
        for (h, s), number in follow.items():
            odds = arrays.discount * arrays.transitions[state, h, action, s]
            values[row] += odds * policy[:, h] * following[s][number]
    return Plans(
        values,
        np.array([action for action, _ in plans.values()]),
        np.broadcast_to(policy, (len(plans), *policy.shape)),
        tuple(follow for _, follow in plans.values()),
        len(beliefs) * len(actions),
    )


def best_human(arrays: GameArrays, assistant: Numbers, tolerance: float = 1e-9) -> Reply:
    """The best response of a human who knows theta to an assistant who does a with probability `assistant[s, a]`.

    Or `assistant[t, s, a]`. The assistant may not look back; see `planning.histories` for one who learns.
    """
    check_sight(arrays)
    assistants = arrays.legal_assistant
    policy = policies("assistant", assistant, arrays.horizon, assistants.shape, assistants)
    transitions = np.einsum("tsa,shaz->tshz", policy, arrays.transitions)
    rewards = np.einsum("tsa,nsha->tnsh", policy, arrays.rewards)
    return _reply(
        arrays, transitions[:, :, :, None], rewards[..., None], np.ones((len(assistants), 1), bool), tolerance
    )


def expert_human(arrays: GameArrays) -> Float[np.ndarray, "T N S H"]:
    """Demonstration by expert: the human who acts as if alone, the assistant always passing; ties are shared evenly."""
    return best_human(arrays, np.eye(arrays.legal_assistant.shape[1])[np.zeros(len(arrays.initial), int)]).policy


def literal_human(arrays: GameArrays) -> Float[np.ndarray, "T N S H"]:
    """The human who takes the assistant to know theta: evenly among the first halves of the best joint actions.

    P(h | s, θ) is uniform over argmax_h max_a Q*(s, h, a; θ), Q* the value with nothing hidden.
    """
    return full_information(arrays).policy


def full_information(arrays: GameArrays, tolerance: float = 1e-9) -> Reply:
    """What both players reach if the assistant knows theta too, an upper bound of every pair; q is max_a Q*."""
    check_sight(arrays)
    turns = arrays.horizon or 1
    rewards = np.broadcast_to(arrays.rewards, (turns, *arrays.rewards.shape))
    transitions = np.broadcast_to(arrays.transitions, (turns, *arrays.transitions.shape))
    return _reply(arrays, transitions, rewards, arrays.legal_assistant, tolerance)


def human_policies(arrays: GameArrays, human: Numbers) -> Float[np.ndarray, "T N S H"]:
    """A human's policy [N, S, H] or [T, N, S, H] as it counts at each turn: what is not legal is the pass."""
    legal = arrays.legal_human
    return policies("human", human, arrays.horizon, (len(arrays.prior), *legal.shape), legal)


def policies(
    name: str, given: Numbers, horizon: int | None, shape: tuple[int, ...], legal: Bool[np.ndarray, "S K"]
) -> Float[np.ndarray, "T ..."]:
    """A policy of one turn or of every turn, checked, and what is not legal counted as action 0."""
    array = doubles(name, given)
    if array.ndim == len(shape):
        table = distributions(name, numbers(name, array, len(shape), shape))
        table = np.broadcast_to(table, (horizon or 1, *shape))
    else:
        table = distributions(name, numbers(name, array, len(shape) + 1, (horizon or 1, *shape)))
    counted = np.where(legal, table, 0.0)
    counted[..., 0] += np.where(legal, 0.0, table).sum(-1)
    return counted


def _reply(
    arrays: GameArrays,
    transitions: Float[np.ndarray, "T S H K S"],
    rewards: Float[np.ndarray, "T N S H K"],
    legal: Bool[np.ndarray, "S K"],
    tolerance: float,
) -> Reply:
    """Bellman's backup for every theta at once: q(s, h) = max_k [R(s, h, k; θ) + γ Σ_s' T(s' | s, h, k) V(s')]."""

    def sweep(turn: int, value: Float[np.ndarray, "N S"]) -> Float[np.ndarray, "N S H"]:
        q = rewards[turn] + arrays.discount * np.einsum("shkz,nz->nshk", transitions[turn], value)
        q = np.where(legal[:, None, :], q, -np.inf).max(-1)
        return np.where(arrays.legal_human, q, -np.inf)

    value = np.zeros(rewards.shape[1:3])
    if arrays.horizon is None:
        if not tolerance > 0.0:
            raise ValueError(f"The tolerance is {tolerance}; it must be above 0.")
        moved, rate = np.inf, arrays.discount / (1.0 - arrays.discount)
        # Rounding alone moves large values by more than a small tolerance; then there is nothing more to be had.
        while rate * moved > max(tolerance, 1e-14 * rate * np.abs(value).max()):
            after = sweep(0, value).max(-1)
            moved, value = np.abs(after - value).max(), after
        table = sweep(0, value)[None]
    else:
        turns = []
        for turn in reversed(range(arrays.horizon)):
            turns.append(sweep(turn, value))
            value = turns[-1].max(-1)
        table = np.stack(turns[::-1])
    best = table.max(-1, keepdims=True)
    tied = table >= best - TIE * np.maximum(1.0, np.abs(best))
    total = float(np.einsum("n,s,ns->", arrays.prior, arrays.initial, best[0, ..., 0]))
    q = np.where(arrays.legal_human, table, table[..., :1])
    return Reply(total, q, tied / tied.sum(-1, keepdims=True))


def _everywhere(arrays: GameArrays, points: Numbers) -> Beliefs:
    """The same beliefs in every state, the prior among them."""
    beliefs = numbers("points", points, 2)
    if beliefs.shape[1] != len(arrays.prior):
        raise ValueError(f"points has shape {beliefs.shape}; each row holds {len(arrays.prior)} thetas.")
    beliefs = np.vstack([distributions("points", beliefs), arrays.prior])
    return dict.fromkeys(range(len(arrays.initial)), beliefs)


def _layers(arrays: GameArrays, policy: Float[np.ndarray, "T N S H"]) -> list[Beliefs]:
    """The beliefs that can be reached at each turn of a finite horizon."""
    states = reached(arrays)
    layers = [_with_prior(arrays, {}, states[0])]
    for turn, following in enumerate(states[1:]):
        layers.append(_with_prior(arrays, _next_beliefs(arrays, policy[turn], layers[-1]), following))
        size = sum(beliefs.size for beliefs in layers[-1].values())
        if size > MAX_NUMBERS:
            raise ValueError(
                f"The beliefs at turn {turn + 1} take {size:.2g} numbers, more than {MAX_NUMBERS:.2g}; give `points` "
                "(beliefs) to plan for, or use POMCP."
            )
    return layers


def _closure(arrays: GameArrays, policy: Float[np.ndarray, "N S H"]) -> Beliefs:
    """All beliefs that can ever be reached."""
    beliefs = _with_prior(arrays, {}, reached(arrays)[0])
    count = 0
    while count < sum(map(len, beliefs.values())) <= MAX_BELIEFS:
        count = sum(map(len, beliefs.values()))
        after = _next_beliefs(arrays, policy, beliefs)
        beliefs = {s: _distinct([here, after[s]] if s in after else [here]) for s, here in beliefs.items()}
    if count < sum(map(len, beliefs.values())):
        raise ValueError(
            f"Without a horizon more than {MAX_BELIEFS} beliefs can be reached with this human; give a horizon, or "
            "`points` (beliefs) to plan for, or bound `planning.assistance.reduce` with planning.point_based."
        )
    return beliefs


def _next_beliefs(
    arrays: GameArrays, policy: Float[np.ndarray, "N S H"], beliefs: Mapping[int, Float[np.ndarray, "_ N"]]
) -> Beliefs:
    """Where one more choice of the human can lead from these beliefs."""
    found: dict[int, list[np.ndarray]] = {}
    for state, here in beliefs.items():
        legal = arrays.legal_assistant[state]
        for h in np.flatnonzero(arrays.legal_human[state]).tolist():
            weights = here * policy[:, state, h]
            mass = weights.sum(1, keepdims=True)
            after = np.where(mass > 0, weights / np.where(mass > 0, mass, 1.0), here)
            for s in np.flatnonzero((arrays.transitions[state, h, legal] > 0).any(0)).tolist():
                found.setdefault(s, []).append(after)
    return {s: _distinct(parts) for s, parts in found.items()}


def _with_prior(arrays: GameArrays, beliefs: Beliefs, states: Int[np.ndarray, " _"]) -> Beliefs:
    """The beliefs of these states, and the prior for those that have none."""
    return {s: beliefs.get(s, arrays.prior[None]) for s in states.tolist()}


def _distinct(parts: Sequence[Float[np.ndarray, "_ N"]]) -> Float[np.ndarray, "_ N"]:
    """Each belief once, rounding aside."""
    together = np.concatenate(parts)
    return together[np.sort(np.unique(np.round(together, 12) + 0.0, axis=0, return_index=True)[1])]

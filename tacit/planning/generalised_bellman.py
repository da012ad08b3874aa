"""What can a human who knows theta and an assistant who does not reach together? One backup of the pair's plans.

A coordinator who makes plans for a human and an assistant would try every map from theta to the human's action,
|A_H|^|Θ| of them. But the human knows the plan and wants the same, so that the map need not be searched for: given the
plans σ(h, s') that follow, each theta answers best by itself,

    α(θ) = max_h Q_σ(h, θ),   Q_σ(h, θ) = R(s, h, a; θ) + γ Σ_s' T(s' | s, h, a) α_σ(h,s')(θ).

Malik et al. 2018, "An Efficient, Generalized Bellman Update for Cooperative Inverse Reinforcement Learning", arXiv
1806.03820. With a human who is only noisily rational the maximum becomes an expectation, α(θ) = Σ_h π(h | Q_σ(·, θ))
Q_σ(h, θ), where the assistant is committed to σ. Both players see the state, and each other's last action.

Axis letters: N thetas, S states, H the human's legal actions, K plans, B beliefs.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax

from tacit.arrays import GameArrays
from tacit.planning.sweeps import Plans

MAX_NUMBERS = 20_000_000
"""The most numbers that the candidates of one backup may hold."""

MAX_MAPS = 1024
"""The most maps from theta to the human's action that a coordinator may try."""


class Joint(NamedTuple):
    """Candidate plans that share the assistant's action: `which[k, h]` numbers the continuation after h."""

    values: Float[np.ndarray, "K N"]
    which: Int[np.ndarray, "K H"]
    human: Float[np.ndarray, "K N H"]
    formed: int


Keep = Callable[[Float[np.ndarray, "K N"]], Int[np.ndarray, " L"]]
"""Which of these vectors to keep."""

Join = Callable[[Sequence[Float[np.ndarray, "_ N"]], Keep], Joint]
"""Candidates from the values Q(h, θ) of each continuation after each h: how the human chooses."""


def backup(
    arrays: GameArrays, state: int, following: Sequence[Float[np.ndarray, "_ N"]], join: Join, keep: Keep, between: Keep
) -> Plans:
    """The plans from `state`, given the values of the plans that follow in every state.

    `join` says how the human chooses, `keep` which plans are kept, `between` which partial ones (those with the same
    assistant's action that do not yet say what follows all of the human's).
    """
    legal = np.flatnonzero(arrays.legal_human[state]).tolist()
    values, actions, human, rows, formed = [], [], [], [], 0
    for action in np.flatnonzero(arrays.legal_assistant[state]).tolist():
        parts, picks = [], []
        for answer in legal:
            odds = arrays.discount * arrays.transitions[state, answer, action]
            part, picked = _continuations(arrays.rewards[:, state, answer, action], odds, following, between)
            parts.append(part)
            picks.append([{(answer, after): plan for after, plan in row} for row in picked])
        joint = join(parts, between)
        formed += joint.formed
        kept = keep(joint.values)
        values.append(joint.values[kept])
        actions.append(np.full(len(kept), action))
        human.append(joint.human[kept])
        rows += [[picks[h][k] for h, k in enumerate(which)] for which in joint.which[kept]]
    together, chosen, answers = np.concatenate(values), np.concatenate(actions), np.concatenate(human)
    kept = keep(together)
    full = np.zeros((len(kept), len(arrays.prior), arrays.legal_human.shape[1]))
    full[..., legal] = answers[kept]
    merged = tuple({key: plan for part in rows[k] for key, plan in part.items()} for k in kept)
    return Plans(together[kept], chosen[kept], full, merged, formed)


def best_answer(parts: Sequence[Float[np.ndarray, "_ N"]], between: Keep) -> Joint:
    """A rational human: α(θ) = max_h Q_σ(h, θ), so that no map from theta to actions is enumerated."""
    values, which = parts[0], np.arange(len(parts[0]))[:, None]
    for part in parts[1:]:
        first, second = _pairs(len(values), len(part), values.shape[1])
        values, which = np.maximum(values[first], part[second]), np.column_stack([which[first], second])
        if which.shape[1] < len(parts):
            kept = between(values)
            values, which = values[kept], which[kept]
    q = np.stack([part[which[:, h]] for h, part in enumerate(parts)], -1)
    return Joint(values, which, np.eye(len(parts))[q.argmax(-1)], len(values))


def noisy_answer(rationality: float) -> Join:
    """A human with P(h) ∝ exp(rationality · Q_σ(h, θ)): α(θ) = Σ_h P(h) Q_σ(h, θ)."""

    def join(parts: Sequence[Float[np.ndarray, "_ N"]], between: Keep) -> Joint:
        del between  # The expectation is not monotone in Q: a continuation that is worse everywhere may still be best.
        which = _products([len(part) for part in parts], parts[0].shape[1] * len(parts))
        q = np.stack([part[which[:, h]] for h, part in enumerate(parts)], -1)
        human = softmax(rationality * q, -1)
        return Joint((human * q).sum(-1), which, human, len(which))

    return join


def coordinated_answer(parts: Sequence[Float[np.ndarray, "_ N"]], between: Keep) -> Joint:
    """The coordinator's form: every map from theta to the human's action with every choice of continuations."""
    thetas = parts[0].shape[1]
    check_maps(len(parts), thetas)
    values, whiches, human, formed = [], [], [], 0
    which = _products([len(part) for part in parts], thetas * len(parts))
    q = np.stack([part[which[:, h]] for h, part in enumerate(parts)], -1)
    for answers in itertools.product(range(len(parts)), repeat=thetas):
        candidates = q[:, np.arange(thetas), answers]
        formed += len(candidates)
        kept = between(candidates)
        values.append(candidates[kept])
        whiches.append(which[kept])
        human.append(np.broadcast_to(np.eye(len(parts))[list(answers)], (len(kept), thetas, len(parts))))
    return Joint(np.concatenate(values), np.concatenate(whiches), np.concatenate(human), formed)


def check_maps(humans: int, thetas: int) -> None:
    """Refuse a coordinator who would never be done."""
    if humans**thetas > MAX_MAPS:
        raise ValueError(
            f"A coordinator would choose among {humans}^{thetas} maps from theta to the human's action (about 10^"
            f"{thetas * math.log10(humans):.0f}), more than {MAX_MAPS}, with each action of the assistant; use "
            "`cirl.optimal_pair`, whose generalised backup needs none, or POMCP."
        )


def _continuations(
    now: Float[np.ndarray, " N"],
    odds: Float[np.ndarray, " S"],
    following: Sequence[Float[np.ndarray, "_ N"]],
    between: Keep,
) -> tuple[Float[np.ndarray, "_ N"], list[list[tuple[int, int]]]]:
    """Q(θ) of every way to go on after one pair of actions, and which plan it takes in each next state."""
    values, picks = now[None], np.zeros((1, 0), int)
    successors = np.flatnonzero(odds).tolist()
    for after in successors:
        first, second = _pairs(len(values), len(following[after]), len(now))
        values = values[first] + odds[after] * following[after][second]
        picks = np.column_stack([picks[first], second])
        kept = between(values)
        values, picks = values[kept], picks[kept]
    return values, [list(zip(successors, row, strict=True)) for row in picks.tolist()]


def _pairs(first: int, second: int, width: int) -> tuple[Int[np.ndarray, " K"], Int[np.ndarray, " K"]]:
    """All pairs of two index sets."""
    _check_size(first * second, width)
    return np.repeat(np.arange(first), second), np.tile(np.arange(second), first)


def _products(counts: Sequence[int], width: int) -> Int[np.ndarray, "K H"]:
    """All tuples of several index sets."""
    total = 1
    for count in counts:
        total *= count
    _check_size(total, width)
    return np.indices(counts).reshape(len(counts), -1).T


def _check_size(candidates: int, width: int) -> None:
    """Refuse a backup that would not fit in memory."""
    if candidates * width > MAX_NUMBERS:
        raise ValueError(
            f"One exact backup would form {candidates:.2g} plans for {width} values each, more than {MAX_NUMBERS:.2g} "
            "numbers; give `points` (beliefs) to keep only the plans that are best there, or use POMCP."
        )


def keep_all(vectors: Float[np.ndarray, "K N"]) -> Int[np.ndarray, " K"]:
    """Every vector."""
    return np.arange(len(vectors))


def keep_different(vectors: Float[np.ndarray, "K N"]) -> Int[np.ndarray, " L"]:
    """One of each."""
    return np.sort(np.unique(np.round(vectors, 12), axis=0, return_index=True)[1])


def keep_undominated(vectors: Float[np.ndarray, "K N"]) -> Int[np.ndarray, " L"]:
    """The vectors that no single other is at least as good as for every theta."""
    order = keep_different(vectors)
    order = order[np.argsort(-vectors[order].sum(1), kind="stable")]
    kept: list[int] = []
    for index in order:
        if not (vectors[kept] >= vectors[index]).all(1).any():
            kept.append(int(index))
    return np.sort(np.asarray(kept))


def keep_best_at(beliefs: Float[np.ndarray, "B N"]) -> Keep:
    """Vectors of which one is best at each of these beliefs, greedily few."""

    def keep(vectors: Float[np.ndarray, "K N"]) -> Int[np.ndarray, " L"]:
        rows = max(1, MAX_NUMBERS // (4 * len(beliefs)))
        chunks = range(0, len(vectors), rows)
        kept = np.concatenate([start + _cover(vectors[start : start + rows] @ beliefs.T) for start in chunks])
        return kept if len(chunks) == 1 else np.sort(kept[_cover(vectors[kept] @ beliefs.T)])

    return keep


def restrictions(prior: Float[np.ndarray, " N"]) -> Float[np.ndarray, "B N"]:
    """The prior given each set of thetas: every belief that a rational human's choices can lead to."""
    if len(prior) > 16:
        raise ValueError(f"The prior has {len(prior)} thetas and 2^{len(prior)} restrictions; at most 2^16 are listed.")
    sets = np.array(list(itertools.product((1.0, 0.0), repeat=len(prior)))[:-1])
    return sets * prior / (sets @ prior)[:, None]


def _cover(scores: Float[np.ndarray, "K B"]) -> Int[np.ndarray, " L"]:
    """Rows of which one is the largest in each column, rounding aside."""
    slack = 1e-14 * max(1.0, float(np.abs(scores).max()))
    winners, good = scores.argmax(0), scores.max(0) - slack
    kept: list[int] = []
    open_columns = np.ones(scores.shape[1], bool)
    while open_columns.any():
        row = int(winners[np.argmax(open_columns)])
        kept.append(row)
        open_columns &= scores[row] < good
    return np.sort(np.asarray(kept))

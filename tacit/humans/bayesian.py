"""A human who finds out what they like by Bayes' rule, and acts on what they then expect, but never to find out more.

Their memory is what they believe of theta. It starts at the prior and is one of the finitely many beliefs that can be
reached by feeling `patience` things that tell something; then the opinion is settled.
"""

import numpy as np
from jaxtyping import Float, Int

from tacit.arrays import game_arrays
from tacit.core import Game
from tacit.games.asking import feelings
from tacit.games.tabular import TabularGame
from tacit.humans.learning import Learner, choices, learner, tabular
from tacit.planning import discovery, policy_graph
from tacit.planning.assistance import counted

MAX_MEMORIES = 20_000
"""The most beliefs that may be listed."""

MAX_NUMBERS = 10_000_000
"""The most numbers that the table of what is learnt may hold."""

DIGITS = 12
"""Beliefs that agree to so many decimals are one."""


def make(game: Game, rationality: float = 10.0, patience: int = 4, lookahead: int = 2) -> Learner:
    """The learner of a game given by arrays."""
    game = tabular(game)
    if patience < 1:
        raise ValueError(f"The patience is {patience}; an opinion takes at least one feeling.")
    _, feels = feelings(game)
    beliefs, learn = grow(game.arrays.prior, feels, patience)
    guesses = np.einsum("mn,nsha->msha", beliefs, counted(game.arrays)[1])
    start = np.eye(len(beliefs))[0]
    return learner(game, start, choices(game.arrays, guesses, rationality, lookahead), learn)


def far_sighted(game: TabularGame) -> Learner:
    """Someone who finds out what they like as well as can be done alone: the best plan, told by their own feelings.

    The memory is a node of that plan and what was felt since, or the last one, for whom the assistant did something
    else than the plan was made for: they take action 0.
    """
    arrays = tabular(game).arrays
    _, feels = feelings(game)
    states, humans, assistants, feelings_count = feels.shape[1:]
    transitions, rewards = counted(arrays)
    alone = game_arrays(
        transitions[:, :, :1],
        rewards[..., :1],
        arrays.prior,
        arrays.initial,
        game.horizon,
        arrays.discount,
        arrays.sees,
        arrays.legal_human,
    )
    graph = policy_graph.solve(discovery.one_mind(alone, feels[:, :, :, :1]), game.horizon).graph
    nodes = len(graph.actions)
    _, looks = np.unique(arrays.sees, axis=1, return_inverse=True)
    seen = looks.reshape(-1)[:, None] * feelings_count + np.arange(feelings_count)
    # at[m, s] is the node of someone with memory m who sees state s; -1 is off the plan.
    since = np.moveaxis(graph.follow[:, seen], 2, 1).reshape(nodes * feelings_count, states)
    at = np.concatenate([graph.first[seen[None, :, 0]], since, np.full((1, states), -1)])
    choose = np.eye(humans)[np.where(at < 0, 0, graph.actions[at])]
    expected = arrays.legal_assistant[:, None, :] & (np.arange(assistants) > 0)
    expected = ~expected | (
        (arrays.transitions == arrays.transitions[:, :, :1]).all(-1) & (feels == feels[:, :, :, :1]).all((0, -1))
    )
    onward = 1 + at[:, :, None, None, None] * feelings_count + np.arange(feelings_count)
    kept = (at[:, :, None, None, None] >= 0) & expected[None, ..., None]
    return learner(game, np.eye(len(at))[0], choose, np.where(kept, onward, len(at) - 1))


def grow(
    prior: Float[np.ndarray, " N"], feels: Float[np.ndarray, "N S H A F"], patience: int
) -> tuple[Float[np.ndarray, "M N"], Int[np.ndarray, "M S H A F"]]:
    """The beliefs that can be reached, b'(θ) ∝ b(θ) P(f | θ, s, h, a), and which follows which.

    Where a feeling cannot be, the belief stays as it is.
    """
    columns = feels.reshape(len(prior), -1)
    peaks = columns.max(0)
    scaled = np.round(np.divide(columns, peaks, out=np.ones_like(columns), where=peaks > 0), DIGITS)
    likelihoods, which = np.unique(scaled, axis=1, return_inverse=True)
    number = {tuple(np.round(prior, DIGITS)): 0}
    beliefs, follow, frontier = [prior], [], [0]
    for turn in range(patience + 1):
        grown = []
        for index in frontier:
            row = np.full(likelihoods.shape[1], index)
            for column, likelihood in enumerate(likelihoods.T):
                weights = beliefs[index] * likelihood
                if weights.sum() > 0 and turn < patience:
                    posterior = weights / weights.sum()
                    name = tuple(np.round(posterior, DIGITS))
                    if name not in number:
                        number[name] = len(beliefs)
                        grown.append(len(beliefs))
                        beliefs.append(posterior)
                    row[column] = number[name]
            follow.append(row)
            if len(beliefs) > MAX_MEMORIES or len(beliefs) * columns.shape[1] > MAX_NUMBERS:
                raise ValueError(
                    f"More than {len(beliefs)} beliefs can be reached by {patience} feelings, too many to list; "
                    "ask for less patience, or for a game with fewer feelings."
                )
        frontier = grown
    return np.stack(beliefs), np.stack(follow)[:, which.ravel()].reshape(len(beliefs), *feels.shape[1:])

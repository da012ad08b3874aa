"""A human who finds out what they like by Bayes' rule, and acts on what they then expect, but never to find out more.

Their memory is what they believe of theta. It starts at the prior and is one of the finitely many beliefs that can be
reached by feeling `patience` things that tell something; then the opinion is settled.
"""

import numpy as np
from jaxtyping import Float, Int

from tacit.core import Game
from tacit.games.asking import feelings
from tacit.humans.learning import Learner, choices, learner, tabular
from tacit.planning.assistance import counted

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
            if len(beliefs) * columns.shape[1] > MAX_NUMBERS:
                raise ValueError(
                    f"More than {len(beliefs)} beliefs can be reached by {patience} feelings, too many to list in this "
                    "game; ask for less patience, or for a game with fewer feelings."
                )
        frontier = grown
    return np.stack(beliefs), np.stack(follow)[:, which.ravel()].reshape(len(beliefs), *feels.shape[1:])

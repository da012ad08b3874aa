"""A human who finds out what they like by trying: keeps a running estimate of everything, and reads it with noise.

Whatever pays differently for people who want different things is a thing to be tried. The estimate of one is the mean
of what it felt like so far and of one imaginary try at the guess that the prior makes. After `patience` tries of a
thing the opinion of it is settled. After the learners of Chan et al. 2019, arXiv 1901.08654.
"""

import itertools
import math

import numpy as np
from jaxtyping import Float, Int

from tacit.core import Game
from tacit.games.asking import feelings
from tacit.games.tabular import TabularGame
from tacit.humans.learning import Learner, choices, learner, tabular
from tacit.planning.assistance import counted

MAX_NUMBERS = 10_000_000
"""The most numbers that the table of what is learnt may hold."""

KNOWN = -1
"""In place of a thing, where everyone gets the same reward."""


def make(game: Game, rationality: float = 10.0, patience: int = 2, weight: float = 1.0, lookahead: int = 2) -> Learner:
    """The learner of a game given by arrays. `weight` is how many tries the first guess counts for."""
    game = tabular(game)
    if patience < 1:
        raise ValueError(f"The patience is {patience}; an opinion takes at least one try.")
    if not weight > 0.0:
        raise ValueError(f"The weight of the first guess is {weight}; it must be above 0.")
    levels, _ = feelings(game)
    which, guess = things(game)
    count = math.comb(len(levels) + patience, patience) ** len(guess)
    if count * which.size * len(levels) > MAX_NUMBERS:
        raise ValueError(
            f"The {len(guess)} things to try, {len(levels)} feelings and patience {patience} make some "
            f"10^{math.log10(count):.0f} memories, too many to list; ask for less patience, or "
            "for a game with fewer feelings."
        )
    tallies = _tallies(len(levels), patience)
    held = np.array(list(itertools.product(range(len(tallies)), repeat=len(guess))), int)
    estimates = (weight * guess + (tallies @ levels)[held]) / (weight + tallies.sum(1)[held])
    guesses = _fill(game, which, estimates)
    start = np.eye(count)[0]
    return learner(game, start, choices(game.arrays, guesses, rationality, lookahead), _learn(which, tallies, held))


def win_stay_lose_shift(game: Game, lookahead: int = 2) -> Learner:
    """Someone who wants what they just had if it felt better than the middle of the scale, and else anything else."""
    game = tabular(game)
    levels, _ = feelings(game)
    which, guess = things(game)
    won = levels > (levels.min() + levels.max()) / 2
    # Memory 0 has had nothing; 1 + 2k + w is that of thing k, which won or did not.
    wanted = np.concatenate([np.zeros((1, len(guess))), np.kron(np.eye(len(guess)), [[-1.0], [1.0]])])
    learn = np.where(which[..., None] == KNOWN, 0, 1 + 2 * which[..., None] + won)
    stay = (which == KNOWN)[None, ..., None]
    memories = np.arange(len(wanted))[:, None, None, None, None]
    guesses = (
        np.where(which == KNOWN, 0.0, wanted[:, np.maximum(which, 0)]) if len(guess) else np.zeros((1, *which.shape))
    )
    chosen = choices(game.arrays, guesses, np.inf, lookahead)
    return learner(game, np.eye(len(wanted))[0], chosen, np.where(stay, memories, learn))


def things(game: TabularGame) -> tuple[Int[np.ndarray, "S H A"], Float[np.ndarray, " K"]]:
    """Which of the K things to try each turn would be (-1: none), and what the prior expects of each.

    Turns that pay the same, whatever the human wants, are the same thing.
    """
    arrays = game.arrays
    _, rewards = counted(arrays)
    columns = np.moveaxis(rewards, 0, -1)
    legal = arrays.legal_human[:, :, None]
    varies = np.where(legal, (columns != columns[..., :1]).any(-1), False)
    which = np.full(columns.shape[:-1], KNOWN)
    distinct, index = np.unique(columns[varies], axis=0, return_inverse=True)
    which[varies] = index.ravel()
    return which, distinct @ arrays.prior


def _fill(game: TabularGame, which: Int[np.ndarray, "S H A"], estimates: Float[np.ndarray, "M K"]) -> np.ndarray:
    """What each memory expects each turn to pay, [M, S, H, A]."""
    known = counted(game.arrays)[1][0]
    if not estimates.shape[1]:
        return known[None]
    return np.where(which == KNOWN, known, estimates[:, np.maximum(which, 0)])


def _tallies(feelings: int, patience: int) -> Int[np.ndarray, "L F"]:
    """Every count of feelings with at most `patience` tries; the first is empty."""
    tried = [t for size in range(patience + 1) for t in itertools.combinations_with_replacement(range(feelings), size)]
    return np.array([np.bincount(np.array(felt, int), minlength=feelings) for felt in tried])


def _learn(
    which: Int[np.ndarray, "S H A"], tallies: Int[np.ndarray, "L F"], held: Int[np.ndarray, "M K"]
) -> Int[np.ndarray, "M S H A F"]:
    """The memory after each feeling: one more in the tally of what was tried, until that is settled."""
    number = {tuple(tally): index for index, tally in enumerate(tallies.tolist())}
    after = np.empty(tallies.shape, int)
    for index, tally in enumerate(tallies.tolist()):
        for feeling in range(tallies.shape[1]):
            more = tuple(count + (position == feeling) for position, count in enumerate(tally))
            after[index, feeling] = number.get(more, index)
    count, options = held.shape
    place = len(tallies) ** np.arange(options)[::-1]
    # step[m, k, f] is the memory after feeling f of thing k; the last row of things is trying none.
    step = np.arange(count)[:, None, None] + (after[held] - held[:, :, None]) * place[:, None]
    same = np.broadcast_to(np.arange(count)[:, None, None], (count, 1, tallies.shape[1]))
    return np.concatenate([step, same], 1)[:, which]

"""Which of many answers is best, if only a critic can say? A single-elimination tournament: more thought at test time.

Answers of one question meet in pairs, in an even order; the better one by the critic's word goes on, until one is left:
N - 1 verdicts for N answers. Cai and Provilkov 2025, arXiv 2511.21667.
"""

from collections.abc import Sequence

import numpy as np

from tacit.language.game import FIRST, SECOND, Contest, Pair, in_order
from tacit.language.rounds import Judge, labels_of


def tournaments(
    questions: Sequence[str], answers: Sequence[Sequence[str]], judge: Judge, rng: np.random.Generator
) -> list[int]:
    """The index of the winner among each question's answers; all matches of one level are judged at once.

    Who meets whom is drawn, and who is left over when the number is odd goes on unfought. A tie, or a verdict that
    cannot be read, is decided by a coin.
    """
    if len(questions) != len(answers):
        raise ValueError(f"There are {len(questions)} questions, but answers to {len(answers)}.")
    for number, offered in enumerate(answers):
        if not offered:
            raise ValueError(f"Question {number} has no answer to choose from.")
    left: list[list[int]] = [rng.permutation(len(offered)).tolist() for offered in answers]
    while any(len(entrants) > 1 for entrants in left):
        matches = [
            (table, first, second)
            for table, entrants in enumerate(left)
            for first, second in zip(entrants[0:-1:2], entrants[1::2], strict=True)
        ]
        pairs = [
            Pair(questions[table], answers[table][first], answers[table][second]) for table, first, second in matches
        ]
        labels = labels_of(judge(pairs, rng))
        coins = rng.integers(2, size=len(matches))
        # The one left over goes first at the next level, so that nobody is spared twice in a row.
        left = [entrants[len(entrants) - len(entrants) % 2 :] for entrants in left]
        for (table, *both), label, coin in zip(matches, labels, coins, strict=True):
            left[table].append(both[label if label in (FIRST, SECOND) else coin])
    return [int(entrants[0]) for entrants in left]


def win_rate(contests: Sequence[Contest], judge: Judge, rng: np.random.Generator) -> float:
    """Which part of the answers the critic takes for better than the expert's; each contest is judged in both orders.

    A tie, or a verdict that cannot be read, is half a win, so that a critic which looks at places alone says 1/2.
    """
    if not contests:
        raise ValueError("There is no contest to judge.")
    places = np.tile([FIRST, SECOND], len(contests))
    pairs = [in_order(contest, place) for contest in contests for place in (FIRST, SECOND)]
    labels = labels_of(judge(pairs, rng))
    return float(np.mean(np.where(labels == 1 - places, 1.0, np.where(labels == places, 0.0, 0.5))))

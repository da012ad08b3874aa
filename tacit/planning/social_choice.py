"""What should be done for several people who want different things, and who gains by saying something untrue?

A rule scores the arms by what people report and takes the best, the first of equals. Cardinal reports are utilities in
[0, 1]; Borda and approval read the same numbers as a ranking and as a set. No rule over three arms or more is proof
against misreports unless one person dictates: Gibbard 1973; Satterthwaite 1975.
Axis letters: P people, K arms. Borda 1784; Nash 1950; Brams and Fishburn 1978.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

Reports = Float[np.ndarray, "*B P K"]
Scores = Float[np.ndarray, "*B K"]

TIE = 1e-12
"""Scores that differ by less are equal."""


class Rule(NamedTuple):
    """`scores(reports)` of the arms, and `favour(standing, arm)`: what to report for `arm` to win if anything helps.

    `standing` are the others' scores.
    """

    scores: Callable[[Reports], Scores]
    favour: Callable[[Float[np.ndarray, " K"], int], Float[np.ndarray, " K"]]


class Misreport(NamedTuple):
    """Who gains by what report, what it makes the rule choose, and by how much it is better for them."""

    person: int
    report: Float[np.ndarray, " K"]
    arm: int
    gain: float


def utilitarian(reports: Reports) -> Scores:
    """The sum of the utilities."""
    return reports.sum(-2)


def nash(reports: Reports) -> Scores:
    """The product of the utilities."""
    return reports.prod(-2)


def maximin(reports: Reports) -> Scores:
    """The utility of whoever is worst off."""
    return reports.min(-2)


def borda(reports: Reports) -> Scores:
    """For each person, how many arms are worse; half for those as good."""
    return (stats.rankdata(reports, axis=-1) - 1.0).sum(-2)


def approval(reports: Reports) -> Scores:
    """How many people hold the arm for better than the mean of all arms."""
    return (reports > reports.mean(-1, keepdims=True) + TIE).sum(-2).astype(np.float64)


def only(standing: Float[np.ndarray, " K"], arm: int) -> Float[np.ndarray, " K"]:
    """All for one arm and nothing for any other."""
    return np.eye(len(standing))[arm]


def bury(standing: Float[np.ndarray, " K"], arm: int) -> Float[np.ndarray, " K"]:
    """The arm first, then its rivals, the weaker the better placed; of equals, who would win a tie comes last."""
    rivals = [rival for rival in np.lexsort((-np.arange(len(standing)), standing)) if rival != arm]
    places = np.empty(len(standing))
    places[[arm, *rivals]] = np.arange(len(standing) - 1, -1, -1)
    return places / max(len(standing) - 1, 1)


RULES = {
    "utilitarian": Rule(utilitarian, only),
    "nash": Rule(nash, only),
    "maximin": Rule(maximin, only),
    "borda": Rule(borda, bury),
    "approval": Rule(approval, only),
}


def choose(rule: Rule, reports: Reports) -> np.ndarray:
    """The arm with the best score, the first of equals."""
    scores = rule.scores(reports)
    return np.asarray(np.argmax(scores >= scores.max(-1, keepdims=True) - TIE, axis=-1))


def misreport(rule: Rule, utilities: Float[np.ndarray, "P K"], person: int) -> Misreport | None:
    """The report by which `person` gains most if everybody else is honest, or None if honesty is best.

    For each arm there is one report that makes it win if any (strict, for Borda) does; K of them are tried.
    """
    check(utilities)
    honest = int(choose(rule, utilities))
    standing = rule.scores(np.delete(utilities, person, 0)) if len(utilities) > 1 else np.zeros(utilities.shape[1])
    found = None
    for arm in range(utilities.shape[1]):
        gain = float(utilities[person, arm] - utilities[person, honest])
        if gain <= (found.gain if found else TIE):
            continue
        reports = utilities.copy()
        reports[person] = rule.favour(standing, arm)
        if int(choose(rule, reports)) == arm:
            found = Misreport(person, reports[person], arm, gain)
    return found


def check(utilities: Float[np.ndarray, "P K"]) -> None:
    """Refuse what is no table of utilities between 0 and 1."""
    if utilities.ndim != 2 or 0 in utilities.shape:
        raise ValueError(
            f"utilities has shape {utilities.shape}; it must have a row for each person, a column for each arm."
        )
    wrong = ~((utilities >= 0.0) & (utilities <= 1.0))
    if wrong.any():
        person, arm = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"utilities[{person}, {arm}] is {utilities[person, arm]:g}; it must lie between 0 and 1.")

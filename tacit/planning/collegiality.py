"""Do several people show honestly what they like, when a machine will act on what it saw of all of them?

In the bandit apprentice game each of P people first pulls an arm of their own for T1 rounds and earns by it; then the
machine, which infers everybody's utilities from the pulls, pulls one arm for T2 rounds for all. To pull another arm
than one's best may win the machine over, and costs T1 rounds of less: the game is *collegial* where that does not pay.
Fickinger et al. 2020, "Multi-Principal Assistance Games", arXiv 2007.09540 and 2012.14536.
Axis letters: P people, K arms. `ratio` is T2 / T1; payoffs are per round of the first phase.
"""

import itertools
import math

import numpy as np
from jaxtyping import Float, Int

from tacit.planning.social_choice import TIE, Rule, check, choose

MAX_PROFILES = 5_000_000
"""The most profiles of pulls that are listed."""


def inferred(pulls: Int[np.ndarray, "*B P"], num_arms: int) -> Float[np.ndarray, "*B P K"]:
    """E[u | the arm pulled is the best], for utilities even on [0, 1]: K/(K+1) for it, half that for others."""
    best = num_arms / (num_arms + 1)
    return np.where(pulls[..., None] == np.arange(num_arms), best, best / 2)


def served(rule: Rule, pulls: Int[np.ndarray, "*B P"], num_arms: int) -> Int[np.ndarray, "*B"]:
    """The arm that the machine pulls after it saw `pulls`."""
    return choose(rule, inferred(pulls, num_arms))


def payoffs(
    rule: Rule, utilities: Float[np.ndarray, "P K"], pulls: Int[np.ndarray, "*B P"], ratio: float
) -> Float[np.ndarray, "*B P"]:
    """u_i(a_i) + T2/T1 · u_i(f(a)): what each person earns in both phases."""
    people = np.arange(len(utilities))
    return utilities[people, pulls] + ratio * utilities.T[served(rule, pulls, utilities.shape[1])]


def equilibria(rule: Rule, utilities: Float[np.ndarray, "P K"], ratio: float) -> Int[np.ndarray, "E P"]:
    """Every profile of pulls from which nobody gains by changing their own alone: the pure Nash equilibria."""
    check(utilities)
    people, arms = utilities.shape
    _check_profiles(arms**people)
    pulls = np.array(list(itertools.product(range(arms), repeat=people)))
    earned = payoffs(rule, utilities, pulls, ratio).reshape(*[arms] * people, people)
    stable = np.ones(earned.shape[:-1], bool)
    for person in range(people):
        own = earned[..., person]
        stable &= own >= own.max(axis=person, keepdims=True) - TIE
    return pulls[stable.ravel()]


def threshold(rule: Rule, utilities: Float[np.ndarray, "P K"]) -> float:
    """The largest T2/T1 at which pulling one's best arm is dominant for all; infinity if nothing is ever to be won.

    Dominant for i: (u_i(a*) - u_i(a)) ≥ ratio · (u_i(f(a, a_-i)) - u_i(f(a*, a_-i))) for all a and all a_-i. The rules
    do not ask who pulled what, so that only the numbers of pulls of each arm are gone through.
    """
    check(utilities)
    people, arms = utilities.shape
    _check_profiles(math.comb(people + arms - 2, arms - 1))
    others = np.array(list(itertools.combinations_with_replacement(range(arms), people - 1)), int)
    others = others.reshape(-1, people - 1)
    outcome = np.stack(
        [served(rule, np.column_stack([np.full(len(others), arm), others]), arms) for arm in range(arms)]
    )
    lowest = math.inf
    for own in utilities:
        best = int(own.argmax())
        gains = own[outcome] - own[outcome[best]]
        costs = np.broadcast_to((own[best] - own)[:, None], gains.shape)
        tempting = gains > TIE
        if tempting.any():
            lowest = min(lowest, float((costs[tempting] / gains[tempting]).min()))
    return lowest


def _check_profiles(count: int) -> None:
    """Refuse to list what would not fit in memory."""
    if count > MAX_PROFILES:
        raise ValueError(
            f"There are {count:.2g} profiles of pulls, more than {MAX_PROFILES:.2g}; take fewer people or arms."
        )

"""Tasting: a guest orders, a cook serves, and nobody knows yet what the guest likes, the guest included.

There is the usual dish, which is all right for everyone, and there are dishes that this guest has never had: each is
loved by some people and not by most, so that, knowing no more, one orders the usual. In every round the guest orders (a
turn in which the cook passes), the cook serves what was ordered (passes) or something else, and the guest alone knows
how it tasted. Theta says which of the new dishes the guest loves. After Chan et al. 2019, arXiv 1901.08654.
"""

import itertools
import math

import numpy as np

from tacit.games.asking import FeltGame, make_asking

USUAL = 0
"""The option that everyone has had."""


def make(
    num_new: int = 2,
    num_rounds: int = 4,
    usual: float = 0.5,
    loved: float = 0.9,
    other: float = 0.1,
    share: float = 0.4,
) -> FeltGame:
    """How often each dish tastes good: the usual, a new one that the guest loves (as a `share` do), and another."""
    if num_new < 1:
        raise ValueError(f"num_new is {num_new}; there is at least one new dish.")
    for name, chance in (("usual", usual), ("loved", loved), ("other", other)):
        if not 0.0 <= chance <= 1.0:
            raise ValueError(f"{name} is {chance}; a probability lies between 0 and 1.")
    if not 0.0 < share < 1.0:
        raise ValueError(f"share is {share}; it must lie between 0 and 1, so that nobody knows who loves what.")
    palates = list(itertools.product((False, True), repeat=num_new))
    good = [[[usual, *(loved if loves else other for loves in palate)]] for palate in palates]
    prior = [math.prod(share if loves else 1.0 - share for loves in palate) for palate in palates]
    return make_asking(np.ones((1, 1 + num_new, 1)), good, prior, [1.0], num_rounds, scale=(0.0, 1.0))

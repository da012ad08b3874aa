"""What is it worth to let a human decide, who knows better but errs?

A plan is worth U to the human. Carried out, it is worth E[U]; dropped, 0; left to a human who lets it go on with
probability π(U), E[π(U) U]. Waiting is worth the difference to the best of the other two,

    Δ = E[π(U) U] - max(E[U], 0),

and with a rational human never less than nothing. Hadfield-Menell, Dragan, Abbeel and Russell 2017, "The Off-Switch
Game", arXiv 1611.08219, equation 1 and theorem 1. Rationality is in nats per unit of utility: the paper's 1 / β.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import integrate, optimize, special, stats

from tacit.arrays import Numbers, distributions, numbers

Function = Callable[[Float[np.ndarray, "*K"]], Float[np.ndarray, "*K"]]
"""A function of U, entry by entry."""

Expect = Callable[[Function], float]
"""A belief over U, as what it expects of a function: E[f(U)]."""

FAR = 12.0
"""A Gaussian is followed this many standard deviations out; beyond lies 1e-32 of it."""


class Deference(NamedTuple):
    """What each of the three choices is worth, and Δ, by how much waiting is better than the best of the others."""

    wait: float
    act: float
    switch_off: float
    delta: float


def discrete(utilities: Numbers, probabilities: Numbers) -> Expect:
    """A belief in finitely many utilities."""
    values = numbers("utilities", utilities, 1)
    weights = distributions("probabilities", numbers("probabilities", probabilities, 1, values.shape))
    return lambda f: float(weights @ f(values))


def samples(utilities: Numbers) -> Expect:
    """A belief given by samples, each as likely."""
    values = numbers("utilities", utilities, 1)
    return lambda f: float(f(values).mean())


def gaussian(mean: float, deviation: float) -> Expect:
    """The belief N(mean, deviation²), by adaptive quadrature on both sides of 0, where a rational human turns round."""
    _check_deviation(deviation)
    low, high = mean - FAR * deviation, mean + FAR * deviation
    breaks = [low, *(point for point in (0.0, mean) if low < point < high), high]

    pieces = list(itertools.pairwise(sorted(breaks)))

    def expect(f: Function) -> float:
        # A function with a jump at 0 takes its limit there: the ends of the pieces are never asked for.
        weighted = lambda utility: float(f(np.asarray(utility)) * stats.norm.pdf(utility, mean, deviation))  # noqa: E731
        return sum(integrate.quad(weighted, *piece, epsabs=1e-13, epsrel=1e-12, limit=400)[0] for piece in pieces)

    return expect


def human(rationality: float) -> Function:
    """π(U) = 1 / (1 + exp(-rationality · U)); with rationality infinity, whether U > 0."""
    if not rationality >= 0.0:
        raise ValueError(f"The rationality is {rationality}; it must be at least 0.")
    if math.isinf(rationality):
        return lambda utility: (utility > 0.0).astype(np.float64)
    return lambda utility: special.expit(rationality * utility)


def defer(expect: Expect, allows: Function) -> Deference:
    """What waiting, acting and switching off are worth under a belief and a human who lets U go on as `allows` says."""
    wait, act = expect(lambda utility: allows(utility) * utility), expect(lambda utility: utility)
    return Deference(wait, act, 0.0, wait - max(act, 0.0))


def gaussian_delta(mean: float, deviation: float, rationality: float) -> float:
    """Δ of a Gaussian belief by Stein's lemma: σ² E[π'(U)] - |μ| P(C), C that the human overrules the assistant.

    Hadfield-Menell et al. 2017, theorem 2. With a rational human it is closed: σ φ(μ/σ) - |μ| Φ(-|μ|/σ).
    """
    _check_deviation(deviation)
    if math.isinf(rationality):
        gap = abs(mean) / deviation
        return float(deviation * stats.norm.pdf(gap) - abs(mean) * stats.norm.cdf(-gap))
    expect, allows = gaussian(mean, deviation), human(rationality)
    slope = expect(lambda utility: rationality * allows(utility) * allows(-utility))
    allowed = expect(allows)
    return deviation**2 * slope - abs(mean) * (1.0 - allowed if mean >= 0 else allowed)


def indifference(deviation: float, rationality: float) -> float:
    """The |μ| of a Gaussian belief at which waiting and deciding are worth the same, found by root search on Δ.

    It is rationality · σ² / 2: there the integrand of E[π(U) U] - E[U] is odd. Waiting pays below it, not above.
    """
    if not 0.0 < rationality < math.inf:
        raise ValueError(f"The rationality is {rationality}; for such a line it must be positive and finite.")
    allows = human(rationality)

    def delta(mean: float) -> float:
        return defer(gaussian(mean, deviation), allows).delta

    high = deviation
    while delta(high) > 0.0:
        high *= 2.0
        if high > FAR / 2 * deviation:
            raise ValueError(
                f"With deviation {deviation:g} and rationality {rationality:g} waiting pays up to means so far out "
                "that doubles cannot tell where it ends; rationality times deviation should be below 8."
            )
    return float(optimize.root_scalar(delta, bracket=(0.0, high), xtol=1e-12).root)


def _check_deviation(deviation: float) -> None:
    """A Gaussian needs a width."""
    if not 0.0 < deviation < math.inf:
        raise ValueError(f"The standard deviation is {deviation}; it must be positive and finite.")

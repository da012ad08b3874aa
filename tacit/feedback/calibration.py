"""Do beliefs mean what they say? Simulation-based calibration of any questions, or any mixture of them.

Draw theta from the prior, let someone who wants it answer, and see where theta lies in the belief that follows: if the
rule that answers and the rule that learns are one, its rank is uniform on [0, 1]. Talts et al. 2018, "Validating
Bayesian Inference Algorithms with Simulation-Based Calibration", arXiv 1804.06788, theorem 1.
Axis letters: B simulations, N hypotheses.
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Key
from scipy import stats

from tacit.beliefs.exact import ExactBelief
from tacit.core import Question, Theta
from tacit.feedback import choice
from tacit.feedback.choice import Rationality


@eqx.filter_jit
def ranks(
    prior: ExactBelief,
    questions: Sequence[Question],
    answering: Rationality,
    learning: Rationality,
    statistic: Callable[[Theta], Float[Array, ""]],
    keys: Key[Array, " B"],
) -> Float[Array, " B"]:
    """The rank of statistic(θ) in the belief after every question was answered, once for each key.

    Answers are given with the rationality `answering` and taken to be given with `learning`. The rank is P(f < f*) plus
    an even draw of P(f = f*), so that it is uniform for hypotheses that are listed, too.
    """

    def one(key: Key[Array, ""]) -> Float[Array, ""]:
        theta_key, rank_key, *answer_keys = jax.random.split(key, 2 + len(questions))
        theta, belief = prior.sample(theta_key), prior
        for question, answer_key in zip(questions, answer_keys, strict=True):
            given = choice.answer(question, theta, answering, answer_key)
            belief = choice.learn(belief, question, given, learning)
        truth = statistic(theta)
        below = belief.expect(lambda other: (statistic(other) < truth).astype(truth.dtype))
        level = belief.expect(lambda other: (statistic(other) == truth).astype(truth.dtype))
        return below + jax.random.uniform(rank_key, dtype=truth.dtype) * level

    return jax.vmap(one)(keys)


def p_value(ranks: Float[Array, " B"], num_bins: int = 20) -> float:
    """How likely ranks that are uniform would be to spread at least so unevenly over the bins: Pearson's chi-square."""
    if len(ranks) < 5 * num_bins:
        raise ValueError(f"There are {len(ranks)} ranks for {num_bins} bins; each bin needs five or more.")
    counts, _ = np.histogram(np.asarray(ranks), bins=num_bins, range=(0.0, 1.0))
    return float(stats.chisquare(counts).pvalue)

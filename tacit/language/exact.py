"""Where does the game lead when the critic is as good as can be? Values in closed form, for answers that can be listed.

An expert draws its answer from e, the policy from π. Beside answers a and b in even order, Bayes' rule says

    P(expert first | a, b) = e(a) π(b) / (e(a) π(b) + π(a) e(b)),

so a critic can do no better than `best_reply` to that. At π = e it is 1/2 everywhere: every pair is a tie, the policy
earns τ_policy, and as a wrong label comes with a chance of 1 - τ_critic < τ_policy at most, no policy earns more. It is
not the only best one: nothing is lost while e/π differs between any two answers by less than τ_critic / (1 - τ_critic).
Axis letters: A answers.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tacit.language.game import FIRST, SECOND, TIE, Rules, best_reply


class Values(NamedTuple):
    """What both roles earn on average, how the policy's reward varies, and how often the critic says tie."""

    policy: float
    critic: float
    policy_variance: float
    tie_rate: float


def chance_first(expert: Float[np.ndarray, " A"], policy: Float[np.ndarray, " A"]) -> Float[np.ndarray, "A A"]:
    """P(the first answer is the expert's | answers a, b): a down, b across; 1/2 for pairs that never occur."""
    ahead = _normal(expert, "expert")[:, None] * _normal(policy, "policy")[None, :]
    both = ahead + ahead.T
    return np.divide(ahead, both, out=np.full_like(both, 0.5), where=both > 0.0)


def pairwise(expert: Float[np.ndarray, " A"], policy: Float[np.ndarray, " A"], rules: Rules) -> Values:
    """The values of the game against the best critic of pairs."""
    first = chance_first(expert, policy)
    weights = expert[:, None] * policy[None, :]
    weights = (weights + weights.T) / 2
    labels = best_reply(first, rules)
    tie = labels == TIE
    right = np.where(labels == FIRST, first, np.where(labels == SECOND, 1.0 - first, 0.0))
    wrong = np.where(tie, 0.0, 1.0 - right)
    earned, squared = wrong + rules.tau_policy * tie, wrong + rules.tau_policy**2 * tie
    mean = float((weights * earned).sum())
    return Values(
        policy=mean,
        critic=float((weights * (right + rules.tau_critic * tie)).sum()),
        policy_variance=float((weights * squared).sum()) - mean**2,
        tie_rate=float((weights * tie).sum()),
    )


def single(expert: Float[np.ndarray, " A"], policy: Float[np.ndarray, " A"]) -> Values:
    """The same where the critic sees one answer and says whose it is, as in GAIL (Ho and Ermon 2016, arXiv 1606.03476).

    The policy earns 1 when it is taken for the expert. At π = e the critic can only guess, and so the reward is a coin.
    """
    believed = _normal(expert, "expert") / np.maximum(expert + _normal(policy, "policy"), np.finfo(float).tiny)
    # Where nothing can be told, an even guess.
    says_expert = np.where(believed > 0.5, 1.0, np.where(believed < 0.5, 0.0, 0.5))
    fooled = float(policy @ says_expert)
    caught = float(expert @ says_expert + policy @ (1.0 - says_expert)) / 2
    return Values(fooled, caught, fooled * (1.0 - fooled), 0.0)


def closeness(expert: Float[np.ndarray, " A"], policy: Float[np.ndarray, " A"]) -> float:
    """By which factor e/π differs at most between two answers that occur: 1 for the expert itself."""
    occurring = (_normal(expert, "expert") > 0.0) | (_normal(policy, "policy") > 0.0)
    with np.errstate(divide="ignore"):
        ratios = expert[occurring] / policy[occurring]
    return float(np.divide(ratios.max(), ratios.min())) if ratios.min() > 0.0 else float("inf")


def _normal(chances: Float[np.ndarray, " A"], name: str) -> Float[np.ndarray, " A"]:
    """`chances`, which must be a distribution."""
    if not (np.isfinite(chances).all() and (chances >= 0.0).all() and abs(chances.sum() - 1.0) < 1e-9):
        raise ValueError(f"The chances of the {name}'s answers must be at least 0 and sum to 1.")
    return chances

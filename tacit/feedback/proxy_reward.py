"""Which reward would you write down? A proxy that does well where it was tried, though it may be wrong elsewhere.

A designer hands over one of K proxy rewards w̃ after seeing what the agent that optimises it does in a training world:

    P(w̃ | w) = exp(rationality · w · φ(w̃)) / Z(w),   Z(w) = Σ_w̃' exp(rationality · w · φ(w̃')),

with φ(w̃) that agent's expected feature counts. Read backwards it says what the designer wants, w, no further than
the training world can tell: a feature that no proxy's agent ever met keeps its prior. Hadfield-Menell, Milli, Abbeel,
Russell and Dragan 2017, "Inverse Reward Design", arXiv 1711.02827, equations 3 and 4.

A proxy is an option of a question like any other, so `choice` holds the exact rule. To plan for every proxy can be too
much; the functions here with other normalisers plan for fewer. Asking which of a few proxies does best, chosen to tell
the most, is active inverse reward design: Mindermann, Shah, Gleave and Hadfield-Menell 2018, arXiv 1809.03060.
Axis letters: K proxies, M sampled ones, N hypotheses, D features, C menus (of K proxies each).
"""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.arrays import Numbers
from tacit.beliefs.exact import ExactBelief
from tacit.core import Question
from tacit.feedback import choice
from tacit.feedback.choice import Rationality
from tacit.planning.feature_world import (
    FeatureWorld,
    feature_counts,
    feature_world,
    optimal_policies,
    soft_policies,
    visits,
    weight_vectors,
)
from tacit.planning.occupancy import soft_policy
from tacit.planning.occupancy import visits as soft_visits


class ProxyReward(Question):
    """Which of K proxies to hand over. Theta is a weight vector, and `counts` what each proxy's agent collects."""

    counts: Float[Array, "K D"]

    def values(self, theta: Float[Array, " D"]) -> Float[Array, " K"]:
        """What each proxy's agent earns in training: θ · φ(w̃)."""
        return self.counts @ theta


def make(world: FeatureWorld, proxies: Numbers | Array) -> ProxyReward:
    """The question which of `proxies` (K x D weight vectors, at least two) does best in the training world."""
    rows = weight_vectors("proxies", proxies, world)
    if len(rows) < 2:
        raise ValueError(f"proxies has {len(rows)} row; a choice needs at least two.")
    return ProxyReward(jnp.asarray(feature_counts(world, rows)))


def example(key: Key[Array, ""]) -> tuple[ProxyReward, Float[Array, "N D"]]:
    """Four proxies for a random world of three states, and five weight vectors that someone might have."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    world = feature_world(rng.dirichlet(np.ones(3), (3, 2)), rng.normal(size=(3, 2, 2)), np.ones(3) / 3, horizon=4)
    return make(world, rng.normal(size=(4, 2))), jnp.asarray(rng.normal(size=(5, 2)), jnp.zeros(()).dtype)


# What a proxy says of every hypothesis: log P(w̃ | w), exactly and by three stand-ins for Z.


def exact_log_likelihood(
    question: ProxyReward, given: int, hypotheses: Float[Array, "N D"], rationality: Rationality
) -> Float[Array, " N"]:
    """Log P(w̃ | w) with Z summed over every proxy: the one rule of `choice`."""
    return choice.log_likelihoods(question, hypotheses, rationality)[:, given]


@jax.jit
def sampled_log_likelihood(
    chosen: Float[Array, " D"],
    others: Float[Array, "M D"],
    expected: Float[Array, " M"],
    hypotheses: Float[Array, "N D"],
    rationality: Rationality,
) -> Float[Array, " N"]:
    """Log P(w̃ | w) with Z ≈ exp(β w·φ(w̃)) + Σ_m exp(β w·φ_m) / e_m, from a sample of the other proxies.

    `others` are the feature counts of those drawn and `expected` how often each was to be drawn (e_m, its probability
    if none is drawn twice), however that was done: so the estimate of Z is unbiased (Horvitz and Thompson 1952), and
    exact if all are drawn. Only those drawn need planning.
    """
    mine = rationality * (hypotheses @ chosen)
    rest = rationality * (hypotheses @ others.T) - jnp.log(expected)[None]
    return mine - jax.nn.logsumexp(jnp.concatenate([mine[:, None], rest], axis=1), axis=1)


def draw_others(
    num_proxies: int, given: int, num_drawn: int, key: Key[Array, ""]
) -> tuple[Int[Array, " M"], Float[Array, " M"]]:
    """Some of the proxies that were not given, all as likely and none twice; and how often each was to be drawn."""
    if not 1 <= num_drawn < num_proxies:
        raise ValueError(f"num_drawn is {num_drawn}; there are {num_proxies - 1} other proxies, of which at least 1.")
    others = jax.random.permutation(key, num_proxies - 1)[:num_drawn]
    return jnp.where(others < given, others, others + 1), jnp.full(num_drawn, num_drawn / (num_proxies - 1))


def maxent_log_likelihood(
    world: FeatureWorld, chosen: Float[Array, " D"], hypotheses: Float[Array, "N D"], rationality: float
) -> Float[Array, " N"]:
    """Log P(w̃ | w) with Z(w) = Σ_ξ exp(β w·φ(ξ)), over every trajectory instead of every proxy's agent.

    One soft backup stands in for planning with each proxy. Where the world has chance, Z is the soft value of maximum
    causal entropy (Ziebart 2010, chapter 5).
    """
    arrays = (jnp.asarray(x, hypotheses.dtype) for x in (world.transitions, world.features, world.initial))
    soft = _soft_value(*arrays, jnp.asarray(world.legal), hypotheses, rationality, world.horizon)
    return rationality * (hypotheses @ chosen) - soft


@functools.partial(jax.jit, static_argnames="horizon")
def _soft_value(
    transitions: Float[Array, "S A S"],
    features: Float[Array, "S A D"],
    initial: Float[Array, " S"],
    legal: Bool[Array, "S A"],
    hypotheses: Float[Array, "N D"],
    rationality: Rationality,
    horizon: int,
) -> Float[Array, " N"]:
    """Log Z(w): what the soft policy expects to earn, times rationality, and its entropy."""

    def one(theta: Float[Array, " D"]) -> Float[Array, ""]:
        rewards = features @ theta
        log_policy = soft_policy(transitions, rewards, legal, horizon, rationality)
        often = soft_visits(transitions, initial, jnp.exp(log_policy))
        gains = rationality * rewards[None] - jnp.where(often > 0.0, log_policy, 0.0)
        return jnp.sum(often * gains)

    return jax.vmap(one)(hypotheses)


def demonstration_log_likelihood(
    world: FeatureWorld, proxy: Numbers | Array, hypotheses: Float[Array, "N D"], rationality: float
) -> Float[Array, " N"]:
    """The reading of Bayesian IRL: what the proxy's agent does is a demonstration, E[Σ_t log π_w(a_t | s_t)].

    π_w(a | s) ∝ exp(rationality · Q_w(s, a)): each action is judged beside the others at hand, so there is no Z over
    proxies, and no account of what the designer could have written. Ramachandran and Amir 2007, equation 3.
    """
    shown = visits(world, optimal_policies(world, weight_vectors("proxy", np.asarray(proxy)[None], world)))
    log_policies = soft_policies(world, weight_vectors("hypotheses", np.asarray(hypotheses), world), rationality)
    likely = (shown * np.where(shown > 0.0, log_policies, 0.0)).sum((0, 2, 3))
    return jnp.asarray(likely, hypotheses.dtype)


# Which proxies to ask about next.


def narrow(question: ProxyReward, menu: Int[Array, " K"]) -> ProxyReward:
    """The same question about the proxies of `menu` alone."""
    return ProxyReward(question.counts[menu])


@eqx.filter_jit
def information_gains(
    belief: ExactBelief, question: ProxyReward, menus: Int[Array, "C K"], rationality: Rationality
) -> Float[Array, " C"]:
    """How much the answer to each menu would tell about theta, in nats."""
    return jax.vmap(lambda menu: choice.information_gain(belief, narrow(question, menu), rationality))(menus)


def best_menu(belief: ExactBelief, question: ProxyReward, size: int, rationality: Rationality) -> Int[Array, " K"]:
    """A menu of `size` proxies that tells much: the best pair, and then one by one the proxy that adds the most."""
    proxies = len(question.counts)
    if not 2 <= size <= proxies:
        raise ValueError(
            f"A menu of {size} cannot be had; there are {proxies} proxies, and a choice needs at least two."
        )
    menus = jnp.array(list(itertools.combinations(range(proxies), 2)))
    menu = menus[jnp.argmax(information_gains(belief, question, menus, rationality))]
    while len(menu) < size:
        rest = jnp.delete(jnp.arange(proxies), menu)
        menus = jnp.concatenate([jnp.tile(menu, (len(rest), 1)), rest[:, None]], axis=1)
        menu = menus[jnp.argmax(information_gains(belief, question, menus, rationality))]
    return menu

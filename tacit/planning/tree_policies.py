"""Which candidate does a tree search try next, and what does it conclude? PUCT, and Gumbel with sequential halving.

A `TreePolicy` looks at one node's statistics and names one of its K candidates, by number ("slot"). A candidate whose
logit is -inf is never named. PUCT: Silver et al. 2018, "A general reinforcement learning algorithm that masters chess,
shogi, and Go through self-play". Gumbel: Danihelka et al. 2022, "Policy improvement by planning with Gumbel".
Axis letters: K candidates.
"""

import abc
import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

TINY = float(np.finfo(np.float32).tiny)


class Statistics(NamedTuple):
    """What the search knows of a node s. Candidates that were never tried have N(s, a) = 0 and Q(s, a) = 0."""

    logits: Float[Array, " K"]
    """Of the prior P(s, a) = softmax(logits)."""
    visits: Int[Array, " K"]
    """N(s, a)."""
    values: Float[Array, " K"]
    """Q(s, a): the mean return of the simulations that tried a here, its reward included."""
    num_visits: Int[Array, ""]
    """N(s) = 1 + Σ_a N(s, a): the first visit is the one that made the node."""
    value: Float[Array, ""]
    """V(s): the mean return of all of these, that of the first visit being the model's value."""
    raw_value: Float[Array, ""]
    """The model's value."""
    bounds: Float[Array, "2"]
    """The least and the greatest of these returns."""
    tree_bounds: Float[Array, "2"]
    """The same of all nodes of the tree."""


Transform = Callable[[Statistics], Float[Array, " K"]]
"""Brings the values of a node's candidates to a scale on which they can be weighed against the prior."""


def by_siblings(node: Statistics) -> Float[Array, " K"]:
    """(Q - min) / (max - min), the extremes over Q(s, ·) and V(s); 0 if never tried (Schrittwieser et al. 2020)."""
    known = jnp.where(node.visits > 0, node.values, node.value)
    low, high = jnp.minimum(known.min(), node.value), jnp.maximum(known.max(), node.value)
    return jnp.where(node.visits > 0, (node.values - low) / jnp.maximum(high - low, 1e-8), 0.0)


def by_returns(node: Statistics) -> Float[Array, " K"]:
    """(Q - min) / max(max - min, 0.01), the extremes over this node's returns; V(s) if never tried.

    Laidlaw et al. 2025, "AssistanceZero", as in the authors' code.
    """
    return _between(jnp.where(node.visits > 0, node.values, node.value), node.bounds)


def by_tree(node: Statistics) -> Float[Array, " K"]:
    """(Q - min) / max(max - min, 0.01), the extremes over the returns of the whole tree; V(s) if never tried."""
    return _between(jnp.where(node.visits > 0, node.values, node.value), node.tree_bounds)


def _between(values: Float[Array, " K"], bounds: Float[Array, "2"]) -> Float[Array, " K"]:
    return (values - bounds[0]) / jnp.maximum(bounds[1] - bounds[0], 0.01)


class TreePolicy(eqx.Module):
    """How to choose in the tree, how to explore at its root, and what to conclude in the end."""

    @abc.abstractmethod
    def draw(self, logits: Float[Array, " K"], key: Key[Array, ""]) -> Float[Array, " K"]:
        """The noise of one search at its root, whose prior is softmax(logits)."""

    @abc.abstractmethod
    def stir(self, logits: Float[Array, " K"], noise: Float[Array, " K"]) -> Float[Array, " K"]:
        """The logits that the root has in the search."""

    @abc.abstractmethod
    def at_root(self, root: Statistics, noise: Float[Array, " K"], num_simulations: int) -> Int[Array, ""]:
        """The slot to try at the root, in a search of so many simulations."""

    @abc.abstractmethod
    def below(self, node: Statistics) -> Int[Array, ""]:
        """The slot to try at any other node."""

    @abc.abstractmethod
    def conclude(
        self, root: Statistics, noise: Float[Array, " K"], key: Key[Array, ""]
    ) -> tuple[Int[Array, ""], Float[Array, " K"]]:
        """The slot to act on, and the improved policy: what a network should learn to answer here."""


class Puct(TreePolicy):
    """Upper confidence bounds in proportion to the prior (Silver et al. 2018; constants: Schrittwieser et al. 2020).

        a = argmax  T(Q)(s, a) + c(s) P(s, a) √N(s) / (1 + N(s, a)),   c(s) = c₁ + log((N(s) + c₂ + 1) / c₂)

    At the root P becomes (1 - ε) P + ε η, η ~ Dirichlet(α). Acts by π(a) ∝ N(a)^(1/τ).
    """

    exploration: float = 1.25
    """c₁."""
    base: float = 19652.0
    """c₂; with infinity c(s) is c₁ everywhere."""
    transform: Transform = by_siblings
    noise_share: float = 0.25
    """ε."""
    concentration: float = 0.3
    """α."""
    temperature: float = 1.0
    """τ; 0 takes the most visited, the better one among equals. AssistanceZero's exponent of 1.5 is τ = 2/3."""

    def draw(self, logits: Float[Array, " K"], key: Key[Array, ""]) -> Float[Array, " K"]:
        """Draw η ~ Dirichlet(α), over the legal candidates."""
        if self.noise_share == 0.0:
            return jnp.zeros_like(logits)
        log_shares = jnp.where(logits > -jnp.inf, jax.random.loggamma(key, self.concentration, logits.shape), -jnp.inf)
        return jax.nn.softmax(log_shares)

    def stir(self, logits: Float[Array, " K"], noise: Float[Array, " K"]) -> Float[Array, " K"]:
        """log((1 - ε) P + ε η)."""
        if self.noise_share == 0.0:
            return logits
        mixed = (1.0 - self.noise_share) * jax.nn.softmax(logits) + self.noise_share * noise
        return jnp.where(logits > -jnp.inf, jnp.log(jnp.maximum(mixed, TINY)), -jnp.inf)

    def at_root(self, root: Statistics, noise: Float[Array, " K"], num_simulations: int) -> Int[Array, ""]:
        """As everywhere: the noise is in the root's prior."""
        del noise, num_simulations
        return self.below(root)

    def below(self, node: Statistics) -> Int[Array, ""]:
        """The highest upper confidence bound."""
        count = node.num_visits.astype(jnp.float32)
        growth = 0.0 if math.isinf(self.base) else jnp.log((count + self.base + 1.0) / self.base)
        prior = jax.nn.softmax(node.logits)
        bonus = (self.exploration + growth) * jnp.sqrt(count) * prior / (1.0 + node.visits.astype(jnp.float32))
        return _best(self.transform(node) + bonus, node.logits)

    def conclude(
        self, root: Statistics, noise: Float[Array, " K"], key: Key[Array, ""]
    ) -> tuple[Int[Array, ""], Float[Array, " K"]]:
        """Draw from π(a) ∝ N(a)^(1/τ), which is the improved policy as well."""
        del noise
        if self.temperature == 0.0:
            most = root.visits == jnp.max(root.visits)
            slot = _best(jnp.where(most, root.values, -jnp.inf), root.logits)
            return slot, jax.nn.one_hot(slot, root.logits.shape[0])
        log_visits = jnp.log(root.visits.astype(jnp.float32))
        weights = jax.nn.softmax(log_visits / self.temperature)
        return jax.random.categorical(key, jnp.log(weights)).astype(jnp.int32), weights


class Gumbel(TreePolicy):
    """Sequential halving at the root, policy improvement below it (Danihelka et al. 2022, sections 3 to 5).

        σ(q)(a) = (c_visit + max_b N(s, b)) · c_scale · q(a),   q = Q completed by V̂ where never tried, in [0, 1]
        V̂(s) = (raw + ΣN · Σ_tried P Q / Σ_tried P) / (1 + ΣN)                               (appendix D)
        at the root    a = argmax_{a still in} g(a) + logits(a) + σ(q)(a),   g ~ Gumbel(0, 1)
        below it       a = argmax  π'(a) - N(s, a) / (1 + ΣN),   π' = softmax(logits + σ(q))   (equation 14)

    The improved policy is π' at the root.
    """

    num_considered: int = 16
    """Candidates that the root starts with."""
    scale: float = 1.0
    """Of the noise g: with 0 a search is not random but for the human's choices."""
    visit_offset: float = 50.0
    """c_visit."""
    value_scale: float = 0.1
    """c_scale."""
    least_spread: float = 1e-8
    """Where the values of a node's candidates lie closer together, q takes only part of [0, 1], or noise would outweigh
    the prior."""

    def draw(self, logits: Float[Array, " K"], key: Key[Array, ""]) -> Float[Array, " K"]:
        """Draw g."""
        return self.scale * jax.random.gumbel(key, logits.shape)

    def stir(self, logits: Float[Array, " K"], noise: Float[Array, " K"]) -> Float[Array, " K"]:
        """The logits as they are."""
        del noise
        return logits

    def at_root(self, root: Statistics, noise: Float[Array, " K"], num_simulations: int) -> Int[Array, ""]:
        """The best of those candidates that were tried as often as sequential halving's next one has been."""
        plans = jnp.asarray([halving(m, num_simulations) for m in range(self.num_considered + 1)], jnp.int32)
        num_legal = (root.logits > -jnp.inf).sum(dtype=jnp.int32)
        tried = plans[jnp.minimum(num_legal, self.num_considered), root.visits.sum()]
        return self._best_tried(root, noise, tried)

    def below(self, node: Statistics) -> Int[Array, ""]:
        """The candidate that lags most behind π'."""
        visits = node.visits.astype(jnp.float32)
        lag = jax.nn.softmax(node.logits + self._completed(node)) - visits / (1.0 + visits.sum())
        return _best(lag, node.logits)

    def conclude(
        self, root: Statistics, noise: Float[Array, " K"], key: Key[Array, ""]
    ) -> tuple[Int[Array, ""], Float[Array, " K"]]:
        """The best of those tried most, and π'."""
        del key
        weights = jax.nn.softmax(root.logits + self._completed(root))
        return self._best_tried(root, noise, jnp.max(root.visits)), weights

    def _best_tried(self, root: Statistics, noise: Float[Array, " K"], tried: Int[Array, ""]) -> Int[Array, ""]:
        """The highest g + logits + σ(q) among those that were tried so often."""
        scores = jnp.maximum(noise + root.logits - root.logits.max() + self._completed(root), -1e9)
        return _best(jnp.where(root.visits == tried, scores, -jnp.inf), root.logits)

    def _completed(self, node: Statistics) -> Float[Array, " K"]:
        """σ(q)."""
        tried, visits = node.visits > 0, node.visits.astype(jnp.float32)
        weights = jnp.where(tried, jnp.maximum(jax.nn.softmax(node.logits), TINY), 0.0)
        mean = (weights * node.values).sum() / jnp.where(tried.any(), weights.sum(), 1.0)
        value = (node.raw_value + visits.sum() * mean) / (1.0 + visits.sum())
        known = jnp.where(tried, node.values, value)
        scaled = (known - known.min()) / jnp.maximum(known.max() - known.min(), self.least_spread)
        return (self.visit_offset + visits.max()) * self.value_scale * scaled


def halving(num_candidates: int, num_simulations: int) -> list[int]:
    """Sequential halving: how often the candidate that simulation t tries has been tried before (Karnin et al. 2013).

    In each of ⌈log₂ m⌉ rounds an equal share of the simulations goes round those still in; then half of them are out.
    """
    plan: list[int] = []
    rounds, left, before = math.ceil(math.log2(max(num_candidates, 2))), num_candidates, 0
    if num_candidates < 2:
        return list(range(num_simulations))
    while len(plan) < num_simulations:
        for _ in range(max(1, num_simulations // (rounds * left))):
            plan += [before] * left
            before += 1
        left = max(2, left // 2)
    return plan[:num_simulations]


def _best(scores: Float[Array, " K"], logits: Float[Array, " K"]) -> Int[Array, ""]:
    """The highest score of a candidate that is legal; the first among equals."""
    return jnp.argmax(jnp.where(logits > -jnp.inf, scores, -jnp.inf)).astype(jnp.int32)

"""Which arm is worth pulling when nobody knows what any of them pays? Exactly for few arms, by an index for many.

Arms pay 1 or 0; what is known of one are its successes and failures, with a Beta prior. For few arms and rounds every
set of counts can be listed and the best plan is found backwards. For many, each arm alone gets the finite-horizon index
of Gittins: the sure pay per round that would be as good as the chance to pull this arm for as long as one likes within
the rounds that are left. Kaufmann 2018, "On Bayesian index policies for sequential resource allocation"; Chan et al.
2019, "The Assistive Multi-Armed Bandit", arXiv 1901.08654.
"""

import abc
import functools
import math
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

MAX_STATES = 5_000_000
"""The largest number of sets of counts that an exact plan may list."""

MAX_ROUNDS = 128
"""The largest number of rounds that indices are computed for; the work grows with its fifth power."""

TIE = 1e-12
"""Values that differ by less are taken for equal."""


class Ranking(eqx.Module):
    """A way to choose among arms by what each has paid so far."""

    @abc.abstractmethod
    def scores(
        self, successes: Int[Array, " K"], failures: Int[Array, " K"], left: Int[Array, ""]
    ) -> Float[Array, " K"]:
        """How good each arm is to pull with `left` rounds to go, this one included; those to choose from are equal."""


class Index(Ranking):
    """Each arm by its own finite-horizon index: `table[left, successes, failures]`."""

    table: Float[Array, "L S F"]

    def scores(
        self, successes: Int[Array, " K"], failures: Int[Array, " K"], left: Int[Array, ""]
    ) -> Float[Array, " K"]:
        """Look the indices up."""
        return self.table[left, successes, failures]


class Optimal(Ranking):
    """The best plan: `best` says of each set of counts, listed by rising `keys`, which arms it may pull."""

    keys: Int[Array, " N"]
    best: Bool[Array, "N K"]
    base: int = eqx.field(static=True)

    def scores(
        self, successes: Int[Array, " K"], failures: Int[Array, " K"], left: Int[Array, ""]
    ) -> Float[Array, " K"]:
        """1 for the arms that the plan may pull, 0 for the others. What is left follows from the counts."""
        del left
        digits = jnp.concatenate([successes, failures])
        weights = jnp.asarray(_weights(digits.shape[0], self.base), jnp.int32)
        row = jnp.searchsorted(self.keys, jnp.sum(digits * weights))
        return self.best[row].astype(jnp.float32)


def index_ranking(num_rounds: int, prior: tuple[float, float] = (1.0, 1.0)) -> Index:
    """The indices for `num_rounds` rounds, ready to play."""
    return Index(jnp.asarray(finite_horizon_index(num_rounds, prior).round(12), jnp.float32))


def optimal_ranking(num_arms: int, num_rounds: int, prior: tuple[float, float] = (1.0, 1.0)) -> Optimal:
    """The best plan for `num_arms` arms and `num_rounds` rounds, ready to play."""
    plan = bayes_optimal(num_arms, num_rounds, prior)
    if plan.keys[-1] >= 2**31:
        raise ValueError(
            f"With {num_arms} arms and {num_rounds} rounds the sets of counts cannot be numbered in 32 bits; "
            "play by `index_ranking` instead."
        )
    best = plan.values >= plan.values.max(1, keepdims=True) - TIE
    return Optimal(jnp.asarray(plan.keys, jnp.int32), jnp.asarray(best), num_rounds + 1)


@functools.lru_cache(maxsize=8)
def finite_horizon_index(num_rounds: int, prior: tuple[float, float] = (1.0, 1.0)) -> Float[np.ndarray, "L S F"]:
    """ν(l, s, f) = max_τ E[Σ_{t≤τ} r_t] / E[τ], 1 ≤ τ ≤ l: what an arm with s successes and f failures is worth.

    l is the number of rounds left; entries with s + f + l > `num_rounds` cannot come up and are 0. Each ratio is found
    by Dinkelbach's method (1967): stop best for a sure pay λ, set λ to what that stopping rule earns per round, repeat.
    """
    _check(1, num_rounds, prior)
    if num_rounds > MAX_ROUNDS:
        raise ValueError(
            f"Indices for {num_rounds} rounds take about {num_rounds**5:.1g} steps, and {MAX_ROUNDS} rounds are the "
            "most; plan for the next rounds only, or use a learner without a horizon (`thompson`, `ucb`)."
        )
    table = np.zeros((num_rounds + 1,) * 3)
    for left in range(1, num_rounds + 1):
        successes, failures = np.indices((num_rounds - left + 1,) * 2).reshape(2, -1)
        possible = successes + failures <= num_rounds - left
        successes, failures = successes[possible], failures[possible]
        table[left, successes, failures] = _best_ratios(prior[0] + successes, prior[1] + failures, left)
    table.setflags(write=False)
    return table


def _best_ratios(wins: Float[np.ndarray, " N"], losses: Float[np.ndarray, " N"], left: int) -> Float[np.ndarray, " N"]:
    """The indices of N arms whose means are Beta(wins, losses), with `left` rounds to go."""
    ratio = wins / (wins + losses)
    while True:
        reward, time = np.zeros((2, len(wins), left + 1))  # from here on, by how many of the pulls since paid
        for pulls in range(left - 1, -1, -1):
            chance = (wins[:, None] + np.arange(pulls + 1)) / (wins + losses + pulls)[:, None]
            reward = chance + chance * reward[:, 1 : pulls + 2] + (1 - chance) * reward[:, : pulls + 1]
            time = 1 + chance * time[:, 1 : pulls + 2] + (1 - chance) * time[:, : pulls + 1]
            if pulls:  # the first pull is not for choice
                goes_on = reward > ratio[:, None] * time
                reward, time = np.where(goes_on, reward, 0.0), np.where(goes_on, time, 0.0)
        better = reward[:, 0] / time[:, 0]
        if (better <= ratio + 1e-15).all():
            return better
        ratio = np.maximum(better, ratio)


class BanditPlan(NamedTuple):
    """The best plan over sets of counts. `values[n, k]` is what pulling arm k and going on best earns in the n-th.

    A set is named by the number whose digits to the base `num_rounds` + 1 are its successes and then its failures,
    arm by arm, the first the lowest.
    """

    value: float
    keys: Int[np.ndarray, " N"]
    values: Float[np.ndarray, "N K"]


@functools.lru_cache(maxsize=8)
def bayes_optimal(num_arms: int, num_rounds: int, prior: tuple[float, float] = (1.0, 1.0)) -> BanditPlan:
    """V(c) = max_k p_k (1 + V(c + success of k)) + (1 - p_k) V(c + failure of k), p_k the posterior mean of arm k.

    Exact in double precision, by listing every set of counts c that `num_rounds` pulls can lead to.
    """
    _check(num_arms, num_rounds, prior)
    size = math.comb(num_rounds - 1 + 2 * num_arms, 2 * num_arms)
    if size > MAX_STATES:
        raise ValueError(
            f"A bandit of {num_arms} arms and {num_rounds} rounds has {size:.2g} sets of counts, more than "
            f"{MAX_STATES:.2g}; use `finite_horizon_index`, which looks at one arm at a time."
        )
    base, digits = num_rounds + 1, 2 * num_arms
    if base**digits >= 2**63:
        raise ValueError(
            f"The sets of counts of {num_arms} arms and {num_rounds} rounds cannot be numbered in 64 bits; "
            "use `finite_horizon_index`, which looks at one arm at a time."
        )
    weights = _weights(digits, base)
    layers = [np.zeros(1, np.int64)]
    while len(layers) < num_rounds:
        layers.append(np.unique(layers[-1][:, None] + weights))
    values = []
    following = np.zeros((len(layers[-1]), digits))  # V after each success and each failure
    for depth in range(num_rounds - 1, -1, -1):
        keys = layers[depth]
        counts = keys[:, None] // weights % base
        wins, losses = prior[0] + counts[:, :num_arms], prior[1] + counts[:, num_arms:]
        chance = wins / (wins + losses)
        values.append(chance * (1 + following[:, :num_arms]) + (1 - chance) * following[:, num_arms:])
        if depth:
            after = np.searchsorted(keys, layers[depth - 1][:, None] + weights)
            following = values[-1].max(1)[after]
    keys, table = np.concatenate(layers), np.concatenate(values[::-1])
    order = np.argsort(keys)
    return BanditPlan(float(values[-1].max()), keys[order], table[order])


def _weights(digits: int, base: int) -> Int[np.ndarray, " D"]:
    """What each digit of a key counts for."""
    return np.int64(base) ** np.arange(digits, dtype=np.int64)


def _check(num_arms: int, num_rounds: int, prior: tuple[float, float]) -> None:
    """At least one arm and one round, and a proper prior."""
    if num_arms < 1 or num_rounds < 1:
        raise ValueError(f"A bandit needs at least one arm and one round, not {num_arms} and {num_rounds}.")
    if not (min(prior) > 0.0 and math.isfinite(sum(prior))):
        raise ValueError(f"The prior is Beta{tuple(prior)}; both parameters must be positive and finite.")

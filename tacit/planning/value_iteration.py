"""What is each action worth to someone who knows everything? Bellman's backup, on arrays.

Axis letters: T turns, S states, A actions. For many reward functions, `jax.vmap` over `rewards`.
Bellman 1957; Puterman 1994, "Markov Decision Processes", equations 4.5.3 and 6.3.1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Sweep(NamedTuple):
    """Where value iteration stands: the values, how far the last sweep moved them and how many there were."""

    value: Float[Array, " S"]
    moved: Float[Array, ""]
    sweeps: Int[Array, ""]


def backup(
    transitions: Float[Array, "S A S"], rewards: Float[Array, "S A"], value: Float[Array, " S"], discount: float
) -> Float[Array, "S A"]:
    """Q(s, a) = R(s, a) + γ Σ_s' T(s' | s, a) V(s')."""
    return rewards + discount * (transitions @ value)


def best(q: Float[Array, "*B A"], legal: Bool[Array, "*B A"]) -> Float[Array, "*B"]:
    """V(s) = max over legal a of Q(s, a)."""
    return jnp.max(jnp.where(legal, q, -jnp.inf), axis=-1)


def finite_horizon(
    transitions: Float[Array, "S A S"],
    rewards: Float[Array, "S A"],
    legal: Bool[Array, "S A"],
    horizon: int,
    discount: float,
) -> Float[Array, "T S A"]:
    """Q_t(s, a) of the optimal policy at each turn t; nothing is worth anything after the last."""

    def body(value: Float[Array, " S"], _: None) -> tuple[Float[Array, " S"], Float[Array, "S A"]]:
        q = backup(transitions, rewards, value, discount)
        return best(q, legal), q

    _, values = jax.lax.scan(body, jnp.zeros(rewards.shape[0]), length=horizon)
    return values[::-1]


def discounted(
    transitions: Float[Array, "S A S"],
    rewards: Float[Array, "S A"],
    legal: Bool[Array, "S A"],
    discount: float,
    tolerance: float = 1e-6,
    max_sweeps: int = 100_000,
) -> Float[Array, "S A"]:
    """Q(s, a) of the optimal policy that never ends, to within `tolerance` in the largest norm.

    Stops when a sweep moves V by at most ε (1 - γ) / γ, which bounds the error that is left by ε; in float32, values
    much above 1 cannot be known to 1e-6, so that `max_sweeps` also ends it.
    """
    if not 0.0 <= discount < 1.0:
        raise ValueError(f"The discount is {discount}; without a horizon it must be at least 0 and below 1.")
    small = tolerance * (1.0 - discount) / max(discount, 1e-12)

    def unsettled(last: Sweep) -> Bool[Array, ""]:
        return (last.moved > small) & (last.sweeps < max_sweeps)

    def sweep(last: Sweep) -> Sweep:
        value = best(backup(transitions, rewards, last.value, discount), legal)
        return Sweep(value, jnp.max(jnp.abs(value - last.value)), last.sweeps + 1)

    start = Sweep(jnp.zeros(rewards.shape[0]), jnp.full((), jnp.inf), jnp.zeros((), jnp.int32))
    end = jax.lax.while_loop(unsettled, sweep, start)
    return backup(transitions, rewards, end.value, discount)

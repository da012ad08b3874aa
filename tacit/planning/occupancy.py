"""Where does a policy go, and how would someone behave who is only mostly rational? Visits and soft policies.

Axis letters: T turns, S states, A actions. Both trace under jit and vmap (over rewards, for many reward functions).
Ziebart 2010, "Modeling Purposeful Adaptive Behavior with the Principle of Maximum Causal Entropy", chapter 5; in a
world without chance the soft policy's trajectories are those of Ziebart et al. 2008: P(ξ) ∝ exp(rationality · R(ξ)).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def soft_policy(
    transitions: Float[Array, "S A S"],
    rewards: Float[Array, "S A"],
    legal: Bool[Array, "S A"],
    horizon: int,
    rationality: float | Float[Array, ""],
    discount: float = 1.0,
) -> Float[Array, "T S A"]:
    """Log π_t(a | s) = Q_t(s, a) - log Σ_a' exp Q_t(s, a'), with Q_t = rationality · R + γ T log Σ_a' exp Q_{t+1}.

    Every legal action has some probability. `rationality` is in nats per unit of reward and finite.
    """

    def body(value: Float[Array, " S"], _: None) -> tuple[Float[Array, " S"], Float[Array, "S A"]]:
        q = jnp.where(legal, rationality * rewards + discount * (transitions @ value), -jnp.inf)
        soft = jax.nn.logsumexp(q, axis=-1)
        return soft, q - soft[:, None]

    _, policy = jax.lax.scan(body, jnp.zeros_like(rewards[:, 0]), length=horizon)
    return policy[::-1]


def visits(
    transitions: Float[Array, "S A S"], initial: Float[Array, " S"], policy: Float[Array, "T S A"]
) -> Float[Array, "T S A"]:
    """The probability of being in s and doing a at each turn: ρ_t(s, a) = P_t(s) π_t(a | s).

    Expected features are Σ ρ_t(s, a) φ(s, a).
    """

    def body(here: Float[Array, " S"], rule: Float[Array, "S A"]) -> tuple[Float[Array, " S"], Float[Array, "S A"]]:
        chosen = here[:, None] * rule
        return jnp.einsum("sa,sat->t", chosen, transitions), chosen

    return jax.lax.scan(body, initial, policy)[1]

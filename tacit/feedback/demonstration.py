"""How would you do it yourself? A demonstration: one of all the ways to go, chosen for what is collected on it.

    P(ξ | θ) = exp(rationality · θ · φ(ξ)) / Σ_ξ' exp(rationality · θ · φ(ξ')),

which is maximum entropy inverse reinforcement learning (Ziebart et al. 2008, equation 2) read as one choice (Jeon,
Milli and Dragan 2020, table 1). Where the ways are too many to list, a soft backup sums over them (`log_likelihood`);
it also holds in worlds with chance, as maximum causal entropy (Ziebart 2010, chapter 5).
Axis letters: K trajectories, N hypotheses, D features, T turns, S states, A actions.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.core import Question
from tacit.feedback.choice import Rationality
from tacit.planning.feature_world import FeatureWorld, feature_world
from tacit.planning.occupancy import soft_policy

MAX_TRAJECTORIES = 200_000
"""The most trajectories that are listed."""


class Demonstration(Question):
    """Which of K trajectories to show. Theta is a weight vector, and `counts` what each trajectory collects."""

    counts: Float[Array, "K D"]

    def values(self, theta: Float[Array, " D"]) -> Float[Array, " K"]:
        """θ · φ(ξ) of each trajectory."""
        return self.counts @ theta


def trajectories(world: FeatureWorld) -> Int[np.ndarray, "K T 2"]:
    """Every way to go in a world without chance: the state and the action of each turn, in the order of the actions."""
    actions = world.legal.shape[1]
    if (world.transitions.max(-1) < 1.0).any() or world.initial.max() < 1.0:
        raise ValueError(
            "Only a world without chance has trajectories to choose from; use `log_likelihood` in this one."
        )
    if actions**world.horizon > MAX_TRAJECTORIES:
        raise ValueError(
            f"There are up to {actions}^{world.horizon} trajectories, more than {MAX_TRAJECTORIES}; "
            "use `log_likelihood`, which lists none."
        )
    follow = world.transitions.argmax(-1)
    plans = np.array(list(itertools.product(range(actions), repeat=world.horizon)))
    here, seen, allowed = np.full(len(plans), world.initial.argmax()), [], np.ones(len(plans), bool)
    for action in plans.T:
        seen.append(here)
        allowed &= world.legal[here, action]
        here = follow[here, action]
    return np.stack([np.stack(seen, 1), plans], -1)[allowed]


def make(world: FeatureWorld) -> Demonstration:
    """The question how to go in a world without chance; its options are those of `trajectories`."""
    ways = trajectories(world)
    return Demonstration(jnp.asarray(world.features[ways[..., 0], ways[..., 1]].sum(1)))


def example(key: Key[Array, ""]) -> tuple[Demonstration, Float[Array, "N D"]]:
    """Every way to go in a random world of three states and two turns, and five weight vectors someone might have."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    moves = np.eye(3)[rng.integers(3, size=(3, 2))]
    world = feature_world(moves, rng.normal(size=(3, 2, 2)), [1.0, 0.0, 0.0], horizon=2)
    return make(world), jnp.asarray(rng.normal(size=(5, 2)), jnp.zeros(()).dtype)


def log_likelihood(
    world: FeatureWorld, shown: Int[np.ndarray, "T 2"], hypotheses: Float[Array, "N D"], rationality: Rationality
) -> Float[Array, " N"]:
    """Log P(ξ | θ) of the states and actions `shown`, without listing all others: Σ_t log π_t(a_t | s_t).

    Chance in the world is left out: it says nothing about theta.
    """
    if shown.shape != (world.horizon, 2):
        raise ValueError(
            f"The demonstration has shape {shown.shape}; a world of {world.horizon} turns needs ({world.horizon}, 2)."
        )
    wrong = ~world.legal[shown[:, 0], shown[:, 1]]
    if wrong.any():
        turn = int(np.argmax(wrong))
        raise ValueError(
            f"The demonstration does {shown[turn, 1]} in state {shown[turn, 0]} at turn {turn}, which is not legal."
        )
    arrays = (jnp.asarray(part, hypotheses.dtype) for part in (world.transitions, world.features))
    return _likelihood(*arrays, jnp.asarray(world.legal), jnp.asarray(shown), hypotheses, rationality, world.horizon)


@functools.partial(jax.jit, static_argnames="horizon")
def _likelihood(
    transitions: Float[Array, "S A S"],
    features: Float[Array, "S A D"],
    legal: Bool[Array, "S A"],
    shown: Int[Array, "T 2"],
    hypotheses: Float[Array, "N D"],
    rationality: Rationality,
    horizon: int,
) -> Float[Array, " N"]:
    def one(theta: Float[Array, " D"]) -> Float[Array, ""]:
        policy = soft_policy(transitions, features @ theta, legal, horizon, rationality)
        return policy[jnp.arange(horizon), shown[:, 0], shown[:, 1]].sum()

    return jax.vmap(one)(hypotheses)


def instructive(
    counts: Float[Array, "K D"], theta: Float[Array, " D"], rationality: Rationality, effort: float
) -> Int[Array, ""]:
    """The trajectory to show someone who will infer theta from it and act on that: a best response to the learner.

    argmax_ξ θ · φ(ξ) - effort · |φ_θ - φ(ξ)|², with φ_θ what the noisily rational collect on average: it gives up some
    reward to be the typical trajectory of theta. With no effort it is the expert's own best way.
    Hadfield-Menell et al. 2016, section 4.2.
    """
    earned = counts @ theta
    typical = jax.nn.softmax(rationality * earned) @ counts
    return jnp.argmax(earned - effort * jnp.square(typical[None] - counts).sum(-1)).astype(jnp.int32)

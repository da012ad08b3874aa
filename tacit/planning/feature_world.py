"""What does an agent collect on its way? Worlds of one agent whose reward is linear in features, and its best policies.

The reward of doing a in s is w · φ(s, a); an episode lasts a fixed number of turns, so all that matters of a policy is
its expected feature counts E[Σ_t φ(s_t, a_t)]. In double precision, and ties are seen through rounding.
Axis letters: S states, A actions, D features, T turns, K weight vectors.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.special import logsumexp

from tacit.arrays import Numbers, distributions, flags, numbers

TIE = 1e-9
"""Actions whose values differ by less than this, relative to their size, are equally good."""


class FeatureWorld(NamedTuple):
    """A world as `feature_world` checked it. Only legal actions are taken; every state has one."""

    transitions: Float[np.ndarray, "S A S"]
    features: Float[np.ndarray, "S A D"]
    initial: Float[np.ndarray, " S"]
    legal: Bool[np.ndarray, "S A"]
    horizon: int


def feature_world(
    transitions: Numbers, features: Numbers, initial: Numbers, legal: Numbers | None = None, *, horizon: int
) -> FeatureWorld:
    """Check the arrays of a world; all actions are legal unless `legal` says otherwise.

    Raises ValueError naming the array, the index and the value that is wrong.
    """
    moves = numbers("transitions", transitions, 3)
    states, actions, last = moves.shape
    if last != states:
        raise ValueError(f"transitions has shape {moves.shape}; its first and last axis are both the state.")
    found = numbers("features", features, 3)
    if found.shape[:2] != (states, actions):
        raise ValueError(
            f"features has shape {found.shape}; its first axes must be {states} states, {actions} actions."
        )
    start = distributions("initial", numbers("initial", initial, 1, (states,)))
    may = flags("legal", np.ones((states, actions)) if legal is None else legal, (states, actions))
    if not may.any(1).all():
        raise ValueError(f"legal[{int(np.argmin(may.any(1)))}] is False throughout; every state needs a legal action.")
    if horizon < 1:
        raise ValueError(f"The horizon is {horizon}; an episode has at least one turn.")
    return FeatureWorld(distributions("transitions", moves), found, start, may, int(horizon))


def weight_vectors(name: str, weights: Numbers, world: FeatureWorld) -> Float[np.ndarray, "K D"]:
    """`weights` as an array with one row for each weight vector and one column for each feature of the world."""
    rows = numbers(name, weights, 2)
    if rows.shape[1] != world.features.shape[-1]:
        raise ValueError(f"{name} has {rows.shape[1]} columns; the world has {world.features.shape[-1]} features.")
    return rows


def action_values(world: FeatureWorld, weights: Float[np.ndarray, "K D"]) -> Float[np.ndarray, "T K S A"]:
    """Q_t(s, a) = w · φ(s, a) + Σ_s' T(s' | s, a) max_a' Q_{t+1}(s', a') for each weight vector; -inf if not legal."""
    states, actions, _ = world.transitions.shape
    rewards = np.einsum("kd,sad->ksa", weights, world.features)
    table = world.transitions.reshape(-1, states).T
    values = np.empty((world.horizon, *rewards.shape))
    after = np.zeros((len(weights), states))
    for turn in reversed(range(world.horizon)):
        values[turn] = np.where(world.legal, rewards + (after @ table).reshape(-1, states, actions), -np.inf)
        after = values[turn].max(-1)
    return values


def optimal_policies(world: FeatureWorld, weights: Float[np.ndarray, "K D"]) -> Float[np.ndarray, "T K S A"]:
    """π_t(a | s), the best action for each weight vector; equally good ones are equally likely."""
    values = action_values(world, weights)
    best = values.max(-1, keepdims=True)
    chosen = (values >= best - TIE * (1.0 + np.abs(best))).astype(np.float64)
    return chosen / chosen.sum(-1, keepdims=True)


def soft_policies(
    world: FeatureWorld, weights: Float[np.ndarray, "K D"], rationality: float
) -> Float[np.ndarray, "T K S A"]:
    """Log π_t(a | s) of someone who knows the best values and errs at random, π ∝ exp(rationality · Q_t(s, a))."""
    values = rationality * action_values(world, weights)
    return values - logsumexp(values, axis=-1, keepdims=True)


def visits(world: FeatureWorld, policies: Float[np.ndarray, "T K S A"]) -> Float[np.ndarray, "T K S A"]:
    """ρ_t(s, a): how likely each policy is to be in s and do a at turn t."""
    states = len(world.initial)
    table = world.transitions.reshape(-1, states)
    here = np.broadcast_to(world.initial, (policies.shape[1], states))
    found = np.empty_like(policies)
    for turn, rule in enumerate(policies):
        found[turn] = here[..., None] * rule
        here = found[turn].reshape(len(here), -1) @ table
    return found


def feature_counts(world: FeatureWorld, weights: Numbers | Array) -> Float[np.ndarray, "K D"]:
    """φ(w) = E[Σ_t φ(s_t, a_t)] of the agent that optimises w, for each row w of `weights`."""
    rows = weight_vectors("weights", weights, world)
    return np.einsum("tksa,sad->kd", visits(world, optimal_policies(world, rows)), world.features)


def chance_of(world: FeatureWorld, policy: Float[np.ndarray, "T S A"], marked: Bool[np.ndarray, " S"]) -> float:
    """How likely a policy is to enter a marked state within the horizon, from a first state that is not marked."""
    here, clear = world.initial * ~marked, ~marked
    for rule in policy:
        here = np.einsum("sa,sat->t", here[:, None] * rule, world.transitions) * clear
    return float(1.0 - here.sum())

"""What is best when the belief is too large to plan on exactly? Simulate from it, and grow a tree of histories.

A node is a history of actions and observations. Each simulation draws a state from the belief, chooses in the tree by
an upper confidence bound, adds one node where it leaves the tree, plays on at random and credits its discounted return
to every choice it made in the tree. Silver and Veness 2010, "Monte-Carlo Planning in Large POMDPs", algorithm 1:

    a = argmax  W(h, a) / N(h, a) + c √( log N(h) / N(h, a) )

Many searches run side by side, one simulation of each at a time, all of them at the same turn of it: so one operation
moves them all. The search reads a belief and does not keep one; `planning.particle_filter` does, between turns.
Axis letters: B searches, P particles, K nodes, A actions, O observations, T turns of a simulation.
"""

import itertools
import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.core import Legal, Simulator, State
from tacit.planning.dice import quick

MAX_BYTES = 8e9
"""The most memory that the trees of one call may take."""

Rollout = Callable[[State, Legal, Key[Array, ""]], Int[Array, ""]]
"""How to play on beyond the tree: the action in a state, which must be legal."""


@dataclass(frozen=True)
class Config:
    """How long to search, and how boldly."""

    exploration: float
    """The constant c of the bound, in units of reward: about the difference between a good and a bad return."""
    num_simulations: int = 1024
    epsilon: float = 0.01
    """Simulations stop at the turn t where γᵗ falls below this, or at the horizon."""


class Search(NamedTuple):
    """What the searches found at their roots: mean returns (-inf if never tried), visits and the best action."""

    values: Float[Array, "B A"]
    visits: Int[Array, "B A"]
    action: Int[Array, " B"]


class Tree(NamedTuple):
    """All trees. `counts[b, k]` holds N(h, a) for each action, then W(h, a), the sum of returns.

    `children[b, k, a · O + o]` is the node after a and o, or 0: the root follows nothing.
    """

    counts: Float[Array, "B K 2*A"]
    children: Int[Array, "B K A*O"]


class Walk(NamedTuple):
    """One simulation of every search: where each is, and what it did in the tree (node -1: not in the tree)."""

    turn: Int[Array, ""]
    state: State
    node: Int[Array, " B"]
    over: Bool[Array, " B"]
    leaf: Int[Array, " B"]
    edge: Int[Array, " B"]
    nodes: Int[Array, "T B"]
    actions: Int[Array, "T B"]
    rewards: Float[Array, "T B"]


def even(state: State, legal: Bool[Array, " A"], key: Key[Array, ""]) -> Int[Array, ""]:
    """Play on evenly among the legal actions."""
    del state
    rank = jnp.cumsum(legal.astype(jnp.int32))
    chosen = jnp.floor(jax.random.uniform(key) * rank[-1].astype(jnp.float32)).astype(jnp.int32)
    return jnp.sum(rank <= chosen).astype(jnp.int32)


def depth(simulator: Simulator, epsilon: float) -> int:
    """Turns of a simulation: the horizon, or fewer where γᵗ < ε before."""
    if not 0.0 < epsilon < 1.0:
        raise ValueError(f"epsilon is {epsilon}; it must be above 0 and below 1.")
    if simulator.discount >= 1.0:
        return simulator.horizon
    if simulator.discount <= 0.0:
        return 1
    return min(simulator.horizon, math.floor(math.log(epsilon) / math.log(simulator.discount)) + 1)


@eqx.filter_jit
def search(
    simulator: Simulator,
    particles: State,
    config: Config,
    keys: Key[Array, " B"],
    turns: Int[Array, ""] | None = None,
    rollout: Rollout = even,
) -> Search:
    """Search from B beliefs, each P equally likely states: every leaf of `particles` begins with the axes B and P.

    No simulation looks more than `turns` ahead, where it is given. The same key gives the same search, whatever runs
    beside it.
    """
    batch, actions, length = keys.shape[0], simulator.num_actions, depth(simulator, config.epsilon)
    _check(simulator, config, batch)
    num_nodes, width = config.num_simulations + 1, actions * simulator.num_observations
    end = jnp.asarray(length, jnp.int32) if turns is None else jnp.minimum(turns, length).astype(jnp.int32)
    lanes, dice = jnp.arange(batch), jax.vmap(quick)(keys)
    size = jax.tree.leaves(particles)[0].shape[1]
    step, legal = jax.vmap(simulator.step), jax.vmap(simulator.legal)

    def throw(keys: Key[Array, " B"], turn: Int[Array, ""]) -> tuple[Key[Array, " B"], Key[Array, " B"]]:
        pairs = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, turn), 2))(keys)
        return pairs[:, 0], pairs[:, 1]

    def simulate(number: Int[Array, ""], tree: Tree) -> Tree:
        throws = jax.vmap(lambda key: jax.random.fold_in(key, number))(dice)
        drawn = jax.vmap(lambda key: jax.random.randint(key, (), 0, size))(throws)
        walk = Walk(
            jnp.zeros((), jnp.int32),
            jax.tree.map(lambda leaf: leaf[lanes, drawn], particles),
            jnp.zeros(batch, jnp.int32),
            jnp.zeros(batch, bool),
            jnp.full(batch, -1, jnp.int32),
            jnp.zeros(batch, jnp.int32),
            jnp.full((length, batch), -1, jnp.int32),
            jnp.zeros((length, batch), jnp.int32),
            jnp.zeros((length, batch)),
        )

        def descend(walk: Walk) -> Walk:
            within, node = walk.node >= 0, jnp.maximum(walk.node, 0)
            chance, fate = throw(throws, walk.turn + 1)
            allowed = legal(walk.state)
            bounds = _bounds(tree.counts[lanes, node], config.exploration)
            best = jnp.argmax(jnp.where(allowed, bounds, -jnp.inf), axis=1).astype(jnp.int32)
            action = jnp.where(within, best, jax.vmap(rollout)(walk.state, allowed, chance))
            state, reward, over = step(walk.state, action, fate)
            edge = action * simulator.num_observations + jax.vmap(simulator.observe)(state)
            over = walk.over | over
            child = tree.children[lanes, node, edge]
            leaves = within & (child == 0) & ~over
            return Walk(
                walk.turn + 1,
                state,
                jnp.where(within & (child > 0) & ~over, child, -1),
                over,
                jnp.where(leaves, node, walk.leaf),
                jnp.where(leaves, edge, walk.edge),
                walk.nodes.at[walk.turn].set(walk.node),
                walk.actions.at[walk.turn].set(action),
                walk.rewards.at[walk.turn].set(jnp.where(walk.over, 0.0, reward)),
            )

        def play_on(carry: tuple) -> tuple:
            turn, state, over, total, weight = carry
            chance, fate = throw(throws, turn + 1)
            action = jax.vmap(rollout)(state, legal(state), chance)
            state, reward, ends = step(state, action, fate)
            return turn + 1, state, over | ends, total + jnp.where(over, 0.0, weight * reward), weight * gamma

        def credit(carry: tuple) -> tuple:
            turn, total, counts = carry
            total = walk.rewards[turn] + gamma * total
            node, action = walk.nodes[turn], walk.actions[turn]
            row = counts[lanes, jnp.maximum(node, 0)]
            one = jax.nn.one_hot(action, actions)
            row = row + jnp.concatenate([one, one * total[:, None]], axis=1)
            place = jnp.where(node < 0, num_nodes, node)
            return turn - 1, total, counts.at[lanes, place].set(row, mode="drop", unique_indices=True)

        gamma = jnp.float32(simulator.discount)
        walk = jax.lax.while_loop(lambda walk: jnp.any(walk.node >= 0) & (walk.turn < end), descend, walk)
        start = (walk.turn, walk.state, walk.over, jnp.zeros(batch), jnp.ones(()))
        *_, total, _ = jax.lax.while_loop(lambda carry: (carry[0] < end) & ~jnp.all(carry[2]), play_on, start)
        *_, counts = jax.lax.while_loop(lambda carry: carry[0] >= 0, credit, (walk.turn - 1, total, tree.counts))
        place = jnp.where(walk.leaf < 0, num_nodes, walk.leaf)
        children = tree.children.at[lanes, place, walk.edge].set(number + 1, mode="drop", unique_indices=True)
        return Tree(counts, children)

    empty = Tree(jnp.zeros((batch, num_nodes, 2 * actions)), jnp.zeros((batch, num_nodes, width), jnp.int32))
    tree = jax.lax.fori_loop(0, config.num_simulations, simulate, empty)
    return _found(tree.counts[:, 0])


def side_by_side(
    simulator: Simulator, particles: State, config: Config, keys: Key[Array, " B"], rollout: Rollout = even
) -> Search:
    """The same search, its batch divided among as many threads as there are processors."""
    parts = _shares(keys.shape[0])
    found: list[Search | None] = [None] * len(parts)

    def work(index: int) -> None:
        part = parts[index]
        share = jax.tree.map(lambda leaf: leaf[part], particles)
        found[index] = jax.block_until_ready(search(simulator, share, config, keys[part], None, rollout))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *found)


def together(found: Search) -> Search:
    """One answer of many searches of the same belief: their simulations taken together."""
    visits = found.visits.sum(0, keepdims=True)
    returns = jnp.where(found.visits > 0, found.values * found.visits.astype(jnp.float32), 0.0)
    return _found(jnp.concatenate([visits.astype(jnp.float32), returns.sum(0, keepdims=True)], axis=1))


def _bounds(counts: Float[Array, "B 2*A"], exploration: float) -> Float[Array, "B A"]:
    """The upper confidence bounds; infinite for what was never tried."""
    visits, totals = jnp.split(counts, 2, axis=1)
    tried = jnp.maximum(visits, 1.0)
    log_total = jnp.log(jnp.maximum(visits.sum(1, keepdims=True), 1.0))
    return jnp.where(visits > 0, totals / tried + exploration * jnp.sqrt(log_total / tried), jnp.inf)


def _found(counts: Float[Array, "B 2*A"]) -> Search:
    """What the counts at the roots say."""
    visits, totals = jnp.split(counts, 2, axis=1)
    values = jnp.where(visits > 0, totals / jnp.maximum(visits, 1.0), -jnp.inf)
    return Search(values, visits.astype(jnp.int32), jnp.argmax(values, axis=1).astype(jnp.int32))


def _shares(batch: int) -> list[slice]:
    """The batch in consecutive pieces, one for each processor."""
    count = min(os.cpu_count() or 1, batch)
    edges = [batch * index // count for index in range(count + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(edges)]


def _check(simulator: Simulator, config: Config, batch: int) -> None:
    """Refuse what cannot be searched, before memory runs out."""
    if config.num_simulations < 1:
        raise ValueError(f"num_simulations is {config.num_simulations}; a search makes at least one.")
    if config.exploration < 0:
        raise ValueError(f"exploration is {config.exploration}; it cannot be negative.")
    width = simulator.num_actions * (2 + simulator.num_observations)
    size = 4.0 * batch * (config.num_simulations + 1) * width
    if size > MAX_BYTES:
        raise ValueError(
            f"{batch} trees of {config.num_simulations} simulations with {simulator.num_actions} actions and "
            f"{simulator.num_observations} observations take {size:.2g} bytes, more than {MAX_BYTES:.2g}; search fewer "
            "beliefs at once, or make fewer simulations."
        )

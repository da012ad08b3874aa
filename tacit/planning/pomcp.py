"""What is best when the belief is too large to plan on exactly? Simulate from it, and grow a tree of histories.

A node is a history of actions and observations. Each simulation draws a state from the belief, chooses in the tree by
an upper confidence bound, adds one node where it leaves the tree, plays on at random and credits its discounted return
to every choice it made in the tree. Silver and Veness 2010, "Monte-Carlo Planning in Large POMDPs", algorithm 1:

    a = argmax  W(h, a) / N(h, a) + c √( log N(h) / N(h, a) )

Many searches run side by side, one simulation of each at a time, all of them at the same turn of it: so one operation
moves them all. The search reads a belief and does not keep one; `planning.particle_filter` does, between turns.
Axis letters: B searches, P particles, K nodes, A actions, C = 2 A counts, O observations, J buckets of
E = 2 SLOTS numbers, T turns of a simulation.
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
from tacit.planning.dice import mix, quick

MAX_BYTES = 8e9
"""The most memory that the trees of one call may take."""

SLOTS = 8
"""Edges that a bucket holds."""

MAX_EDGES = 2**31

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

    `children` finds the node after node k, action a and observation o by the number (k · A + a) · O + o of that edge: a
    hash table, so that memory does not grow with O. A bucket is a row of SLOTS edges, each plus one, and their nodes.
    """

    counts: Float[Array, "B K C"]
    children: Int[Array, "B J E"]


class Walk(NamedTuple):
    """One simulation of every search: where each is, and what it did in the tree (node -1: not in the tree)."""

    turn: Int[Array, ""]
    state: State
    over: Bool[Array, " B"]
    throws: Key[Array, " B"]
    node: Int[Array, " B"]
    left: Int[Array, " B"]
    """The edge by which the tree was left (-1: by none)."""
    nodes: Int[Array, "T B"]
    actions: Int[Array, "T B"]
    rewards: Float[Array, "T B"]


def even(state: State, legal: Bool[Array, " A"], key: Key[Array, ""]) -> Int[Array, ""]:
    """Play on evenly among the legal actions."""
    del state
    rank = jnp.cumsum(legal.astype(jnp.int32))
    chosen = jnp.floor(jax.random.uniform(key) * rank[-1].astype(jnp.float32)).astype(jnp.int32)
    return jnp.sum(rank <= chosen).astype(jnp.int32)


def depth(horizon: int | None, discount: float, epsilon: float) -> int:
    """Turns of a simulation: the horizon, or fewer where γᵗ < ε before. Without a horizon the discount is below 1."""
    if not 0.0 < epsilon < 1.0:
        raise ValueError(f"epsilon is {epsilon}; it must be above 0 and below 1.")
    if not 0.0 < discount < 1.0:
        return (horizon or 1) if discount else 1
    faint = math.floor(math.log(epsilon) / math.log(discount)) + 1
    return faint if horizon is None else min(horizon, faint)


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
    batch, actions = keys.shape[0], simulator.num_actions
    length = depth(simulator.horizon, simulator.discount, config.epsilon)
    num_nodes, width = config.num_simulations + 1, actions * simulator.num_observations
    check_size(batch, config.num_simulations, config.exploration, 2 * actions, width)
    end = jnp.asarray(length, jnp.int32) if turns is None else jnp.minimum(turns, length).astype(jnp.int32)
    lanes, dice = jnp.arange(batch), jax.vmap(quick)(keys)
    size = jax.tree.leaves(particles)[0].shape[1]

    def simulate(number: Int[Array, ""], tree: Tree) -> Tree:
        throws = jax.vmap(lambda key: jax.random.fold_in(key, number))(dice)
        drawn = jax.vmap(lambda key: jax.random.randint(key, (), 0, size))(throws)
        walk = jax.lax.while_loop(
            lambda walk: jnp.any(walk.node >= 0) & (walk.turn < end),
            lambda walk: _descend(simulator, config, rollout, tree, walk),
            _begin(jax.tree.map(lambda leaf: leaf[lanes, drawn], particles), throws, length),
        )
        total = _play_on(simulator, rollout, walk, end)
        return _credit(simulator.discount, tree, walk, total, number + 1)

    empty = Tree(jnp.zeros((batch, num_nodes, 2 * actions)), buckets(batch, num_nodes))
    tree = jax.lax.fori_loop(0, config.num_simulations, simulate, empty)
    return results(tree.counts[:, 0])


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
    return results(jnp.concatenate([visits.astype(jnp.float32), returns.sum(0, keepdims=True)], axis=1))


def _begin(state: State, throws: Key[Array, " B"], length: int) -> Walk:
    """A walk at the root."""
    zero, path = jnp.zeros(len(throws), jnp.int32), jnp.zeros((length, len(throws)), jnp.int32)
    over = jnp.zeros(len(throws), bool)
    return Walk(zero[0], state, over, throws, zero, zero - 1, path - 1, path, path.astype(float))


def _keys(throws: Key[Array, " B"], turn: Int[Array, ""]) -> tuple[Key[Array, " B"], Key[Array, " B"]]:
    """Of each search, this turn's key for choosing and its key for the world."""
    pairs = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, turn + 1), 2))(throws)
    return pairs[:, 0], pairs[:, 1]


def _descend(simulator: Simulator, config: Config, rollout: Rollout, tree: Tree, walk: Walk) -> Walk:
    """One turn of every search, of which one at least is still in its tree."""
    within, node, lanes = walk.node >= 0, jnp.maximum(walk.node, 0), jnp.arange(len(walk.node))
    chance, fate = _keys(walk.throws, walk.turn)
    legal = jax.vmap(simulator.legal)(walk.state)
    scores = bounds(tree.counts[lanes, node], config.exploration)
    best = jnp.argmax(jnp.where(legal, scores, -jnp.inf), axis=1).astype(jnp.int32)
    action = jnp.where(within, best, jax.vmap(rollout)(walk.state, legal, chance))
    state, reward, ends = jax.vmap(simulator.step)(walk.state, action, fate)
    seen = jax.vmap(simulator.observe)(state)
    edge = (node * simulator.num_actions + action) * simulator.num_observations + seen
    over = walk.over | ends
    child = find(tree.children, edge)
    return walk._replace(
        turn=walk.turn + 1,
        state=state,
        over=over,
        node=jnp.where(within & (child > 0) & ~over, child, -1),
        left=jnp.where(within & (child == 0) & ~over, edge, walk.left),
        nodes=walk.nodes.at[walk.turn].set(walk.node),
        actions=walk.actions.at[walk.turn].set(action),
        rewards=walk.rewards.at[walk.turn].set(jnp.where(walk.over, 0.0, reward)),
    )


def _play_on(simulator: Simulator, rollout: Rollout, walk: Walk, end: Int[Array, ""]) -> Float[Array, " B"]:
    """Returns of playing on to the end, all searches having left their trees."""

    def turn(carry: tuple) -> tuple:
        turn, state, over, total, weight = carry
        chance, fate = _keys(walk.throws, turn)
        action = jax.vmap(rollout)(state, jax.vmap(simulator.legal)(state), chance)
        state, reward, ends = jax.vmap(simulator.step)(state, action, fate)
        total = total + jnp.where(over, 0.0, weight * reward)
        return turn + 1, state, over | ends, total, weight * simulator.discount

    start = (walk.turn, walk.state, walk.over, jnp.zeros(len(walk.node)), jnp.ones(()))
    return jax.lax.while_loop(lambda carry: (carry[0] < end) & ~jnp.all(carry[2]), turn, start)[3]


def _credit(discount: float, tree: Tree, walk: Walk, total: Float[Array, " B"], child: Int[Array, ""]) -> Tree:
    """Each choice in the tree has one visit more and what followed it; each tree has one node more."""

    def turn(carry: tuple) -> tuple:
        turn, total, counts = carry
        total = walk.rewards[turn] + discount * total
        return turn - 1, total, credited(counts, walk.nodes[turn], walk.actions[turn], total)

    *_, counts = jax.lax.while_loop(lambda carry: carry[0] >= 0, turn, (walk.turn - 1, total, tree.counts))
    return Tree(counts, grown(tree.children, walk.left, child))


def bounds(counts: Float[Array, "B C"], exploration: float) -> Float[Array, "B A"]:
    """The upper confidence bounds; infinite for what was never tried."""
    visits, totals = jnp.split(counts, 2, axis=1)
    tried = jnp.maximum(visits, 1.0)
    log_total = jnp.log(jnp.maximum(visits.sum(1, keepdims=True), 1.0))
    return jnp.where(visits > 0, totals / tried + exploration * jnp.sqrt(log_total / tried), jnp.inf)


def credited(
    counts: Float[Array, "B K C"], place: Int[Array, " B"], action: Int[Array, " B"], total: Float[Array, " B"]
) -> Float[Array, "B K C"]:
    """The counts with one more visit and its return in each tree, where `place` is not -1."""
    lanes, outside = jnp.arange(place.shape[0]), counts.shape[1]
    one = jax.nn.one_hot(action, counts.shape[2] // 2)
    row = counts[lanes, jnp.maximum(place, 0)] + jnp.concatenate([one, one * total[:, None]], axis=1)
    return counts.at[lanes, jnp.where(place < 0, outside, place)].set(row, mode="drop", unique_indices=True)


def buckets(batch: int, num_nodes: int) -> Int[Array, "B J E"]:
    """Empty tables for this many nodes: a power of two of buckets, with one node or less in each on average."""
    return jnp.zeros((batch, 1 << (num_nodes - 1).bit_length(), 2 * SLOTS), jnp.int32)


def find(children: Int[Array, "B J E"], edge: Int[Array, " B"]) -> Int[Array, " B"]:
    """In each tree the node below an edge, or 0: the root is below none."""
    keys, nodes = jnp.split(children[jnp.arange(edge.shape[0]), _bucket(children, edge)], 2, axis=1)
    return jnp.sum(jnp.where(keys == edge[:, None] + 1, nodes, 0), axis=1)


def grown(children: Int[Array, "B J E"], edge: Int[Array, " B"], node: Int[Array, ""]) -> Int[Array, "B J E"]:
    """The tables with `node` below an edge of each tree, where that is not -1.

    Where the bucket is full (one time in a million) the edge stays without a node, and search ends there in a rollout.
    """
    lanes, bucket = jnp.arange(edge.shape[0]), _bucket(children, edge)
    row = children[lanes, bucket]
    slot = jnp.argmax(row[:, :SLOTS] == 0, axis=1)
    here = jax.nn.one_hot(slot, SLOTS, dtype=jnp.int32) * (row[:, :SLOTS] == 0).astype(jnp.int32)
    row = row + jnp.concatenate([here * (edge[:, None] + 1), here * node], axis=1)
    place = jnp.where(edge < 0, children.shape[1], bucket)
    return children.at[lanes, place].set(row, mode="drop", unique_indices=True)


def _bucket(children: Int[Array, "B J E"], edge: Int[Array, " B"]) -> Int[Array, " B"]:
    """Where the tables keep an edge."""
    return (mix(edge.astype(jnp.uint32)) & jnp.uint32(children.shape[1] - 1)).astype(jnp.int32)


def results(counts: Float[Array, "B C"]) -> Search:
    """What the counts at the roots say."""
    visits, totals = jnp.split(counts, 2, axis=1)
    values = jnp.where(visits > 0, totals / jnp.maximum(visits, 1.0), -jnp.inf)
    return Search(values, visits.astype(jnp.int32), jnp.argmax(values, axis=1).astype(jnp.int32))


def _shares(batch: int) -> list[slice]:
    """The batch in consecutive pieces, one for each processor."""
    count = min(os.cpu_count() or 1, batch)
    edges = [batch * index // count for index in range(count + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(edges)]


def check_size(batch: int, num_simulations: int, exploration: float, width: int, branches: int) -> None:
    """Refuse what cannot be searched, before memory runs out: each node has `width` counts and `branches` edges."""
    if num_simulations < 1:
        raise ValueError(f"num_simulations is {num_simulations}; a search makes at least one.")
    if not exploration >= 0.0:
        raise ValueError(f"exploration is {exploration}; it must be at least 0.")
    size = 4.0 * batch * (num_simulations + 1) * (width + 4 * SLOTS)
    if size > MAX_BYTES:
        raise ValueError(
            f"{batch} trees of {num_simulations} simulations with {width} counts at each node take {size:.2g} bytes, "
            f"more than {MAX_BYTES:.2g}; search fewer beliefs at once, or make fewer simulations."
        )
    if (num_simulations + 1) * branches >= MAX_EDGES:
        raise ValueError(
            f"{num_simulations} simulations with {branches} pairs of action and observation make "
            f"{(num_simulations + 1) * branches:.2g} edges, more than can be numbered; make fewer simulations."
        )

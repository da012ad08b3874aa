"""What should the assistant do, looking ahead through what the human will probably do? A tree search with a model.

A node is a position together with what is believed there. At an edge the assistant takes one of the node's K candidate
actions, and the human's action is drawn anew at EVERY visit. So an edge (node, action) has one child for each human
action that was ever drawn there; statistics are kept per edge, over all of its children (Laidlaw et al. 2025,
"AssistanceZero", arXiv 2504.07091):

    h ~ P(h | s),   s' = child(s, a, h)
    r = r_A(s, a, h; belief of s) + r_H(s, a, h; belief of s')
    G(s) = r + γ G(s'),   G(leaf) = the model's value
    Q(s, a) = mean of r + γ G(s') over all N(s, a) visits

Candidates of the root are compared on common random numbers: the k-th simulation of each meets the same draws, so what
sets them apart is not who met the luckier human.

What the human did is evidence about what they want. So their part of the reward is expected under the belief that has
seen it, the child's; the assistant chose before, so its part is expected under the parent's.

Where the human has one thing to do this is plain search, and its trees are the same (Silver et al. 2018; Danihelka et
al. 2022). Many searches run side by side, a simulation of each at a time.
Axis letters: B searches, N nodes, K candidates.
"""

import abc
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from tacit.core import ASSISTANT, HUMAN
from tacit.planning.dice import quick
from tacit.planning.tree_policies import Statistics, TreePolicy

Embedding = Any
"""All that a node keeps of its position and of the belief there: any pytree of arrays, the smaller the faster."""

NOBODY = -1
"""No node."""

MAX_BYTES = 8e9
"""The most memory that the trees of one call may take."""


@dataclass(frozen=True)
class Config:
    """How much to search."""

    num_simulations: int = 50
    max_depth: int | None = None
    """Edges from the root to the deepest node; None for as many as there are simulations."""


class Leaf(NamedTuple):
    """A node as the model sees it. Illegal candidates, and such as only fill the row, have a logit of -inf."""

    embedding: Embedding
    actions: Int[Array, " K"]
    logits: Float[Array, " K"]
    value: Float[Array, ""]
    discount: Float[Array, ""]
    """Weight of this value against the reward of the step that led here; 0 where the episode ended with that step."""


class SearchModel(eqx.Module):
    """What a search must know. All methods speak of one node; the search maps them over its batch."""

    @abc.abstractmethod
    def human(self, embedding: Embedding, key: Key[Array, ""]) -> Int[Array, ""]:
        """Draw what the human does at a node, as predicted there: a number that says all that chance decides."""

    @abc.abstractmethod
    def expand(self, embedding: Embedding, action: Int[Array, ""], human: Int[Array, ""]) -> Leaf:
        """The node after these actions: the world's step and a look at what came of it."""

    @abc.abstractmethod
    def reward(self, belief: Embedding, before: Embedding, after: Embedding) -> Float[Array, "2"]:
        """Each player's part in the reward of the step from `before` to `after`, by what is believed at `belief`."""


class Search(NamedTuple):
    """What the searches found at their roots."""

    action: Int[Array, " B"]
    """The action to take."""
    actions: Int[Array, "B K"]
    """The candidates that the rest speaks of."""
    weights: Float[Array, "B K"]
    """The improved policy over these."""
    visits: Int[Array, "B K"]
    values: Float[Array, "B K"]
    """Mean returns; 0 if never tried."""
    value: Float[Array, " B"]
    """The mean return of all simulations, the model's own value being the first."""


class Tree(NamedTuple):
    """All trees. Node 0 is the root; simulation t makes node t + 1, or none where it ends at `max_depth`."""

    embedding: Embedding
    actions: Int[Array, "B N K"]
    logits: Float[Array, "B N K"]
    visits: Int[Array, "B N K"]
    values: Float[Array, "B N K"]
    counts: Int[Array, "B N"]
    means: Float[Array, "B N"]
    raw_values: Float[Array, "B N"]
    bounds: Float[Array, "B N 2"]
    parents: Int[Array, "B N"]
    """NOBODY for the root and for nodes never made."""
    slots: Int[Array, "B N"]
    """Which candidate of the parent led here, by number."""
    humans: Int[Array, "B N"]
    """What the human did on the way here."""
    rewards: Float[Array, "B N"]
    """Of the step that led here."""
    discounts: Float[Array, "B N"]


class Edge(NamedTuple):
    """Where a simulation of every search is: at a node, about to try a candidate, the human's action being drawn."""

    node: Int[Array, " B"]
    slot: Int[Array, " B"]
    human: Int[Array, " B"]
    child: Int[Array, " B"]
    """The node that these lead to; NOBODY if it is not in the tree yet."""


def prune(logits: Float[Array, " A"], num: int) -> tuple[Int[Array, " K"], Float[Array, " K"]]:
    """The K = min(num, A) actions of the highest prior, and their logits: the candidates of a node."""
    if num >= logits.shape[0]:
        return jnp.arange(logits.shape[0], dtype=jnp.int32), logits
    best, actions = jax.lax.top_k(logits, num)
    return actions, best


@eqx.filter_jit
def search(
    model: SearchModel,
    root: Leaf,
    policy: TreePolicy,
    config: Config,
    key: Key[Array, ""],
    noise: Float[Array, "B K"] | None = None,
) -> Search:
    """Search from B roots. `noise` replaces what the policy would draw at them."""
    tree, noise = grow(model, root, policy, config, key, noise)
    found = _statistics(tree, jnp.zeros_like(tree.counts[:, 0]))
    keys = jax.random.split(jax.random.fold_in(key, 2), len(noise))
    slot, weights = jax.vmap(policy.conclude)(found, noise, keys)
    action = tree.actions[jnp.arange(len(slot)), 0, slot]
    return Search(action, tree.actions[:, 0], weights, found.visits, found.values, found.value)


@eqx.filter_jit
def grow(
    model: SearchModel,
    root: Leaf,
    policy: TreePolicy,
    config: Config,
    key: Key[Array, ""],
    noise: Float[Array, "B K"] | None = None,
) -> tuple[Tree, Float[Array, "B K"]]:
    """The trees that `search` reads, and the noise at their roots."""
    _check(root, config)
    batch, num = root.logits.shape[0], config.num_simulations
    max_depth = num if config.max_depth is None else config.max_depth
    if noise is None:
        noise = jax.vmap(policy.draw)(root.logits, jax.random.split(jax.random.fold_in(key, 0), batch))
    root = root._replace(logits=jax.vmap(policy.stir)(root.logits, noise))
    dice = jax.vmap(quick)(jax.random.split(jax.random.fold_in(key, 1), batch))

    def simulate(number: Int[Array, ""], tree: Tree) -> Tree:
        edge, throws = _enter(model, policy, tree, noise, num, dice)
        edge, _ = jax.lax.while_loop(
            lambda way: (way[0].child >= 0).any() & (way[1] < max_depth),
            lambda way: (_descend(model, policy, tree, *way, throws), way[1] + 1),
            (edge, jnp.ones((), jnp.int32)),
        )
        tree, leaf = _expand(model, tree, edge, number + 1)
        return _credit(tree, leaf)

    return jax.lax.fori_loop(0, num, simulate, _plant(root, num + 1)), noise


def _plant(root: Leaf, num_nodes: int) -> Tree:
    """Trees with room for this many nodes, of which the root is there."""
    batch, width = root.logits.shape

    def room(x: Array, fill: int = 0) -> Array:
        return jnp.full((x.shape[0], num_nodes, *x.shape[1:]), fill, x.dtype)

    def copies(x: Array) -> Array:
        # One plain copy; to leave the other places empty XLA would ask of every entry which place it is in.
        return jnp.broadcast_to(x[:, None], (batch, num_nodes, *x.shape[1:]))

    numbers, reals = jnp.zeros((batch,), jnp.int32), jnp.zeros((batch,))
    rows = jnp.zeros((batch, width), jnp.int32)
    tree = Tree(
        embedding=jax.tree.map(copies, root.embedding),
        actions=room(rows),
        logits=room(root.logits),
        visits=room(rows),
        values=room(root.logits),
        counts=room(numbers),
        means=room(reals),
        raw_values=room(reals),
        bounds=jnp.tile(jnp.array([jnp.inf, -jnp.inf]), (batch, num_nodes, 1)),
        parents=room(numbers, NOBODY),
        slots=room(numbers),
        humans=room(numbers),
        rewards=room(reals),
        discounts=room(reals),
    )
    edge = Edge(numbers - 1, numbers, numbers, numbers - 1)
    return _write(tree, root, edge, reals, jnp.zeros((), jnp.int32))


def _write(tree: Tree, leaf: Leaf, edge: Edge, reward: Float[Array, " B"], number: Int[Array, ""]) -> Tree:
    """The trees with this node of each below the edge. Where one is there already, the number stays unused."""
    new = edge.child < 0

    def put(rows: Array, row: Array) -> Array:
        return jax.lax.dynamic_update_index_in_dim(rows, row, number, 1)

    return tree._replace(
        embedding=jax.tree.map(put, tree.embedding, leaf.embedding),
        actions=put(tree.actions, leaf.actions),
        logits=put(tree.logits, leaf.logits),
        counts=put(tree.counts, new.astype(jnp.int32)),
        means=put(tree.means, leaf.value),
        raw_values=put(tree.raw_values, leaf.value),
        bounds=put(tree.bounds, jnp.stack([jnp.where(new, leaf.value, sign * jnp.inf) for sign in (1, -1)], -1)),
        parents=put(tree.parents, jnp.where(new, edge.node, NOBODY)),
        slots=put(tree.slots, edge.slot),
        humans=put(tree.humans, edge.human),
        rewards=put(tree.rewards, reward),
        discounts=put(tree.discounts, leaf.discount),
    )


def _at(rows: PyTree, node: Int[Array, " B"]) -> PyTree:
    """The row of one node of each tree."""
    lanes = jnp.arange(node.shape[0])
    return jax.tree.map(lambda x: x[lanes, node], rows)


def _statistics(tree: Tree, node: Int[Array, " B"]) -> Statistics:
    """Of one node of each tree."""
    everywhere = jnp.stack([tree.bounds[..., 0].min(1), tree.bounds[..., 1].max(1)], -1)
    return Statistics(
        _at(tree.logits, node),
        _at(tree.visits, node),
        _at(tree.values, node),
        _at(tree.counts, node),
        _at(tree.means, node),
        _at(tree.raw_values, node),
        _at(tree.bounds, node),
        everywhere,
    )


def _child(tree: Tree, node: Int[Array, " B"], slot: Int[Array, " B"], human: Int[Array, " B"]) -> Int[Array, " B"]:
    """The node of each tree to which these lead, or NOBODY."""
    same = (tree.parents == node[:, None]) & (tree.slots == slot[:, None]) & (tree.humans == human[:, None])
    numbers = jnp.arange(same.shape[1], dtype=jnp.int32)
    return jnp.where(same, numbers[None], NOBODY).max(1)


def _enter(
    model: SearchModel,
    policy: TreePolicy,
    tree: Tree,
    noise: Float[Array, "B K"],
    num_simulations: int,
    dice: Key[Array, " B"],
) -> tuple[Edge, Key[Array, " B"]]:
    """The first step of a simulation, from the root, and its dice: the same for the k-th of each candidate."""
    node = jnp.zeros_like(tree.counts[:, 0])
    root = _statistics(tree, node)
    slot = jax.vmap(policy.at_root, (0, 0, None))(root, noise, num_simulations)
    throws = jax.vmap(jax.random.fold_in)(dice, _at(root.visits, slot))
    human = jax.vmap(model.human)(_at(tree.embedding, node), throws)
    return Edge(node, slot, human, _child(tree, node, slot, human)), throws


def _descend(
    model: SearchModel, policy: TreePolicy, tree: Tree, edge: Edge, depth: Int[Array, ""], throws: Key[Array, " B"]
) -> Edge:
    """The next step of every simulation that is still in its tree."""
    going = edge.child >= 0
    node = jnp.where(going, edge.child, edge.node)
    keys = jax.vmap(lambda key: jax.random.fold_in(key, depth))(throws)
    slot = jnp.where(going, jax.vmap(policy.below)(_statistics(tree, node)), edge.slot)
    human = jnp.where(going, jax.vmap(model.human)(_at(tree.embedding, node), keys), edge.human)
    child = jnp.where(going, _child(tree, node, slot, human), NOBODY)
    return Edge(node, slot, human, child)


def _expand(model: SearchModel, tree: Tree, edge: Edge, number: Int[Array, ""]) -> tuple[Tree, Int[Array, " B"]]:
    """The trees with a new node each below the edge, and the node in which the simulation ends.

    That is the new one, or the one that is there where the simulation was stopped at the greatest depth.
    """
    before = _at(tree.embedding, edge.node)
    action = _at(tree.actions, edge.node)[jnp.arange(len(edge.slot)), edge.slot]
    leaf = jax.vmap(model.expand)(before, action, edge.human)
    own = jax.vmap(model.reward)(before, before, leaf.embedding)[:, ASSISTANT]
    theirs = jax.vmap(model.reward)(leaf.embedding, before, leaf.embedding)[:, HUMAN]
    tree = _write(tree, leaf, edge, own + theirs, number)
    again = jnp.arange(tree.counts.shape[1], dtype=jnp.int32)[None] == edge.child[:, None]
    tree = tree._replace(counts=tree.counts + again.astype(jnp.int32))
    return tree, jnp.where(edge.child < 0, number, edge.child)


def _credit(tree: Tree, leaf: Int[Array, " B"]) -> Tree:
    """Carry the value of each leaf up to its root: one visit more, and what followed it, for every edge on the way."""
    lanes, nowhere = jnp.arange(leaf.shape[0]), tree.counts.shape[1]

    def up(carry: tuple[Tree, Int[Array, " B"], Float[Array, " B"]]) -> tuple:
        tree, node, total = carry
        going = node > 0
        way = (tree.parents, tree.slots, tree.rewards, tree.discounts)
        parent, slot, reward, discount = _at(way, node)
        parent = jnp.where(going, parent, 0)
        total = jnp.where(going, reward + discount * total, total)
        at, place = jnp.where(going, parent, nowhere), (lanes, parent, slot)
        visits, count = tree.visits[place], tree.counts[lanes, parent]
        value = tree.values[place]
        value += (total - value) / (visits + 1).astype(jnp.float32)
        mean = tree.means[lanes, parent]
        mean += (total - mean) / (count + 1).astype(jnp.float32)
        low, high = tree.bounds[lanes, parent].T
        bounds = jnp.stack([jnp.minimum(low, total), jnp.maximum(high, total)], -1)

        def put(rows: Array, *new: Array) -> Array:
            return rows.at[lanes, at].set(new[0], mode="drop", unique_indices=True)

        tree = tree._replace(
            visits=tree.visits.at[lanes, at, slot].set(visits + 1, mode="drop", unique_indices=True),
            values=tree.values.at[lanes, at, slot].set(value, mode="drop", unique_indices=True),
            counts=put(tree.counts, count + 1),
            means=put(tree.means, mean),
            bounds=put(tree.bounds, bounds),
        )
        return tree, parent, total

    value = _at(tree.raw_values, leaf)
    return jax.lax.while_loop(lambda carry: (carry[1] > 0).any(), up, (tree, leaf, value))[0]


def _check(root: Leaf, config: Config) -> None:
    """Refuse what cannot be searched, before memory runs out."""
    if config.num_simulations < 1:
        raise ValueError(f"There are {config.num_simulations} simulations to make; it must be at least 1.")
    if config.max_depth is not None and config.max_depth < 1:
        raise ValueError(f"The greatest depth is {config.max_depth}; it must be at least 1, or None.")
    if root.logits.ndim != 2:
        raise ValueError(
            f"The roots' logits have shape {root.logits.shape}; they must be [B, K], for B searches at once."
        )
    rows = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(root.embedding)) + 16 * root.logits.size
    size = (config.num_simulations + 1) * rows
    if size > MAX_BYTES:
        raise ValueError(
            f"{root.logits.shape[0]} trees of {config.num_simulations + 1} nodes would take {size / 1e9:.1f} GB, more "
            f"than {MAX_BYTES / 1e9:.0f}; search fewer at once, with fewer simulations or smaller embeddings."
        )

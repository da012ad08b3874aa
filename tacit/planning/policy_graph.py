"""How is a plan carried out without a belief, and what is it worth in a problem that it was not made for?

A plan that follows finitely many beliefs is a graph: at each node an action, and for each observation the next node. So
it is played by looking up, and its value is exact in any POMDP with the same actions and observations, by following how
likely each pair of node and hidden state is. That prices an assistant whose idea of the human is wrong, or one that
only does as it is told. Hansen 1998, "Solving POMDPs by searching in policy space", section 3.

For problems in which what is seen does not depend on the action that led there, as in those of assistance: there
something is seen before the first action. Axis letters: S states, A actions, O observations, G nodes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tacit.arrays import Pomdp
from tacit.planning import reachable
from tacit.planning.belief_update import joint, num_rows, posteriors

MAX_LINKS = 100_000_000
"""The most ways on from one node to the next that a graph may list."""

TIE = 1e-9
"""Values that differ by less are taken for equal, and of equally good actions the first is taken: passing, if it is."""

NEGLIGIBLE = 1e-12
"""A chance below which something counts as impossible."""


class Graph(NamedTuple):
    """Node `first[o]` comes after the first sight o, and `follow[g, o]` after node g and sight o; -1 is nowhere."""

    first: Int[np.ndarray, " O"]
    actions: Int[np.ndarray, " G"]
    follow: Int[np.ndarray, "G O"]


class Worked(NamedTuple):
    """The best plan as a graph, its value, what each action is worth at each node, and what is believed there."""

    graph: Graph
    value: float
    q: Float[np.ndarray, "G A"]
    beliefs: sparse.csr_array


def solve(pomdp: Pomdp, horizon: int) -> Worked:
    """The best plan for a player who looks before the first action; exact, from `reachable`.

    V = Σ_o P(o) V(b_o).
    """
    looks = first_looks(pomdp)
    first = np.full(len(looks), -1)
    parts, value, count = [], 0.0, 0
    for look, weights in enumerate(looks):
        mass = weights.sum()
        if mass > NEGLIGIBLE:
            plan = reachable.solve(pomdp._replace(initial=weights / mass), horizon)
            first[look] = count
            parts.append(_unroll(plan, len(looks), count))
            value += mass * plan.value
            count += len(parts[-1][0])
    actions, follow, q, beliefs = zip(*parts, strict=True)
    graph = Graph(first, np.concatenate(actions), np.concatenate(follow))
    return Worked(graph, float(value), np.concatenate(q), sparse.csr_array(sparse.vstack(beliefs, format="csr")))


def reactive(actions: Sequence[int] | Int[np.ndarray, " O"]) -> Graph:
    """The graph that takes `actions[o]` after each sight o, whatever came before."""
    nodes = np.arange(len(actions))
    return Graph(nodes, np.asarray(actions), np.broadcast_to(nodes, (len(nodes), len(nodes))))


def evaluate(pomdp: Pomdp, graph: Graph, horizon: int) -> float:
    """What following the graph is worth for so many turns, exactly: E[Σ_t γᵗ R(s_t, a_t)].

    ValueError if something can happen from which the graph has no way on.
    """
    if len(graph.first) != len(pomdp.observation_names):
        raise ValueError(
            f"The graph knows {len(graph.first)} observations and the problem has {len(pomdp.observation_names)}."
        )
    matrices = joint(pomdp)
    looks = first_looks(pomdp)
    seen = np.flatnonzero(looks.sum(1) > NEGLIGIBLE)
    nodes, weights = _gather(graph.first[seen], sparse.csr_array(looks[seen]), 0)
    total = 0.0
    for turn in range(horizon):
        taken = graph.actions[nodes]
        paid = (weights @ pomdp.rewards)[np.arange(len(nodes)), taken]
        total += pomdp.discount**turn * float(paid.sum())
        if turn + 1 == horizon:
            break
        ways, blocks = [], []
        for action in np.unique(taken):
            rows = np.flatnonzero(taken == action)
            found = posteriors(pomdp, matrices[action], sparse.csr_array(weights[rows]))
            likely = found.chances > NEGLIGIBLE
            ways.append(graph.follow[nodes[rows[found.parents[likely]]], found.observations[likely]])
            blocks.append(sparse.diags_array(found.chances[likely]) @ found.beliefs[np.flatnonzero(likely)])
        nodes, weights = _gather(np.concatenate(ways), sparse.csr_array(sparse.vstack(blocks, format="csr")), turn + 1)
    return total


def first_looks(pomdp: Pomdp) -> Float[np.ndarray, "O S"]:
    """For each first sight the initial states that show it, weighted by their probability."""
    return pomdp.observations[0].T.toarray() * pomdp.initial


def _gather(
    nodes: Int[np.ndarray, " K"], weights: sparse.csr_array, turn: int
) -> tuple[Int[np.ndarray, " G"], sparse.csr_array]:
    """Weights that came to the same node, added up."""
    if (nodes < 0).any():
        raise ValueError(f"At turn {turn} something can be seen that the plan takes for impossible.")
    different, which = np.unique(nodes, return_inverse=True)
    adding = sparse.csr_array((np.ones(len(nodes)), (which, np.arange(len(nodes)))), (len(different), len(nodes)))
    return different, sparse.csr_array(adding @ weights)


def _unroll(
    plan: reachable.ReachablePlan, width: int, offset: int
) -> tuple[Int[np.ndarray, " G"], Int[np.ndarray, "G O"], Float[np.ndarray, "G A"], sparse.csr_array]:
    """The nodes of a plan, numbered from `offset` on: actions, ways on, worth of each action, beliefs."""
    q = np.concatenate(plan.q)
    if q.shape[0] * width > MAX_LINKS:
        raise ValueError(
            f"The plan has {q.shape[0]} nodes with {width} ways on each, more than {MAX_LINKS:.2g} in all; ask for "
            "fewer turns, or use planning.pomcp, which plans as it goes."
        )
    actions = (q >= q.max(1, keepdims=True) - TIE).argmax(1)
    follow = np.full((q.shape[0], width), -1)
    before = 0
    for layer, links in zip(plan.beliefs[:-1], plan.links, strict=True):
        after = before + num_rows(layer)
        kept = actions[before + links.parents] == links.actions
        follow[before + links.parents[kept], links.observations[kept]] = offset + after + links.children[kept]
        before = after
    return actions, follow, q, sparse.csr_array(sparse.vstack(plan.beliefs, format="csr"))

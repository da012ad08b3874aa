"""POMCP as the paper's algorithm 1 has it: one search, one node at a time, in Python and NumPy. The slow twin.

Silver and Veness 2010. Written to be read; shares no code with tacit.planning.pomcp. A model is (step, num_actions,
discount), where step(state, action, rng) gives (state, observation, reward, over) and all actions are legal.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Model(NamedTuple):
    """What the search needs to know of a problem."""

    step: Callable[[Any, int, np.random.Generator], tuple[Any, int, float, bool]]
    num_actions: int
    discount: float


class Node:
    """A history."""

    def __init__(self, num_actions: int):
        self.visits = [0] * num_actions
        self.totals = [0.0] * num_actions
        self.children: dict[tuple[int, int], Node] = {}


def search(
    model: Model, states: list, exploration: float, num_simulations: int, depth: int, rng: np.random.Generator
) -> Node:
    """The root, after so many simulations from equally likely states."""
    root = Node(model.num_actions)
    for _ in range(num_simulations):
        simulate(model, states[int(rng.integers(len(states)))], root, exploration, depth, rng)
    return root


def simulate(model: Model, state: Any, node: Node, exploration: float, depth: int, rng: np.random.Generator) -> float:
    """The return of one simulation from a node on."""
    if depth == 0:
        return 0.0
    action = best(node, exploration)
    state, observation, reward, over = model.step(state, action, rng)
    total = reward
    if not over and (action, observation) in node.children:
        child = node.children[action, observation]
        total += model.discount * simulate(model, state, child, exploration, depth - 1, rng)
    elif not over:
        node.children[action, observation] = Node(model.num_actions)
        total += model.discount * rollout(model, state, depth - 1, rng)
    node.visits[action] += 1
    node.totals[action] += total
    return total


def rollout(model: Model, state: Any, depth: int, rng: np.random.Generator) -> float:
    """The return of playing on evenly."""
    total, weight = 0.0, 1.0
    for _ in range(depth):
        state, _, reward, over = model.step(state, int(rng.integers(model.num_actions)), rng)
        total += weight * reward
        weight *= model.discount
        if over:
            break
    return total


def best(node: Node, exploration: float) -> int:
    """The action of the highest upper confidence bound, the first that was never tried before all others."""
    for action, visits in enumerate(node.visits):
        if visits == 0:
            return action
    log_total = math.log(sum(node.visits))
    bounds = [
        total / visits + exploration * math.sqrt(log_total / visits)
        for total, visits in zip(node.totals, node.visits, strict=True)
    ]
    return bounds.index(max(bounds))


def tabular(transitions: list, observations: list, rewards: np.ndarray, discount: float) -> Model:
    """A model by arrays: dense `transitions[a][s, s']`, `observations[a][s', o]`, `rewards[s, a]`."""
    moves = [np.cumsum(np.asarray(matrix), axis=1) for matrix in transitions]
    sights = [np.cumsum(np.asarray(matrix), axis=1) for matrix in observations]
    for sums in (*moves, *sights):
        sums[:, -1] = 2.0
    stays = [
        all(matrix[state, state] == 1.0 for matrix in transitions) and not np.any(rewards[state])
        for state in range(len(rewards))
    ]

    def step(state: int, action: int, rng: np.random.Generator) -> tuple[int, int, float, bool]:
        following = int(np.searchsorted(moves[action][state], rng.random(), side="right"))
        seen = int(np.searchsorted(sights[action][following], rng.random(), side="right"))
        return following, seen, float(rewards[state, action]), stays[following]

    return Model(step, rewards.shape[1], discount)

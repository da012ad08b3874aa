"""What can be done for a human who does not know yet what they want, in any game given by arrays?

Such a human has a memory. They choose by it, feel something after every turn, and remember: theta acts on them through
what they feel and never tells them what it is. The assistant sees what they do and nothing of what they feel. So what
is hidden from it are theta, the world and the memory, and that is one POMDP. Chan et al. 2019, "The Assistive
Multi-Armed Bandit", arXiv 1901.08654, is the case of a world with one state.

Axis letters: N thetas, S states, H the human's actions, A the assistant's, M memories, F feelings.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tacit.arrays import GameArrays, Numbers, Pomdp, distributions, indices, numbers, pomdp
from tacit.planning import policy_graph
from tacit.planning.assistance import counted

MAX_ENTRIES = 50_000_000
"""The largest number of transitions that a reduced problem may hold."""


class LearnerArrays(NamedTuple):
    """A human who learns what they want, as `learner_arrays` checked them.

    `start[n, m]` is how likely memory m is at first: rows that differ say what the human knows of theta beforehand.
    `choose[m, s, h]` is the probability of an action, `feels[n, s, h, a, f]` that of a feeling, and
    `learn[m, s, h, a, f]` the memory after it. Whoever learns by chance feels the chance as well.
    """

    start: Float[np.ndarray, "N M"]
    choose: Float[np.ndarray, "M S H"]
    feels: Float[np.ndarray, "N S H A F"]
    learn: Int[np.ndarray, "M S H A F"]


def learner_arrays(
    arrays: GameArrays, start: Numbers, choose: Numbers, feels: Numbers, learn: Numbers
) -> LearnerArrays:
    """Check the arrays of a learning human of this game. One row for `start` is for someone who knows nothing.

    Raises ValueError naming the array, the index and the value that is wrong.
    """
    thetas, states, humans, assistants = arrays.rewards.shape
    choose, feels = numbers("choose", choose, 3), numbers("feels", feels, 5)
    memories, feelings = choose.shape[0], feels.shape[-1]
    choose = distributions("choose", numbers("choose", choose, 3, (memories, states, humans)))
    feels = distributions("feels", numbers("feels", feels, 5, (thetas, states, humans, assistants, feelings)))
    rows = np.asarray(start)
    rows = np.broadcast_to(rows, (thetas, memories)) if rows.shape == (memories,) else rows
    start = distributions("start", numbers("start", rows, 2, (thetas, memories)))
    learn = indices("learn", learn, (memories, states, humans, assistants, feelings), memories)
    forbidden = (choose > 0) & ~arrays.legal_human
    if forbidden.any():
        memory, state, action = (int(index) for index in np.argwhere(forbidden)[0])
        raise ValueError(
            f"choose[{memory}, {state}, {action}] is {choose[memory, state, action]:g}, but action {action} is not "
            f"legal for the human in state {state}."
        )
    _check_sight(arrays, choose, learn)
    return LearnerArrays(start, choose, feels, learn)


class Worth(NamedTuple):
    """What a game is worth if the assistant always passes, if it helps as well as can be, and to one mind for both."""

    alone: float
    together: float
    one_mind: float


def worth(arrays: GameArrays, human: LearnerArrays) -> Worth:
    """Exact values of a game with a horizon: alone ≤ together ≤ one mind. In a game of asking, to pass is to obey."""
    if arrays.horizon is None:
        raise ValueError("There is no horizon, so the beliefs to plan for are without end; give one.")
    problem = reduce_learning(arrays, human)
    passing = policy_graph.reactive(np.zeros(len(problem.observation_names), int))
    return Worth(
        policy_graph.evaluate(problem, passing, arrays.horizon),
        policy_graph.solve(problem, arrays.horizon).value,
        policy_graph.solve(one_mind(arrays, human.feels), arrays.horizon).value,
    )


def mixture(humans: Sequence[LearnerArrays], weights: Numbers) -> LearnerArrays:
    """Someone who may be any of these humans of one game, for an assistant that does not know which it has before it.

    Their memories are numbered one human after the other; what is felt must be the same for all.
    """
    shares = distributions("weights", numbers("weights", weights, 1, (len(humans),)))
    for index, human in enumerate(humans):
        if not np.array_equal(human.feels, humans[0].feels):
            raise ValueError(f"humans[{index}] and humans[0] feel differently; what is felt belongs to the game.")
    offsets = np.cumsum([0, *(len(human.choose) for human in humans)])[:-1]
    return LearnerArrays(
        np.concatenate([share * human.start for share, human in zip(shares, humans, strict=True)], 1),
        np.concatenate([human.choose for human in humans]),
        humans[0].feels,
        np.concatenate([offset + human.learn for offset, human in zip(offsets, humans, strict=True)]),
    )


def reduce_learning(arrays: GameArrays, human: LearnerArrays) -> Pomdp:
    """The assistant's problem beside a human who is still learning: hidden are theta, the world and the memory.

    The states are the R triples (world, memory, last human action) that can come about, once for each theta: state
    n·R + r belongs to theta n. Observation z·H + h is what the world looks like to the assistant and the last human
    action (0 at first), as in `assistance.reduce`. Before the first action nothing is seen; `policy_graph` looks first.
    """
    thetas, states, humans, assistants = arrays.rewards.shape
    memories = human.choose.shape[0]
    transitions, rewards = counted(arrays)
    feels, learn = _as_counted(arrays, human)
    edges = [_edges(transitions[:, :, action], human.choose, feels[..., action, :]) for action in range(assistants)]
    size = thetas * sum(len(edge.memory) for edge in edges)
    if size > MAX_ENTRIES:
        raise ValueError(
            f"A human with {memories} memories, {states} states and {thetas} thetas make some {size:.2g} "
            f"transitions, more than {MAX_ENTRIES:.2g}; remember less, or use POMCP, which needs no "
            "such tables."
        )
    began = np.flatnonzero((human.start > 0).any(0))
    first = (np.flatnonzero(arrays.initial > 0)[:, None] * memories + began).ravel() * humans
    triples = _reachable(edges, learn, first, (states, memories, humans))
    world, memory, did = np.unravel_index(triples, (states, memories, humans))
    number = np.full(states * memories * humans, -1)
    number[triples] = np.arange(len(triples))

    moves, paid = [], []
    for action, edge in enumerate(edges):
        target = _targets(edge, learn[:, :, :, action], (memories, humans))
        after = number[target]
        # One row for each last action with which (world, memory) is reached: what was done does not matter any more.
        for_pair = [number[(edge.state * memories + edge.memory) * humans + h] for h in range(humans)]
        rows, columns, chosen = (
            np.concatenate(part)
            for part in zip(
                *[(row[row >= 0], after[row >= 0], np.flatnonzero(row >= 0)) for row in for_pair], strict=True
            )
        )
        blocks = []
        for theta in range(thetas):
            felt = feels[theta, edge.state, edge.human, action, edge.feeling]
            weights = (edge.chance * felt)[chosen]
            blocks.append(sparse.csr_array((weights, (rows, columns)), (len(triples), len(triples))))
        moves.append(sparse.csr_array(sparse.block_diag(blocks, format="csr")))
        paid.append(np.einsum("rh,nrh->nr", human.choose[memory, world], rewards[..., action][:, world]).ravel())

    looks, seen = np.unique(arrays.sees[1], return_inverse=True)
    hidden = thetas * len(triples)
    shown = np.tile(seen[world] * humans + did, thetas)
    sight = sparse.csr_array((np.ones(hidden), (np.arange(hidden), shown)), (hidden, len(looks) * humans))
    initial = np.einsum("n,r,nr->nr", arrays.prior, arrays.initial[world], human.start[:, memory]) * (did == 0)
    return pomdp(
        moves,
        [sight] * assistants,
        np.stack(paid, -1),
        (initial / initial.sum()).ravel(),
        arrays.discount,
        [
            f"theta{n}-state{s}-memory{m}-did{h}"
            for n in range(thetas)
            for s, m, h in zip(world, memory, did, strict=True)
        ],
        [f"action{action}" for action in range(assistants)],
        [f"sees{z}-did{h}" for z in looks for h in range(humans)],
    )


def one_mind(arrays: GameArrays, feels: Float[np.ndarray, "N S H A F"]) -> Pomdp:
    """The same game if one mind chose for both players, saw what both see and felt what the human feels.

    No team can do better, however well its human learns and tells. Action h·A + a is the pair (h, a), state
    (n·S + s)·F + f stands for theta, world and the last feeling (0 at first), and so do observations, without theta.
    """
    thetas, states, humans, assistants = arrays.rewards.shape
    feelings = feels.shape[-1]
    transitions, rewards = counted(arrays)
    chances = np.where(arrays.legal_assistant[:, None, :, None], feels, feels[:, :, :, :1])
    pairs, seen = np.unique(arrays.sees, axis=1, return_inverse=True)
    moves, paid = [], []
    for human in range(humans):
        taken = np.where(arrays.legal_human[:, human], human, 0)
        each = np.arange(states)
        for action in range(assistants):
            joint = np.einsum(
                "st,nsf->nstf", transitions[each, taken, action], chances[:, each, taken, action]
            ).reshape(thetas, states, states * feelings)
            blocks = [sparse.kron(sparse.csr_array(part), np.ones((feelings, 1))) for part in joint]
            moves.append(sparse.csr_array(sparse.block_diag(blocks, format="csr")))
            paid.append(np.repeat(rewards[:, each, taken, action].ravel(), feelings))
    hidden = thetas * states * feelings
    shown = np.tile((seen.reshape(-1)[:, None] * feelings + np.arange(feelings)).ravel(), thetas)
    sight = sparse.csr_array((np.ones(hidden), (np.arange(hidden), shown)), (hidden, pairs.shape[1] * feelings))
    initial = np.zeros((thetas, states, feelings))
    initial[:, :, 0] = np.outer(arrays.prior, arrays.initial)
    return pomdp(
        moves,
        [sight] * len(moves),
        np.stack(paid, -1),
        initial.ravel(),
        arrays.discount,
        [f"theta{n}-state{s}-felt{f}" for n in range(thetas) for s in range(states) for f in range(feelings)],
        [f"human{h}-assistant{a}" for h in range(humans) for a in range(assistants)],
        [f"sees{one}-{other}-felt{f}" for one, other in pairs.T for f in range(feelings)],
    )


class _Edges(NamedTuple):
    """What can happen in one turn, apart from how likely the feeling is; `chance` is the rest of the probability."""

    memory: Int[np.ndarray, " E"]
    state: Int[np.ndarray, " E"]
    human: Int[np.ndarray, " E"]
    feeling: Int[np.ndarray, " E"]
    following: Int[np.ndarray, " E"]
    chance: Float[np.ndarray, " E"]


def _edges(
    transitions: Float[np.ndarray, "S H S"], choose: Float[np.ndarray, "M S H"], feels: Float[np.ndarray, "N S H F"]
) -> _Edges:
    """Every (memory, world, human action, feeling, next world) that has a chance under some theta."""
    felt = np.any(feels > 0, axis=0)
    moved = np.argwhere(felt[:, :, :, None] & (transitions > 0)[:, :, None, :])
    by_place = {}
    for state, human, feeling, following in moved.tolist():
        by_place.setdefault((state, human), []).append((feeling, following))
    parts = []
    for (state, human), outcomes in by_place.items():
        memory = np.flatnonzero(choose[:, state, human] > 0)
        feeling, following = np.array(outcomes).T
        chance = choose[memory, state, human][:, None] * transitions[state, human, following]
        shape = chance.shape
        parts.append(
            _Edges(
                np.repeat(memory, shape[1]),
                np.full(chance.size, state),
                np.full(chance.size, human),
                np.tile(feeling, shape[0]),
                np.tile(following, shape[0]),
                chance.ravel(),
            )
        )
    return _Edges(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _targets(edge: _Edges, learn: Int[np.ndarray, "M S H F"], sizes: tuple[int, int]) -> Int[np.ndarray, " E"]:
    """The triple (world, memory, last human action) to which each edge leads."""
    memories, humans = sizes
    remembered = learn[edge.memory, edge.state, edge.human, edge.feeling]
    return (edge.following * memories + remembered) * humans + edge.human


def _reachable(
    edges: list[_Edges], learn: Int[np.ndarray, "M S H A F"], first: Int[np.ndarray, " K"], shape: tuple[int, int, int]
) -> Int[np.ndarray, " R"]:
    """The triples (world, memory, last human action) that can come about, as sorted flat numbers."""
    states, memories, humans = shape
    total = states * memories
    sources = np.concatenate([edge.state * memories + edge.memory for edge in edges])
    targets = np.concatenate(
        [_targets(edge, learn[:, :, :, action], (memories, humans)) for action, edge in enumerate(edges)]
    )
    graph = sparse.csr_array((np.ones(len(sources), bool), (sources, targets // humans)), (total, total))
    # From one more node, which leads to every start.
    starts = np.unique(first // humans)
    links = sparse.csr_array((np.ones(len(starts), bool), (np.zeros(len(starts), int), starts)), (1, total))
    whole = sparse.block_array([[graph, None], [links, sparse.csr_array((1, 1), dtype=bool)]], format="csr")
    found = sparse.csgraph.breadth_first_order(whole, total, return_predecessors=False)
    reached = np.zeros(total + 1, bool)
    reached[found] = True
    return np.union1d(first, targets[reached[sources]])


def _as_counted(
    arrays: GameArrays, human: LearnerArrays
) -> tuple[Float[np.ndarray, "N S H A F"], Int[np.ndarray, "M S H A F"]]:
    """What is felt and learnt of the assistant's actions as they count, one that is not legal being its pass."""
    legal = arrays.legal_assistant[:, None, :, None]
    feels = np.where(legal, human.feels, human.feels[:, :, :, :1])
    return feels, np.where(legal, human.learn, human.learn[:, :, :, :1])


def _check_sight(arrays: GameArrays, choose: Float[np.ndarray, "M S H"], learn: Int[np.ndarray, "M S H A F"]) -> None:
    """States that look the same to the human are treated the same."""
    for seen in np.unique(arrays.sees[0]):
        rows = np.flatnonzero(arrays.sees[0] == seen)
        for name, array in (("choose", choose), ("learn", learn)):
            unlike = array[:, rows] != array[:, rows[:1]]
            differ = unlike.swapaxes(0, 1).reshape(len(rows), -1).any(1)
            if differ.any():
                raise ValueError(
                    f"{name}[:, {rows[0]}] and {name}[:, {rows[np.argmax(differ)]}] differ, but both states look like "
                    f"{seen} to the human."
                )

"""What happens when both players answer each other in turn, best response after best response?

What is public is the history of states and of the human's actions (the assistant's follow from it, for its policy is
known). Over all of these, one node each, both best responses are plain backward induction: the human's for each theta
by itself; the assistant's on its belief, which the human's policy determines node by node. Values only rise, until
neither player gains alone: an equilibrium, though it need not be the optimal pair. "Demonstration by expert" with the
assistant's best response to it is where Hadfield-Menell et al. 2016, arXiv 1606.03137, section 4, start from.

For tiny games: nodes multiply with every turn. Axis letters: N thetas, S states, H the human's actions, A the
assistant's, B nodes of one turn.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tacit.arrays import GameArrays, Numbers
from tacit.planning.best_response import expert_human, human_policies
from tacit.planning.sweeps import check_sight

MAX_NODES = 200_000
"""The most histories of one turn."""

TIE = 1e-12
"""Values that differ by less than this part of the largest are taken for equal; the first action is chosen."""

HumanPolicy = tuple[Float[np.ndarray, "N _ H"], ...]
"""For each turn: how likely a human who wants theta n is to do h after each history."""

AssistantPolicy = tuple[Int[np.ndarray, " _"], ...]
"""For each turn: what the assistant does after each history."""


class Tree(NamedTuple):
    """All public histories, turn by turn: `states[t][b]` is where node b is, `children[t][b, h, s']` where it leads.

    Children are -1 where nothing leads; the last turn has none.
    """

    arrays: GameArrays
    states: tuple[Int[np.ndarray, " _"], ...]
    children: tuple[Int[np.ndarray, "_ H S"], ...]


class Rally(NamedTuple):
    """Best response after best response: the values, from the first pair on, and the last pair."""

    tree: Tree
    values: tuple[float, ...]
    human: HumanPolicy
    assistant: AssistantPolicy


def tree(arrays: GameArrays) -> Tree:
    """Every history of a finite horizon; ValueError if they are too many."""
    check_sight(arrays)
    if arrays.horizon is None:
        raise ValueError("The game has no horizon, so that its histories never end; give it one.")
    possible = (arrays.transitions > 0) & arrays.legal_assistant[:, None, :, None]
    leads = possible.any(2) & arrays.legal_human[:, :, None]
    states, children = [np.flatnonzero(arrays.initial)], []
    for turn in range(1, arrays.horizon):
        opens = leads[states[-1]]
        count = int(opens.sum())
        if count > MAX_NODES:
            raise ValueError(
                f"There are {count} histories by turn {turn}, more than {MAX_NODES}; use `cirl.optimal_pair`, or "
                "`best_response.best_assistant` for one response."
            )
        numbered = np.full(opens.shape, -1)
        numbered[opens] = np.arange(count)
        children.append(numbered)
        states.append(np.nonzero(opens)[2])
    return Tree(arrays, tuple(states), tuple(children))


def spread(tree: Tree, human: Numbers) -> HumanPolicy:
    """A policy [N, S, H] or [T, N, S, H], which does not look back, as one over histories."""
    policy = human_policies(tree.arrays, human)
    return tuple(policy[turn][:, states] for turn, states in enumerate(tree.states))


def assistant_reply(tree: Tree, human: HumanPolicy) -> AssistantPolicy:
    """The assistant's best response: at each history, the best action for what the human has shown by then.

    What should not have happened changes no belief.
    """
    arrays = tree.arrays
    beliefs = _beliefs(tree, human)
    actions, values = [], np.zeros(0)
    for turn in reversed(range(len(tree.states))):
        states = tree.states[turn]
        chosen = beliefs[turn].T[:, :, None] * human[turn]
        q = np.einsum("nbh,nbha->ba", chosen, arrays.rewards[:, states])
        if turn < len(tree.children):
            worth = np.where(tree.children[turn] >= 0, values[tree.children[turn]], 0.0)
            q += arrays.discount * np.einsum("bh,bhas,bhs->ba", chosen.sum(0), arrays.transitions[states], worth)
        q = np.where(arrays.legal_assistant[states], q, -np.inf)
        values = q.max(1)
        actions.append(_first(q))
    return tuple(reversed(actions))


def human_reply(tree: Tree, assistant: AssistantPolicy) -> HumanPolicy:
    """The human's best response: for each theta and history the best action, given what the assistant makes of it."""
    arrays = tree.arrays
    policies, values = [], np.zeros((len(arrays.prior), 0))
    for turn in reversed(range(len(tree.states))):
        q = _worth(tree, turn, assistant[turn], values)
        q = np.where(arrays.legal_human[tree.states[turn]], q, -np.inf)
        values = q.max(-1)
        policies.append(np.eye(q.shape[-1])[_first(q)])
    return tuple(reversed(policies))


def value(tree: Tree, human: HumanPolicy, assistant: AssistantPolicy) -> float:
    """What this pair is worth."""
    values = np.zeros((len(tree.arrays.prior), 0))
    for turn in reversed(range(len(tree.states))):
        values = (human[turn] * _worth(tree, turn, assistant[turn], values)).sum(-1)
    return float(tree.arrays.prior @ values @ tree.arrays.initial[tree.states[0]])


def rally(arrays: GameArrays, human: Numbers | None = None, max_rounds: int = 100) -> Rally:
    """Each player in turn answers the other until none gains.

    The human starts as the expert, or with a policy [N, S, H] or [T, N, S, H].
    """
    grown = tree(arrays)
    policy = spread(grown, expert_human(arrays) if human is None else human)
    reply = assistant_reply(grown, policy)
    values = [value(grown, policy, reply)]
    for _ in range(max_rounds):
        better = human_reply(grown, reply)
        answer = assistant_reply(grown, better)
        worth = value(grown, better, answer)
        if worth <= values[-1] + TIE * max(1.0, abs(worth)):
            break
        policy, reply = better, answer
        values.append(worth)
    return Rally(grown, tuple(values), policy, reply)


def _worth(
    tree: Tree, turn: int, actions: Int[np.ndarray, " B"], values: Float[np.ndarray, "N C"]
) -> Float[np.ndarray, "N B H"]:
    """What each of the human's actions is worth to each theta, given the assistant's and what follows."""
    arrays, states = tree.arrays, tree.states[turn]
    worth = arrays.rewards[:, states[:, None], np.arange(arrays.rewards.shape[2]), actions[:, None]]
    if turn == len(tree.children):
        return worth
    odds = arrays.transitions[states[:, None], np.arange(worth.shape[-1]), actions[:, None]]
    after = np.where(tree.children[turn] >= 0, values[:, tree.children[turn]], 0.0)
    return worth + arrays.discount * np.einsum("bhs,nbhs->nbh", odds, after)


def _beliefs(tree: Tree, human: HumanPolicy) -> list[Float[np.ndarray, "_ N"]]:
    """What an assistant that knows the human's policy believes after each history."""
    prior = tree.arrays.prior
    beliefs = [np.broadcast_to(prior, (len(tree.states[0]), len(prior)))]
    for policy, children in zip(human, tree.children, strict=False):
        node, action, _ = np.nonzero(children >= 0)
        before = beliefs[-1][node]
        likely = before * policy[:, node, action].T
        mass = likely.sum(1, keepdims=True)
        beliefs.append(np.where(mass > 0, likely / np.where(mass > 0, mass, 1.0), before))
    return beliefs


def _first(q: Float[np.ndarray, "*B K"]) -> Int[np.ndarray, "*B"]:
    """The first of the best, rounding aside."""
    best = q.max(-1, keepdims=True)
    return np.argmax(q >= best - TIE * np.maximum(1.0, np.abs(best)), -1)

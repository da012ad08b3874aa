"""What is lost when all questions come before all acting? Reward learning as the special case of assistance.

Reward learning asks first and acts afterwards, on what was learnt. An assistance problem in which the human only
answers, and the assistant must finish asking before it starts to act, is the same thing: `communicative` turns the one
into the other, `two_phase` restricts any assistance problem to it, and `never_asking` takes the questions away.
Shah et al. 2020, "Benefits of Assistance over Reward Learning", section 3.

Axis letters: N thetas, S states, A the assistant's actions, Q questions, K answers, H the human's actions.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from tacit.arrays import GameArrays, Numbers, check_clock, distributions, game_arrays, numbers
from tacit.planning import assistance, best_response, reachable

MAX_NODES = 200_000
"""The largest number of answer counts that the direct solution looks at."""

TIE = 1e-12
"""Values that differ by less are taken for equal; then acting comes before asking."""


class RewardLearning(NamedTuple):
    """A world with an unknown reward, and questions about it, as `reward_learning` checked them.

    `answers[q, n, k]` is the probability that a human who wants theta n gives the k-th answer to question q, which
    costs `costs[q]`. A question takes two turns of the horizon, one to ask and one to answer; the world stands still
    meanwhile. The first action ends the asking. The assistant sees the world's state, from the first on.
    """

    transitions: Float[np.ndarray, "S A S"]
    rewards: Float[np.ndarray, "N S A"]
    prior: Float[np.ndarray, " N"]
    initial: Float[np.ndarray, " S"]
    answers: Float[np.ndarray, "Q N K"]
    costs: Float[np.ndarray, " Q"]
    horizon: int
    discount: float


def reward_learning(
    transitions: Numbers,
    rewards: Numbers,
    prior: Numbers,
    initial: Numbers,
    answers: Numbers,
    costs: Numbers,
    horizon: int,
    discount: float = 1.0,
) -> RewardLearning:
    """Check the arrays. Raises ValueError naming the array, the index and the value that is wrong."""
    rewards = numbers("rewards", rewards, 3)
    thetas, states, actions = rewards.shape
    transitions = distributions("transitions", numbers("transitions", transitions, 3, (states, actions, states)))
    prior = distributions("prior", numbers("prior", prior, 1, (thetas,)))
    if not prior.all():
        raise ValueError(f"prior[{np.argmin(prior)}] is 0; leave out a theta that nobody has.")
    initial = distributions("initial", numbers("initial", initial, 1, (states,)))
    answers = numbers("answers", answers, 3)
    answers = distributions("answers", numbers("answers", answers, 3, (len(answers), thetas, answers.shape[2])))
    costs = numbers("costs", costs, 1, (len(answers),))
    check_clock(horizon, discount)
    return RewardLearning(transitions, rewards, prior, initial, answers, costs, horizon, float(discount))


class Learnt(NamedTuple):
    """The value of reward learning, and which question to ask first in each first state; -1 where to act at once."""

    value: float
    first: Int[np.ndarray, " S"]


def solve(problem: RewardLearning) -> Learnt:
    """The best choice of questions and the best acting afterwards, by Bayes' rule alone.

    Answers count by how often each was given, w(n) = P(n) Π P(k | q, n)^count. With t turns to go
    V_t(w) = max( plan_t(Σ_n w_n R_n), max_q −c_q Σ_n w_n + γ² Σ_k V_(t−2)(w · P(k | q, ·)) ).
    """
    questions, thetas, kinds = problem.answers.shape
    most = (problem.horizon + 1) // 2
    size = math.comb(most + questions * kinds, most)
    if size > MAX_NODES:
        raise ValueError(
            f"Asking up to {most} questions with {questions * kinds} answers in all gives {size:.2g} counts of "
            f"answers, more than {MAX_NODES:.2g}; shorten the horizon, or plan on `communicative` with planning.pomcp."
        )
    following: dict[tuple[int, ...], Float[np.ndarray, " S"]] = {}
    first = np.full(len(problem.initial), -1)
    likelihood = problem.answers.transpose(0, 2, 1).reshape(questions * kinds, thetas)
    for asked in range(most, -1, -1):
        left = problem.horizon - 2 * asked
        counts = np.array(list(_counts(questions * kinds, asked)))
        weights = problem.prior * np.prod(likelihood[None] ** counts[:, :, None], axis=1)
        acting = _plan(problem, weights, left)
        nodes = {}
        for count, weight, value in zip(counts, weights, acting, strict=True):
            options = [value]
            for question in range(questions if left > 0 else 0):
                worth = np.full(len(value), -problem.costs[question] * weight.sum())
                for kind in range(kinds if left > 1 else 0):
                    answer = question * kinds + kind
                    more = (*count[:answer], count[answer] + 1, *count[answer + 1 :])
                    worth = worth + problem.discount**2 * following[tuple(int(number) for number in more)]
                options.append(worth)
            table = np.array(options)
            first = np.where(table.max(0) > table[0] + TIE, table.argmax(0) - 1, -1)
            nodes[tuple(int(number) for number in count)] = table.max(0)
        following = nodes
    start = following[(0,) * (questions * kinds)]
    return Learnt(float(problem.initial @ start), first)


def communicative(problem: RewardLearning) -> tuple[GameArrays, Float[np.ndarray, "N S H"]]:
    """The same problem as an assistance game with phases, and the human who answers in it.

    The states are the world's while talking, then the world's while acting, then a copy of the world's for each
    question that is open. The assistant's actions are the world's, then the questions; the human's are to say nothing
    and the answers.
    """
    states, actions, _ = problem.transitions.shape
    questions, thetas, kinds = problem.answers.shape
    size, humans, assistants = (2 + questions) * states, 1 + kinds, actions + questions
    talk, act = slice(0, states), slice(states, 2 * states)
    transitions = np.zeros((size, humans, assistants, size))
    rewards = np.zeros((thetas, size, humans, assistants))
    transitions[np.arange(size), :, :, np.arange(size)] = 1.0
    transitions[: 2 * states, :, :actions] = 0.0
    for phase in (talk, act):
        transitions[phase, :, :actions, act] = problem.transitions[:, None]
        rewards[:, phase, :, :actions] = problem.rewards[:, :, None]
    legal_human = np.zeros((size, humans), bool)
    legal_assistant = np.zeros((size, assistants), bool)
    legal_human[:, 0] = legal_assistant[:, 0] = True
    legal_assistant[: 2 * states, :actions] = True
    legal_assistant[talk] = True
    human = np.zeros((thetas, size, humans))
    human[:, : 2 * states, 0] = 1.0
    for question in range(questions):
        open_ = slice((2 + question) * states, (3 + question) * states)
        transitions[talk, :, actions + question] = 0.0
        transitions[talk, :, actions + question, open_] = np.eye(states)[:, None]
        rewards[:, talk, :, actions + question] = -problem.costs[question]
        transitions[open_] = 0.0
        transitions[open_, :, :, talk] = np.eye(states)[:, None, None]
        legal_human[open_] = True
        human[:, open_, 1:] = problem.answers[question][:, None]
    initial = np.concatenate([problem.initial, np.zeros(size - states)])
    arrays = game_arrays(
        transitions,
        rewards,
        problem.prior,
        initial,
        problem.horizon,
        problem.discount,
        legal_human=legal_human,
        legal_assistant=legal_assistant,
    )
    return arrays, human


def two_phase(
    arrays: GameArrays, human: Numbers, questions: Sequence[int]
) -> tuple[GameArrays, Float[np.ndarray, "N S H"]]:
    """An assistance problem in which asking ends with the first action: the game and the human's policy in it.

    `questions` are those of the assistant's actions that ask. State s of the result is s while talking and S + s
    afterwards, when asking is not legal. The assistant may pass (action 0) and go on talking.
    """
    ask = _asking(arrays, questions)
    human = numbers("human", human, 3, arrays.rewards.shape[:3])
    states, humans, assistants = arrays.transitions.shape[:3]
    ends = arrays.legal_assistant & ~ask & ~arrays.terminal[:, None]
    ends[:, 0] = False
    later = np.where(ends[:, None, :, None], arrays.transitions, 0.0)
    transitions = np.zeros((2 * states, humans, assistants, 2 * states))
    transitions[:states, :, :, :states] = arrays.transitions - later
    transitions[:states, :, :, states:] = later
    transitions[states:, :, :, states:] = arrays.transitions
    restricted = game_arrays(
        transitions,
        np.concatenate([arrays.rewards, arrays.rewards], 1),
        arrays.prior,
        np.concatenate([arrays.initial, np.zeros(states)]),
        arrays.horizon,
        arrays.discount,
        np.concatenate([arrays.sees, arrays.sees + states], 1),
        np.concatenate([arrays.legal_human, arrays.legal_human]),
        np.concatenate([arrays.legal_assistant, arrays.legal_assistant & ~ask]),
        np.concatenate([arrays.terminal, arrays.terminal]),
    )
    return restricted, np.concatenate([human, human], 1)


def never_asking(arrays: GameArrays, questions: Sequence[int]) -> GameArrays:
    """The same game in which those of the assistant's actions that ask are not legal."""
    return dataclasses.replace(arrays, legal_assistant=arrays.legal_assistant & ~_asking(arrays, questions))


def value(arrays: GameArrays, human: Numbers) -> float:
    """The most that an assistant can expect beside this human, from what it sees before the first turn on.

    Without a horizon both players must see the state, and the value is within 1e-9.
    """
    human = numbers("human", human, 3, arrays.rewards.shape[:3])
    if arrays.horizon is None:
        return best_response.best_assistant(arrays, human).value
    pomdp = assistance.reduce(arrays, human)
    hidden = (pomdp.initial.reshape(len(arrays.prior), len(arrays.initial), -1), arrays.sees[1])
    total = 0.0
    for sight in np.unique(arrays.sees[1][arrays.initial > 0]):
        seen = (hidden[0] * (hidden[1] == sight)[:, None]).ravel()
        total += seen.sum() * reachable.solve(pomdp._replace(initial=seen / seen.sum()), arrays.horizon).value
    return float(total)


class Worth(NamedTuple):
    """What an assistance problem is worth where it may ask at any time, only before it acts, and never."""

    assistance: float
    two_phase: float
    never_asking: float


def compare(arrays: GameArrays, human: Numbers, questions: Sequence[int]) -> Worth:
    """The three values; `questions` are those of the assistant's actions that ask. None is above the one before it."""
    return Worth(
        value(arrays, human),
        value(*two_phase(arrays, human, questions)),
        value(never_asking(arrays, questions), human),
    )


def value_of_asking(arrays: GameArrays, human: Numbers, questions: Sequence[int]) -> float:
    """How much more the assistant can expect than without its questions; never negative."""
    return value(arrays, human) - value(never_asking(arrays, questions), human)


def _asking(arrays: GameArrays, questions: Sequence[int]) -> Bool[np.ndarray, " A"]:
    """Which of the assistant's actions ask."""
    count = arrays.legal_assistant.shape[1]
    ask = np.zeros(count, bool)
    for index, question in enumerate(questions):
        if not 0 < question < count:
            raise ValueError(
                f"questions[{index}] is {question}; the assistant's actions other than the pass are 1 to {count - 1}."
            )
        ask[question] = True
    return ask


def _plan(problem: RewardLearning, weights: Float[np.ndarray, "B N"], turns: int) -> Float[np.ndarray, "B S"]:
    """The value of acting for so many turns under each weighted sum of the rewards, by Bellman's backup."""
    rewards = np.einsum("bn,nsa->bsa", weights, problem.rewards)
    values = np.zeros(rewards.shape[:2])
    for _ in range(turns):
        values = (rewards + problem.discount * np.einsum("sat,bt->bsa", problem.transitions, values)).max(-1)
    return values


def _counts(answers: int, asked: int) -> Iterator[tuple[int, ...]]:
    """Every way in which `asked` questions can have got their answers, as a count of each answer."""
    for bars in itertools.combinations(range(asked + answers - 1), answers - 1):
        edges = (-1, *bars, asked + answers - 1)
        yield tuple(after - before - 1 for before, after in itertools.pairwise(edges))

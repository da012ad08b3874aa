"""What do policy and critic earn, when answers of an expert and of the policy lie side by side and the critic compares?

The critic reads a question and two answers, one the expert's and one the policy's, in an order that a fair coin
decides, and says "the first", "the second" (is the expert's) or "tie". The relativistic game of Cai and Provilkov 2025,
arXiv 2511.21667:

    R_critic = 1[label = expert] + τ_critic · 1[label = tie]
    R_policy = 1[label = policy] + τ_policy · 1[label = tie]

Axis letters: B pairs or samples.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

FIRST, SECOND, TIE, UNREADABLE = 0, 1, 2, -1
"""What a critic can say: which answer is the expert's, that it cannot tell, or nothing that could be read."""

LABELS = (FIRST, SECOND, TIE)
"""The labels that a critic is asked for."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a tie is worth to either role, as a share of a win."""

    tau_policy: float = 0.6
    tau_critic: float = 0.55

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is {value}, but a tie is worth between 0 (a loss) and 1 (a win).")


class Outcome(NamedTuple):
    """What each role earned, pair by pair; where the label was not `readable` that is 0, and nothing to learn from."""

    policy: Float[np.ndarray, " B"]
    critic: Float[np.ndarray, " B"]
    readable: Bool[np.ndarray, " B"]


def outcomes(labels: Int[np.ndarray, " B"], expert_at: Int[np.ndarray, " B"], rules: Rules) -> Outcome:
    """What both roles earn when the critic says `labels` and the expert's answers lie at `expert_at` (0 or 1)."""
    check_labels(labels, expert_at)
    tie = labels == TIE
    return Outcome(
        policy=(labels == 1 - expert_at) + rules.tau_policy * tie,
        critic=(labels == expert_at) + rules.tau_critic * tie,
        readable=labels != UNREADABLE,
    )


def check_labels(labels: Int[np.ndarray, " B"], expert_at: Int[np.ndarray, " B"]) -> None:
    """Raise ValueError unless these are labels, and places of the expert's answer, of the same pairs."""
    if labels.shape != expert_at.shape:
        raise ValueError(f"There are {len(labels)} labels but {len(expert_at)} pairs.")
    strange = labels[~np.isin(labels, (*LABELS, UNREADABLE))]
    if strange.size:
        raise ValueError(f"{strange[0]} is no label: 0 is the first, 1 the second, 2 a tie, -1 unreadable.")
    strange = expert_at[~np.isin(expert_at, (FIRST, SECOND))]
    if strange.size:
        raise ValueError(f"The expert's answer is at {strange[0]}, but a pair has the places 0 and 1.")


def best_reply(chance_first: Float[np.ndarray, "*pairs"], rules: Rules) -> Int[np.ndarray, "*pairs"]:
    """The label that earns a critic most who gives `chance_first` to the expert's answer being the first.

    That is a tie exactly where max(P, 1 - P) < τ_critic.
    """
    decided = np.where(chance_first >= 0.5, FIRST, SECOND)
    return np.where(np.maximum(chance_first, 1.0 - chance_first) < rules.tau_critic, TIE, decided)


class Contest(NamedTuple):
    """What is to be judged: a question, the expert's answer and the policy's."""

    question: str
    expert: str
    answer: str


class Pair(NamedTuple):
    """What a critic sees of a contest: it does not say whose answer is which."""

    question: str
    first: str
    second: str


def in_order(contest: Contest, expert_at: int) -> Pair:
    """The pair in which the expert's answer lies at `expert_at`."""
    question, expert, answer = contest
    return Pair(question, expert, answer) if expert_at == FIRST else Pair(question, answer, expert)


def alone(contest: Contest, expert_at: int) -> Pair:
    """The expert's answer (`FIRST`), or the policy's (`SECOND`), beside an empty one."""
    return Pair(contest.question, contest.expert if expert_at == FIRST else contest.answer, "")


def shuffled(
    contests: Sequence[Contest], rng: np.random.Generator, show: Callable[[Contest, int], Pair] = in_order
) -> tuple[list[Pair], Int[np.ndarray, " B"]]:
    """The pairs that `show` makes, and where the expert's answers lie in them, by a fair coin each.

    Without the coin a critic would need no more than to say "the first".
    """
    expert_at = rng.integers(2, size=len(contests))
    return [show(contest, int(place)) for contest, place in zip(contests, expert_at, strict=True)], expert_at

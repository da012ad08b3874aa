"""Is the game going as it should? What the critic gets right, and when to stop the policy or to call somebody.

Three things went wrong in trials. A policy that moves while its critic guesses is taught noise, and forgets what it
knew: it has to stand still until the critic beats chance on fresh pairs. Labels that cannot be read must not be learned
from. And a critic that is nearly always right has mostly found a shortcut, such as the length of an answer.
Axis letters: B pairs.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy import stats

from tacit.language.game import FIRST, SECOND, TIE, Rules, check_labels, outcomes


class Trials(NamedTuple):
    """What the critic said of fresh pairs, one label for each, and where the expert's answers lay."""

    labels: Int[np.ndarray, " B"]
    expert_at: Int[np.ndarray, " B"]

    def at(self, rows: Int[np.ndarray, " n"]) -> "Trials":
        """Some of the pairs."""
        return Trials(self.labels[rows], self.expert_at[rows])

    def then(self, later: "Trials", window: int) -> "Trials":
        """The last `window` of these and the `later` ones."""
        labels = np.concatenate([self.labels, later.labels])
        expert_at = np.concatenate([self.expert_at, later.expert_at])
        start = max(len(labels) - window, 0)
        return Trials(labels[start:], expert_at[start:])


NONE_YET = Trials(np.zeros(0, np.int64), np.zeros(0, np.int64))
"""Before the first round."""


class Metrics(NamedTuple):
    """How the critic does and what both roles earn. A figure of which there was no case is NaN.

    Accuracy is that of labels which decide: by the place of the expert's answer, and the mean over the two places,
    which is 1/2 for a critic that looks at places alone. Rewards are means over what could be read.
    """

    accuracy_first: float
    accuracy_second: float
    accuracy: float
    tie_rate: float
    unreadable_rate: float
    policy_reward: float
    critic_reward: float


def measure(trials: Trials, rules: Rules) -> Metrics:
    """The figures of `trials`."""
    earned = outcomes(trials.labels, trials.expert_at, rules)
    first, second = _accuracies(trials)
    num_readable = float(earned.readable.sum())
    return Metrics(
        accuracy_first=first,
        accuracy_second=second,
        accuracy=(first + second) / 2,
        tie_rate=_ratio(float((trials.labels == TIE).sum()), num_readable),
        unreadable_rate=_ratio(len(trials.labels) - num_readable, float(len(trials.labels))),
        policy_reward=_ratio(float(earned.policy.sum()), num_readable),
        critic_reward=_ratio(float(earned.critic.sum()), num_readable),
    )


def chance_p_value(trials: Trials) -> float:
    """How likely a critic that cannot tell would be right so often: Fisher's exact test of label against place.

    Both margins are held fixed, so that a critic which favours a place gains nothing by it; 1 where nothing is decided.
    The pairs are taken for independent: no two of a round may share an expert's answer (`rounds.one_each`).
    """
    right, decided = _counts(trials)
    if not decided.any():
        return 1.0
    says_first = right[FIRST] + decided[SECOND] - right[SECOND]
    return float(stats.hypergeom.sf(right[FIRST] - 1, decided.sum(), decided[FIRST], says_first))


@dataclasses.dataclass(frozen=True)
class Guards:
    """When the policy may move and when to raise an alarm, by the last `window` fresh pairs, one of a question a round.

    The policy moves while the critic beats chance at `level`. The alarm is raised above `alarm`, once `fewest` labels
    have decided something.
    """

    window: int = 256
    level: float = 0.01
    alarm: float = 0.95
    fewest: int = 32


class Advice(NamedTuple):
    """Whether the policy may move now, and a sentence for whoever watches, or None."""

    policy_moves: bool
    alarm: str | None


def advise(trials: Trials, guards: Guards) -> Advice:
    """What the guards say after `trials`."""
    _, decided = _counts(trials)
    accuracy = sum(_accuracies(trials)) / 2
    alarm = None
    if decided.sum() >= guards.fewest and accuracy > guards.alarm:
        alarm = (
            f"The critic is right more than {guards.alarm:.0%} of the time: look whether it has found a shortcut, such "
            "as the length or the form of an answer, that has nothing to do with how good it is."
        )
    return Advice(chance_p_value(trials) < guards.level, alarm)


def _counts(trials: Trials) -> tuple[Int[np.ndarray, " 2"], Int[np.ndarray, " 2"]]:
    """By the place of the expert's answer: how many labels were right, and how many decided."""
    check_labels(trials.labels, trials.expert_at)
    decides = np.isin(trials.labels, (FIRST, SECOND))
    right = trials.labels == trials.expert_at
    return (
        np.bincount(trials.expert_at[right], minlength=2),
        np.bincount(trials.expert_at[decides], minlength=2),
    )


def _accuracies(trials: Trials) -> tuple[float, float]:
    """By the place of the expert's answer: which part of the labels that decide is right."""
    right, decided = _counts(trials)
    return _ratio(float(right[FIRST]), float(decided[FIRST])), _ratio(float(right[SECOND]), float(decided[SECOND]))


def _ratio(part: float, whole: float) -> float:
    """Part of whole, NaN of nothing."""
    return part / whole if whole else math.nan

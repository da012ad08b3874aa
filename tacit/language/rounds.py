"""What happens in one step of RARO? The policy answers, the critic judges, and both get weights to learn with.

Cai and Provilkov 2025, arXiv 2511.21667, their algorithm: (1) draw a group of answers to every question, lay each
beside the expert's and let the critic judge, which rewards the policy; (2) mix these contests with old ones; (3) draw a
group of verdicts on each, which rewards the critic; (4) one update on both. The last belongs to whoever owns the
parameters: a model that is both players learns from both lessons at once, two models each from their own.
Axis letters: B samples.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from tacit.language.advantages import advantages, role_weights
from tacit.language.demonstrations import Demonstration
from tacit.language.game import UNREADABLE, Contest, Pair, Rules, outcomes, shuffled
from tacit.language.replay import Pool, mix
from tacit.language.verdicts import read
from tacit.language.watch import NONE_YET, Advice, Guards, Metrics, Trials, advise, measure


class Samples(NamedTuple):
    """What a player said: final answers or verdicts, and which of them came to an end.

    `trace` is what the player itself needs to learn from them, whatever that is.
    """

    texts: list[str]
    whole: Bool[np.ndarray, " B"]
    trace: Any


Answer = Callable[[Sequence[str], np.random.Generator], Samples]
"""A policy: draws one final answer to each question."""

Judge = Callable[[Sequence[Pair], np.random.Generator], Samples]
"""A critic: draws one verdict on each pair, which may be none."""


class Lesson(NamedTuple):
    """Samples of one role and their weights: the player raises Σ_i weight_i log P(sample_i).

    What is not `kept` (cut off, unreadable) weighs 0 and adds nothing else to a loss either.
    """

    samples: Samples
    weights: Float[np.ndarray, " B"]
    kept: Bool[np.ndarray, " B"]


@dataclasses.dataclass(frozen=True)
class Config:
    """The game's rules and guards; how many answers and verdicts make a group; what is replayed; each role's share.

    The critic is asked about `num_again` contests for each question to learn from, fresh and replayed; with no verdicts
    it is not asked again, as one that is taught by the contests themselves, or by somebody else, need not be. The
    shares are those of two roles that one model plays; a model with one role has all of its loss.
    """

    rules: Rules = dataclasses.field(default_factory=Rules)
    guards: Guards = dataclasses.field(default_factory=Guards)
    num_answers: int = 16
    num_verdicts: int = 16
    num_again: int = 1
    replayed: float = 0.5
    policy_share: float = 1 / 9
    critic_share: float = 8 / 9

    def __post_init__(self) -> None:
        # A group of one has no mean but itself, and so teaches nothing.
        if self.num_answers < 2:
            raise ValueError(f"num_answers is {self.num_answers}, but a group needs two samples to compare.")
        if self.num_verdicts < 2 and self.num_verdicts != 0:
            raise ValueError(f"num_verdicts is {self.num_verdicts}, but a group needs two samples to compare, or none.")
        if self.num_again < 1:
            raise ValueError(f"num_again is {self.num_again}, but the critic needs 1 contest or more to learn from.")

    def apart(self, **changed: Any) -> "Config":
        """The same for roles that are played by a model each."""
        return dataclasses.replace(self, policy_share=1.0, critic_share=1.0, **changed)

    def num_mixed(self, num_questions: int, num_fresh: int) -> int:
        """How many contests the critic learns from in a round."""
        return min(self.num_again * num_questions, num_fresh)


class Memory(NamedTuple):
    """What one round leaves to the next: old contests, and how the critic did of late."""

    pool: Pool = Pool()
    trials: Trials = NONE_YET


class Round(NamedTuple):
    """One round's lessons, what to remember, the figures of its fresh pairs, and what the guards say.

    `mixed` are the contests, fresh and replayed, that the critic's verdicts were about.
    """

    policy: Lesson
    critic: Lesson
    mixed: list[Contest]
    memory: Memory
    metrics: Metrics
    advice: Advice


def play_round(
    demonstrations: Sequence[Demonstration],
    answer: Answer,
    judge: Judge,
    memory: Memory,
    config: Config,
    rng: np.random.Generator,
) -> Round:
    """One round on a batch of demonstrations."""
    asked = np.repeat(np.arange(len(demonstrations)), config.num_answers)
    shown = [demonstrations[index] for index in asked.tolist()]
    answers = answer([one.question for one in shown], rng)
    ended = np.flatnonzero(answers.whole)
    contests = [Contest(shown[index].question, shown[index].answer, answers.texts[index]) for index in ended]
    pairs, expert_at = shuffled(contests, rng)
    fresh = Trials(labels_of(judge(pairs, rng)), expert_at)
    earned = outcomes(*fresh, config.rules)
    trials = memory.trials.then(fresh.at(one_each(asked[ended])), config.guards.window)
    advice = advise(trials, config.guards)
    rewards, kept = np.zeros(len(asked)), np.zeros(len(asked), bool)
    rewards[ended], kept[ended] = earned.policy, earned.readable
    share = config.policy_share if advice.policy_moves else 0.0

    num_mixed = config.num_mixed(len(demonstrations), len(contests))
    mixed = mix(memory.pool, contests, num_mixed, config.replayed, rng)
    return Round(
        policy=Lesson(answers, role_weights(advantages(rewards, asked, kept), share), kept),
        critic=judged_again(*shuffled(mixed, rng), judge, config, config.rules, rng),
        mixed=mixed,
        memory=Memory(memory.pool.add(contests), trials),
        metrics=measure(fresh, config.rules),
        advice=advice,
    )


def judged_again(
    pairs: Sequence[Pair],
    expert_at: Int[np.ndarray, " B"],
    judge: Judge,
    config: Config,
    rules: Rules,
    rng: np.random.Generator,
) -> Lesson:
    """A group of verdicts on each pair, weighed by what they earn: the critic's lesson."""
    judged = np.repeat(np.arange(len(pairs)), config.num_verdicts)
    verdicts = judge([pairs[index] for index in judged.tolist()], rng)
    gained = outcomes(labels_of(verdicts), expert_at[judged], rules)
    weights = role_weights(advantages(gained.critic, judged, gained.readable), config.critic_share)
    return Lesson(verdicts, weights, gained.readable)


def one_each(groups: Int[np.ndarray, " B"]) -> Int[np.ndarray, " n"]:
    """The first row of each group: what a guard looks at.

    All answers to a question lie beside one expert's. A critic that cannot tell experts from others, but likes that
    text or does not, is right about all of them or about none: together they say no more than one of them.
    """
    return np.unique(groups, return_index=True)[1]


def labels_of(verdicts: Samples) -> Int[np.ndarray, " B"]:
    """The labels of verdicts; one that was cut off has none, whatever it says."""
    said = [read(text) if whole else UNREADABLE for text, whole in zip(verdicts.texts, verdicts.whole, strict=True)]
    return np.array(said, dtype=np.int64)

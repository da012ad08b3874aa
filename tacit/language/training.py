"""How do policy and critic learn together on one device? A loop on Hugging Face's `generate`, and its baselines.

One round draws a batch of demonstrations and lets a method make lessons of it. RARO with a critic that is the policy
itself, a model of its own or none of ours, fine-tuning on the answers (SFT), and the checker's word (RLVR, the ceiling)
differ in the lessons alone: the same model, the same pairs, the same step.
"""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from tacit.language import checkpoints
from tacit.language.advantages import advantages, role_weights
from tacit.language.demonstrations import Demonstration
from tacit.language.game import Contest
from tacit.language.learner import AnyLearner, Learner, Numbers
from tacit.language.models import Speaker
from tacit.language.players import answering, judging
from tacit.language.prompts import Roles
from tacit.language.rounds import Config as GameConfig
from tacit.language.rounds import Judge, Lesson, Memory, Round, Samples, play_round
from tacit.language.score_critic import ScoreCritic

Report = Callable[[int, Numbers], None]
"""What is told after every round: how many are done, and the numbers of the last one."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message is one sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The game and its prompts; for how many rounds, on how many questions each; how much either role may say."""

    game: GameConfig = dataclasses.field(default_factory=GameConfig)
    roles: Roles = dataclasses.field(default_factory=Roles)
    num_rounds: int = 100
    num_questions: int = 8
    answer_tokens: int = 512
    verdict_tokens: int = 512
    rates: Literal["constant", "linear"] = "constant"
    """Whether the learners' rates stay as they are, or fall to 0 in a straight line."""
    seed: int = 0

    @property
    def most_tokens(self) -> int:
        """The longest sample of either role: the one divisor of every sample's log-probability."""
        return max(self.answer_tokens, self.verdict_tokens)


Lessons = Sequence[tuple[AnyLearner, list[Lesson]]]
"""Who learns what."""


class Step(NamedTuple):
    """Who learns what in a round, what to remember, numbers to watch, and what somebody should be told."""

    lessons: Lessons
    memory: Memory
    numbers: Numbers
    alarm: str | None = None


Method = Callable[[Sequence[Demonstration], Memory, np.random.Generator], Step]
"""What makes lessons of a batch of demonstrations."""


def raro(policy: Learner[Speaker], critic: Learner[Speaker], config: Config) -> Method:
    """RARO. If policy and critic are one learner, it learns both roles in one step; else each learns its own."""
    judge = judging(critic.speaker, config.roles, config.verdict_tokens)
    game = config.game if policy is critic else config.game.apart()

    def method(batch: Sequence[Demonstration], memory: Memory, rng: np.random.Generator) -> Step:
        played = _play(policy, judge, batch, memory, config, game, rng)
        return as_step(played, taught_by_verdicts(policy, critic, played))

    return method


def raro_scored(policy: Learner[Speaker], critic: Learner[ScoreCritic], config: Config) -> Method:
    """RARO with a critic apart that scores both answers, and is taught by what the contests show."""
    game = config.game.apart(num_verdicts=0)

    def method(batch: Sequence[Demonstration], memory: Memory, rng: np.random.Generator) -> Step:
        played = _play(policy, critic.speaker.judge, batch, memory, config, game, rng)
        return as_step(played, taught_by_contests(policy, critic, played, critic.speaker.lesson))

    return method


def raro_judged(policy: Learner[Speaker], judge: Judge, config: Config) -> Method:
    """RARO with a critic that is not ours to teach, such as `players.judging_at` an address."""
    game = config.game.apart(num_verdicts=0)

    def method(batch: Sequence[Demonstration], memory: Memory, rng: np.random.Generator) -> Step:
        played = _play(policy, judge, batch, memory, config, game, rng)
        return as_step(played, [(policy, [played.policy])])

    return method


def sft(policy: Learner[Speaker], config: Config) -> Method:
    """Fine-tuning: the mean log-probability of the experts' answers goes up."""

    def method(batch: Sequence[Demonstration], memory: Memory, rng: np.random.Generator) -> Step:
        del rng
        said = [config.roles.as_said(one.answer) for one in batch]
        speech = policy.speaker.quote([config.roles.ask(one.question) for one in batch], said)
        everything = np.ones(len(batch), bool)
        lesson = Lesson(Samples(said, everything, speech), np.full(len(batch), 1.0 / len(batch)), everything)
        return Step([(policy, [lesson])], memory, {})

    return method


def rlvr(policy: Learner[Speaker], checker: Callable[[str, str], bool], config: Config) -> Method:
    """The ceiling: the same answers to the same questions, rewarded by `checker(question, answer)`."""
    answer = answering(policy.speaker, config.roles, config.answer_tokens)

    def method(batch: Sequence[Demonstration], memory: Memory, rng: np.random.Generator) -> Step:
        groups = np.repeat(np.arange(len(batch)), config.game.num_answers)
        questions = [batch[index].question for index in groups.tolist()]
        samples = answer(questions, rng)
        right = np.array([checker(*asked) for asked in zip(questions, samples.texts, strict=True)], float)
        weights = role_weights(advantages(right, groups, samples.whole), share=1.0)
        return Step([(policy, [Lesson(samples, weights, samples.whole)])], memory, {"right": float(right.mean())})

    return method


def train(
    method: Method,
    learners: Mapping[str, AnyLearner],
    demonstrations: Sequence[Demonstration],
    config: Config,
    report: Report,
    checkpoint: Path | None = None,
    keep_every: int = 10,
) -> Memory:
    """Teach the learners (those of the method, by name) for all rounds, going on from `checkpoint` if it is there.

    A training that was killed and goes on ends with the same weights, bit for bit, as one that was not. Raises
    TrainingError when memory runs out or a number is not finite; the last checkpoint is whole then. Warns when a method
    raises an alarm for the first time.
    """
    if not 1 <= config.num_questions <= len(demonstrations):
        raise TrainingError(f"{config.num_questions} questions a round cannot be drawn from {len(demonstrations)}.")
    done, memory, alarmed = 0, Memory(), False
    if checkpoint is not None and checkpoint.exists():
        done, memory = checkpoints.load(checkpoint, learners, config)
    for number in range(done, config.num_rounds):
        # Randomness is addressed by the round, so that nothing of it has to be kept.
        rng = np.random.default_rng([config.seed, number])
        chosen = rng.choice(len(demonstrations), config.num_questions, replace=False)
        pace = 1.0 - number / config.num_rounds if config.rates == "linear" else 1.0
        with enough_memory(f"in round {number + 1}"):
            step = method([demonstrations[index] for index in chosen.tolist()], memory, rng)
            # The policy comes first; a critic apart has figures of its own.
            learned = {
                f"{who}{name}": number
                for who, (learner, lessons) in zip(("", "critic_"), step.lessons, strict=False)
                for name, number in learner.learn(lessons, config.most_tokens, pace).items()
            }
        if step.alarm is not None and not alarmed:
            warnings.warn(step.alarm, stacklevel=2)
            alarmed = True
        if not np.isfinite(list(learned.values())).all():
            raise TrainingError(f"Round {number + 1} went wrong: its gradient is not finite; try a lower rate.")
        memory = step.memory
        report(number + 1, step.numbers | learned)
        if checkpoint is not None and ((number + 1) % keep_every == 0 or number + 1 == config.num_rounds):
            checkpoints.save(checkpoint, number + 1, learners, memory, config)
    return memory


def _play(
    policy: Learner[Speaker],
    judge: Judge,
    batch: Sequence[Demonstration],
    memory: Memory,
    config: Config,
    game: GameConfig,
    rng: np.random.Generator,
) -> Round:
    answer = answering(policy.speaker, config.roles, config.answer_tokens)
    return play_round(batch, answer, judge, memory, game, rng)


@contextlib.contextmanager
def enough_memory(when: str) -> Iterator[None]:
    """Raise TrainingError, in one sentence, where memory runs out, a GPU's or the machine's."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # Torch has no error of its own for the machine's.
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and "DefaultCPUAllocator" not in str(error):
            raise
        raise TrainingError(
            f"Memory ran out {when}: lower `at_once`, the tokens or the number of questions; "
            "the last checkpoint is whole."
        ) from error


def taught_by_verdicts(policy: Learner[Speaker], critic: AnyLearner, played: Round) -> Lessons:
    """Who learns what of a round in which verdicts teach the critic: one model both roles at once, or each its own."""
    if policy is critic:
        return [(policy, [played.policy, played.critic])]
    return [(policy, [played.policy]), (critic, [played.critic])]


def taught_by_contests(
    policy: Learner[Speaker], critic: AnyLearner, played: Round, lesson: Callable[[Sequence[Contest]], Lesson]
) -> Lessons:
    """Who learns what of a round in which the critic is taught by what the contests show, where there are any."""
    return [(policy, [played.policy]), (critic, [lesson(played.mixed)] if played.mixed else [])]


def as_step(played: Round, lessons: Lessons) -> Step:
    """A round as a step of training."""
    return Step(lessons, played.memory, numbers(played), played.advice.alarm)


def numbers(played: Round) -> Numbers:
    """What to watch of a round; NaN where there was no case."""
    moved, alarm = played.advice.policy_moves, played.advice.alarm is not None
    return {**played.metrics._asdict(), "policy_moves": float(moved), "alarm": float(alarm)}

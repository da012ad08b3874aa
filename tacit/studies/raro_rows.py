"""Who stands in RARO's table, what do they start from, and how does each of them learn?

Everybody starts from the same model and imitates the same pairs first; then each method goes on in its own way. Nobody
but RLVR, the ceiling, calls the checker.
Cai and Provilkov 2025, "Escaping the Verifier: Learning to Reason via Demonstrations", arXiv 2511.21667.

On small machines the model comes from nothing: it is schooled on other problems, and RARO's critic is a model apart
that scores both answers and is warmed up on the other problems too (`score_critic`). A model that is brought along
(`--model`) plays both roles itself, by role prompts.
"""

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tacit.language import baselines, countdown, from_scratch, learner, models, training, worked
from tacit.language.countdown import Form
from tacit.language.game import Contest, Rules
from tacit.language.learner import Learner
from tacit.language.models import Speaker
from tacit.language.players import answering, judging
from tacit.language.prompts import Roles
from tacit.language.rounds import Config as GameConfig
from tacit.language.rounds import Judge, Lesson
from tacit.language.score_critic import ScoreCritic, WarmUp, warm_up
from tacit.storage import write_atomically
from tacit.studies.claims import Tell, silent
from tacit.studies.raro_puzzles import WORDS, Problems, Puzzles

PLAIN = Roles(policy="", critic="", answer_mark="")
NUM_SHOWN, NUM_UNSEEN = 1000, 200
"""How many puzzles a model that is brought along is shown, and answers at the end."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How every method learns, for how many seeds, and how their answers are counted."""

    imitation: training.Config
    imitating: learner.Config
    play: training.Config
    policy: learner.Config
    """RARO's."""
    critic: learner.Config
    rival: learner.Config
    """Of the other methods: they have no critic whom they could get past, and need not be held as near to the start."""
    num_seeds: int = 3
    look_every: int = 40
    num_each: int = 4
    num_entrants: int = 16
    num_tables: int = 200


@dataclasses.dataclass(frozen=True)
class School:
    """What a model from nothing is, and how it and its critic are schooled."""

    puzzles: Puzzles
    size: from_scratch.Size
    lessons: from_scratch.Schooling
    warm_up: WarmUp


SCHOOL = School(
    Puzzles(Form(num_numbers=3, largest=12, lowest_target=1, highest_target=60), num_shown=1000, num_unseen=400),
    from_scratch.Size(),
    from_scratch.Schooling(num_steps=2000, num_texts=128),
    WarmUp(num_steps=200),
)
SMALL = Config(
    imitation=training.Config(roles=PLAIN, num_rounds=20, num_questions=256, answer_tokens=14),
    imitating=learner.Config(rate=5e-4, kl=0.0, at_once=256),
    play=training.Config(
        GameConfig(rules=Rules(tau_policy=1.0, tau_critic=0.8), num_answers=8, num_verdicts=2, num_again=8),
        PLAIN,
        num_rounds=240,
        num_questions=32,
        answer_tokens=14,
        verdict_tokens=14,
        rates="linear",
    ),
    policy=learner.Config(rate=3e-4, kl=0.1, exact=True, at_once=256),
    critic=learner.Config(rate=3e-4, kl=0.0, at_once=512),
    rival=learner.Config(rate=3e-4, kl=1e-3, at_once=256),
    look_every=60,
    num_each=16,
)
"""Two cores, minutes.

Two right answers that differ are often further apart in score than the paper's tie is wide (chances within 0.55): a
right answer then loses or wins by the luck of its words. So the tie is wider here, and as good as a win: what is not
clearly worse than the expert's is right, and nothing is to be had by being liked better.
"""

FULL = Config(
    imitation=training.Config(num_rounds=60, num_questions=64, answer_tokens=64),
    imitating=learner.Config(rate=1e-5, kl=0.0),
    play=training.Config(num_rounds=400, num_questions=16, answer_tokens=1024, verdict_tokens=1024),
    policy=learner.Config(rate=1e-6, kl=1e-3, at_once=2),
    critic=learner.Config(rate=1e-6, kl=1e-3, at_once=2),
    rival=learner.Config(rate=1e-6, kl=1e-3, at_once=2),
)
"""A GPU, and a model that is brought along. Few texts go through it at once: all tokens of each keep all layers."""

SINGLE = (
    "You are shown a question and one answer to it; the second is left empty. The answer is an expert's, or it is not. "
    "Think first, then end with one line: 'Label: 1' if it is an expert's, 'Label: 2' if it is not."
)
"""The role of a critic that sees no pairs."""


class Made(NamedTuple):
    """A method, those who learn in it, its configuration, and its critic where that can judge a tournament."""

    method: training.Method
    learners: Mapping[str, learner.AnyLearner]
    config: training.Config
    judge: Judge | None


Maker = Callable[[Speaker, training.Config], Made]
"""Makes a method for a policy, which will be changed."""


class Setting(NamedTuple):
    """The model that all start from, a seed's problems, the checker, and the rows of the table by name.

    `critic` says what kind of critic the game has, and `again` makes the same setting in another process, if rows may
    be made side by side.
    """

    start: Speaker
    problems: Callable[[int], Problems]
    solves: Callable[[str, str], bool]
    makers: Mapping[str, Maker]
    critic: str
    again: Callable[[], "Setting"] | None


def from_nothing(school: School, config: Config, out: Path, tell: Tell) -> Setting:
    """A model that is made here, and a critic apart that scores both answers; both are kept in `out`."""
    check_settings("school", school, out)
    start = _schooled(school, out, tell)
    warmed = _warmed_up("critic", ScoreCritic.lesson, start, school, config, out, tell)
    warmed_alone = _warmed_up("critic-alone", ScoreCritic.lesson_alone, start, school, config, out, tell)

    def game(**changed: Any) -> Maker:
        def make(speaker: Speaker, play: training.Config) -> Made:
            play = dataclasses.replace(play, game=dataclasses.replace(play.game, **changed))
            policy = learner.begin(speaker, config.policy)
            critic = learner.begin(ScoreCritic(warmed, PLAIN, play.game.rules), config.critic)
            method = training.raro_scored(policy, critic, play)
            return Made(method, {"policy": policy, "critic": critic}, play, critic.speaker.judge)

        return make

    def without_pairing(speaker: Speaker, play: training.Config) -> Made:
        policy = learner.begin(speaker, config.policy)
        critic = learner.begin(ScoreCritic(warmed_alone, PLAIN, baselines.ALONE), config.critic)
        method = baselines.gail_scored(policy, critic, play)
        return Made(method, {"policy": policy, "critic": critic}, play, critic.speaker.judge)

    makers = {
        "raro": game(),
        **rivals(worked.solves, config),
        "raro-no-tie": game(rules=Rules(0.0, 0.0)),
        "raro-narrow-tie": game(rules=Rules()),
        "raro-no-replay": game(replayed=0.0),
        "raro-no-pairing": without_pairing,
    }
    again = partial(from_nothing, school, config, out, silent)
    return Setting(start, school.puzzles.draw, worked.solves, makers, "score_critic", again)


def _schooled(school: School, out: Path, tell: Tell) -> Speaker:
    """The model that everybody starts from: read from `out`, or made from nothing and left there."""
    path = out / "schooled"
    if not path.exists():
        speaker = from_scratch.untaught(WORDS, school.size, seed=0)
        told, rng = telling(tell, "schooling the model", school.lessons.num_steps), np.random.default_rng(1)
        from_scratch.school(speaker, school.puzzles.lessons(), PLAIN, school.lessons, told, rng)
        models.save(speaker, path)
    return models.load(path)


def _warmed_up(
    name: str,
    lesson: Callable[[ScoreCritic, Sequence[Contest]], Lesson],
    speaker: Speaker,
    school: School,
    config: Config,
    out: Path,
    tell: Tell,
) -> Speaker:
    """The critic that every game starts with: it has read experts' answers to other problems, and the model's own."""
    path = out / name
    if not path.exists():
        critic = ScoreCritic(speaker, PLAIN, config.play.game.rules)
        answer = answering(speaker, PLAIN, config.play.answer_tokens)
        told, rng = telling(tell, f"warming up the {name}", school.warm_up.num_steps), np.random.default_rng(2)
        warm_up(critic, partial(lesson, critic), answer, school.puzzles.others(), school.warm_up, told, rng)
        models.save(critic.reader, path)
    return models.load(path)


def brought_along(path: Path, config: Config, device: str) -> Setting:
    """A model that plays both roles, by role prompts, at four numbers that make 24, answered by an expression."""
    # First, since it may be refused, and the puzzles take a minute.
    start = models.load(path, device)
    puzzles = countdown.draw(countdown.TWENTY_FOUR, NUM_SHOWN + NUM_UNSEEN, np.random.default_rng(0))

    def shared(**changed: Any) -> Maker:
        def make(speaker: Speaker, play: training.Config) -> Made:
            play = dataclasses.replace(play, game=dataclasses.replace(play.game, **changed))
            policy = learner.begin(speaker, config.policy)
            return _both(policy, policy, play)

        return make

    def apart(speaker: Speaker, play: training.Config) -> Made:
        critic = learner.begin(copy.deepcopy(speaker), config.critic)
        return _both(learner.begin(speaker, config.policy), critic, play)

    def without_verdict(speaker: Speaker, play: training.Config) -> Made:
        policy = learner.begin(speaker, config.policy)
        at_once = play.roles.critic.replace("Think first, then end with", "Say nothing but")
        roles = dataclasses.replace(play.roles, critic=at_once)
        return _both(policy, policy, dataclasses.replace(play, roles=roles, verdict_tokens=8))

    def without_pairing(speaker: Speaker, play: training.Config) -> Made:
        policy = learner.begin(speaker, config.policy)
        play = dataclasses.replace(play, roles=dataclasses.replace(play.roles, critic=SINGLE))
        judge = judging(speaker, play.roles, play.verdict_tokens)
        # It compares nothing, so there is no tournament.
        return Made(baselines.gail(policy, policy, judge, play), {"both": policy}, play, None)

    makers = {
        "raro": shared(),
        **rivals(countdown.solves, config),
        "log-probability": _in_groups(baselines.log_probability, config.rival),
        "rationalisation": _singly(baselines.rationalisation, config.rival),
        "raro-no-tie": shared(rules=Rules(0.0, 0.0)),
        "raro-no-replay": shared(replayed=0.0),
        "raro-no-pairing": without_pairing,
        "raro-no-verdict": without_verdict,
        "raro-not-shared": apart,
    }

    def problems(seed: int) -> Problems:
        order = np.random.default_rng([seed, 1]).permutation(len(puzzles))
        mixed = [puzzles[index] for index in order]
        return Problems(mixed[:NUM_SHOWN], mixed[NUM_SHOWN:])

    return Setting(start, problems, countdown.solves, makers, "shared_model", again=None)


def _both(policy: Learner[Speaker], critic: Learner[Speaker], play: training.Config) -> Made:
    """The game of two language models, which may be one."""
    judge = judging(critic.speaker, play.roles, play.verdict_tokens)
    learners = {"both": policy} if policy is critic else {"policy": policy, "critic": critic}
    return Made(training.raro(policy, critic, play), learners, play, judge)


def rivals(solves: Callable[[str, str], bool], config: Config) -> dict[str, Maker]:
    """What RARO is compared with wherever it is played: imitation, the checker's word, and preference."""

    def checked(policy: Learner[Speaker], play: training.Config) -> training.Method:
        return training.rlvr(policy, solves, play)

    # The loss of DPO holds the policy to its start already.
    free = dataclasses.replace(config.rival, kl=0.0)
    return {
        "rlvr": _in_groups(checked, config.rival),
        "sft": _singly(training.sft, config.rival),
        "dpo": _singly(baselines.dpo, free),
    }


Plain = Callable[[Learner[Speaker], training.Config], training.Method]
"""A method that needs no more than a policy."""


def _in_groups(method: Plain, step: learner.Config) -> Maker:
    """A method that draws a group of answers to each question."""

    def make(speaker: Speaker, play: training.Config) -> Made:
        policy = learner.begin(speaker, step)
        return Made(method(policy, play), {"policy": policy}, play, None)

    return make


def _singly(method: Plain, step: learner.Config) -> Maker:
    """A method with one text to each question: as many questions as the others have answers."""

    def make(speaker: Speaker, play: training.Config) -> Made:
        num_questions = play.num_questions * play.game.num_answers
        return _in_groups(method, step)(speaker, dataclasses.replace(play, num_questions=num_questions))

    return make


def check_settings(name: str, settings: Config | School, out: Path) -> None:
    """Keep the settings in `out`. Raises ValueError where others are kept there."""
    said, path = json.loads(json.dumps(dataclasses.asdict(settings))), out / f"{name}.json"
    if not path.exists():
        write_atomically(path, json.dumps(said, indent=1).encode())
    if json.loads(path.read_text(encoding="utf-8")) != said:
        raise ValueError(f"{out} holds a table with other settings; give another folder with --out, or remove it.")


def telling(tell: Tell, what: str, num_rounds: int) -> training.Report:
    """What is told of a training that has a name."""
    return lambda num_done, numbers: tell(what, num_done, num_rounds, numbers)

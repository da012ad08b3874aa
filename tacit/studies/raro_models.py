"""Does a language model learn more from its pairs by RARO than by imitating them? One table, row by row.

Everybody starts from the same model and imitates the same pairs first; then each method goes on in its own way, and
answers puzzles that nobody was shown. Nobody but RLVR, the ceiling, and the count of right answers calls the checker.
Cai and Provilkov 2025, "Escaping the Verifier: Learning to Reason via Demonstrations", arXiv 2511.21667.

On small machines the model comes from nothing: it is schooled on other problems, and RARO's critic is a model apart
that scores both answers and is warmed up on the other problems too (`score_critic`). A model that is brought along
(`--model`) plays both roles itself, by role prompts. Every row is kept as soon as it is there, and a half-done one from
time to time, so that a run that was stopped goes on where it was.
"""

import copy
import dataclasses
import itertools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tacit.language import baselines, countdown, from_scratch, learner, models, training, worked
from tacit.language.countdown import Form
from tacit.language.demonstrations import Demonstration
from tacit.language.game import Contest, Rules
from tacit.language.learner import Learner
from tacit.language.models import Speaker
from tacit.language.players import answering, judging
from tacit.language.prompts import Roles
from tacit.language.rounds import Config as GameConfig
from tacit.language.rounds import Judge, Lesson
from tacit.language.score_critic import ScoreCritic, WarmUp, warm_up
from tacit.language.tournament import tournaments
from tacit.storage import write_atomically
from tacit.studies.claims import Claim, LackingError, Place, Tell, at_least
from tacit.studies.raro import low
from tacit.studies.raro_puzzles import WORDS, Problems, Puzzles

PLAIN = Roles(policy="", critic="", answer_mark="")
MEASURED = "95 % interval over seeds"
NUM_SHOWN, NUM_UNSEEN = 1000, 200
"""How many puzzles a model that is brought along is shown, and answers at the end."""

PAPER = "Cai and Provilkov 2025: 40.7 by SFT, 54.4 by RARO, 57.7 by RLVR (1.5 B parameters, four numbers)"


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
        GameConfig(num_answers=8, num_verdicts=2, num_again=8, policy_share=1.0, critic_share=1.0),
        PLAIN,
        num_rounds=240,
        num_questions=32,
        answer_tokens=14,
        verdict_tokens=14,
        rates="linear",
    ),
    policy=learner.Config(rate=3e-4, kl=0.05, at_once=256),
    critic=learner.Config(rate=3e-4, kl=0.0, at_once=512),
    rival=learner.Config(rate=3e-4, kl=1e-3, at_once=256),
    look_every=60,
    num_each=16,
)
"""Two cores, minutes."""

FULL = Config(
    imitation=training.Config(num_rounds=60, num_questions=64, answer_tokens=64),
    imitating=learner.Config(rate=1e-5, kl=0.0),
    play=training.Config(num_rounds=400, num_questions=16, answer_tokens=1024, verdict_tokens=1024),
    policy=learner.Config(rate=1e-6, kl=1e-3),
    critic=learner.Config(rate=1e-6, kl=1e-3),
    rival=learner.Config(rate=1e-6, kl=1e-3),
)
"""A GPU, and a model that is brought along."""


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

    `critic` says what kind of critic the game has.
    """

    start: Speaker
    problems: Callable[[int], Problems]
    solves: Callable[[str, str], bool]
    makers: Mapping[str, Maker]
    critic: str


class Row(NamedTuple):
    """One method with one seed: the share of right answers to unseen puzzles, after imitation and at the end;

    what a tournament by its own critic adds, if it has one; processor seconds; and the figures on the way.
    """

    method: str
    seed: int
    at_start: float
    right: float
    tournament_gain: float | None
    seconds: float
    curve: list[dict[str, float]]


def from_nothing(school: School, config: Config, out: Path, tell: Tell) -> Setting:
    """A model that is made here, and a critic apart that scores both answers; both are kept in `out`."""
    check_settings("school", school, out)
    start = _schooled(school, out, tell)
    warmed = _warmed_up("critic", ScoreCritic.lesson, start, school, config, out, tell)

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
        warmed_alone = _warmed_up("critic-alone", ScoreCritic.lesson_alone, start, school, config, out, tell)
        critic = learner.begin(ScoreCritic(warmed_alone, PLAIN, baselines.ALONE), config.critic)
        method = baselines.gail_scored(policy, critic, play)
        return Made(method, {"policy": policy, "critic": critic}, play, critic.speaker.judge)

    makers = {
        "raro": game(),
        **rivals(worked.solves, config),
        "raro-no-tie": game(rules=Rules(0.0, 0.0)),
        "raro-no-replay": game(replayed=0.0),
        "raro-no-pairing": without_pairing,
    }
    return Setting(start, school.puzzles.draw, worked.solves, makers, "score_critic")


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

    makers = {
        "raro": shared(),
        **rivals(countdown.solves, config),
        "log-probability": _plainly(baselines.log_probability, config),
        "rationalisation": _plainly(baselines.rationalisation, config),
        "raro-no-tie": shared(rules=Rules(0.0, 0.0)),
        "raro-no-replay": shared(replayed=0.0),
        "raro-no-verdict": without_verdict,
        "raro-not-shared": apart,
    }

    def problems(seed: int) -> Problems:
        order = np.random.default_rng([seed, 1]).permutation(len(puzzles))
        mixed = [puzzles[index] for index in order]
        return Problems(mixed[:NUM_SHOWN], mixed[NUM_SHOWN:])

    return Setting(start, problems, countdown.solves, makers, "shared_model")


def _both(policy: Learner[Speaker], critic: Learner[Speaker], play: training.Config) -> Made:
    """The game of two language models, which may be one."""
    judge = judging(critic.speaker, play.roles, play.verdict_tokens)
    learners = {"both": policy} if policy is critic else {"policy": policy, "critic": critic}
    return Made(training.raro(policy, critic, play), learners, play, judge)


def rivals(solves: Callable[[str, str], bool], config: Config) -> dict[str, Maker]:
    """What RARO is compared with wherever it is played: imitation, the checker's word, and preference."""

    def imitation(speaker: Speaker, play: training.Config) -> Made:
        policy = learner.begin(speaker, config.rival)
        # As many texts as the others have answers.
        longer = dataclasses.replace(play, num_questions=play.num_questions * play.game.num_answers)
        return Made(training.sft(policy, longer), {"policy": policy}, longer, None)

    def checked(speaker: Speaker, play: training.Config) -> Made:
        policy = learner.begin(speaker, config.rival)
        return Made(training.rlvr(policy, solves, play), {"policy": policy}, play, None)

    return {"rlvr": checked, "sft": imitation, "dpo": _plainly(baselines.dpo, config)}


def _plainly(method: Callable[[Learner[Speaker], training.Config], training.Method], config: Config) -> Maker:
    """A method that needs no more than a policy."""

    def make(speaker: Speaker, play: training.Config) -> Made:
        policy = learner.begin(speaker, config.rival)
        return Made(method(policy, play), {"policy": policy}, play, None)

    return make


def table(setting: Setting, config: Config, out: Path, tell: Tell) -> list[Row]:
    """A row of every method for every seed; those that `out` does not have yet are made now, method by method."""
    rows = load_rows(config, out)
    for method, seed in itertools.product(setting.makers, range(config.num_seeds)):
        if (method, seed) not in {(row.method, row.seed) for row in rows}:
            rows.append(make_row(method, seed, setting, config, out, tell))
            save_row(rows[-1], out)
    return rows


def make_row(method: str, seed: int, setting: Setting, config: Config, out: Path, tell: Tell) -> Row:
    """Imitation, then the method, each from its last checkpoint if there is one; and what came of it."""
    began, problems = time.process_time(), setting.problems(seed)
    speaker = imitated(seed, problems, setting, config, out, tell)
    made = setting.makers[method](speaker, dataclasses.replace(config.play, seed=seed))
    path = out / f"curve-{method}-{seed}.json"
    curve = {point["round"]: point for point in (json.loads(path.read_text()) if path.exists() else [])}
    curve[0] = {"round": 0, "right": share_right(speaker, problems.unseen, setting, config)}

    def watch(num_done: int, numbers: dict[str, float]) -> None:
        tell(f"{method}, seed {seed}", num_done, made.config.num_rounds, numbers)
        if num_done % config.look_every == 0:
            right = share_right(speaker, problems.unseen, setting, config)
            # JSON knows no NaN, which is what a figure is of which there was no case.
            known = {name: number for name, number in numbers.items() if not math.isnan(number)}
            curve[num_done] = {**known, "round": num_done, "right": right}
            write_atomically(path, json.dumps(list(curve.values())).encode())

    kept = out / f"{method}-{seed}.safetensors"
    training.train(made.method, made.learners, problems.shown, made.config, watch, kept)
    gain = tournament_gain(speaker, made.judge, problems.unseen, setting, config) if made.judge else None
    right = share_right(speaker, problems.unseen, setting, config)
    points = [curve[number] for number in sorted(curve)]
    return Row(method, seed, points[0]["right"], right, gain, time.process_time() - began, points)


def imitated(seed: int, problems: Problems, setting: Setting, config: Config, out: Path, tell: Tell) -> Speaker:
    """What imitation makes of the model that all start from; it is the same for every method."""
    policy, imitation = learner.begin(copy.deepcopy(setting.start), config.imitating), config.imitation
    imitation = dataclasses.replace(imitation, seed=seed)
    told = telling(tell, f"imitation, seed {seed}", imitation.num_rounds)
    kept = out / f"imitation-{seed}.safetensors"
    training.train(training.sft(policy, imitation), {"policy": policy}, problems.shown, imitation, told, kept)
    return policy.speaker


def drawn(speaker: Speaker, problems: Sequence[Demonstration], num_each: int, config: Config) -> list[list[str]]:
    """Some answers to each problem, always with the same dice."""
    answer, rng = answering(speaker, config.play.roles, config.play.answer_tokens), np.random.default_rng(3)
    texts = answer([one.question for one in problems for _ in range(num_each)], rng).texts
    return [texts[start : start + num_each] for start in range(0, len(texts), num_each)]


def share_right(speaker: Speaker, problems: Sequence[Demonstration], setting: Setting, config: Config) -> float:
    """Which part of the drawn answers the checker finds right."""
    asked = zip(problems, drawn(speaker, problems, config.num_each, config), strict=True)
    return float(np.mean([setting.solves(one.question, text) for one, texts in asked for text in texts]))


def tournament_gain(
    speaker: Speaker, judge: Judge, problems: Sequence[Demonstration], setting: Setting, config: Config
) -> float:
    """How many more questions are answered right by the winner of a tournament than by any one entrant."""
    problems = problems[: config.num_tables]
    questions = [one.question for one in problems]
    answers = drawn(speaker, problems, config.num_entrants, config)
    won = tournaments(questions, answers, judge, np.random.default_rng(4))
    asked = zip(questions, answers, strict=True)
    right = np.array([[setting.solves(question, text) for text in texts] for question, texts in asked])
    return float((right[np.arange(len(won)), won] - right.mean(axis=1)).mean())


def load_rows(config: Config, out: Path) -> list[Row]:
    """The rows that are there. Raises ValueError where they were made with other settings."""
    check_settings("settings", dataclasses.replace(config, num_seeds=0), out)
    return [Row(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(out.glob("row-*.json"))]


def check_settings(name: str, settings: Config | School, out: Path) -> None:
    """Keep the settings in `out`. Raises ValueError where others are kept there."""
    said, path = json.loads(json.dumps(dataclasses.asdict(settings))), out / f"{name}.json"
    if not path.exists():
        write_atomically(path, json.dumps(said, indent=1).encode())
    if json.loads(path.read_text(encoding="utf-8")) != said:
        raise ValueError(f"{out} holds a table with other settings; give another folder with --out, or remove it.")


def save_row(row: Row, out: Path) -> None:
    """Keep a row, atomically; each is a file of its own, so that several runs can fill one table."""
    write_atomically(out / f"row-{row.method}-{row.seed}.json", json.dumps(row._asdict(), indent=1).encode())


def telling(tell: Tell, what: str, num_rounds: int) -> training.Report:
    """What is told of a training that has a name."""
    return lambda num_done, numbers: tell(what, num_done, num_rounds, numbers)


def claims(rows: Sequence[Row], critic: str) -> list[Claim]:
    """What the table says of RARO with this kind of critic."""
    by = {(row.method, row.seed): row for row in rows}
    seeds = sorted(seed for method, seed in by if method == "raro")
    raro, rlvr = (np.array([by[name, seed].right for seed in seeds]) for name in ("raro", "rlvr"))
    # Imitation is given the better of its two ends.
    sft = np.array([max(by["sft", seed].right, by["sft", seed].at_start) for seed in seeds])
    gains = np.array([by["raro", seed].tournament_gain for seed in seeds], float)
    gap = (rlvr - sft).mean()
    # Where the checker itself teaches nothing, there is no way of which a share could be gone.
    share = (raro - sft).mean() / gap if gap > 0.0 else 0.0
    return [
        at_least(f"raro_minus_sft@{critic}", (raro - sft).mean(), 0.0, MEASURED),
        at_least(f"raro_minus_sft_low@{critic}", low(raro - sft), 0.0, MEASURED),
        at_least(f"share_of_rlvr_gap@{critic}", share, 0.5, PAPER),
        at_least(f"tournament_gain@{critic}", gains.mean(), 0.05, PAPER),
        at_least(f"tournament_gain_low@{critic}", low(gains), 0.0, MEASURED),
    ]


def make_at(tier: str, place: Place, tell: Tell) -> list[Claim]:
    """The table, gone on with in `place`, and what it says."""
    if place.model is not None:
        config, setting = FULL, brought_along(place.model, FULL, models.device())
    elif tier == "small":
        config, setting = SMALL, from_nothing(SCHOOL, SMALL, place.out, tell)
    else:
        raise LackingError("at tier full it needs a language model: --model DIR with a Hugging Face causal model")
    return claims(table(setting, config, place.out, tell), setting.critic)

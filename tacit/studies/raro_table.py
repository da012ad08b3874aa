"""Does a language model learn more from its pairs by RARO than by imitating them? One table, row by row.

Every method of `raro_rows` answers puzzles that nobody was shown, on the way and at the end. Every row is kept as soon
as it is there, and a half-done one from time to time, so that a run that was stopped goes on where it was.
"""

import copy
import dataclasses
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tacit.language import learner, models, training
from tacit.language.demonstrations import Demonstration
from tacit.language.models import Speaker
from tacit.language.players import answering
from tacit.language.rounds import Judge
from tacit.language.tournament import tournaments
from tacit.storage import write_atomically
from tacit.studies import side_by_side
from tacit.studies.claims import Claim, LackingError, Place, Tell, at_least
from tacit.studies.raro import low
from tacit.studies.raro_puzzles import Problems
from tacit.studies.raro_rows import (
    FULL,
    SCHOOL,
    SMALL,
    Config,
    Setting,
    brought_along,
    check_settings,
    from_nothing,
    telling,
)

MEASURED = "95 % interval over seeds"
PAPER = "Cai and Provilkov 2025: 40.7 by SFT, 54.4 by RARO, 57.7 by RLVR (1.5 B parameters, four numbers)"


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


def table(setting: Setting, config: Config, out: Path, tell: Tell) -> list[Row]:
    """A row of every method for every seed; those that `out` does not have yet are made now, method by method.

    Where the setting allows it, each core makes one at a time.
    """
    rows = load_rows(config, out)
    there, num_cores = {(row.method, row.seed) for row in rows}, os.cpu_count() or 1
    lacking = [part for part in itertools.product(setting.makers, range(config.num_seeds)) if part not in there]
    if setting.again is None or num_cores == 1:
        made = (make_row(*part, setting, config, out, tell) for part in lacking)
    else:
        made = side_by_side.made(lacking, partial(_making, setting.again, config, out), num_cores, tell)
    for row in made:
        save_row(row, out)
        rows.append(row)
    return rows


def _making(again: Callable[[], Setting], config: Config, out: Path) -> Callable[[tuple[str, int], Tell], Row]:
    """How a process of its own makes rows: on one core, in the setting that is kept in `out`."""
    models.on_one_core()
    setting = again()
    return lambda part, tell: make_row(*part, setting, config, out, tell)


def make_row(method: str, seed: int, setting: Setting, config: Config, out: Path, tell: Tell) -> Row:
    """Imitation, then the method, each from its last checkpoint if there is one; and what came of it."""
    began, problems = time.process_time(), setting.problems(seed)
    speaker = imitated(seed, problems, setting, config, out, tell)
    made = setting.makers[method](speaker, dataclasses.replace(config.play, seed=seed))
    path = out / f"curve-{method}-{seed}.json"
    curve = {point["round"]: point for point in (json.loads(path.read_text()) if path.exists() else [])}
    curve[0] = {"round": 0, "right": right_at_start(seed, speaker, problems, setting, config, out)}

    def watch(num_done: int, numbers: dict[str, float]) -> None:
        tell(f"{method}, seed {seed}", num_done, made.config.num_rounds, numbers)
        if num_done % config.look_every == 0 or num_done == made.config.num_rounds:
            right = share_right(speaker, problems.unseen, setting, config)
            # JSON knows no NaN, which is what a figure is of which there was no case.
            known = {name: number for name, number in numbers.items() if not math.isnan(number)}
            curve[num_done] = {**known, "round": num_done, "right": right}
            write_atomically(path, json.dumps(list(curve.values())).encode())

    kept = out / f"{method}-{seed}.safetensors"
    training.train(made.method, made.learners, problems.shown, made.config, watch, kept)
    gain = tournament_gain(speaker, made.judge, problems.unseen, setting, config) if made.judge else None
    points = [curve[number] for number in sorted(curve)]
    return Row(method, seed, points[0]["right"], points[-1]["right"], gain, time.process_time() - began, points)


def imitated(seed: int, problems: Problems, setting: Setting, config: Config, out: Path, tell: Tell) -> Speaker:
    """What imitation makes of the model that all start from; it is the same for every method."""
    policy, imitation = learner.begin(copy.deepcopy(setting.start), config.imitating), config.imitation
    imitation = dataclasses.replace(imitation, seed=seed)
    told = telling(tell, f"imitation, seed {seed}", imitation.num_rounds)
    kept = out / f"imitation-{seed}.safetensors"
    training.train(training.sft(policy, imitation), {"policy": policy}, problems.shown, imitation, told, kept)
    return policy.speaker


def right_at_start(
    seed: int, speaker: Speaker, problems: Problems, setting: Setting, config: Config, out: Path
) -> float:
    """The share of right answers after imitation, which is the same for every method: read from `out`, or found now."""
    path = out / f"start-{seed}.json"
    if not path.exists():
        write_atomically(path, json.dumps(share_right(speaker, problems.unseen, setting, config)).encode())
    return json.loads(path.read_text(encoding="utf-8"))


def drawn(speaker: Speaker, problems: Sequence[Demonstration], num_each: int, config: Config) -> list[list[str]]:
    """Some answers to each problem, always with the same dice."""
    answer, rng = answering(speaker, config.play.roles, config.play.answer_tokens), np.random.default_rng(3)
    texts = answer([one.question for one in problems for _ in range(num_each)], rng).texts
    return [texts[start : start + num_each] for start in range(0, len(texts), num_each)]


@training.enough_memory("while answers were counted")
def share_right(speaker: Speaker, problems: Sequence[Demonstration], setting: Setting, config: Config) -> float:
    """Which part of the drawn answers the checker finds right."""
    asked = zip(problems, drawn(speaker, problems, config.num_each, config), strict=True)
    return float(np.mean([setting.solves(one.question, text) for one, texts in asked for text in texts]))


@training.enough_memory("in a tournament")
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


def save_row(row: Row, out: Path) -> None:
    """Keep a row, atomically; each is a file of its own, so that several runs can fill one table."""
    write_atomically(out / f"row-{row.method}-{row.seed}.json", json.dumps(row._asdict(), indent=1).encode())


def claims(rows: Sequence[Row], critic: str) -> list[Claim]:
    """What the table says of RARO with this kind of critic.

    SFT is given the best point of its curve, from start to end: the strongest imitation there is, since it stops when
    it answers unseen puzzles best.
    """
    by = {(row.method, row.seed): row for row in rows}
    seeds = sorted(seed for method, seed in by if method == "raro")
    raro, rlvr = (np.array([by[name, seed].right for seed in seeds]) for name in ("raro", "rlvr"))
    sft = np.array([max(point["right"] for point in by["sft", seed].curve) for seed in seeds])
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

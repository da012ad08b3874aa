"""Which steps does `tacit bench raro` time, ours and TRL's? The same model, batch and settings."""

import contextlib
import dataclasses
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tacit.language import countdown, from_scratch, learner, models, training
from tacit.language.demonstrations import Demonstration
from tacit.language.game import LABELS, Contest, in_order
from tacit.language.prompts import Roles
from tacit.language.rounds import Config as GameConfig
from tacit.language.verdicts import SAYING
from tacit.language.watch import Guards

NUM_STEPS = 10
"""The best of these counts, after one to warm up: other programs can only slow us down."""
NUM_QUESTIONS = 8
NUM_SAMPLES = 128
"""Of a step; they go through the model together."""
FORM = countdown.Form(num_numbers=3, largest=9, lowest_target=1, highest_target=60)
PLAIN = Roles(policy="", critic="", answer_mark="")
WORDS = ("Question: Make", "from", ", each once.", "Answer 1:", "Answer 2:", *"+-*/()", *map(str, range(61)))
SCHOOLING = from_scratch.Schooling(num_steps=40, num_texts=NUM_SAMPLES)
"""Enough for answers and verdicts to come to an end."""
STEP = learner.Config(at_once=NUM_SAMPLES)
# The policy moves in every step, whatever the critic is worth.
RARO = GameConfig(guards=Guards(level=1.01), num_answers=8, num_verdicts=8)
RLVR = GameConfig(num_answers=16, num_verdicts=16, policy_share=1.0)
RLVR_BATCH = {"num_generations": RLVR.num_answers, "gradient_accumulation_steps": 1}
"""Where nothing is judged, TRL's groups are answers alone."""

Trainer = Any
"""TRL's GRPOTrainer, where it is installed."""


def lessons(num: int, rng: np.random.Generator) -> list[Demonstration]:
    """Questions with experts' answers, and pairs of these with labels by chance: so that both come to an end."""
    shown = countdown.draw(FORM, num, rng)
    half = num // 2
    contests = [
        Contest(one.question, one.answer, other.answer) for one, other in zip(shown[half:], shown, strict=False)
    ]
    pairs = [PLAIN.compare(in_order(one, 0)).text.removeprefix(PLAIN.ask("").text) for one in contests]
    labels = rng.choice(LABELS, len(pairs)).tolist()
    return [*shown[:half], *(Demonstration("", pair, SAYING[label]) for pair, label in zip(pairs, labels, strict=True))]


def configured(game: GameConfig) -> training.Config:
    """Short answers and verdicts, until all steps are timed."""
    return training.Config(game, PLAIN, NUM_STEPS + 1, NUM_QUESTIONS, answer_tokens=16, verdict_tokens=16)


def table(folder: Path, with_trl: bool) -> list[dict[str, Any]]:
    """The rows of both kinds of step; the model that they start from is left in `folder`."""
    taught = from_scratch.untaught(WORDS, from_scratch.Size(longest=128), seed=0)
    from_scratch.school(taught, lessons, PLAIN, SCHOOLING, lambda *_: None, np.random.default_rng(0))
    models.save(taught, folder)
    shown = countdown.draw(FORM, 256, np.random.default_rng(1))
    rows = []
    for name, step, rival in (("RLVR", rlvr_step, rlvr_trainer), ("RARO", raro_step, raro_trainer)):
        own, other = fastest(step(folder, shown), rival(folder, shown) if with_trl else None)
        rows.append(
            {
                "name": f"{name}, {NUM_SAMPLES} samples a step / {'TRL' if with_trl else 'no trl here'}",
                "value": round(NUM_SAMPLES / own),
                "unit": "samples/s",
                "baseline": other and round(NUM_SAMPLES / other),
                "ratio": other and round(other / own, 2),
            }
        )
    return rows


def fastest(step: Callable[[int], object], trainer: Trainer | None) -> tuple[float, float | None]:
    """Seconds of our step at best and, in turns with it, of the trainer's; None where there is no trainer."""
    own, theirs = [], []

    def take(number: int) -> None:
        start = time.perf_counter()
        step(number)
        own.append(time.perf_counter() - start)

    if trainer is None:
        for number in range(NUM_STEPS + 1):
            take(number)
        return min(own[1:]), None

    class Turns(importlib.import_module("transformers").TrainerCallback):
        began = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            del args, control, others
            theirs.append(time.perf_counter() - self.began)
            take(state.global_step)
            self.began = time.perf_counter()

    trainer.add_callback(Turns())
    # Its log goes where messages go.
    with contextlib.redirect_stdout(sys.stderr):
        trainer.train()
    return min(own[1:]), min(theirs[1:])


def rlvr_step(folder: Path, shown: list[Demonstration]) -> Callable[[int], object]:
    """Our step with the checker's word."""
    one, config = learner.begin(models.load(folder, models.device()), STEP), configured(RLVR)
    return stepping(training.rlvr(one, countdown.solves, config), one, shown, config)


def raro_step(folder: Path, shown: list[Demonstration]) -> Callable[[int], object]:
    """Our step of RARO, one model in both roles."""
    one, config = learner.begin(models.load(folder, models.device()), STEP), configured(RARO)
    return stepping(training.raro(one, one, config), one, shown, config)


def stepping(
    method: training.Method, one: learner.AnyLearner, shown: list[Demonstration], config: training.Config
) -> Callable[[int], object]:
    """One round of training, by its number."""

    def step(number: int) -> object:
        single = dataclasses.replace(config, num_rounds=1, seed=number)
        return training.train(method, {"model": one}, shown, single, lambda *_: None)

    return step


def arguments(settings: dict[str, Any], folder: Path) -> Any:
    """TRL's configuration, without what ours does not do either."""
    plain = {"bf16": False, "gradient_checkpointing": False, "report_to": "none", "save_strategy": "no"}
    return importlib.import_module("trl").GRPOConfig(f"{folder}-trl", disable_tqdm=True, **(settings | plain))


def rlvr_trainer(folder: Path, shown: list[Demonstration]) -> Trainer:
    """TRL's GRPOTrainer as one uses it where there is a checker."""
    from tacit.language import on_trl  # noqa: PLC0415 - an extra

    def right(completions: list[str], question: list[str], **others: Any) -> list[float]:
        del others
        return [float(countdown.solves(*asked)) for asked in zip(question, completions, strict=True)]

    speaker = models.load(folder)
    asked = [{"prompt": speaker.written(PLAIN.ask(one.question)), "question": one.question} for one in shown]
    return importlib.import_module("trl").GRPOTrainer(
        model=speaker.model,
        processing_class=speaker.tokenizer,
        reward_funcs=right,
        args=arguments(on_trl.settings(configured(RLVR), STEP) | RLVR_BATCH, folder),
        train_dataset=importlib.import_module("datasets").Dataset.from_list(asked),
    )


def raro_trainer(folder: Path, shown: list[Demonstration]) -> Trainer:
    """RARO on TRL."""
    from tacit.language import on_trl  # noqa: PLC0415 - an extra

    config = configured(RARO)
    return on_trl.raro(folder, shown, config, arguments(on_trl.settings(config, STEP), folder))

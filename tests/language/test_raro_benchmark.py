"""The benchmark compares alike: as many samples a step on both sides, and it says so where TRL or torch is missing."""

import importlib.util

import numpy as np
import pytest

from tacit.benchmarks import raro, raro_steps
from tacit.language import on_trl
from tacit.language.from_scratch import Schooling
from tacit.language.prompts import Prompt
from tacit.language.verdicts import SAYING

KEYS = {"name", "value", "unit", "baseline", "ratio"}


def without(monkeypatch, *names: str) -> None:
    """Look as if these packages were not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else find(name))


def test_a_step_of_either_has_as_many_samples(tmp_path) -> None:
    assert raro_steps.NUM_QUESTIONS * raro_steps.RLVR.num_answers == raro_steps.NUM_SAMPLES
    assert on_trl.round_size(raro_steps.configured(raro_steps.RARO)) == raro_steps.NUM_SAMPLES
    assert raro_steps.STEP.at_once == raro_steps.NUM_SAMPLES
    for game, changed in ((raro_steps.RARO, {}), (raro_steps.RLVR, raro_steps.RLVR_BATCH)):
        settings = on_trl.settings(raro_steps.configured(game), raro_steps.STEP)
        arguments = raro_steps.arguments(settings | changed, tmp_path)
        assert arguments.generation_batch_size == raro_steps.NUM_SAMPLES
        assert arguments.generation_batch_size // arguments.num_generations == raro_steps.NUM_QUESTIONS


def test_the_model_is_schooled_in_what_it_will_be_asked() -> None:
    lessons = raro_steps.lessons(10, np.random.default_rng())
    asked = [raro_steps.PLAIN.ask(one.question) for one in lessons]
    assert all(one.answer in SAYING.values() for one in lessons[5:])
    for lesson, prompt in zip(lessons[5:], asked[5:], strict=True):
        question, first, second = lesson.question.split("\n")
        text = f"Question: {question}\n{first}\n{second}"
        assert prompt == Prompt("", text)
        assert first.startswith("Answer 1: ")
        assert second.startswith("Answer 2: ")


@pytest.fixture
def short(monkeypatch) -> None:
    """One step and hardly any schooling: what is said is nonsense, but is timed."""
    monkeypatch.setattr(raro_steps, "NUM_STEPS", 1)
    monkeypatch.setattr(raro_steps, "SCHOOLING", Schooling(num_steps=2, num_texts=8))


@pytest.mark.usefixtures("short")
def test_rows() -> None:
    rows = raro.make()
    assert [row["name"] for row in rows] == [f"{name}, 128 samples a step / TRL" for name in ("RLVR", "RARO")]
    for row in rows:
        assert set(row) == KEYS
        assert row["value"] > 0
        assert row["baseline"] > 0
        # Each is rounded by itself.
        assert row["ratio"] == pytest.approx(row["value"] / row["baseline"], rel=0.1)


@pytest.mark.usefixtures("short")
def test_without_trl_there_is_no_baseline(monkeypatch) -> None:
    without(monkeypatch, "trl")
    rows = raro.make()
    assert [(row["baseline"], row["ratio"]) for row in rows] == [(None, None)] * 2
    assert all("no trl here" in row["name"] and row["value"] > 0 for row in rows)


def test_without_torch_one_sentence(monkeypatch) -> None:
    without(monkeypatch, "torch", "transformers")
    with pytest.raises(ValueError, match=r"needs torch and transformers: pip install 'tacit\[trl\]'") as refused:
        raro.make()
    assert "\n" not in str(refused.value)

"""Figures and guards: against loops, against SciPy, and against critics that only look at places."""

import math

import numpy as np
import pytest
from scipy import stats

from tacit.language.game import FIRST, SECOND, TIE, UNREADABLE, Rules
from tacit.language.watch import NONE_YET, Guards, Trials, advise, chance_p_value, measure


def draw_trials(rng: np.random.Generator, num: int = 40, skill: float = 0.5) -> Trials:
    """A critic that is right with chance `skill` where it decides, and sometimes ties or is unreadable."""
    expert_at = rng.integers(2, size=num)
    right = rng.random(num) < skill
    labels = np.where(right, expert_at, 1 - expert_at)
    said = rng.random(num)
    return Trials(np.where(said < 0.2, TIE, np.where(said < 0.3, UNREADABLE, labels)), expert_at)


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def test_figures_against_a_loop(rng) -> None:
    for _ in range(30):
        trials, rules = draw_trials(rng, int(rng.integers(0, 40)), rng.random()), Rules(*rng.random(2))
        cases = list(zip(trials.labels.tolist(), trials.expert_at.tolist(), strict=True))
        by_place = [
            mean([float(label == place) for label, place in cases if place == at and label in (FIRST, SECOND)])
            for at in (0, 1)
        ]
        readable = [case for case in cases if case[0] != UNREADABLE]
        earned = [
            (rules.tau_policy, rules.tau_critic) if label == TIE else (float(label != place), float(label == place))
            for label, place in readable
        ]
        expected = (
            *by_place,
            (by_place[0] + by_place[1]) / 2,
            mean([float(label == TIE) for label, _ in readable]),
            mean([float(label == UNREADABLE) for label, _ in cases]),
            mean([policy for policy, _ in earned]),
            mean([critic for _, critic in earned]),
        )
        assert measure(trials, rules) == pytest.approx(expected, nan_ok=True, abs=1e-12)


def test_p_value_is_fishers(rng) -> None:
    for _ in range(50):
        trials = draw_trials(rng, int(rng.integers(0, 60)), rng.random())
        table = [[int(((trials.labels == said) & (trials.expert_at == at)).sum()) for at in (0, 1)] for said in (0, 1)]
        assert chance_p_value(trials) == pytest.approx(stats.fisher_exact(table, alternative="greater")[1], rel=1e-9)


def test_places_alone_never_move_the_policy(rng) -> None:
    """However the coins fall, a critic that always says one place is at chance; plain accuracy is fooled by luck."""
    for said in (FIRST, SECOND, TIE, UNREADABLE):
        for share in (0.1, 0.5, 0.9):
            expert_at = (rng.random(300) < share).astype(np.int64)
            trials = Trials(np.full(300, said), expert_at)
            assert chance_p_value(trials) == pytest.approx(1.0, abs=1e-9)
            assert not advise(trials, Guards()).policy_moves
            accuracy = measure(trials, Rules()).accuracy
            assert math.isnan(accuracy) if said in (TIE, UNREADABLE) else accuracy == 0.5


def test_chance_is_let_through_as_seldom_as_promised(rng) -> None:
    let_through = [chance_p_value(draw_trials(rng, 60)) < 0.05 for _ in range(1000)]
    assert np.mean(let_through) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 1000)
    assert np.mean(let_through) > 0.005, "a test that never lets anything through is none"


def test_the_policy_moves_with_a_critic_that_can_tell(rng) -> None:
    assert advise(draw_trials(rng, 256, 0.8), Guards()) == (True, None)
    # One that is wrong on purpose knows as much, but its rewards are upside down.
    assert not advise(draw_trials(rng, 256, 0.2), Guards()).policy_moves
    assert advise(NONE_YET, Guards()) == (False, None)


def test_alarm() -> None:
    places = np.arange(100) % 2
    guards = Guards(fewest=50)
    alarm = advise(Trials(places, places), guards).alarm
    assert alarm is not None
    assert "more than 95%" in alarm
    assert "shortcut" in alarm
    at_bound = np.where(np.arange(100) < 10, 1 - places, places)  # right 90 times of 100
    assert advise(Trials(at_bound, places), Guards(alarm=0.9)).alarm is None
    assert advise(Trials(at_bound, places), Guards(alarm=0.89)).alarm is not None
    few = Trials(np.where(np.arange(100) < 49, places, TIE), places)
    assert advise(few, guards).alarm is None, "49 labels that decide are fewer than 50"


def test_the_window_keeps_the_last(rng) -> None:
    window, kept, seen = int(rng.integers(0, 30)), NONE_YET, NONE_YET
    for _ in range(4):
        later = draw_trials(rng, int(rng.integers(0, 20)))
        kept = kept.then(later, window)
        seen = seen.then(later, 10_000)
        assert kept.labels.tolist() == seen.labels.tolist()[max(len(seen.labels) - window, 0) :]
        assert kept.expert_at.tolist() == seen.expert_at.tolist()[max(len(seen.labels) - window, 0) :]

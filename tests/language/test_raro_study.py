"""The study of RARO: do its claims hold, and would a wrong rule, weight or guard be noticed?"""

import dataclasses

import numpy as np
import pytest

from tacit.language import rounds
from tacit.language.game import FIRST, Rules, best_reply, outcomes
from tacit.language.rounds import Lesson
from tacit.language.watch import Advice
from tacit.studies import raro as study

CONFIG = study.Config(num_random=30, num_seeds=2, num_puzzles=16, num_rounds=20, policy_rate=40.0)


def failed(claims) -> set[str]:
    return {claim.name for claim in claims if not claim.passed}


def test_the_algebra_holds() -> None:
    assert not failed([*study.rewards(CONFIG), *study.at_rest(CONFIG), *study.stability(CONFIG)])


def test_a_wrong_reward_fails(monkeypatch) -> None:
    def expert_first(labels, expert_at, rules):
        return outcomes(labels, np.zeros_like(expert_at), rules)

    monkeypatch.setattr(study, "outcomes", expert_first)
    names = {
        "reward_table_largest_gap",
        *(f"{role}_earns@always_{at}" for role in ("policy", "critic") for at in ("first", "second")),
    }
    assert failed(study.rewards(CONFIG)) == names


def test_a_wrong_threshold_fails(monkeypatch) -> None:
    monkeypatch.setattr(study, "best_reply", lambda chance, rules: best_reply(chance, Rules(tau_critic=0.6)))
    assert len(failed(study.rewards(CONFIG))) == 3
    monkeypatch.setattr(study.exact, "best_reply", lambda chance, rules: np.full_like(chance, FIRST, dtype=int))
    assert {"values_at_the_expert_largest_gap", "close_enough_factor"} <= failed(study.at_rest(CONFIG))


def test_wrong_weights_and_replay_fail(monkeypatch) -> None:
    monkeypatch.setattr(study, "advantages", lambda rewards, groups, kept: rewards)
    monkeypatch.setattr(study, "mix", lambda pool, fresh, size, share, rng: list(fresh))
    monkeypatch.setattr(study, "advise", lambda trials, guards: Advice(True, None))
    assert failed(study.stability(CONFIG)) == {
        "advantage_sum_of_a_group_largest",
        "weight_of_masked_samples_largest",
        "replayed_share",
        "policy_moves@critic_of_places",
        "alarm@critic_always_right",
    }


def test_countdown_is_learned_and_a_policy_that_is_never_rewarded_learns_nothing(monkeypatch) -> None:
    learned = study.play_countdown(CONFIG, 0, checked=False)
    assert learned.solved[0] == pytest.approx(1 / CONFIG.num_candidates, abs=0.03)
    assert learned.solved[-1] > 5 * learned.solved[0]
    assert learned.moved[1] == 0
    # Wherever the guard holds it back, the policy stays what it was, to the last digit.
    stood = learned.solved[1:] == learned.solved[:-1]
    assert (stood == (learned.moved[1:] == 0)).all()
    # A critic that is paid for the wrong label teaches nothing: the guard never lets the policy move.
    upside_down = rounds.advantages

    def broken(rewards, groups, kept):
        return upside_down(-rewards, groups, kept)

    monkeypatch.setattr(rounds, "advantages", broken)
    still = study.play_countdown(CONFIG, 0, checked=False)
    assert still.moved.sum() <= 1
    assert still.solved[-1] < learned.solved[-1]


def test_rlvr_weighs_by_the_checker() -> None:
    rng = np.random.default_rng()
    config = dataclasses.replace(CONFIG, num_puzzles=2)
    puzzles = study.draw_puzzles(config, rng, frozenset())
    texts = []
    for one in puzzles.demonstrations:
        texts += [one.answer] + [puzzles.candidates[one.question][-1]] * 7
    lesson = Lesson(rounds.Samples(texts, np.ones(16, bool), None), np.zeros(16), np.ones(16, bool))
    weights = study.by_checker(lesson, puzzles, config).weights.reshape(2, 8)
    assert (weights[:, 0] > 0).all()
    assert (weights[:, 1:] < 0).all()
    assert weights.sum(axis=1) == pytest.approx(0.0, abs=1e-12)

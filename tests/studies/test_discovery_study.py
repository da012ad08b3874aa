"""The study of finding out together: do its claims hold, and would a wrong human, plan or player be noticed?"""

import numpy as np
import pytest

from tacit.assistants import none
from tacit.games.asking import FeltGame
from tacit.humans import estimator, learning
from tacit.humans.learning import Learner
from tacit.studies import discovery
from tacit.studies.claims import Claim

CONFIG = discovery.Config(num_rounds=5, num_worlds=2, num_episodes=4096)


def failed(claims: list[Claim]) -> set[str]:
    return {claim.name.partition("@")[0] for claim in claims if not claim.passed}


def test_claims_hold() -> None:
    claims = discovery.make("tiny", None, CONFIG)
    assert not failed(claims)
    assert len(claims) >= 25


def test_a_player_who_only_obeys_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery.explorer, "make", none.make)
    assert failed(discovery.played(CONFIG)) == {"played_together"}


def test_a_learner_who_does_not_learn_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    shift = estimator.win_stay_lose_shift

    def forgetful(game: FeltGame) -> Learner:
        human = shift(game)
        learn = np.zeros_like(human.arrays.learn)
        return learning.learner(game, human.arrays.start, human.arrays.choose, learn)

    monkeypatch.setattr(discovery.estimator, "win_stay_lose_shift", forgetful)
    assert "two_arms_together" in failed(discovery.bandit())
    assert "together_with_who_tells_all" in failed(discovery.margins(CONFIG))


def test_a_plan_that_ignores_what_it_is_told_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    solve = discovery.best
    monkeypatch.setattr(discovery, "best", lambda game, human: solve(game, estimator.make(game, 0.0)))
    assert failed(discovery.by_hand()) == {"one_new_dish_together"}

"""The study of POMDPs: do its claims hold, and would a wrong planner, bound or player be noticed?"""

import numpy as np
import pytest

from tacit.planning import exact_pomdp, point_based
from tacit.pomdps import tiger
from tacit.studies import pomdps as study

CONFIG = study.Config(num_random=2, num_episodes=500)


def failed(claims) -> set[str]:
    return {claim.name for claim in claims if not claim.passed}


def test_exact_claims_hold_and_a_planner_that_prunes_too_much_fails(monkeypatch) -> None:
    rng = np.random.default_rng()
    assert not failed([*study.tiger_turns(), *study.agreement(CONFIG, rng)])
    monkeypatch.setattr(exact_pomdp, "prune", lambda vectors: np.unique(vectors.argmax(0)))
    lost = failed(study.tiger_turns())
    assert lost
    assert all(name.startswith("tiger_vectors") for name in lost)


def test_a_forgotten_discount_fails(monkeypatch) -> None:
    forgetful = tiger.make
    monkeypatch.setattr(tiger, "make", lambda **given: forgetful(**given)._replace(discount=0.9))
    assert "tiger_vectors@discount0.95_turns3" in failed(study.tiger_turns())


@pytest.mark.parametrize("shift", [-0.5, 0.5])
def test_bounds_and_play_beside_the_value_fail(shift: float) -> None:
    rng = np.random.default_rng(0)
    problem = tiger.make()
    found = point_based.bounds(problem, gap=1e-4)
    assert not failed(study.holding("tiger", found, study.TIGER_FOR_EVER, 0.0, ""))
    moved = found._replace(lower=found.lower + shift, upper=found.upper + shift)
    assert failed(study.holding("tiger", moved, study.TIGER_FOR_EVER, 0.0, ""))
    assert not failed(study.played("tiger", problem, found, 200, 2_000, rng))
    far = found._replace(lower=found.lower + 10 * shift, upper=found.upper + 10 * shift)
    assert failed(study.played("tiger", problem, far, 200, 2_000, rng)) == (
        {"tiger_played_above_lower"} if shift > 0 else {"tiger_upper_above_played"}
    )

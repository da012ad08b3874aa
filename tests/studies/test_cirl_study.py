"""The studies of CIRL and of ChefWorld: do their claims hold, and would a wrong planner or human be noticed?"""

import math

import numpy as np
import pytest

from tacit.arrays import GameArrays, Numbers
from tacit.games import chef_world, paperclips
from tacit.planning import best_response, cirl, generalised_bellman
from tacit.planning.generalised_bellman import Joint, Keep
from tacit.studies import chef_world as chef_study
from tacit.studies import cirl as cirl_study
from tacit.studies.claims import Claim

SMALL = cirl_study.Config(num_games=12, num_pomdps=2)


def failed(claims: list[Claim]) -> set[str]:
    return {claim.name for claim in claims if not claim.passed}


def with_expert(
    arrays: GameArrays, rationality: float = math.inf, points: Numbers | None = None, tolerance: float = 1e-9
) -> cirl.Pair:
    """The expert and the best response, in the place of the optimal pair."""
    del rationality, points
    return best_response.best_assistant(arrays, best_response.expert_human(arrays), tolerance=tolerance)


def test_claims_about_pairs_hold_and_an_expert_is_not_optimal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not failed(cirl_study.make("tiny", None, SMALL))
    monkeypatch.setattr(cirl, "optimal_pair", with_expert)
    assert failed(cirl_study.make("tiny", None, SMALL)) >= {
        "low_threshold@thetas201",
        "high_threshold@thetas201",
        "value@thetas92",
        "last_pair_less_optimal@thetas200",
        "share_strictly_better_than_expert@games12",
        "smallest_gain_over_best_responses@games12",
        "coordinator_less_generalised@games2",
    }


def test_a_human_who_never_answers_ends_the_rally_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cirl_study.histories, "human_reply", lambda tree, assistant: _passing(tree))
    assert failed(cirl_study._expert()) == {
        "steps_until_no_one_gains@thetas200",
        "last_pair_less_optimal@thetas200",
    }


def _passing(tree: cirl_study.histories.Tree) -> cirl_study.histories.HumanPolicy:
    thetas, _, humans, _ = tree.arrays.rewards.shape
    return tuple(np.tile(np.eye(humans)[0], (thetas, len(states), 1)) for states in tree.states)


def test_chefs_claims_hold() -> None:
    assert not failed(chef_study.make("tiny", None))


def test_a_mean_for_the_maximum_and_a_sloppy_human_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def mean(parts: list[np.ndarray], between: Keep) -> Joint:
        return generalised_bellman.noisy_answer(0.0)(parts, between)

    uniform = np.full((2, 3, 8, 3), 1 / 3)
    monkeypatch.setattr(best_response, "literal_human", lambda arrays: uniform[:, : len(arrays.prior)])
    monkeypatch.setattr(cirl, "best_answer", mean)
    kept = {name: chef_study.KITCHENS[name] for name in ("2recipes", "3recipes", "3recipes-pure")}
    monkeypatch.setattr(chef_study, "KITCHENS", kept)
    wrong = failed(chef_study._table())
    assert wrong >= {f"{claim}@{name}" for name in kept for claim in ("optimal_pair", "literal_human", "pedagogic_gap")}
    assert "limit_of_rationality@2recipes" in failed(chef_study._noisy())


def test_games_refuse_what_they_cannot_be() -> None:
    with pytest.raises(ValueError, match="num_thetas is 0"):
        paperclips.make(0)
    with pytest.raises(ValueError, match=r"recipes\[0, 1\] is 1.5; it must be a count"):
        chef_world.make([[2.0, 1.5]])
    with pytest.raises(ValueError, match="recipes is not an array of numbers"):
        chef_world.make([[2, 1], [1]])
    with pytest.raises(ValueError, match="num_turns is 0"):
        chef_world.make(num_turns=0)
    with pytest.raises(ValueError, match="5 ingredients and 5 turns make"):
        chef_world.make([[2] * 5], 5)

"""Several principals: the library's thresholds, equilibria and misreports against going through everything."""

import itertools

import numpy as np
import pytest

from tacit.games import several_principals
from tacit.planning import collegiality, social_choice
from tacit.planning.social_choice import RULES
from tacit.studies import principals


@pytest.mark.parametrize("name", RULES)
def test_the_threshold_is_where_honesty_stops_to_be_dominant(name: str) -> None:
    rng, rule = np.random.default_rng(), RULES[name]
    found = 0
    for utilities in rng.uniform(size=(12, 3, 3)):
        limit = collegiality.threshold(rule, utilities)
        assert limit == principals.brute_threshold(rule, utilities)
        honest = utilities.argmax(1)
        for ratio in (0.99 * limit, 1.01 * limit) if np.isfinite(limit) else (1.0, 1e6):
            regrets = []
            for profile in itertools.product(range(3), repeat=3):
                for person, arm in itertools.product(range(3), range(3)):
                    truthful, other = np.array(profile), np.array(profile)
                    truthful[person], other[person] = honest[person], arm
                    earned = [collegiality.payoffs(rule, utilities, one, ratio)[person] for one in (truthful, other)]
                    regrets.append(earned[1] - earned[0])
            dominant = max(regrets) <= 1e-12
            assert dominant == (ratio <= limit)
            found += not dominant
    assert found > 0, "no group was tempted: nothing was tested"


def test_equilibria_by_definition() -> None:
    rng, rule = np.random.default_rng(), RULES["utilitarian"]
    for utilities in rng.uniform(size=(5, 3, 3)):
        ratio = rng.uniform(0.1, 5.0)
        stable = []
        for profile in itertools.product(range(3), repeat=3):
            earned = collegiality.payoffs(rule, utilities, np.array(profile), ratio)
            swaps = [
                collegiality.payoffs(rule, utilities, np.array([*profile[:i], arm, *profile[i + 1 :]]), ratio)[i]
                - earned[i]
                for i, arm in itertools.product(range(3), range(3))
            ]
            if max(swaps) <= 1e-12:
                stable.append(profile)
        assert [tuple(one) for one in collegiality.equilibria(rule, utilities, ratio)] == stable


@pytest.mark.parametrize("name", RULES)
def test_misreports_are_found_wherever_there_are_any(name: str) -> None:
    rng, rule = np.random.default_rng(), RULES[name]
    gamed = 0
    for utilities in rng.uniform(size=(60, 3, 4)):
        ours, brute = principals.best_gain(rule, utilities), principals.brute_gain(rule, utilities, name)
        assert ours == pytest.approx(brute, abs=1e-12)
        for person in range(3):
            lie = social_choice.misreport(rule, utilities, person)
            if lie is not None:
                gamed += 1
                reports = utilities.copy()
                reports[person] = lie.report
                assert int(social_choice.choose(rule, reports)) == lie.arm
                assert lie.gain == pytest.approx(
                    utilities[person, lie.arm] - utilities[person, social_choice.choose(rule, utilities)]
                )
                assert lie.gain > 0
    assert gamed > 0


def test_a_rule_that_is_broken_is_told_apart() -> None:
    # Taking the average for the minimum, the hand-worked cases must fail.
    claims = {claim.name: claim for claim in principals.hand_cases()}
    assert all(claim.passed for claim in claims.values())
    broken = dict(RULES, maximin=RULES["utilitarian"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(principals, "RULES", broken)
        assert not all(claim.passed for claim in principals.hand_cases())


def test_the_game_pays_what_the_formula_says() -> None:
    rng = np.random.default_rng()
    utilities = rng.uniform(size=(2, 2, 3))
    shown, serve = 2, 3
    arrays = several_principals.make(utilities, num_shown=shown, num_served=serve).arrays
    pulls = several_principals.profiles(2, 3)
    p, k, theta = rng.integers(9), rng.integers(3), rng.integers(2)
    state, total = 0, 0.0
    for _ in range(arrays.horizon or 0):
        human = 1 + p if arrays.legal_human[state, 1 + p] else 0
        assistant = 1 + k if arrays.legal_assistant[state, 1 + k] else 0
        total += arrays.rewards[theta, state, human, assistant]
        state = int(arrays.transitions[state, human, assistant].argmax())
    expected = shown * utilities[theta][[0, 1], pulls[p]].sum() + serve * utilities[theta, :, k].sum()
    assert total == pytest.approx(expected)
    assert arrays.terminal[state]


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"utilities\[1, 0\] is 2"):
        social_choice.misreport(RULES["nash"], np.array([[0.5, 1.0], [2.0, 0.0]]), 0)
    with pytest.raises(ValueError, match="fewer people or arms"):
        collegiality.equilibria(RULES["nash"], np.ones((20, 5)), 1.0)
    with pytest.raises(ValueError, match="0 rounds to show"):
        several_principals.make(num_shown=0)


def test_the_study_holds() -> None:
    claims = principals.make("tiny", None, principals.Config(num_groups=20))
    assert [claim.name for claim in claims if not claim.passed] == []

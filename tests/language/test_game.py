"""The rewards: every label in every order, constant critics, when a tie is best; and where a perfect critic leads."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from tacit.language import exact, game
from tacit.language.game import FIRST, SECOND, TIE, UNREADABLE, Contest, Rules, best_reply, in_order, outcomes, shuffled

TABLE = {  # (label, where the expert's answer lies): what the policy and what the critic earn
    (FIRST, 0): (0.0, 1.0),
    (FIRST, 1): (1.0, 0.0),
    (SECOND, 0): (1.0, 0.0),
    (SECOND, 1): (0.0, 1.0),
    (TIE, 0): ("tau_policy", "tau_critic"),
    (TIE, 1): ("tau_policy", "tau_critic"),
    (UNREADABLE, 0): (0.0, 0.0),
    (UNREADABLE, 1): (0.0, 0.0),
}


def draw_rules(rng: np.random.Generator) -> Rules:
    return Rules(*rng.uniform(0.01, 0.99, 2))


def check_table(outcomes: Callable, rules: Rules) -> None:
    labels, expert_at = (np.array(column) for column in zip(*TABLE, strict=True))
    earned = outcomes(labels, expert_at, rules)
    worth = {"tau_policy": rules.tau_policy, "tau_critic": rules.tau_critic}
    assert earned.policy.tolist() == [worth.get(cell[0], cell[0]) for cell in TABLE.values()]
    assert earned.critic.tolist() == [worth.get(cell[1], cell[1]) for cell in TABLE.values()]
    assert earned.readable.tolist() == [label != UNREADABLE for label, _ in TABLE]


def test_table(rng) -> None:
    check_table(outcomes, Rules())
    check_table(outcomes, draw_rules(rng))


def broken_places(labels, expert_at, rules):
    return outcomes(labels, np.zeros_like(expert_at), rules)


def broken_roles(labels, expert_at, rules):
    earned = outcomes(labels, expert_at, rules)
    return earned._replace(policy=earned.critic, critic=earned.policy)


def broken_ties(labels, expert_at, rules):
    return outcomes(labels, expert_at, Rules(rules.tau_critic, rules.tau_policy))


def broken_silence(labels, expert_at, rules):
    return outcomes(np.where(labels == UNREADABLE, FIRST, labels), expert_at, rules)


@pytest.mark.parametrize("broken", [broken_places, broken_roles, broken_ties, broken_silence])
def test_a_wrong_table_is_noticed(broken, rng) -> None:
    with pytest.raises(AssertionError):
        check_table(broken, draw_rules(rng))


def test_what_a_constant_critic_earns(rng) -> None:
    rules, places = draw_rules(rng), np.array([0, 1])
    for label, policy, critic in ((FIRST, 0.5, 0.5), (SECOND, 0.5, 0.5), (TIE, rules.tau_policy, rules.tau_critic)):
        earned = outcomes(np.full(2, label), places, rules)
        assert earned.policy.mean() == pytest.approx(policy, abs=1e-12)
        assert earned.critic.mean() == pytest.approx(critic, abs=1e-12)


def test_constant_critics_by_the_coin(rng) -> None:
    """Played, not enumerated: the order randomiser is fair, so "the first" is right half of the time."""
    contests = [Contest(f"q{index}", f"e{index}", f"p{index}") for index in range(4000)]
    pairs, expert_at = shuffled(contests, rng)
    earned = outcomes(np.full(4000, FIRST), expert_at, Rules())
    assert abs(earned.critic.mean() - 0.5) < 5 * 0.5 / math.sqrt(4000)
    for contest, pair, place in zip(contests, pairs, expert_at, strict=True):
        assert pair.question == contest.question
        assert (pair.first, pair.second)[place] == contest.expert
        assert (pair.first, pair.second)[1 - place] == contest.answer
    # The only public implementation puts the expert first either way, and "the first" is then always right.
    always = np.zeros_like(expert_at)
    assert outcomes(np.full(4000, FIRST), always, Rules()).critic.mean() == 1.0


def test_what_the_critic_sees_does_not_say_where_the_expert_is() -> None:
    assert game.Pair._fields == ("question", "first", "second")
    contest = Contest("q", "right", "wrong")
    assert in_order(contest, 0) == ("q", "right", "wrong")
    assert in_order(contest, 1) == ("q", "wrong", "right")


def check_best_reply(best_reply: Callable, rules: Rules, chances: np.ndarray) -> None:
    replies = best_reply(chances, rules)
    for chance, reply in zip(chances, replies, strict=True):
        earned = {
            label: chance * outcomes(np.array([label]), np.array([0]), rules).critic[0]
            + (1 - chance) * outcomes(np.array([label]), np.array([1]), rules).critic[0]
            for label in (FIRST, SECOND, TIE)
        }
        assert earned[int(reply)] == pytest.approx(max(earned.values()), abs=1e-12)
        assert (reply == TIE) == (max(chance, 1 - chance) < rules.tau_critic)


def test_tie_is_best_exactly_below_tau(rng) -> None:
    for _ in range(20):
        rules = draw_rules(rng)
        edges = [rules.tau_critic, np.nextafter(rules.tau_critic, 0), np.nextafter(rules.tau_critic, 1), 0, 0.5, 1]
        check_best_reply(best_reply, rules, np.concatenate([rng.uniform(size=20), edges]))


def test_a_wrong_threshold_is_noticed(rng) -> None:
    rules = Rules(tau_critic=rng.uniform(0.55, 0.9))
    for shift in (-0.04, 0.04):
        with pytest.raises(AssertionError):
            check_best_reply(
                lambda chances, rules, shift=shift: best_reply(chances, Rules(tau_critic=rules.tau_critic + shift)),
                rules,
                np.linspace(0, 1, 101),
            )


def enumerated(expert: np.ndarray, policy: np.ndarray, rules: Rules) -> tuple[float, float, float, float]:
    """What `exact.pairwise` says, by listing every pair in every order and every label."""
    total, critic, second_moment, tied = 0.0, 0.0, 0.0, 0.0
    for one, other in itertools.product(range(len(expert)), repeat=2):
        chances = np.array([expert[one] * policy[other], policy[one] * expert[other]]) / 2
        table = {label: outcomes(np.full(2, label), np.array([0, 1]), rules) for label in (FIRST, SECOND, TIE)}
        best = max(table.values(), key=lambda earned: chances @ earned.critic)
        total += chances @ best.policy
        second_moment += chances @ best.policy**2
        critic += chances @ best.critic
        tied += chances.sum() * bool((best.critic == rules.tau_critic).all())
    return total, critic, second_moment - total**2, tied


def draw_policies(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    num_answers = int(rng.integers(2, 7))
    return rng.dirichlet(np.ones(num_answers)), rng.dirichlet(np.ones(num_answers))


def test_values_against_enumeration(rng) -> None:
    for _ in range(30):
        expert, policy = draw_policies(rng)
        rules = draw_rules(rng)
        assert exact.pairwise(expert, policy, rules) == pytest.approx(enumerated(expert, policy, rules), abs=1e-12)


def test_no_policy_earns_more_than_the_expert_would(rng) -> None:
    rules = Rules()
    for _ in range(100):
        expert, policy = draw_policies(rng)
        at_rest = exact.pairwise(expert, expert, rules)
        assert at_rest == pytest.approx((rules.tau_policy, rules.tau_critic, 0.0, 1.0), abs=1e-12)
        assert exact.pairwise(expert, policy, rules).policy <= rules.tau_policy + 1e-12
    # With a critic that is paid too little for ties, a policy would rather be mistaken for the expert.
    greedy = Rules(tau_policy=0.2, tau_critic=0.5)
    assert exact.pairwise(np.array([0.5, 0.5]), np.array([0.6, 0.4]), greedy).policy > greedy.tau_policy


def test_how_close_is_close_enough(rng) -> None:
    """Nothing is lost exactly while e/π differs by less than τ / (1 - τ)."""
    rules = Rules(tau_critic=rng.uniform(0.52, 0.8))
    bound = rules.tau_critic / (1 - rules.tau_critic)
    expert = rng.dirichlet(np.full(2, 5.0))
    for factor, ties in ((0.99 * bound, True), (1.01 * bound, False)):
        policy = expert * np.array([1.0, factor])
        policy /= policy.sum()
        assert exact.closeness(expert, policy) == pytest.approx(factor)
        assert (exact.pairwise(expert, policy, rules).tie_rate == pytest.approx(1.0)) == ties
    assert exact.closeness(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == math.inf
    assert exact.closeness(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == math.inf


def test_a_critic_of_single_answers_is_left_with_a_coin(rng) -> None:
    for _ in range(20):
        expert, policy = draw_policies(rng)
        found = exact.single(expert, policy)
        assert found.critic == pytest.approx(0.5 + np.abs(expert - policy).sum() / 4, abs=1e-12)
        assert exact.single(expert, expert) == pytest.approx((0.5, 0.5, 0.25, 0.0), abs=1e-12)


@pytest.mark.parametrize("tau", [-0.1, 1.01, math.nan, math.inf])
def test_refused_rules(tau) -> None:
    with pytest.raises(ValueError, match=r"tau_critic is .*between 0"):
        Rules(tau_critic=tau)
    with pytest.raises(ValueError, match=r"tau_policy is .*between 0"):
        Rules(tau_policy=tau)


def test_refused_labels_and_places() -> None:
    with pytest.raises(ValueError, match="3 is no label"):
        outcomes(np.array([0, 3]), np.array([0, 1]), Rules())
    with pytest.raises(ValueError, match="is at 2"):
        outcomes(np.array([0, 1]), np.array([0, 2]), Rules())
    with pytest.raises(ValueError, match="expert's answers must"):
        exact.pairwise(np.array([0.5, 0.6]), np.array([0.5, 0.5]), Rules())
    with pytest.raises(ValueError, match="policy's answers must"):
        exact.pairwise(np.array([0.5, 0.5]), np.array([1.5, -0.5]), Rules())

"""The optimal pair and best responses against enumeration and other algorithms, on games drawn when the tests run."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest

from tacit.arrays import GameArrays, game_arrays
from tacit.planning import assistance, best_response, cirl, exact_pomdp, generalised_bellman, histories, reachable
from tacit.planning.generalised_bellman import Joint, keep_different, restrictions

RNG = np.random.default_rng()
NEAR = 1e-9


def draw(
    thetas: int, states: int, humans: int, assistants: int, horizon: int | None, one_start: bool = False
) -> GameArrays:
    """A random game with chance in the world and actions that are not legal everywhere."""
    legal_human, legal_assistant = RNG.random((states, humans)) < 0.8, RNG.random((states, assistants)) < 0.8
    legal_human[:, 0] = legal_assistant[:, 0] = True
    return game_arrays(
        RNG.dirichlet(np.full(states, 0.5), (states, humans, assistants)),
        RNG.normal(size=(thetas, states, humans, assistants)),
        RNG.dirichlet(np.ones(thetas)),
        np.eye(states)[0] if one_start else RNG.dirichlet(np.ones(states)),
        horizon,
        float(RNG.uniform(0.5, 0.95)),
        legal_human=legal_human,
        legal_assistant=legal_assistant,
    )


def turn_taking(thetas: int, humans: int, assistants: int) -> GameArrays:
    """The human acts, then the assistant, who sees which of a few states came of it."""
    middle, end = 3, 4
    transitions = np.zeros((5, humans, assistants, 5))
    transitions[0, :, :, 1:end] = RNG.dirichlet(np.ones(middle), (humans, 1))
    transitions[1:, :, :, end] = 1.0
    rewards = RNG.normal(size=(thetas, 5, humans, assistants))
    rewards[:, 0] = rewards[:, 0, :, :1]
    rewards[:, 1:end] = rewards[:, 1:end, :1]
    rewards[:, end] = 0.0
    first, last = np.arange(humans) == 0, np.arange(assistants) == 0
    return game_arrays(
        transitions,
        rewards,
        RNG.dirichlet(np.ones(thetas)),
        np.eye(5)[0],
        2,
        legal_human=[[True] * humans if s == 0 else first for s in range(5)],
        legal_assistant=[[True] * assistants if 0 < s < end else last for s in range(5)],
        terminal=np.arange(5) == end,
    )


def coordinated(game: GameArrays, turn: int, state: int, weights: np.ndarray) -> float:
    """The best value by trying every map and action, turn after turn; beliefs keep their mass."""
    if turn == game.horizon or not weights.any():
        return 0.0
    humans = np.flatnonzero(game.legal_human[state])
    best = -np.inf
    for action in np.flatnonzero(game.legal_assistant[state]):
        for told in itertools.product(humans, repeat=len(weights)):
            value = 0.0
            for h in humans:
                doing = np.where(np.array(told) == h, weights, 0.0)
                value += doing @ game.rewards[:, state, h, action]
                for after, odds in enumerate(game.transitions[state, h, action]):
                    if odds > 0:
                        value += game.discount * odds * coordinated(game, turn + 1, after, doing)
            best = max(best, value)
    return float(best)


def best_by_enumeration(game: GameArrays) -> float:
    return float(sum(p * coordinated(game, 0, s, game.prior) for s, p in enumerate(game.initial)))


def played(game: GameArrays, pair: cirl.Pair, forgets: bool = False) -> float:
    """What the pair's policies earn, followed belief by belief; a broken one never updates."""

    def follow(turn: int, state: int, weights: np.ndarray, belief: np.ndarray) -> float:
        action = cirl.assistant_action(pair, turn, state, belief)
        policy = cirl.human_policy(pair, turn, state, belief)
        value = 0.0
        for h in range(policy.shape[1]):
            doing = weights * policy[:, h]
            value += doing @ game.rewards[:, state, h, action]
            if turn + 1 == game.horizon or not doing.any():
                continue
            seen = belief if forgets else cirl.next_belief(pair, turn, state, belief, h)
            for after in np.flatnonzero(game.transitions[state, h, action]):
                odds = game.transitions[state, h, action, after]
                value += game.discount * odds * follow(turn + 1, int(after), doing, seen)
        return float(value)

    return float(sum(game.initial[s] * follow(0, int(s), game.prior, game.prior) for s in np.flatnonzero(game.initial)))


@pytest.mark.parametrize(("thetas", "humans", "assistants"), [(2, 3, 2), (3, 2, 3), (4, 2, 2)])
def test_one_shot_game_against_all_pairs_of_maps(thetas: int, humans: int, assistants: int) -> None:
    game = draw(thetas, 1, humans, assistants, 1)
    best = max(
        sum(game.prior[n] * game.rewards[n, 0, h, action] for n, h in enumerate(told))
        for told in itertools.product(np.flatnonzero(game.legal_human[0]), repeat=thetas)
        for action in np.flatnonzero(game.legal_assistant[0])
    )
    assert cirl.optimal_pair(game).value == pytest.approx(best, abs=NEAR)


@pytest.mark.parametrize(("thetas", "humans", "assistants"), [(2, 2, 3), (3, 2, 2)])
def test_turn_taking_game_against_all_pairs_of_maps(thetas: int, humans: int, assistants: int) -> None:
    """The human's map is theta to h, the assistant's (h, what came of it) to a."""
    game = turn_taking(thetas, humans, assistants)
    odds = game.transitions[0, :, 0, 1:4]
    best = -np.inf
    for told in itertools.product(range(humans), repeat=thetas):
        for answers in itertools.product(range(assistants), repeat=humans * 3):
            answer = np.array(answers).reshape(humans, 3)
            value = sum(
                game.prior[n] * (game.rewards[n, 0, h, 0] + odds[h] @ game.rewards[n, np.arange(1, 4), 0, answer[h]])
                for n, h in enumerate(told)
            )
            best = max(best, value)
    assert cirl.optimal_pair(game).value == pytest.approx(best, abs=NEAR)
    assert histories.rally(game).values[-1] <= best + NEAR


@pytest.mark.parametrize(("thetas", "states", "horizon"), [(1, 3, 2), (2, 2, 3), (3, 2, 2), (3, 1, 3), (4, 2, 2)])
def test_optimal_pair_against_enumeration_and_its_own_policies(thetas: int, states: int, horizon: int) -> None:
    for _ in range(2):
        game = draw(thetas, states, 2, 2, horizon)
        pair = cirl.optimal_pair(game)
        assert pair.value == pytest.approx(best_by_enumeration(game), abs=NEAR)
        assert played(game, pair) == pytest.approx(pair.value, abs=NEAR)
        assert cirl.with_human(pair, math.inf).value == pytest.approx(pair.value, abs=NEAR)


@pytest.mark.parametrize(("thetas", "horizon"), [(2, 3), (3, 2)])
def test_optimal_pair_against_the_coordinators_pomdp(thetas: int, horizon: int) -> None:
    game = draw(thetas, 2, 2, 2, horizon, one_start=True)
    problem = cirl.coordinator(game)
    value = cirl.optimal_pair(game).value
    assert value == pytest.approx(exact_pomdp.solve(problem, horizon).value, abs=NEAR)
    assert value == pytest.approx(reachable.solve(problem, horizon).value, abs=NEAR)


def test_pruning_at_any_belief_and_at_those_in_reach_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    games = [draw(3, 2, 2, 2, 2), draw(4, 2, 3, 2, 2)]
    values = [cirl.optimal_pair(game).value for game in games]
    monkeypatch.setattr(cirl, "MAX_THETAS", 0)
    assert [cirl.optimal_pair(game).value for game in games] == pytest.approx(values, abs=NEAR)


def test_both_forms_of_the_backup_and_a_human_who_does_not_maximise() -> None:
    """From the same plans the two forms reach the same value; a mean in the place of the maximum does not."""

    def mean(parts: Sequence[np.ndarray], between: generalised_bellman.Keep) -> Joint:
        joint = generalised_bellman.best_answer(parts, between)
        q = np.stack([part[joint.which[:, h]] for h, part in enumerate(parts)], -1)
        return joint._replace(values=q.mean(-1))

    for _ in range(5):
        game = dataclasses.replace(draw(3, 2, 3, 2, 1), legal_human=np.ones((2, 3), bool))
        following = [RNG.normal(size=(2, 3)) for _ in range(2)]
        found = [
            generalised_bellman.backup(game, 0, following, join, keep_different, keep_different)
            for join in (generalised_bellman.best_answer, generalised_bellman.coordinated_answer, mean)
        ]
        for belief in (game.prior, *RNG.dirichlet(np.ones(3), 3)):
            ours, theirs, broken = (float((plans.values @ belief).max()) for plans in found)
            assert ours == pytest.approx(theirs, abs=NEAR)
            assert broken < ours - 1e-6
        assert found[1].formed >= 27 * found[0].formed / 2


def test_an_assistant_that_does_not_update_earns_less() -> None:
    lost = []
    for _ in range(20):
        game = draw(3, 2, 2, 2, 3)
        pair = cirl.optimal_pair(game)
        lost.append(pair.value - played(game, pair, forgets=True))
    assert min(lost) > -NEAR
    assert max(lost) > 1e-3


@pytest.mark.parametrize("rationality", [0.0, 0.7, 4.0])
def test_noisy_human_against_all_plans_of_two_turns(rationality: float) -> None:
    game = draw(2, 2, 2, 2, 2, one_start=True)

    def answered(q: np.ndarray) -> np.ndarray:
        odds = np.exp(rationality * (q - q.max(0)))
        return (odds / odds.sum(0) * q).sum(0)

    humans, best = [np.flatnonzero(row) for row in game.legal_human], -np.inf
    last = [
        [answered(game.rewards[:, s, humans[s], a].T) for a in np.flatnonzero(game.legal_assistant[s])]
        for s in range(2)
    ]
    branches = [(h, s) for h in humans[0] for s in range(2)]
    for action in np.flatnonzero(game.legal_assistant[0]):
        for plan in itertools.product(*(last[s] for _, s in branches)):
            after = dict(zip(branches, plan, strict=True))
            q = np.stack(
                [
                    game.rewards[:, 0, h, action]
                    + game.discount * sum(game.transitions[0, h, action, s] * after[h, s] for s in range(2))
                    for h in humans[0]
                ]
            )
            best = max(best, float(game.prior @ answered(q)))
    pair = cirl.optimal_pair(game, rationality)
    assert pair.value == pytest.approx(best, abs=NEAR)
    assert cirl.with_human(pair, rationality).value == pytest.approx(best, abs=NEAR)
    assert cirl.with_human(cirl.optimal_pair(game), rationality).value <= best + NEAR


def test_a_very_rational_human_is_rational_in_the_limit() -> None:
    game = draw(3, 2, 2, 2, 2)
    assert cirl.optimal_pair(game, 1e6).value == pytest.approx(cirl.optimal_pair(game).value, abs=1e-4)


@pytest.mark.parametrize("thetas", [1, 2, 3])
def test_without_a_horizon_as_with_a_long_one(thetas: int) -> None:
    for _ in range(2):
        game = dataclasses.replace(draw(thetas, 3, 2, 2, None), discount=0.6)
        long = dataclasses.replace(game, horizon=40)  # 0.6^40 is 1e-9
        pair = cirl.optimal_pair(game)
        assert pair.value == pytest.approx(cirl.optimal_pair(long).value, abs=1e-6)
        expert = best_response.expert_human(game)
        assert expert.shape == (1, thetas, 3, 2)
        taught = best_response.best_assistant(game, expert[0])
        assert taught.value <= pair.value + 1e-8
        assert taught.value == pytest.approx(best_response.best_assistant(long, expert[0]).value, abs=1e-6)
        assert cirl.assistant_action(pair, 1000, 0, game.prior) in (0, 1)


def test_points_give_a_lower_bound_that_all_beliefs_make_exact() -> None:
    for _ in range(5):
        game = draw(3, 2, 2, 2, 3)
        exact = cirl.optimal_pair(game).value
        some = RNG.dirichlet(np.ones(3), 2)
        few, more = (cirl.optimal_pair(game, points=p).value for p in (some, np.vstack([some, game.prior])))
        assert few <= exact + NEAR
        assert more <= exact + NEAR
        assert cirl.optimal_pair(game, points=restrictions(game.prior)).value == pytest.approx(exact, abs=NEAR)
        human = RNG.dirichlet(np.ones(2), (3, 2))
        best = best_response.best_assistant(game, human).value
        assert best_response.best_assistant(game, human, points=some).value <= best + NEAR


@pytest.mark.parametrize(("thetas", "horizon"), [(2, 4), (3, 3)])
def test_best_assistant_against_the_reduced_pomdp(thetas: int, horizon: int) -> None:
    game = draw(thetas, 3, 2, 3, horizon, one_start=True)
    human = RNG.dirichlet(np.ones(2), (thetas, 3))
    expected = reachable.solve(assistance.reduce(game, human), horizon).value
    pair = best_response.best_assistant(game, human)
    assert pair.value == pytest.approx(expected, abs=NEAR)
    assert played(game, pair) == pytest.approx(expected, abs=NEAR)
    assert pair.value <= cirl.optimal_pair(game).value + NEAR


def test_best_assistant_to_a_human_who_changes_and_over_histories() -> None:
    """Beliefs that meet are one in `best_assistant`; a tree of histories, and enumeration, know nothing of beliefs."""
    for _ in range(3):
        game = draw(2, 2, 2, 2, 2)
        human = RNG.dirichlet(np.full(2, 0.5), (2, 2, 2))
        tree = histories.tree(game)
        spread = histories.spread(tree, human)
        sizes = [len(states) for states in tree.states]
        best = max(
            histories.value(tree, spread, (np.array(plan[: sizes[0]]), np.array(plan[sizes[0] :])))
            for plan in itertools.product(*(np.flatnonzero(game.legal_assistant[s]) for t in tree.states for s in t))
        )
        pair = best_response.best_assistant(game, human)
        assert pair.value == pytest.approx(best, abs=NEAR)
        assert played(game, pair) == pytest.approx(best, abs=NEAR)
        reply = histories.assistant_reply(tree, spread)
        assert histories.value(tree, spread, reply) == pytest.approx(best, abs=NEAR)


def test_best_human_against_every_policy() -> None:
    for _ in range(3):
        game = draw(2, 2, 2, 2, 2)
        assistant = RNG.dirichlet(np.ones(2), 2)
        reply = best_response.best_human(game, assistant)
        counted = np.where(game.legal_assistant, assistant, 0.0)
        counted[:, 0] += np.where(game.legal_assistant, 0.0, assistant).sum(1)
        moves = np.einsum("sa,shaz->shz", counted, game.transitions)
        pays = np.einsum("sa,nsha->nsh", counted, game.rewards)
        total = 0.0
        for theta, odds in enumerate(game.prior):
            best = np.full(2, -np.inf)
            options = [np.flatnonzero(game.legal_human[s]) for s in (0, 1, 0, 1)]
            for plan in itertools.product(*options):
                last = pays[theta, [0, 1], plan[2:]]
                first = pays[theta, [0, 1], plan[:2]] + game.discount * moves[[0, 1], plan[:2]] @ last
                best = np.maximum(best, first)
            total += odds * game.initial @ best
        assert reply.value == pytest.approx(total, abs=NEAR)
        tree = histories.tree(game)
        assert reply.q.shape == reply.policy.shape == (2, 2, 2, 2)
        human = histories.spread(tree, reply.policy)
        passing = tuple(np.zeros(len(states), int) for states in tree.states)
        alone = best_response.best_human(game, [[1.0, 0.0]] * 2)
        expert = histories.spread(tree, best_response.expert_human(game))
        assert histories.value(tree, expert, passing) == pytest.approx(alone.value, abs=NEAR)
        assert histories.value(tree, human, passing) <= alone.value + NEAR
        assert histories.value(tree, histories.human_reply(tree, passing), passing) == pytest.approx(alone.value)


def test_no_order_of_knowledge_is_upset() -> None:
    """Who knows more earns more: literal or expert human, best responses, the optimal pair, nothing hidden."""
    strict = 0
    for _ in range(25):
        game = draw(3, 2, 2, 2, 2)
        pair, told = cirl.optimal_pair(game).value, best_response.full_information(game).value
        values = histories.rally(game).values
        literal = best_response.literal_human(game)
        assert literal.sum(-1) == pytest.approx(np.ones(literal.shape[:-1]))
        assert not literal[..., ~game.legal_human].any()
        assert all(np.diff(values) > 0)
        assert max(*values, best_response.best_assistant(game, literal).value) <= pair + NEAR
        assert values[0] == pytest.approx(
            best_response.best_assistant(game, best_response.expert_human(game)).value, abs=NEAR
        )
        assert pair <= told + NEAR
        strict += pair > values[0] + 1e-6
    assert strict > 0


def test_refusals() -> None:
    game = draw(2, 3, 2, 2, 2)
    blurred = dataclasses.replace(game, sees=np.array([[0, 1, 2], [0, 1, 0]]))
    for solve in (cirl.optimal_pair, cirl.coordinator, histories.tree, best_response.literal_human):
        with pytest.raises(ValueError, match="States 0 and 2 look the same to the assistant"):
            solve(blurred)
    with pytest.raises(ValueError, match="rationality is -1"):
        cirl.optimal_pair(game, -1.0)
    with pytest.raises(ValueError, match="points has shape"):
        cirl.optimal_pair(game, points=[[1.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match=r"points\[0\] sums to 0.9"):
        cirl.optimal_pair(game, points=[[0.5, 0.4]])
    with pytest.raises(ValueError, match=r"human\[0, 0\] sums to 2"):
        best_response.best_assistant(game, np.ones((2, 3, 2)))
    with pytest.raises(ValueError, match="human has"):
        best_response.best_assistant(game, np.ones((2, 2)) / 2)
    with pytest.raises(ValueError, match="assistant has shape"):
        best_response.best_human(game, np.ones((2, 5, 3, 2)) / 2)
    with pytest.raises(ValueError, match="turn is 2; this pair has turns 0 to 1"):
        cirl.assistant_action(cirl.optimal_pair(game), 2, 0, game.prior)
    endless = dataclasses.replace(game, horizon=None)
    with pytest.raises(ValueError, match="give a horizon, or `points`"):
        cirl.optimal_pair(endless, 1.0)
    with pytest.raises(ValueError, match="Without a horizon more than 5000 beliefs"):
        best_response.best_assistant(endless, RNG.dirichlet(np.full(2, 5.0), (2, 3)))
    with pytest.raises(ValueError, match="no horizon"):
        histories.rally(endless)
    with pytest.raises(ValueError, match="tolerance is 0"):
        cirl.optimal_pair(endless, tolerance=0.0)


def test_too_large_is_refused_before_it_starts() -> None:
    many = draw(30, 1, 3, 2, 2)
    many = dataclasses.replace(many, legal_human=np.ones((1, 3), bool))
    with pytest.raises(ValueError, match=r"3\^30 maps .* \(about 10\^14\), .*optimal_pair"):
        cirl.coordinator(many)
    wide = dataclasses.replace(draw(2, 6, 4, 6, 3), legal_human=np.ones((6, 4), bool))
    wide = dataclasses.replace(wide, legal_assistant=np.ones((6, 6), bool))
    with pytest.raises(ValueError, match=r"One exact backup would form .* plans"):
        cirl.optimal_pair(wide, 1.0)
    with pytest.raises(ValueError, match="histories by turn"):
        histories.tree(dataclasses.replace(wide, horizon=6))

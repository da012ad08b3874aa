"""Do the POMDP planners find what brute force finds, and would it be noticed if they did not?"""

import functools
import itertools

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog

from tacit.arrays import pomdp
from tacit.planning import exact_pomdp, fast_bounds, point_based, reachable, sawtooth
from tacit.planning.belief_update import after, joint, posteriors
from tacit.planning.pruning import prune
from tacit.planning.simulation import simulate
from tacit.pomdps import rock_sample, tiger

TIGER = {
    (0.95, 1): -1.0,
    (0.95, 2): -1.95,
    (0.95, 3): 2.3098,
    (0.95, 4): 1.79554421875,
    (0.95, 5): 2.763096193125,
    (0.95, 10): 6.693368431751,
    (1.0, 3): 2.72,
    (1.0, 5): 3.60915,
    (1.0, 10): 9.438167617,
    (1.0, 20): 20.390826254,
}


def random_pomdp(rng, states, actions, observations, discount=0.9, sparsity=0.0):
    """Random arrays; with sparsity some probabilities are zero and some rewards equal."""

    def rows(*shape):
        weights = rng.dirichlet(np.ones(shape[-1]), shape[:-1]) * (rng.random(shape) >= sparsity)
        weights[..., 0] += weights.sum(-1) == 0
        return weights / weights.sum(-1, keepdims=True)

    rewards = rng.normal(size=(states, actions))
    return pomdp(
        rows(actions, states, states),
        rows(actions, states, observations),
        np.round(rewards) if sparsity else rewards,
        rows(states),
        discount,
    )


def dense(problem):
    """The same problem as three dense arrays."""
    moves = np.stack([matrix.toarray() for matrix in problem.transitions])
    sights = np.stack([matrix.toarray() for matrix in problem.observations])
    return moves, sights, problem.rewards


def expectimax(problem, belief, turns):
    """The value of a belief by following every action and every observation."""
    moves, sights, rewards = dense(problem)

    def best(weights, left):
        if left == 0:
            return 0.0
        return max(
            weights @ rewards[:, a]
            + problem.discount * sum(best((weights @ moves[a]) * column, left - 1) for column in sights[a].T)
            for a in range(len(moves))
        )

    return best(np.asarray(belief), turns)


def policy_trees(problem, turns):
    """The vectors of every policy tree, none thrown out (Monahan 1982)."""
    moves, sights, rewards = dense(problem)
    trees = np.zeros((1, rewards.shape[0]))
    for _ in range(turns):
        trees = np.array(
            [
                rewards[:, a] + problem.discount * moves[a] @ (sights[a] * trees[list(plan)].T).sum(1)
                for a in range(len(moves))
                for plan in itertools.product(range(len(trees)), repeat=sights.shape[2])
            ]
        )
    return trees


def beliefs_to_try(rng, states, count=200):
    """Random beliefs inside and on the edges, and every corner."""
    inside = rng.dirichlet(np.ones(states), count)
    edges = inside * (rng.random(inside.shape) < 0.5) + 1e-12
    return np.concatenate([inside, edges / edges.sum(1, keepdims=True), np.eye(states)])


@pytest.mark.parametrize(("discount", "horizon"), TIGER)
def test_tiger_is_solved_by_both_exact_planners(discount: float, horizon: int) -> None:
    problem, expected = tiger.make(discount=discount), TIGER[discount, horizon]
    assert exact_pomdp.solve(problem, horizon).value == pytest.approx(expected, abs=1e-9)
    assert reachable.solve(problem, horizon).value == pytest.approx(expected, abs=1e-9)


def test_tiger_for_ever() -> None:
    plan = exact_pomdp.solve_discounted(tiger.make(), 1e-9)
    assert plan.value == pytest.approx(19.371368, abs=1e-6)
    assert plan.error <= 1e-9
    assert len(plan.actions[0]) == 9
    found = point_based.bounds(tiger.make(), seconds=60, gap=1e-6)
    assert found.lower <= plan.value <= found.upper <= found.lower + 1e-6


def check_belief_update(problem) -> None:
    moves, sights, _ = dense(problem)
    states, width = range(len(problem.initial)), sights.shape[2]
    for a in range(len(moves)):
        chances, beliefs = after(problem, problem.initial, a)
        for o in range(width):
            weights = [sum(problem.initial[s] * moves[a, s, t] for s in states) * sights[a, t, o] for t in states]
            assert chances[o] == pytest.approx(sum(weights), abs=1e-12)
            expected = np.array(weights) / sum(weights) if sum(weights) else np.zeros(len(weights))
            assert beliefs[o] == pytest.approx(expected, abs=1e-12)
        found = posteriors(problem, joint(problem)[a], sparse.csr_array(problem.initial[None]))
        assert (found.parents == 0).all()
        assert found.observations.tolist() == np.flatnonzero(chances > 0).tolist()
        assert found.chances == pytest.approx(chances[chances > 0], abs=1e-12)
        assert found.beliefs.toarray() == pytest.approx(beliefs[chances > 0], abs=1e-12)


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
def test_beliefs_follow_bayes_rule(sparsity: float) -> None:
    rng = np.random.default_rng()
    for shape in ((4, 3, 3), (2, 2, 4), (1, 2, 1), (7, 2, 5)):
        check_belief_update(random_pomdp(rng, *shape, sparsity=sparsity))


def test_a_belief_update_that_forgets_the_move_is_noticed(monkeypatch) -> None:
    def forgetful(problem, belief, action):
        weights = problem.observations[action].T.toarray() * belief
        return weights.sum(1), weights / weights.sum(1, keepdims=True)

    monkeypatch.setitem(globals(), "after", forgetful)
    with pytest.raises(AssertionError):
        check_belief_update(random_pomdp(np.random.default_rng(), 4, 3, 3))


def check_exact(rng, shape, turns, sparsity=0.0) -> None:
    problem = random_pomdp(rng, *shape, sparsity=sparsity)
    beliefs = beliefs_to_try(rng, shape[0])
    plan = exact_pomdp.solve(problem, turns)
    assert len(plan.vectors) == turns
    expected = (beliefs @ policy_trees(problem, turns).T).max(1)
    assert exact_pomdp.value(plan, beliefs) == pytest.approx(expected, abs=1e-8)
    assert plan.value == pytest.approx(expectimax(problem, problem.initial, turns), abs=1e-8)
    assert reachable.evaluate(problem, turns, functools.partial(exact_pomdp.act, plan)) == pytest.approx(
        plan.value, abs=1e-8
    )


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
@pytest.mark.parametrize(
    ("shape", "turns"), [((2, 2, 2), 3), ((3, 2, 2), 3), ((4, 2, 2), 3), ((4, 3, 2), 2), ((4, 2, 4), 2), ((1, 3, 2), 2)]
)
def test_exact_plans_are_as_good_as_every_policy_tree(shape, turns, sparsity) -> None:
    check_exact(np.random.default_rng(), shape, turns, sparsity)


def test_pruning_what_wins_between_the_corners_is_noticed(monkeypatch) -> None:
    monkeypatch.setattr(exact_pomdp, "prune", lambda vectors: np.unique(vectors.argmax(0)))
    rng = np.random.default_rng()

    def several():
        for _ in range(10):
            check_exact(rng, (4, 3, 2), 2)

    with pytest.raises(AssertionError):
        several()


def test_exact_planners_agree_on_longer_horizons() -> None:
    rng = np.random.default_rng()
    for shape, turns in (((4, 3, 3), 4), ((3, 3, 2), 6), ((4, 2, 3), 4), ((2, 4, 3), 5)):
        problem = random_pomdp(rng, *shape)
        plan, tree = exact_pomdp.solve(problem, turns), reachable.solve(problem, turns)
        assert plan.value == pytest.approx(tree.value, abs=1e-8)
        for turn in range(turns):
            values = exact_pomdp.value(plan, tree.beliefs[turn].toarray(), turn)
            assert values == pytest.approx(tree.q[turn].max(1), abs=1e-8)


def lead_somewhere(vector, others):
    """By how much a vector beats the others where it does so most, by a linear program of its own."""
    states = len(vector)
    found = linprog(
        np.append(np.zeros(states), -1.0),
        A_ub=np.column_stack([others - vector, np.ones(len(others))]),
        b_ub=np.zeros(len(others)),
        A_eq=[[1.0] * states + [0.0]],
        b_eq=[1.0],
        bounds=[(0, None)] * states + [(None, None)],
    )
    return found.x[-1]


@pytest.mark.parametrize("states", [2, 3, 5])
def test_pruning_keeps_exactly_the_vectors_that_win(states: int) -> None:
    rng = np.random.default_rng()
    vectors = rng.normal(size=(60, states)) * 0.3 - (rng.random((60, 1)) * 0.4)
    vectors = np.concatenate([vectors, vectors[:20], (vectors[:20] + vectors[20:40]) / 2])
    kept = set(prune(vectors).tolist())
    for index in range(60):
        same = [index, *([index + 60] if index < 20 else [])]
        lead = lead_somewhere(vectors[index], np.delete(vectors, same, axis=0))
        if not 1e-12 < lead < 1e-7:
            assert len(kept & set(same)) == int(lead > 0)
    assert max(kept) < 80


def test_pruning_copes_with_ties() -> None:
    assert prune(np.zeros((5, 3))).tolist() == [0]
    assert len(prune(np.tile(np.eye(4), (3, 1)))) == 4
    grid = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    assert prune(grid).tolist() == [15]
    assert prune(np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.5, 0.5]])).tolist() == [0, 2]


FOREVER = ((2, 3, 2), (3, 2, 2), (4, 2, 2))
"""Shapes of random problems that are solved for ever within seconds at a discount of 0.6."""


def ahead_in_one_turn(problem, plan, beliefs):
    """Bellman's backup of a plan's value at some beliefs, by dense arrays."""
    moves, sights, rewards = dense(problem)
    q = []
    for a in range(len(moves)):
        weights = np.einsum("bs,st,to->bot", beliefs, moves[a], sights[a])
        q.append(beliefs @ rewards[:, a] + problem.discount * exact_pomdp.value(plan, weights).sum(1))
    return np.max(q, 0)


def test_a_discounted_plan_is_as_close_as_it_says() -> None:
    rng = np.random.default_rng()
    for shape in FOREVER:
        problem = random_pomdp(rng, *shape, discount=0.6)
        plan = exact_pomdp.solve_discounted(problem, 1e-5)
        assert plan.error <= 1e-5
        beliefs = beliefs_to_try(rng, shape[0])
        moved = ahead_in_one_turn(problem, plan, beliefs) - exact_pomdp.value(plan, beliefs)
        assert np.abs(moved).max() <= 1e-5 / 0.6
        turns = 7
        tail = 0.6**turns * np.abs(problem.rewards).max() / 0.4
        assert abs(plan.value - reachable.solve(problem, turns).value) <= tail + 1e-5
    lazy = exact_pomdp.Plan((np.zeros((1, shape[0])),), (np.zeros(1, int),), None, 0.0, 0.0)
    assert np.abs(ahead_in_one_turn(problem, lazy, beliefs)).max() > 1e-3


def check_bounds(problem, horizon, expected, gap=1e-4, error=1e-9):
    """Bounds that were sound and monotone all the way, and met. `expected` is known but for `error`."""
    told = []
    found = point_based.bounds(problem, horizon, seconds=60, gap=gap, report=lambda *numbers: told.append(numbers))
    lows, highs = [low for _, low, _ in told], [high for _, _, high in told]
    assert all(low <= expected + error for low in lows)
    assert all(high >= expected - error for high in highs)
    assert np.diff(lows).min(initial=0.0) >= -1e-12, "what is certain stays certain, but for rounding"
    assert np.diff(highs).max(initial=0.0) <= 1e-12
    assert found.lower <= expected + error
    assert found.upper >= expected - error
    assert found.lower <= found.upper <= found.lower + gap
    assert found.plan.value == found.lower
    return found


SHAPES = ((2, 3, 2), (3, 2, 3), (4, 3, 2), (4, 2, 4))


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
def test_bounds_hold_the_exact_value_of_a_horizon(sparsity: float) -> None:
    rng = np.random.default_rng()
    for shape in SHAPES:
        for discount in (1.0, 0.8):
            problem = random_pomdp(rng, *shape, discount, sparsity)
            expected = expectimax(problem, problem.initial, 3)
            found = check_bounds(problem, 3, expected)
            worth = reachable.evaluate(problem, 3, functools.partial(exact_pomdp.act, found.plan))
            assert worth <= expected + 1e-9
    for discount, horizon in ((0.95, 10), (1.0, 10)):
        check_bounds(tiger.make(discount=discount), horizon, TIGER[discount, horizon], gap=1e-6)


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
def test_bounds_hold_the_exact_value_for_ever(sparsity: float) -> None:
    rng = np.random.default_rng()
    for shape in FOREVER:
        problem = random_pomdp(rng, *shape, 0.6, sparsity)
        plan = exact_pomdp.solve_discounted(problem, 1e-5)
        check_bounds(problem, None, plan.value, error=plan.error + 1e-9)


def check_several() -> None:
    """The check of the bounds on several problems drawn at random, and on Tiger, where it pays to listen."""
    rng = np.random.default_rng()
    for shape in SHAPES:
        problem = random_pomdp(rng, *shape, 0.8)
        check_bounds(problem, 3, expectimax(problem, problem.initial, 3))
    check_bounds(tiger.make(), None, 19.371368374890906, gap=1e-3)


def test_an_upper_bound_that_takes_the_largest_tooth_is_noticed(monkeypatch) -> None:
    def largest(points, near, belief):
        ends = points.starts[near + 1]
        ratios = [
            (belief[points.states[start:end]] / points.weights[start:end]).max()
            for start, end in zip(points.starts[near], ends, strict=True)
        ]
        return float((np.array(ratios) * points.excess[near]).min())

    monkeypatch.setattr(sawtooth, "_lowest_tooth", largest)
    with pytest.raises(AssertionError):
        check_several()


def test_a_start_below_the_value_is_noticed(monkeypatch) -> None:
    monkeypatch.setattr(point_based, "informed", fast_bounds.blind)
    with pytest.raises(AssertionError):
        check_several()


def test_vectors_that_promise_too_much_are_noticed(monkeypatch) -> None:
    honest = point_based._vector
    monkeypatch.setattr(point_based, "_vector", lambda *arguments: honest(*arguments) + 0.01)
    with pytest.raises(AssertionError):
        check_several()


def test_fast_bounds_are_on_their_side_everywhere() -> None:
    rng = np.random.default_rng()
    problem = random_pomdp(rng, 4, 2, 2, 0.6)
    beliefs = beliefs_to_try(rng, 4)
    forever = exact_pomdp.value(exact_pomdp.solve_discounted(problem, 1e-5), beliefs)
    assert ((beliefs @ fast_bounds.blind(problem, None, np.inf)[0]).max(1) <= forever + 1e-5).all()
    assert ((beliefs @ fast_bounds.informed(problem, None, np.inf)[0]).max(1) >= forever - 1e-5).all()
    hurried = fast_bounds.informed(problem, None, 0.0)[0]
    assert (hurried >= fast_bounds.informed(problem, None, np.inf)[0] - 1e-8).all()
    plan = exact_pomdp.solve(problem, 4)
    for turn, (low, high) in enumerate(
        zip(fast_bounds.blind(problem, 4, np.inf), fast_bounds.informed(problem, 4, np.inf), strict=True)
    ):
        values = exact_pomdp.value(plan, beliefs, turn)
        assert ((beliefs @ low).max(1) <= values + 1e-9).all()
        assert ((beliefs @ high).max(1) >= values - 1e-9).all()


def test_an_interrupt_leaves_bounds() -> None:
    def stop(*numbers):
        raise KeyboardInterrupt

    found = point_based.bounds(rock_sample.make(2, 2), seconds=60, gap=1e-9, report=stop)
    whole = check_bounds(rock_sample.make(2, 2), None, found.lower, gap=np.inf)
    assert whole.lower <= found.lower <= found.upper <= whole.upper


def test_rock_sample_bounds_hold_each_other_and_what_is_played() -> None:
    problem = rock_sample.make(2, 2)
    found = point_based.bounds(problem, seconds=60, gap=0.01)
    assert found.upper - found.lower <= 0.01
    returns = simulate(problem, functools.partial(exact_pomdp.act, found.plan), 4000, 120, np.random.default_rng(0))
    error = returns.std() / np.sqrt(len(returns))
    assert found.lower - 4 * error <= returns.mean() <= found.upper + 4 * error


def test_simulated_returns_are_what_the_policy_is_worth() -> None:
    rng = np.random.default_rng(5)
    problem = random_pomdp(rng, 4, 3, 3, sparsity=0.4)
    plan = exact_pomdp.solve(problem, 5)

    def odd(beliefs, turn):
        return (beliefs.argmax(1) + turn) % 3

    for policy in (functools.partial(exact_pomdp.act, plan), odd):
        returns = simulate(problem, policy, 40_000, 5, rng)
        worth = reachable.evaluate(problem, 5, policy)
        assert abs(returns.mean() - worth) < 4 * returns.std() / 200
    assert reachable.evaluate(problem, 5, odd) < plan.value - 0.1


def test_reachable_plans_can_be_followed() -> None:
    rng = np.random.default_rng()
    problem = random_pomdp(rng, 3, 2, 2)
    plan = reachable.solve(problem, 4)
    node = 0
    for turn in range(3):
        ways, action = plan.links[turn], plan.actions[turn][node]
        chances, beliefs = after(problem, plan.beliefs[turn].toarray()[node], int(action))
        mine = np.flatnonzero((ways.parents == node) & (ways.actions == action))
        assert ways.chances[mine] == pytest.approx(chances[ways.observations[mine]], abs=1e-12)
        reached = plan.beliefs[turn + 1].toarray()[ways.children[mine]]
        assert reached == pytest.approx(beliefs[ways.observations[mine]], abs=1e-9)
        node = int(ways.children[mine[0]])
        assert reachable.find(plan, turn + 1, reached[0]) == node
    with pytest.raises(ValueError, match="cannot be reached"):
        reachable.find(plan, 1, np.eye(3)[0])


def test_equal_beliefs_are_merged() -> None:
    assert [len(actions) for actions in reachable.solve(tiger.make(), 6).actions] == [1, 3, 5, 7, 9, 11]


def test_bad_questions_get_one_sentence() -> None:
    problem = tiger.make()
    for planner in (exact_pomdp.solve, reachable.solve):
        with pytest.raises(ValueError, match="The horizon is 0"):
            planner(problem, 0)
    with pytest.raises(ValueError, match="The horizon is 0"):
        point_based.bounds(problem, 0)
    with pytest.raises(ValueError, match="discount is 1"):
        point_based.bounds(tiger.make(discount=1.0))
    with pytest.raises(ValueError, match="discount is 1"):
        exact_pomdp.solve_discounted(tiger.make(discount=1.0))
    with pytest.raises(ValueError, match="The tolerance is 0"):
        exact_pomdp.solve_discounted(problem, 0.0)
    with pytest.raises(ValueError, match=r"turns 0 to 1"):
        exact_pomdp.act(exact_pomdp.solve(problem, 2), problem.initial, 2)
    with pytest.raises(ValueError, match="0 episodes"):
        simulate(problem, lambda beliefs, turn: np.zeros(len(beliefs), int), 0, 3, np.random.default_rng())


def test_what_is_too_large_is_refused_in_time(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    large = random_pomdp(rng, 6, 4, 8)
    monkeypatch.setattr(exact_pomdp, "MAX_CANDIDATES", 100)
    with pytest.raises(ValueError, match=r"combine \d+ and \d+ vectors.*point_based"):
        exact_pomdp.solve(large, 20)
    with pytest.raises(ValueError, match=r"beliefs .* at turn \d+ .*point_based"):
        reachable.solve(large, 20)
    with pytest.raises(ValueError, match=r"801 states.*point_based"):
        exact_pomdp.solve(rock_sample.make(5, 5), 2)

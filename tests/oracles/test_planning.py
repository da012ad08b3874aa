"""Exact planning against slow independent solvers in double precision, on random problems."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.games.tabular import TabularGame
from tacit.humans import boltzmann
from tacit.planning import value_iteration
from tacit.planning.belief_planning import AssistanceArrays, action_values, check_size, optimal

S, H, A, N, Z, T = 3, 2, 2, 2, 2, 3


def random_problem(rng: np.random.Generator) -> AssistanceArrays:
    sees = np.array([0, 1, 1])
    return AssistanceArrays(
        transitions=rng.dirichlet(np.full(S, 0.5), (S, H, A)),
        rewards=rng.normal(size=(N, S, H, A)),
        human=rng.dirichlet(np.full(H, 0.5), (T, N, S)),
        looks=np.eye(Z)[sees],
        legal=np.array([[True, True], [True, False], [True, False]]) if rng.random() < 0.5 else np.ones((S, A), bool),
        discount=float(rng.uniform(0.5, 1.0)),
    )


def to_jax(problem: AssistanceArrays) -> AssistanceArrays:
    return jax.tree.map(lambda x: jnp.asarray(x, bool if np.asarray(x).dtype == bool else jnp.float32), problem)


def slow_values(problem: AssistanceArrays, belief: dict, time: int, turns: int) -> list[float]:
    """Q(b, a) from normalised beliefs held in dictionaries, observation by observation."""
    legal = np.all([problem.legal[state] for _, state in belief], axis=0)
    values = []
    for a in range(A):
        if not legal[a]:
            values.append(-np.inf)
            continue
        value, branches = 0.0, {}
        for (theta, state), weight in belief.items():
            for h in range(H):
                chance = weight * problem.human[time, theta, state, h] if time < T else 0.0
                value += chance * problem.rewards[theta, state, h, a]
                for after in range(S):
                    seen = (h, int(np.argmax(problem.looks[after])))
                    branch = branches.setdefault(seen, {})
                    more = chance * problem.transitions[state, h, a, after]
                    if more > 0:
                        branch[theta, after] = branch.get((theta, after), 0.0) + more
        if turns > 1 and time + 1 < T:
            for branch in branches.values():
                mass = sum(branch.values())
                if mass > 0:
                    posterior = {pair: weight / mass for pair, weight in branch.items()}
                    value += problem.discount * mass * max(slow_values(problem, posterior, time + 1, turns - 1))
        values.append(value)
    return values


def test_belief_planning_by_recursion() -> None:
    rng = np.random.default_rng()
    fast = eqx.filter_jit(functools.partial(action_values, num_turns=T))
    for trial in range(12):
        problem = random_problem(rng)
        seen = rng.integers(2)  # a belief is about states that look the same
        belief = rng.dirichlet(np.ones(N * S)).reshape(N, S) * (problem.looks[:, seen] > 0)
        belief /= belief.sum()
        time = trial % 2
        pairs = {(n, s): belief[n, s] for n in range(N) for s in range(S) if belief[n, s] > 0}
        expected = slow_values(problem, pairs, time, T)
        got = np.asarray(fast(to_jax(problem), jnp.asarray(belief, jnp.float32), jnp.int32(time)))
        np.testing.assert_allclose(got, expected, atol=2e-5)


def test_planning_knows_when_it_is_too_much() -> None:
    problem = to_jax(random_problem(np.random.default_rng()))
    check_size(problem, 3)
    with pytest.raises(ValueError, match=r"Looking 40 turns ahead exactly takes .* numbers, more than .*\.$"):
        action_values(problem, jnp.ones((N, S)) / (N * S), jnp.int32(0), 40)


def test_choice_is_shared_among_the_best() -> None:
    chances = jax.nn.softmax(optimal(jnp.array([1.0, 3.0, -jnp.inf, 3.0])))
    np.testing.assert_allclose(chances, [0.0, 0.5, 0.0, 0.5])


def test_value_iteration_by_enumerating_policies() -> None:
    rng = np.random.default_rng()
    discount = float(rng.uniform(0.3, 0.9))
    transitions, rewards = rng.dirichlet(np.ones(S), (S, A)), rng.normal(size=(S, A))
    legal = np.ones((S, A), bool)
    legal[rng.integers(S), rng.integers(A)] = False
    arrays = jnp.asarray(transitions, jnp.float32), jnp.asarray(rewards, jnp.float32), jnp.asarray(legal)
    rows = np.arange(S)
    # Stationary policies, each by solving V = R + γ T V; the best is best in every state.
    best = np.full(S, -np.inf)
    for policy in itertools.product(range(A), repeat=S):
        if legal[rows, policy].all():
            value = np.linalg.solve(np.eye(S) - discount * transitions[rows, policy], rewards[rows, policy])
            best = np.maximum(best, value)
    q = value_iteration.discounted(*arrays, discount)
    np.testing.assert_allclose(q, rewards + discount * transitions @ best, atol=1e-5)
    np.testing.assert_allclose(value_iteration.best(q, arrays[2]), best, atol=1e-5)
    # Policies that know the time, rolled forward.
    values = value_iteration.finite_horizon(*arrays, 3, discount)
    reached = np.full(S, -np.inf)
    for plan in itertools.product(itertools.product(range(A), repeat=S), repeat=3):
        if all(legal[rows, policy].all() for policy in plan):
            occupied, total = np.eye(S), np.zeros(S)
            for time, policy in enumerate(plan):
                total += discount**time * occupied @ rewards[rows, policy]
                occupied = occupied @ transitions[rows, policy]
            reached = np.maximum(reached, total)
    np.testing.assert_allclose(value_iteration.best(values[0], arrays[2]), reached, atol=1e-5)
    with pytest.raises(ValueError, match="below 1"):
        value_iteration.discounted(*arrays, 1.0)


def test_boltzmann_expects_its_partner() -> None:
    rng = np.random.default_rng()
    game = TabularGame(
        transitions=rng.dirichlet(np.ones(S), (S, H, A)),
        rewards=rng.normal(size=(N, S, H, A)),
        prior=np.full(N, 1 / N),
        initial=np.full(S, 1 / S),
        horizon=2,
        discount=0.8,
        sees=[rng.permutation(S), np.zeros(S, int)],
    )
    rationality, partner = float(rng.uniform(0.5, 4.0)), rng.dirichlet(np.ones(A), S)
    for given, policy in ((None, np.eye(A)[np.zeros(S, int)]), (partner, partner)):
        human = boltzmann.make(game, rationality, given)
        transitions = np.einsum("shat,sa->sht", np.asarray(game.arrays.transitions), policy)
        rewards = np.einsum("nsha,sa->nsh", np.asarray(game.arrays.rewards), policy)
        last = rewards
        first = rewards + 0.8 * np.einsum("sht,nt->nsh", transitions, last.max(-1))
        for time, values in enumerate((first, last)):
            for theta, state in itertools.product(range(N), range(S)):
                sees = game.observe(
                    game.init(jax.random.key(0))._replace(number=jnp.int32(state), time=jnp.int32(time))
                )
                logits, _ = human.logits(jnp.int32(theta), None, sees[0], jax.random.key(0))
                expected = np.exp(rationality * values[theta, state])
                np.testing.assert_allclose(jax.nn.softmax(logits), expected / expected.sum(), atol=1e-5)
    with pytest.raises(ValueError, match="partner must hold"):
        boltzmann.make(game, 1.0, np.ones((S, A)))
    with pytest.raises(ValueError, match="rationality is -1"):
        boltzmann.make(game, -1.0)

"""Known answers of the small games: the off-switch in closed form, the assistive bandit's table, Bayes by listing."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from tacit.assistants import belief_planner, obey
from tacit.core import HUMAN, Game, Human
from tacit.games import bandit, hidden_item, off_switch
from tacit.humans import boltzmann, epsilon_greedy, myopic, win_stay_lose_shift
from tacit.planning.belief_planning import action_values
from tacit.play import play, retrace

plan = eqx.filter_jit(action_values)


def first_values(game: Game, human: Human) -> np.ndarray:
    arrays = belief_planner.problem(game, human)
    return np.asarray(plan(arrays, jnp.outer(game.arrays.prior, game.arrays.initial), jnp.int32(0), game.horizon))


@pytest.mark.parametrize("rationality", [0.0, 1.0, 2.5, float("inf")])
def test_off_switch_at_equal_odds(rationality: float) -> None:
    game = off_switch.make()
    waiting = 0.5 * np.tanh(rationality / 2)  # 1/2 with a rational human
    values = first_values(game, boltzmann.make(game, rationality))
    np.testing.assert_allclose(values, [waiting, 0.0, 0.0], atol=1e-6)


def test_off_switch_for_any_utilities() -> None:
    rng = np.random.default_rng()
    for _ in range(5):
        utilities, odds, rationality = rng.normal(size=4), rng.dirichlet(np.ones(4)), float(rng.uniform(0.1, 5.0))
        game = off_switch.make(utilities, odds)
        waiting = odds @ (utilities * expit(rationality * utilities))
        values = first_values(game, boltzmann.make(game, rationality))
        np.testing.assert_allclose(values, [waiting, odds @ utilities, 0.0], atol=2e-6)
        rational = first_values(game, boltzmann.make(game, float("inf")))
        # A rational human is worth waiting for, and strictly so where both signs are possible.
        gain = rational[off_switch.WAIT] - max(rational[off_switch.ACT], 0.0)
        both = utilities.min() < 0 < utilities.max()
        assert gain > 1e-9 if both else gain == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("rationality", [1.0, float("inf")])
def test_off_switch_as_it_is_played(rationality: float) -> None:
    game = off_switch.make()
    human = boltzmann.make(game, rationality)
    assistant = belief_planner.make(game, human)
    keys = jax.random.split(jax.random.key(11), (2, 10_000))
    run = eqx.filter_jit(eqx.filter_vmap(play, in_axes=(None, None, None, None, 0)))
    means, errors = [], []
    for theta in (0, 1):  # every theta, so that the prior adds no noise
        episodes = run(game, human, assistant, jnp.int32(theta), keys[theta])
        assert np.all(episodes.actions[:, 0, 1] == off_switch.WAIT)
        returns = np.asarray(episodes.rewards.sum((1, 2)))
        means.append(returns.mean())
        errors.append(returns.std() / len(returns) ** 0.5)
    waiting = 0.5 * np.tanh(rationality / 2)
    assert abs(np.mean(means) - waiting) <= 3 * 0.5 * np.hypot(*errors) + 1e-6


TABLE = {  # 4 arms, 50 rounds; published set-up of Chan et al. 2019, recomputed with 200,000 runs, s.e. about 0.02
    "random": (lambda game: epsilon_greedy.make(game, 1.0), 25.02),
    "greedy": (lambda game: epsilon_greedy.make(game, 0.0), 31.36),
    "epsilon-greedy": (epsilon_greedy.make, 33.19),
    "win-stay-lose-shift": (win_stay_lose_shift.make, 32.85),
}


@pytest.mark.parametrize("name", TABLE)
def test_bandit_learners_alone(name: str) -> None:
    build, expected = TABLE[name]
    game = bandit.make()
    human = build(game)
    assistant = obey.make(game, human)

    def total(key) -> jax.Array:
        theta_key, play_key = jax.random.split(key)
        episode = play(game, human, assistant, game.sample_theta(theta_key), play_key)
        return episode.rewards.sum()

    totals = np.asarray(jax.jit(jax.vmap(total))(jax.random.split(jax.random.key(5), 10_000)))
    error = np.hypot(totals.std() / len(totals) ** 0.5, 0.02)
    assert abs(totals.mean() - expected) <= 3 * error


def test_inference_about_a_learner_runs_over_pairs() -> None:
    """P(requests | θ), with what was felt summed out, by theta and memory drawn together and by enumeration."""
    rng = np.random.default_rng()
    rounds, arms, epsilon = 5, 2, 0.2
    game = bandit.make(arms, rounds)
    human = epsilon_greedy.make(game, epsilon)
    requests, pulls, theta = rng.integers(arms, size=rounds), rng.integers(arms, size=rounds), rng.random(arms)

    total = 0.0
    for felt in itertools.product((0, 1), repeat=rounds - 1):
        chance, sums, counts = 1.0, np.zeros(arms), np.zeros(arms)
        for time, request in enumerate(requests):
            means = np.divide(sums, counts, out=np.zeros(arms), where=counts > 0)
            best = means == means.max()
            chance *= epsilon / arms + (1 - epsilon) * best[request] / best.sum()
            if time < rounds - 1:
                chance *= theta[pulls[time]] if felt[time] else 1 - theta[pulls[time]]
                sums[pulls[time]] += felt[time]
                counts[pulls[time]] += 1
        total += chance

    turns = [move for pair in zip(1 + requests, 1 + pulls, strict=True) for move in pair]
    actions = jnp.asarray([[move, 0] if time % 2 == 0 else [0, move] for time, move in enumerate(turns)], jnp.int32)
    means = jnp.asarray(theta, jnp.float32)

    def likelihood(key) -> jax.Array:
        state, memory, told = game.init(key), human.init(key), 0.0
        for time in range(game.horizon):
            felt_key, key = jax.random.split(key)
            logits, memory = human.logits(means, memory, game.observe(state)[HUMAN], key)
            told = told + game.log_prob(logits, game.legal(state)[HUMAN], actions[time, HUMAN])
            following = game.step(state, actions[time], key)
            felt = game.felt(means, state, actions[time], following, felt_key)
            memory = human.feel(memory, game.observe(following)[HUMAN], felt)
            state = following
        return jnp.exp(told)

    draws = np.asarray(jax.jit(jax.vmap(likelihood))(jax.random.split(jax.random.key(rng.integers(2**31)), 20_000)))
    assert abs(draws.mean() - total) <= 5 * draws.std() / len(draws) ** 0.5 + 1e-7


def test_belief_planner_follows_bayes() -> None:
    """What it thinks of theta, against the sum over every path of the hidden item."""
    game = hidden_item.make(swap=0.2)
    human = boltzmann.make(game, 2.0)
    assistant = belief_planner.make(game, human, depth=1)
    policy = np.asarray(belief_planner.policy_table(game, human), np.float64)
    transitions, looks = np.asarray(game.arrays.transitions, np.float64), np.asarray(game.arrays.sees[1])
    prior, initial = np.asarray(game.arrays.prior, np.float64), np.asarray(game.arrays.initial, np.float64)
    run = eqx.filter_jit(
        lambda theta, key: (e := play(game, human, assistant, theta, key), retrace(game, assistant, e))
    )
    for seed in np.random.default_rng().integers(2**31, size=5):
        episode, thoughts = run(jnp.int32(seed % 2), jax.random.key(seed))
        seen, actions = looks[np.asarray(episode.states.number)], np.asarray(episode.actions)
        for now in range(game.horizon):
            weights = np.zeros(2)
            for theta, path in itertools.product((0, 1), itertools.product(range(6), repeat=now + 1)):
                chance = prior[theta] * initial[path[0]] * np.all(looks[list(path)] == seen[: now + 1])
                for time in range(now):
                    human_did, assistant_did = actions[time]
                    chance *= policy[time, theta, path[time], human_did]
                    chance *= transitions[path[time], human_did, assistant_did, path[time + 1]]
                weights[theta] += chance
            np.testing.assert_allclose(thoughts.probabilities[now], weights / weights.sum(), atol=1e-5)


def test_helping_beats_passing_with_a_hidden_item() -> None:
    """The plan's own value is what it earns, and more than the human earns alone."""
    game = hidden_item.make()
    human = boltzmann.make(game, 5.0)
    promised = first_values(game, human).max()
    assistant = belief_planner.make(game, human)

    def total(key) -> jax.Array:
        theta_key, play_key = jax.random.split(key)
        return play(game, human, assistant, game.sample_theta(theta_key), play_key).rewards.sum()

    totals = np.asarray(jax.jit(jax.vmap(total))(jax.random.split(jax.random.key(2), 400)))
    assert abs(totals.mean() - promised) <= 4 * totals.std() / len(totals) ** 0.5
    assert promised > game.horizon * (1.0 - 0.25) + 1.0


def test_members_refuse_games_that_they_do_not_fit() -> None:
    small = hidden_item.make()
    learner = epsilon_greedy.make(bandit.make())
    for call in (
        lambda: boltzmann.make(bandit.make()),
        lambda: myopic.make(small),
        lambda: epsilon_greedy.make(small),
        lambda: obey.make(small, learner),
        lambda: belief_planner.make(bandit.make(), learner),
        lambda: belief_planner.make(hidden_item.make(horizon=9), boltzmann.make(hidden_item.make(horizon=9))),
        lambda: belief_planner.make(small, learner),
        lambda: win_stay_lose_shift.make(bandit.make(num_arms=1)),
    ):
        with pytest.raises(ValueError, match=r"^[A-Z].*\.$"):
            call()

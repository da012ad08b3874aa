"""What does a proxy say? Bayes by hand, every trajectory listed, and samples of proxies without bias."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from tacit.beliefs.exact import believe
from tacit.core import HUMAN
from tacit.feedback import choice, proxy_reward
from tacit.games import lavaland
from tacit.humans import boltzmann
from tacit.planning.feature_world import FeatureWorld, feature_counts, feature_world

STATES, ACTIONS, FEATURES, HORIZON, PROXIES, HYPOTHESES = 3, 2, 3, 4, 6, 5


def world(rng: np.random.Generator) -> FeatureWorld:
    """A world without chance."""
    moves = np.eye(STATES)[rng.integers(STATES, size=(STATES, ACTIONS))]
    features = rng.normal(size=(STATES, ACTIONS, FEATURES))
    return feature_world(
        moves, features, np.eye(STATES)[0], [[True, True], [True, False], [True, True]], horizon=HORIZON
    )


def trajectories(land: FeatureWorld) -> list[list[tuple[int, int]]]:
    found = []
    for actions in itertools.product(range(ACTIONS), repeat=HORIZON):
        state, path = 0, []
        for action in actions:
            path.append((state, action))
            state = int(land.transitions[state, action].argmax())
        if all(land.legal[step] for step in path):
            found.append(path)
    return found


def collected(land: FeatureWorld) -> np.ndarray:
    return np.array([sum(land.features[step] for step in path) for path in trajectories(land)])


def test_the_closed_form(rng: np.random.Generator) -> None:
    with jax.enable_x64(True):
        for _ in range(3):
            land, proxies = world(rng), rng.normal(size=(PROXIES, FEATURES))
            weights, prior = rng.normal(size=(HYPOTHESES, FEATURES)), rng.dirichlet(np.ones(HYPOTHESES))
            rationality, given = rng.uniform(0.1, 5.0), int(rng.integers(PROXIES))
            every = collected(land)
            phi = every[(proxies @ every.T).argmax(1)]  # a random reward has one best trajectory
            closed = rationality * weights @ phi[given] - logsumexp(rationality * weights @ phi.T, axis=1)
            question = proxy_reward.make(land, proxies)
            np.testing.assert_allclose(question.counts, phi, atol=1e-12)
            hypotheses = jnp.asarray(weights)
            told = proxy_reward.exact_log_likelihood(question, given, hypotheses, rationality)
            np.testing.assert_allclose(told, closed, atol=1e-10)
            assert np.abs(rationality * weights @ phi[given] - closed).max() > 1e-3, "Z must matter to this check"
            joint = prior * np.exp(closed)
            after = choice.learn(believe(hypotheses, jnp.asarray(prior)), question, jnp.int32(given), rationality)
            np.testing.assert_allclose(after.probabilities, joint / joint.sum(), atol=1e-10)


def test_maxent_by_listing_every_trajectory(rng: np.random.Generator) -> None:
    with jax.enable_x64(True):
        for _ in range(3):
            land, weights = world(rng), rng.normal(size=(HYPOTHESES, FEATURES))
            rationality, every = rng.uniform(0.1, 3.0), collected(land)
            told = proxy_reward.maxent_log_likelihood(land, jnp.asarray(every[0]), jnp.asarray(weights), rationality)
            closed = rationality * weights @ every[0] - logsumexp(rationality * weights @ every.T, axis=1)
            np.testing.assert_allclose(told, closed, atol=1e-10)


def test_demonstration_by_listing_every_trajectory(rng: np.random.Generator) -> None:
    with jax.enable_x64(True):
        land, weights, proxy = world(rng), rng.normal(size=(HYPOTHESES, FEATURES)), rng.normal(size=FEATURES)
        rationality = rng.uniform(0.1, 3.0)
        told = proxy_reward.demonstration_log_likelihood(land, proxy, jnp.asarray(weights), rationality)
        paths, every = trajectories(land), collected(land)
        shown = paths[int((every @ proxy).argmax())]
        for theta, found in zip(weights, np.asarray(told), strict=True):
            likely = 0.0
            for turn, (state, action) in enumerate(shown):
                # Q_t(s, a): the best that follows, among the trajectories that came the same way.
                rest = [
                    (path[turn][1], sum(land.features[step] for step in path[turn:]) @ theta)
                    for path in paths
                    if path[:turn] == shown[:turn]
                ]
                values = np.array([max((v for a, v in rest if a == b), default=-np.inf) for b in range(ACTIONS)])
                likely += log_softmax(rationality * values)[action]
                assert land.legal[state, action]
            assert found == pytest.approx(likely, abs=1e-10)


def test_samples_of_proxies(rng: np.random.Generator) -> None:
    """All together they are exact; over every sample of a size the estimate of Z has no bias, but for no correction."""
    with jax.enable_x64(True):
        counts, weights = rng.normal(size=(PROXIES, FEATURES)), jnp.asarray(rng.normal(size=(HYPOTHESES, FEATURES)))
        question, rationality, given = proxy_reward.ProxyReward(jnp.asarray(counts)), rng.uniform(0.5, 2.0), 2
        mine = rationality * np.asarray(weights) @ counts[given]
        exact = np.asarray(proxy_reward.exact_log_likelihood(question, given, weights, rationality))
        drawn, expected = proxy_reward.draw_others(PROXIES, given, PROXIES - 1, jax.random.key(rng.integers(2**31)))
        assert sorted(drawn.tolist()) == [0, 1, 3, 4, 5]
        told = proxy_reward.sampled_log_likelihood(
            question.counts[given], question.counts[drawn], expected, weights, rationality
        )
        np.testing.assert_allclose(told, exact, atol=1e-10)
        chances = rng.dirichlet(np.ones(5) * 3)  # two draws with replacement, by uneven chances
        others = [0, 1, 3, 4, 5]

        def mean_z(expects) -> np.ndarray:
            total = np.zeros(HYPOTHESES)
            for one, two in itertools.product(range(5), repeat=2):
                menu = [others[one], others[two]]
                told = proxy_reward.sampled_log_likelihood(
                    question.counts[given], question.counts[jnp.array(menu)], expects(one, two), weights, rationality
                )
                total += chances[one] * chances[two] * np.exp(mine - np.asarray(told))
            return total

        truth = np.exp(mine - exact)
        np.testing.assert_allclose(mean_z(lambda one, two: jnp.asarray(2 * chances[[one, two]])), truth, rtol=1e-9)
        assert np.abs(mean_z(lambda one, two: jnp.ones(2)) / truth - 1.0).max() > 1e-3
        with pytest.raises(ValueError, match="num_drawn is 6; there are 5 other proxies"):
            proxy_reward.draw_others(PROXIES, given, 6, jax.random.key(0))


def test_what_training_never_shows_stays_as_it_was(rng: np.random.Generator) -> None:
    with jax.enable_x64(True):
        seen, lava = rng.normal(size=(4, 3)), rng.normal(size=5)
        weights = jnp.asarray([[*row, value] for row in seen for value in lava])
        proxies = rng.normal(size=(PROXIES, 4))
        land = lavaland.CLASSIC
        for ground, moves in ((land.training, False), (land.test, True)):
            walk = feature_world(*lavaland.walk_arrays(ground, land.start), horizon=land.horizon)
            question = proxy_reward.make(walk, proxies)
            told = np.asarray(proxy_reward.exact_log_likelihood(question, 0, weights, 2.0)).reshape(4, 5)
            assert (np.ptp(told, axis=1).max() > 1e-6) == moves, "lava is told of exactly where it was met"
            if not moves:
                assert np.ptp(told, axis=1).max() < 1e-12


def test_the_designer_of_the_game_is_the_likelihood() -> None:
    """A noisily rational human at the drawing board chooses as the question says."""
    counts = feature_counts(
        feature_world(*lavaland.walk_arrays(lavaland.SMALL.training, lavaland.SMALL.start), horizon=4), lavaland.PROXIES
    )
    np.testing.assert_allclose(counts, lavaland.PROXY_COUNTS, atol=1e-12)
    game = lavaland.make()
    human = boltzmann.make(game, rationality=2.0)
    state = game.init(jax.random.key(0))
    question = proxy_reward.ProxyReward(jnp.asarray(lavaland.PROXY_COUNTS, jnp.float32))
    for theta, weights in enumerate(lavaland.WEIGHTS):
        logits, _ = human.logits(jnp.int32(theta), None, game.observe(state)[HUMAN], jax.random.key(0))
        told = choice.log_likelihood(question, jnp.asarray(weights, jnp.float32), 2.0)
        np.testing.assert_allclose(jax.nn.log_softmax(logits), told, atol=1e-5)
    with pytest.raises(ValueError, match="counts has 3 columns; there are 4 features"):
        lavaland.make(counts=np.zeros((2, 3)))


def test_menus(rng: np.random.Generator) -> None:
    counts = jnp.asarray(rng.normal(size=(PROXIES, FEATURES)) * 2.0, jnp.float32)
    weights = jnp.asarray(rng.normal(size=(HYPOTHESES, FEATURES)), jnp.float32)
    question = proxy_reward.ProxyReward(counts)
    belief = believe(weights, jnp.asarray(rng.dirichlet(np.ones(HYPOTHESES)), jnp.float32))
    pairs = list(itertools.combinations(range(PROXIES), 2))
    prior = np.asarray(belief.probabilities, np.float64)

    def gain(menu) -> float:
        joint = prior[:, None] * np.exp(
            log_softmax(np.asarray(weights, float) @ np.asarray(counts, float)[list(menu)].T, axis=1)
        )
        return float((joint * np.log(joint / np.outer(prior, joint.sum(0)))).sum())

    told = proxy_reward.information_gains(belief, question, jnp.array(pairs), jnp.float32(1.0))
    np.testing.assert_allclose(told, [gain(pair) for pair in pairs], atol=2e-6)
    best = proxy_reward.best_menu(belief, question, 2, jnp.float32(1.0))
    assert gain(best.tolist()) >= max(map(gain, pairs)) - 1e-6
    wider = proxy_reward.best_menu(belief, question, 3, jnp.float32(1.0)).tolist()
    assert len(set(wider)) == 3
    assert (
        gain(wider) >= max(gain([*best.tolist(), other]) for other in set(range(PROXIES)) - set(best.tolist())) - 1e-6
    )
    alike = proxy_reward.ProxyReward(jnp.tile(counts[:1], (3, 1)))
    nothing = proxy_reward.information_gains(belief, alike, jnp.array([[0, 1, 2]]), jnp.float32(1.0))
    assert float(nothing[0]) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ValueError, match="A menu of 7 cannot be had; there are 6 proxies"):
        proxy_reward.best_menu(belief, question, 7, 1.0)


def test_bad_proxies(rng: np.random.Generator) -> None:
    land = world(rng)
    with pytest.raises(ValueError, match="proxies has 2 columns; the world has 3 features"):
        proxy_reward.make(land, np.zeros((4, 2)))
    with pytest.raises(ValueError, match="a choice needs at least two"):
        proxy_reward.make(land, np.zeros((1, 3)))

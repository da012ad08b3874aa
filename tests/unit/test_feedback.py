"""Is an answer worth what reward-rational choice says? Closed forms, and brute force in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import entr, expit, softmax

from tacit.beliefs.exact import ExactBelief, believe
from tacit.feedback import choice, comparison

D, K, N = 3, 4, 6


@pytest.fixture(scope="module")
def rng() -> np.random.Generator:
    return np.random.default_rng()


def drawn(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Features of K outcomes, N weight vectors, a prior and a rationality."""
    return rng.normal(size=(K, D)), rng.normal(size=(N, D)), rng.dirichlet(np.ones(N)), float(rng.uniform(0.2, 3.0))


def ask(features: np.ndarray) -> comparison.Comparison:
    return comparison.make(jnp.asarray(features, jnp.float32))


def test_two_options_are_logistic(rng: np.random.Generator) -> None:
    features, thetas, _, rationality = drawn(rng)
    told = choice.log_likelihood(ask(features[:2]), jnp.asarray(thetas[0], jnp.float32), rationality)
    first = expit(rationality * (features[0] - features[1]) @ thetas[0])
    np.testing.assert_allclose(np.exp(told), [first, 1.0 - first], atol=1e-6)


def test_learning_is_bayes_on_softmax(rng: np.random.Generator) -> None:
    features, thetas, prior, rationality = drawn(rng)
    likelihood = softmax(rationality * thetas @ features.T, axis=1)
    belief = believe(jnp.asarray(thetas, jnp.float32), jnp.asarray(prior, jnp.float32))
    question = ask(features)
    np.testing.assert_allclose(choice.predict(belief, question, rationality), prior @ likelihood, atol=1e-6)
    for given in range(K):
        after = choice.learn(belief, question, jnp.int32(given), rationality)
        joint = prior * likelihood[:, given]
        np.testing.assert_allclose(after.probabilities, joint / joint.sum(), atol=2e-6)


def test_information_gain_by_brute_force(rng: np.random.Generator) -> None:
    gain = jax.jit(lambda belief, features, rationality: choice.information_gain(belief, ask(features), rationality))
    for _ in range(20):
        features, thetas, prior, rationality = drawn(rng)
        prior[rng.integers(N)] = 0.0
        prior /= prior.sum()
        belief = believe(jnp.asarray(thetas, jnp.float32), jnp.asarray(prior, jnp.float32))
        told = float(gain(belief, jnp.asarray(features, jnp.float32), rationality))
        # Expected fall of the entropy of the belief: the other way round to how the library computes it.
        joint = prior[:, None] * softmax(rationality * thetas @ features.T, axis=1)
        answers = joint.sum(0)
        fall = entr(prior).sum() - sum(answers[k] * entr(joint[:, k] / answers[k]).sum() for k in range(K))
        assert told == pytest.approx(fall, abs=2e-6)
        assert 0.0 <= told <= min(np.log(K), entr(prior).sum()) + 1e-6
        alike = np.repeat(features[:1], K, axis=0)
        assert float(gain(belief, jnp.asarray(alike, jnp.float32), rationality)) == pytest.approx(0.0, abs=1e-6)
        assert float(gain(belief, jnp.asarray(features, jnp.float32), 0.0)) == pytest.approx(0.0, abs=1e-6)


def test_perfect_rationality_shares_ties() -> None:
    told = choice.log_choices(jnp.array([1.0, 3.0, 3.0, -2.0]), jnp.inf)
    np.testing.assert_allclose(np.exp(told), [0.0, 0.5, 0.5, 0.0], atol=1e-6)
    # Two thetas that never answer alike: the answer tells all there is.
    belief = believe(jnp.array([[1.0], [-1.0]]), jnp.array([0.5, 0.5]))
    gain = choice.information_gain(belief, ask(np.array([[0.0], [1.0]])), jnp.inf)
    assert float(gain) == pytest.approx(np.log(2.0), abs=1e-6)


def test_answers_are_drawn_as_they_are_weighed(rng: np.random.Generator) -> None:
    features, thetas, _, rationality = drawn(rng)
    question, theta = ask(features), jnp.asarray(thetas[0], jnp.float32)
    keys = jax.random.split(jax.random.key(rng.integers(2**31)), 20_000)
    answers = jax.jit(jax.vmap(lambda key: choice.answer(question, theta, rationality, key)))(keys)
    share = np.bincount(np.asarray(answers), minlength=K) / len(keys)
    assert np.abs(share - softmax(rationality * features @ thetas[0])).max() < 5 * 0.5 / len(keys) ** 0.5


def test_outcomes_may_be_anything() -> None:
    outcomes = {"length": jnp.array([1.0, 4.0]), "cost": jnp.array([[1.0, 1.0], [2.0, 0.0]])}
    question = comparison.make(outcomes, lambda theta, one: theta * one["length"] - one["cost"].sum())
    np.testing.assert_allclose(question.values(jnp.float32(2.0)), [0.0, 6.0])
    with pytest.raises(ValueError, match="leading axes"):
        comparison.make(jnp.zeros((1, 3)))
    with pytest.raises(ValueError, match="leading axes"):
        comparison.make((jnp.zeros((2, 3)), jnp.zeros((3, 3))))


def test_what_is_ruled_out_stays_out() -> None:
    belief = believe(jnp.arange(3.0), jnp.array([0.5, 0.5, 0.0]))
    after = belief.update(jnp.array([-jnp.inf, -1.0, 0.0]))
    np.testing.assert_allclose(after.probabilities, [0.0, 1.0, 0.0])
    assert float(after.expect(lambda theta: 1.0 / (theta - 2.0))) == pytest.approx(-1.0)
    # Evidence against everything that is left says nothing about theta.
    same = after.update(jnp.array([0.0, -jnp.inf, 0.0]))
    np.testing.assert_allclose(same.probabilities, after.probabilities)
    draws = jax.vmap(after.sample)(jax.random.split(jax.random.key(0), 100))
    assert set(np.unique(draws)) == {1.0}
    wide = ExactBelief(jnp.arange(2.0), jnp.log(jnp.array([0.25, 0.75])))
    np.testing.assert_allclose(wide.expect(lambda theta: jnp.stack([theta, 2.0 * theta])), [0.75, 1.5], rtol=1e-6)

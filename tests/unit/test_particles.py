"""The particle belief against sums done by hand in numpy, and against a case with a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.beliefs.particles import ParticleBelief

RNG = np.random.default_rng()


def cloud(size=40):
    thetas = {"mean": RNG.normal(size=(size, 3)).astype(np.float32), "kind": RNG.integers(0, 4, size).astype(np.int32)}
    log_weights = RNG.normal(size=size).astype(np.float32) * 2
    belief = ParticleBelief(jax.tree.map(jnp.asarray, thetas), jnp.asarray(log_weights))
    weights = np.exp(log_weights) / np.exp(log_weights).sum()
    return belief, thetas, weights


def test_expect_and_update_are_sums_over_the_hypotheses():
    belief, thetas, weights = cloud()
    log_likelihood = RNG.normal(size=weights.size).astype(np.float32)
    posterior = weights * np.exp(log_likelihood)
    posterior /= posterior.sum()
    after = belief.update(jnp.asarray(log_likelihood))
    np.testing.assert_allclose(belief.weights, weights, rtol=2e-5)
    np.testing.assert_allclose(after.weights, posterior, rtol=2e-5)
    np.testing.assert_allclose(
        after.expect(lambda theta: theta["mean"]), posterior @ thetas["mean"], rtol=1e-3, atol=1e-5
    )
    chance = after.expect(lambda theta: jax.nn.one_hot(theta["kind"], 4))
    np.testing.assert_allclose(chance, np.bincount(thetas["kind"], posterior, 4), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after.effective_size(), 1 / np.sum(posterior**2), rtol=1e-4)


def test_an_impossible_hypothesis_never_returns():
    belief, _, _ = cloud()
    log_likelihood = jnp.zeros(40).at[7].set(-jnp.inf)
    after = belief.update(log_likelihood).update(jnp.zeros(40))
    assert after.weights[7] == 0
    assert np.isfinite(after.effective_size())
    assert not (after.ancestors(jax.random.key(0)) == 7).any()


@pytest.mark.parametrize("seed", [0, 1])
def test_systematic_resampling_keeps_each_share_to_within_one(seed):
    belief, _, weights = cloud()
    keys = jax.random.split(jax.random.key(RNG.integers(2**31) + seed), 400)
    index = np.asarray(jax.vmap(belief.ancestors)(keys))
    counts = np.stack([np.bincount(row, minlength=weights.size) for row in index])
    assert (np.abs(counts - weights.size * weights) < 1 + 1e-3).all()
    np.testing.assert_allclose(counts.mean(axis=0), weights.size * weights, atol=5 * 0.5 / np.sqrt(400))


def test_resampling_keeps_hypotheses_whole_and_weights_equal():
    belief, thetas, weights = cloud()
    after = belief.resample(jax.random.key(3))
    np.testing.assert_allclose(after.weights, np.full(weights.size, 1 / weights.size), rtol=1e-5)
    known = {(*mean, kind) for mean, kind in zip(thetas["mean"].tolist(), thetas["kind"].tolist(), strict=True)}
    mean, kind = np.asarray(after.hypotheses["mean"]).tolist(), np.asarray(after.hypotheses["kind"]).tolist()
    assert {(*m, k) for m, k in zip(mean, kind, strict=True)} <= known


def test_samples_follow_the_weights():
    belief, thetas, weights = cloud()
    keys = jax.random.split(jax.random.key(RNG.integers(2**31)), 4000)
    kinds = np.asarray(jax.vmap(belief.sample)(keys)["kind"])
    expected = np.bincount(thetas["kind"], weights, 4)
    np.testing.assert_allclose(np.bincount(kinds, minlength=4) / 4000, expected, atol=5 * 0.5 / np.sqrt(4000))


def test_a_fine_cloud_finds_the_conjugate_posterior():
    """A coin with a uniform prior, h heads and t tails: the mean is (h + 1) / (h + t + 2)."""
    heads, tails = int(RNG.integers(0, 20)), int(RNG.integers(0, 20))
    bias = (jnp.arange(2000, dtype=jnp.float32) + 0.5) / 2000
    belief = ParticleBelief(bias, jnp.zeros(2000))
    for _ in range(heads):
        belief = belief.update(jnp.log(bias))
    for _ in range(tails):
        belief = belief.update(jnp.log1p(-bias))
    np.testing.assert_allclose(belief.expect(lambda b: b), (heads + 1) / (heads + tails + 2), atol=2e-3)

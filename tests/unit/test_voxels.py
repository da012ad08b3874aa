"""A belief of one categorical per cell, against every house of a tiny world listed and weighed by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.beliefs.voxels import VoxelBelief, vague

SHAPE, KINDS = (2, 1, 2), 3
EVERY = np.array(list(itertools.product(range(KINDS), repeat=4))).reshape(-1, *SHAPE)


@pytest.fixture(scope="module")
def chances():
    return np.random.default_rng().dirichlet(np.ones(KINDS), SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def evidence():
    return np.random.default_rng().normal(0, 2, (*SHAPE, KINDS)).astype(np.float32)


def at(table):
    """The table's entries for every house [houses, X, Y, Z]."""
    return np.take_along_axis(np.broadcast_to(table, (len(EVERY), *table.shape)), EVERY[..., None], -1)[..., 0]


def posterior(chances, evidence):
    weight = at(chances).prod((1, 2, 3)) * np.exp(at(evidence).sum((1, 2, 3)))
    return weight / weight.sum()


def test_update_is_bayes_rule_over_whole_houses(chances, evidence):
    belief = vague(jnp.asarray(chances)).update(jnp.asarray(evidence))
    weight = posterior(chances, evidence)
    marginals = np.stack([(weight[:, None, None, None] * (kind == EVERY)).sum(0) for kind in range(KINDS)], -1)
    np.testing.assert_allclose(belief.probabilities, marginals, atol=1e-5)


def test_evidence_adds_up_whatever_its_order(chances, evidence):
    start = vague(jnp.asarray(chances))
    more = jnp.asarray(evidence)[::-1]
    one, other = start.update(jnp.asarray(evidence)).update(more), start.update(more).update(jnp.asarray(evidence))
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
    assert np.abs(np.asarray(one.probabilities - start.probabilities)).max() > 1e-3


def test_the_network_may_change_its_mind_and_the_evidence_stays(chances, evidence):
    told = vague(jnp.asarray(chances)).update(jnp.asarray(evidence))
    flat = VoxelBelief(jnp.zeros_like(told.logits), told.evidence)
    np.testing.assert_allclose(flat.probabilities, jax.nn.softmax(jnp.asarray(evidence)), atol=1e-6)


def test_expectation_of_what_is_linear_in_every_cell_is_exact(chances, evidence):
    belief = vague(jnp.asarray(chances)).update(jnp.asarray(evidence))
    worth = np.random.default_rng().normal(size=(*SHAPE, KINDS)).astype(np.float32)
    by_hand = (posterior(chances, evidence) * at(worth).sum((1, 2, 3))).sum()
    assert float(belief.expect(lambda theta: (theta * worth).sum())) == pytest.approx(by_hand, abs=1e-4)


def test_samples_come_as_often_as_they_are_likely(chances):
    belief = vague(jnp.asarray(chances))
    drawn = jax.vmap(belief.sample)(jax.random.split(jax.random.key(0), 20_000))
    frequency = np.stack([(np.asarray(drawn) == kind).mean(0) for kind in range(KINDS)], -1)
    np.testing.assert_allclose(frequency, chances, atol=0.02)


def test_what_is_certain_stays_certain():
    chances = jnp.zeros((1, 1, 1, 3)).at[..., 1].set(1.0)
    belief = vague(chances).update(jnp.array([[[[5.0, 0.0, 5.0]]]]))
    np.testing.assert_array_equal(belief.probabilities, chances)

"""The factored actions against a flat softmax over all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.games.building import actions
from tacit.games.building.actions import BREAK, MOVE, PASS, PLACE, EditLegal, EditLogits

NUM_CELLS, NUM_KINDS = 30, 5
NUM_DRAWS = 100_000


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng()


def _some(rng, *shape):
    """Logits, some of them -inf."""
    return np.where(rng.random(shape) < 0.2, -np.inf, rng.normal(0, 1.5, shape)).astype(np.float32)


@pytest.fixture(scope="module")
def policy(rng):
    kind = _some(rng, NUM_CELLS, NUM_KINDS)
    kind[:, 3] = np.where(np.isinf(kind[:, 2:]).all(1), 0.0, kind[:, 3])
    place = _some(rng, NUM_CELLS)
    kind[np.isinf(place)] = -np.inf  # where nothing is to be placed, the kinds may say anything
    logits = EditLogits(_some(rng)[()], place, kind, _some(rng, NUM_CELLS), _some(rng, 6))
    logits = logits._replace(rest=np.float32(0.3))
    legal = EditLegal(rng.random(NUM_CELLS) < 0.6, rng.random(NUM_CELLS) < 0.6, rng.random(6) < 0.6)
    return jax.tree.map(jnp.asarray, logits), jax.tree.map(jnp.asarray, legal)


def test_decode_and_encode_are_inverse():
    count = actions.num_actions(NUM_KINDS, NUM_CELLS)
    everything = jnp.arange(count)
    parts = actions.decode(everything, NUM_KINDS, NUM_CELLS)
    np.testing.assert_array_equal(actions.encode(parts, NUM_KINDS, NUM_CELLS), everything)
    # The layout, written out: kinds outside, cells inside.
    expected = [(PASS, 0, 0, 0)]
    expected += [(PLACE, cell, kind, 0) for kind in range(NUM_KINDS) for cell in range(NUM_CELLS)]
    expected += [(BREAK, cell, 0, 0) for cell in range(NUM_CELLS)] + [(MOVE, 0, 0, way) for way in range(6)]
    np.testing.assert_array_equal(np.stack(parts, 1), expected)
    assert actions.num_actions(10, 1100) == 12107


def test_log_prob_is_that_of_a_flat_softmax(policy):
    logits, legal = policy
    flat = np.where(actions.flatten_legal(legal, NUM_KINDS), actions.flatten(logits), -np.inf).astype(float)
    expected = flat - np.log(np.exp(flat).sum())
    got = jax.jit(jax.vmap(actions.log_prob, (None, None, 0)))(logits, legal, jnp.arange(len(flat)))
    np.testing.assert_allclose(got, expected, atol=2e-6)
    assert np.isneginf(got[1 : 1 + 2 * NUM_CELLS]).all()  # neither air nor bedrock can be placed


def test_sample_draws_as_log_prob_says(policy, rng):
    logits, legal = policy
    flat = np.where(actions.flatten_legal(legal, NUM_KINDS), actions.flatten(logits), -np.inf).astype(float)
    expected = np.exp(flat) / np.exp(flat).sum()
    keys = jax.random.split(jax.random.key(rng.integers(2**31)), NUM_DRAWS)
    drawn = np.asarray(jax.jit(jax.vmap(actions.sample, (None, None, 0)))(logits, legal, keys))
    counts = np.bincount(drawn, minlength=len(flat))
    assert counts[expected == 0].sum() == 0
    usual = np.sqrt(NUM_DRAWS * expected * (1 - expected))
    assert (np.abs(counts - NUM_DRAWS * expected) <= 6 * usual + 3).all()


def test_only_passing_is_left():
    nothing = jnp.zeros(NUM_CELLS, bool)
    logits = EditLogits(
        jnp.zeros(()), jnp.full(NUM_CELLS, 5.0), jnp.zeros((NUM_CELLS, NUM_KINDS)), jnp.zeros(NUM_CELLS), jnp.zeros(6)
    )
    legal = EditLegal(nothing, nothing, jnp.zeros(6, bool))
    assert actions.sample(logits, legal, jax.random.key(0)) == 0
    assert actions.log_prob(logits, legal, jnp.int32(0)) == 0


def test_draw_inverts_the_distribution_function(rng):
    """Against a plain running sum; weightless entries are never drawn, however extreme the number."""
    weights = np.where(rng.random((300, 57)) < 0.5, 0, np.exp(rng.normal(0, 8, (300, 57)))).astype(np.float32)
    weights[:, 20] = np.maximum(weights[:, 20], 1e-3)
    edges = np.array([0.0, 2**-24, 0.5, 1 - 2**-24])
    uniforms = np.where(rng.random(300) < 0.3, rng.choice(edges, 300), rng.random(300)).astype(np.float32)
    uniforms = np.minimum(uniforms, np.float32(1 - 2**-24))
    drawn = np.asarray(jax.jit(jax.vmap(actions.draw))(jnp.asarray(weights), jnp.asarray(uniforms)))
    assert (weights[np.arange(300), drawn] > 0).all()
    upto = np.cumsum(weights.astype(float), 1)
    share = upto / upto[:, -1:]
    after, before = share[np.arange(300), drawn], (share - weights / upto[:, -1:])[np.arange(300), drawn]
    assert (uniforms <= after + 1e-6).all()
    assert (uniforms >= before - 1e-6).all()


def test_without_any_weight_the_last_is_drawn():
    """In half precision a row of small probabilities may be all 0; what is drawn must still be in the row."""
    draw = jax.jit(actions.draw)
    for length in range(1, 30):
        for uniform in (0.0, 0.7):
            assert int(draw(jnp.zeros(length), jnp.float32(uniform))) == length - 1

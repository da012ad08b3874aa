"""PPO's terms against hand values and sums in loops, advantages against their double sum."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.learning import ppo
from tacit.learning.counsel import Choices, cross_entropy, flat
from tacit.learning.goals import fit, seen
from tacit.learning.ppo import Config, Tried, Trying, block_nll, clipped, log_probs, losses, taken
from tacit.recipes.ppo import advantages
from tests.unit import test_counsel
from tests.unit.test_counsel import BATCH, KINDS, SHAPE

CONFIG = Config(first_material=3, first_placeable=2)


@pytest.fixture
def case(monkeypatch, rng):
    """A network, and turns of which anything may have come."""
    monkeypatch.setattr(test_counsel, "RNG", rng)
    network, lessons = test_counsel.network(), test_counsel.drawn()
    choices = np.asarray(flat(lessons.prior), np.float64)
    done = np.zeros_like(choices)
    for row, logits in zip(done, choices, strict=True):
        row[rng.choice(np.flatnonzero(logits > -np.inf))] = 1.0
    cells = int(np.prod(SHAPE))
    parts = np.split(done, (cells, 2 * cells, 2 * cells + 6), 1)
    shapes = ((BATCH, *SHAPE), (BATCH, *SHAPE), (BATCH, 6), (BATCH,))
    planes = [jnp.asarray(part.reshape(shape), jnp.float16) for part, shape in zip(parts, shapes, strict=True)]
    old, advantage = -3.0 * rng.random(BATCH), rng.normal(size=BATCH)
    tried = Tried(lessons._replace(improved=Choices(*planes)), *(jnp.asarray(x, jnp.float32) for x in (old, advantage)))
    return network, tried, done


@pytest.mark.parametrize("trace", [0.0, 0.7, 1.0])
def test_advantages_are_their_double_sum(rng, trace):
    turns, worlds = 7, 3
    rewards, values = rng.normal(size=(2, turns, worlds))
    discounts = np.where(rng.random((turns, worlds)) < 0.2, 0.0, 0.95)
    last = rng.normal(size=worlds)
    found = advantages(*(jnp.asarray(x, jnp.float32) for x in (rewards, discounts, values, last)), trace)
    following = np.vstack([values[1:], last])
    for world in range(worlds):
        for start in range(turns):
            exact, weight = 0.0, 1.0
            for at in range(start, turns):
                exact += weight * (rewards[at, world] + discounts[at, world] * following[at, world] - values[at, world])
                weight *= discounts[at, world] * trace
            assert float(found[start, world]) == pytest.approx(exact, abs=1e-4)


def test_the_clipped_objective_by_hand():
    """Of a good turn no more than 1 + ε counts, of a bad one no less than it weighs; what is clipped pulls no more."""
    ratios, advantage = jnp.array([1.5, 0.5, 1.5, 0.5, 1.1]), jnp.array([2.0, 2.0, -1.0, -1.0, 3.0])
    by_hand = np.array([2.4, 1.0, -1.5, -0.8, 3.3])
    found = jnp.stack([clipped(jnp.log(ratios[at, None]), advantage[at, None], 0.2) for at in range(5)])
    np.testing.assert_allclose(-found, by_hand, rtol=1e-5)
    assert float(clipped(jnp.log(ratios), advantage, 0.2)) == pytest.approx(-by_hand.mean(), rel=1e-5)
    pull = jax.grad(lambda ratio: clipped(jnp.log(ratio), advantage, 0.2))(ratios)
    np.testing.assert_allclose(pull, [0.0, -2.0 / 5, 1.0 / 5, 0.0, -3.0 / 5], atol=1e-6)


def test_what_was_tried_has_its_probability(case):
    """Among all that was legal; and -log of it is the loss of imitating it."""
    network, tried, done = case
    said = network(*seen(tried.lesson.moment))
    found = taken(log_probs(said, tried.lesson), tried.lesson)
    own = np.asarray(flat(Choices(said.place, said.remove, said.move, said.rest)), np.float64)
    logits = own + np.asarray(flat(tried.lesson.prior), np.float64)
    exact = [row[at] - np.log(np.exp(row).sum()) for row, at in zip(logits, done.argmax(1), strict=True)]
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(-found, cross_entropy(said, tried.lesson), rtol=1e-5, atol=1e-5)


def test_blocks_are_told_apart_where_some_can_be_placed(case):
    network, tried, _ = case
    goal = network(*seen(tried.lesson.moment)).heads.goal
    wanted, legal = (np.asarray(leaf) for leaf in (tried.lesson.moment.goal, tried.lesson.prior.place))
    terms = []
    for at in np.ndindex(wanted.shape):
        if wanted[at] >= 2 and legal[at] > -np.inf:
            row = np.asarray(goal[at], np.float64)
            terms.append(np.log(np.exp(row[2:]).sum()) - row[wanted[at]])
    assert len(terms) > 100
    assert float(block_nll(goal, tried.lesson, 2)) == pytest.approx(np.mean(terms), rel=1e-4)
    nowhere = tried.lesson._replace(prior=jax.tree.map(lambda leaf: jnp.full_like(leaf, -jnp.inf), tried.lesson.prior))
    assert float(block_nll(goal, nowhere, 2)) == 0.0


def test_the_total_is_the_weighed_sum(case):
    network, tried, _ = case
    config = dataclasses.replace(CONFIG, clip_ratio=0.3, value=0.2, entropy=0.5, goal=1.3, block=0.7)
    found = losses(network, tried, config)
    said = network(*seen(tried.lesson.moment))
    log_p = np.asarray(log_probs(said, tried.lesson), np.float64)
    legal = [row[row > -np.inf] for row in log_p]
    entropy = np.mean([-(np.exp(row) * row).sum() for row in legal])
    ratio = np.exp(np.asarray(taken(jnp.asarray(log_p, jnp.float32), tried.lesson) - tried.log_prob, np.float64))
    gain = np.asarray(tried.advantage, np.float64)
    policy = np.mean([-min(r * a, min(max(r, 0.7), 1.3) * a) for r, a in zip(ratio, gain, strict=True)])
    value = float(jnp.square(said.value - tried.lesson.value).mean())
    goal = float(fit(said.heads, tried.lesson.moment, 0.0).total)
    block = float(block_nll(said.heads.goal, tried.lesson, 2))
    assert float(found.entropy) == pytest.approx(entropy, rel=1e-4)
    assert float(found.total) == pytest.approx(
        policy + 0.2 * value - 0.5 * entropy + 1.3 * goal + 0.7 * block, rel=1e-4
    )


def test_it_is_finite_where_hardly_anything_was_legal(case):
    """With one choice, the policy is sure of it and nothing can be learned."""
    network, tried, _ = case
    only = jax.tree.map(lambda leaf: jnp.full_like(leaf, -jnp.inf), tried.lesson.prior)
    none = jax.tree.map(jnp.zeros_like, tried.lesson.prior)
    lesson = tried.lesson._replace(
        prior=only._replace(rest=jnp.zeros(BATCH, jnp.float16)),
        improved=none._replace(rest=jnp.ones(BATCH, jnp.float16)),
    )

    def loss(bias):
        moved = eqx.tree_at(lambda net: net.rest_head.bias, network, bias)
        return losses(moved, tried._replace(lesson=lesson), CONFIG).total

    value, pull = jax.value_and_grad(loss)(network.rest_head.bias)
    assert np.isfinite(value)
    np.testing.assert_allclose(pull, 0.0, atol=1e-6)


def test_what_was_tried_is_not_told_in_other_words(case):
    """For the network that tried it every ratio is 1, however the lesson is told; only the houses bear other names."""
    network, tried, _ = case
    chances = taken(log_probs(network(*seen(tried.lesson.moment)), tried.lesson), tried.lesson)
    tried = tried._replace(log_prob=chances)
    task = Trying(dataclasses.replace(CONFIG, renamed=1.0), network, KINDS)
    told = task.reword(tried, jax.random.key(3))
    before, after = (task.losses(network, some) for some in (tried, told))
    assert float(after.policy) == pytest.approx(-float(tried.advantage.mean()), abs=1e-5)
    np.testing.assert_allclose((after.value, after.entropy), (before.value, before.entropy), rtol=1e-5)
    other = network.voxels(*seen(told.told.moment))
    assert (np.asarray(told.told.moment.goal) != np.asarray(tried.lesson.moment.goal)).any()
    assert float(after.air) == pytest.approx(float(fit(other, told.told.moment, 0.0).air), rel=1e-5)
    assert float(after.block) == pytest.approx(float(block_nll(other.goal, told.told, 2)), rel=1e-5)
    assert abs(float(after.air - before.air)) > 1e-4
    again = log_probs(network(*seen(told.told.moment)), told.told)
    assert np.abs(np.asarray(taken(again, told.told) - chances)).max() > 1e-2, "the network answers otherwise there"


def test_one_round_is_kept():
    assert ppo.Config().num_kept == 1, "what an older policy tried says nothing of the one that is"

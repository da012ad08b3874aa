"""The five losses against sums in loops, returns against their definition, and lessons told in other words."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.learning.counsel import FULL, Advice, Choices, Config, Lesson, cross_entropy, divergence, flat, losses
from tacit.learning.goals import fit, seen
from tacit.learning.moments import Moment
from tacit.learning.networks import Counsel, CounselNetwork, Heads, Sizes, VoxelNetwork
from tacit.recipes.assistancezero_small import looking_back

SHAPE, KINDS, BATCH = (4, 4, 4), 5, 16
SIZES = Sizes(SHAPE, KINDS, 1, 1, 1, 1, 1, width=16, depth=1, embedding=4)
RNG = np.random.default_rng()


def real(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def drawn(num=BATCH):
    """Lessons in which anything may have happened."""
    prior = [np.where(RNG.random((num, *s)) < 0.6, -np.inf, RNG.normal(size=(num, *s))) for s in (SHAPE, SHAPE, (6,))]
    rest = RNG.normal(size=num)
    considered = np.concatenate([leaf.reshape(num, -1) for leaf in prior], 1) > -np.inf
    weights = np.where(considered, RNG.random(considered.shape), 0.0)
    own = RNG.random(num)
    weights, own = (leaf / (weights.sum(1) + own).reshape(-1, *[1] * (leaf.ndim - 1)) for leaf in (weights, own))
    cut = np.cumsum([leaf[0].size for leaf in prior])[:-1]
    improved = [part.reshape(leaf.shape) for part, leaf in zip(np.split(weights, cut, 1), prior, strict=True)]
    done = np.eye(135, dtype=bool)[RNG.integers(0, 135, num)]  # 64 cells twice, six moves, a rest
    moment = Moment(
        jnp.asarray(RNG.integers(0, 64, (num, 1, *SHAPE)), jnp.uint8),
        jnp.asarray(RNG.integers(0, KINDS, (num, 1, *SHAPE)), jnp.int8),
        real(num, KINDS, 1),
        real(num, 6, 1),
        real(num, 1),
        jnp.asarray(RNG.integers(0, KINDS, (num, *SHAPE)), jnp.int8),
        *(jnp.ones((num, *s), bool) for s in (SHAPE, SHAPE, (6,))),
        jnp.asarray(done[:, :64].reshape(num, *SHAPE)),
        jnp.asarray(done[:, 64:128].reshape(num, *SHAPE)),
        jnp.asarray(done[:, 128:134]),
        jnp.asarray(done[:, 134]),
    )
    then = RNG.dirichlet(np.ones(KINDS), (num, *SHAPE))
    return Lesson(
        moment,
        Choices(*(jnp.asarray(leaf, jnp.float16) for leaf in (*prior, rest))),
        Choices(*(jnp.asarray(leaf, jnp.float16) for leaf in (*improved, own))),
        jnp.asarray(np.moveaxis(np.round(FULL * then), -1, 1), jnp.uint8),
        real(num),
    )


def network():
    prior = jnp.full((*SHAPE, KINDS), 1.0 / KINDS)
    blank = CounselNetwork(VoxelNetwork(SIZES, prior, jax.random.key(0)), jax.random.key(1))
    leaves, form = jax.tree.flatten(eqx.filter(blank, eqx.is_inexact_array))
    return eqx.combine(jax.tree.unflatten(form, [0.3 * real(*leaf.shape) for leaf in leaves]), blank)


@pytest.fixture(scope="module")
def case():
    return network(), drawn()


def test_the_policy_learns_from_what_was_considered(case):
    net, lessons = case
    said = net(*seen(lessons.moment))
    found = cross_entropy(said, lessons)
    own = np.asarray(flat(Choices(said.place, said.remove, said.move, said.rest)), np.float64)
    prior, improved = (np.asarray(flat(leaf), np.float64) for leaf in (lessons.prior, lessons.improved))
    for at in range(BATCH):
        some = prior[at] > -np.inf
        logits = (own + prior)[at][some]
        log_p = logits - np.log(np.exp(logits).sum())
        assert found[at] == pytest.approx(-(improved[at][some] * log_p).sum(), rel=1e-4)


def test_the_belief_is_held_to_what_was_believed(case):
    net, lessons = case
    goal = net(*seen(lessons.moment)).heads.goal
    found = divergence(lessons.believed, goal)
    now = np.asarray(jax.nn.softmax(goal), np.float64)[:, 1:-1, 1:-1, 1:-1]
    then = np.moveaxis(np.asarray(lessons.believed, np.float64), 1, -1)[:, 1:-1, 1:-1, 1:-1]
    then /= then.sum(-1, keepdims=True)
    exact = (then * (np.log(np.maximum(then, 1e-300)) - np.log(now))).sum(-1).mean((1, 2, 3))
    np.testing.assert_allclose(found, exact, rtol=1e-4)
    same = divergence(lessons.believed, jnp.log(jnp.moveaxis(lessons.believed.astype(jnp.float32), 1, -1)))
    np.testing.assert_allclose(same, 0.0, atol=1e-5)


def test_the_total_is_the_weighed_sum(case):
    net, lessons = case
    config = Config(policy=0.7, value=0.2, goal=1.3, before=0.4, human=0.9)
    found = losses(net, lessons, config)
    said = net(*seen(lessons.moment))
    goal = fit(said.heads, lessons.moment, 0.0)
    parts = (
        0.7 * cross_entropy(said, lessons).mean(),
        0.2 * jnp.square(said.value - lessons.value).mean(),
        1.3 * goal.total,
        0.4 * divergence(lessons.believed, said.heads.goal).mean(),
        0.9 * goal.action,
    )
    assert float(found.total) == pytest.approx(float(sum(parts)), rel=1e-5)
    for name in ("policy", "value", "goal", "before", "human"):
        other = losses(net, lessons, dataclasses.replace(config, **{name: 0.0}))
        assert abs(float(other.total - found.total)) > 1e-3, f"{name} has no weight in the sum"


def definition(rewards, discounts, values, last, trace):
    """The returns of λ as a mixture of n-step returns."""
    turns = len(rewards)
    following = [*values[1:], last]
    found = []
    for start in range(turns):
        total, weight, left, reward = 0.0, 1.0, 1.0, 0.0
        for at in range(start, turns):
            reward += weight * rewards[at]
            weight *= discounts[at]
            share = left if at == turns - 1 else left * (1.0 - trace)
            total += share * (reward + weight * following[at])
            left -= share
        found.append(total)
    return np.array(found)


@pytest.mark.parametrize("trace", [0.0, 0.6, 1.0])
def test_returns_are_mixtures_of_what_follows_in_so_many_turns(trace):
    rewards, values = RNG.normal(size=(2, 9, 3))
    discounts = np.where(RNG.random((9, 3)) < 0.2, 0.0, 0.95)
    last = RNG.normal(size=3)
    found = looking_back(*(jnp.asarray(x, jnp.float32) for x in (rewards, discounts, values, last)), trace)
    for world in range(3):
        exact = definition(rewards[:, world], discounts[:, world], values[:, world], last[world], trace)
        np.testing.assert_allclose(found[:, world], exact, atol=1e-5)


def test_a_lesson_in_other_words_says_the_same():
    """An oracle of all heads, told the lesson in the same words, has the same losses."""
    lessons = drawn()
    task = Advice(Config(renamed=1.0, first_material=2), network(), KINDS)
    reworded = task.reword(lessons, jax.random.key(int(RNG.integers(1 << 30))))

    def oracle(some):
        """Says of each lesson what is in it, as strongly as is."""
        named = jax.nn.one_hot(some.moment.goal, KINDS) + jnp.moveaxis(some.believed.astype(jnp.float32), 1, -1) / 99.0
        heads = Heads(named, *(some.moment[at].astype(jnp.float32) for at in (9, 10, 11, 12)))
        own = [leaf.astype(jnp.float32) for leaf in some.improved]
        return Counsel(heads, own[0], own[1], own[2], own[3], some.value)

    told, again = (
        (
            cross_entropy(oracle(some), some),
            divergence(some.believed, oracle(some).heads.goal),
            fit(oracle(some).heads, some.moment, 1.0)._asdict(),
        )
        for some in (lessons, reworded)
    )
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=2e-4), told, again)
    assert (np.asarray(lessons.moment.goal) != np.asarray(reworded.moment.goal)).any()
    assert (np.asarray(lessons.improved.place) != np.asarray(reworded.improved.place)).any()
    broken = reworded._replace(improved=lessons.improved)
    assert np.abs(np.asarray(cross_entropy(oracle(reworded), broken) - told[0])).max() > 1e-2

"""Tree search against mctx where the human has one thing to do, against a walk through its own tree by NumPy, and
against closed forms where chance decides. All models are drawn when the tests run.
"""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Int, Key, UInt32
from scipy import stats

from tacit.core import ASSISTANT, HUMAN
from tacit.planning import tree_search
from tacit.planning.tree_policies import Gumbel, Puct, Statistics, by_returns, by_siblings, by_tree
from tacit.planning.tree_search import Config, Leaf, SearchModel, Tree, grow, search

STILL = Puct(noise_share=0.0)


class Place(NamedTuple):
    """A state, which stands for a belief too, and all that happened on the way there, hashed."""

    state: Int[Array, ""]
    past: UInt32[Array, ""]


class Partner(SearchModel):
    """A random world by tables. Illegal actions have a logit of -inf."""

    following: Int[Array, "S A H"]
    humans: Float[Array, "S H"]
    rewards: Float[Array, "2 S S S"]
    """By player, the belief, the state before and the state after."""
    discounts: Float[Array, "S A"]
    logits: Float[Array, "S A"]
    values: Float[Array, " S"]

    def look(self, place: Place, discount: Float[Array, ""]) -> Leaf:
        actions = jnp.arange(self.logits.shape[1], dtype=jnp.int32)
        return Leaf(place, actions, self.logits[place.state], self.values[place.state], discount)

    def roots(self, states: np.ndarray) -> Leaf:
        places = Place(jnp.asarray(states, jnp.int32), jnp.zeros(len(states), jnp.uint32))
        return jax.vmap(self.look, (0, None))(places, jnp.ones(()))

    def human(self, embedding: Place, key: Key[Array, ""]) -> Int[Array, ""]:
        return jax.random.categorical(key, jnp.log(self.humans[embedding.state])).astype(jnp.int32)

    def expand(self, embedding: Place, action: Int[Array, ""], human: Int[Array, ""]) -> Leaf:
        state = self.following[embedding.state, action, human]
        past = hashed(embedding.past, action, human)
        return self.look(Place(state, past), self.discounts[embedding.state, action])

    def reward(self, belief: Place, before: Place, after: Place) -> Float[Array, "2"]:
        return self.rewards[:, belief.state, before.state, after.state]


class Swapped(Partner):
    """What must not be: the human's part by the belief before, the assistant's by the belief after."""

    def reward(self, belief: Place, before: Place, after: Place) -> Float[Array, "2"]:
        return self.rewards[:, before.state + after.state - belief.state, before.state, after.state]


def hashed(past: Array, action: Array, human: Array) -> Array:
    return (past * jnp.uint32(31) + action.astype(jnp.uint32)) * jnp.uint32(17) + human.astype(jnp.uint32) + 1


def drawn(rng: np.random.Generator, states: int, actions: int, humans: int, kind: type[Partner] = Partner) -> Partner:
    """A random model in which action 0 is always legal."""
    reals = {"dtype": jnp.float32}
    return kind(
        jnp.asarray(rng.integers(0, states, (states, actions, humans)), jnp.int32),
        jnp.asarray(rng.dirichlet(np.ones(humans), states), **reals),
        jnp.asarray(rng.normal(size=(2, states, states, states)), **reals),
        jnp.asarray(rng.uniform(0.6, 0.99, (states, actions)), **reals),
        jnp.asarray(rng.normal(size=(states, actions)), **reals),
        jnp.asarray(rng.normal(size=states), **reals),
    )


def masked(root: Leaf, rng: np.random.Generator) -> tuple[Leaf, np.ndarray]:
    """The roots with some actions forbidden, and which."""
    forbidden = rng.random(root.logits.shape) < 0.3
    forbidden[:, 0] = False
    return root._replace(logits=jnp.where(forbidden, -jnp.inf, root.logits)), forbidden


def other(model: Partner, root: Leaf, forbidden: np.ndarray, policy: str, key: Array, config: Config) -> tuple:
    """What mctx finds, action, weights and tree. The human has one thing to do."""
    mctx = pytest.importorskip("mctx", reason="mctx is not installed: its trees cannot be compared with ours")

    @jax.jit
    def run(model: Partner, state: Array, forbidden: Array, key: Array) -> tuple:
        def step(_: tuple, key: Array, action: Array, state: Array) -> tuple:
            after = model.following[state, action, 0]
            reward = model.rewards[ASSISTANT, state, state, after] + model.rewards[HUMAN, after, state, after]
            seen = {"discount": model.discounts[state, action], "prior_logits": model.logits[after]}
            return mctx.RecurrentFnOutput(reward=reward, value=model.values[after], **seen), after

        first = mctx.RootFnOutput(prior_logits=model.logits[state], value=model.values[state], embedding=state)
        how = {"num_simulations": config.num_simulations, "max_depth": config.max_depth, "invalid_actions": forbidden}
        if policy == "puct":
            found = mctx.muzero_policy((), key, first, step, dirichlet_fraction=0.0, **how)
        else:
            found = mctx.gumbel_muzero_policy((), key, first, step, **how)
        return found.action, found.action_weights, found.search_tree

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return run(model, root.embedding.state, jnp.asarray(forbidden), key)


@pytest.mark.parametrize("policy", ["puct", "gumbel"])
@pytest.mark.parametrize(
    ("states", "actions", "batch", "config"),
    [(40, 7, 4, Config(40)), (9, 3, 3, Config(32, max_depth=3))],
    ids=["wide", "stopped"],
)
def test_trees_equal_mctx(policy: str, states: int, actions: int, batch: int, config: Config) -> None:
    """Node by node and number by number, for models drawn three times."""
    pytest.importorskip("mctx", reason="mctx is not installed: its trees cannot be compared with ours")
    for seed in range(3):
        rng = np.random.default_rng(seed)
        model = drawn(rng, states, actions, 1)
        root, forbidden = masked(model.roots(rng.integers(0, states, batch)), rng)
        key = jax.random.key(seed)
        action, weights, theirs = other(model, root, forbidden, policy, key, config)
        if policy == "puct":
            ours, _ = grow(model, root, STILL, config, key)
            found = search(model, root, STILL, config, key)
        else:
            noise = jax.random.gumbel(jax.random.split(key)[1], root.logits.shape)
            ours, _ = grow(model, root, Gumbel(), config, key, noise)
            found = search(model, root, Gumbel(), config, key, noise)
            np.testing.assert_array_equal(found.action, action)
        np.testing.assert_allclose(found.weights, weights, atol=1e-5)
        np.testing.assert_array_equal(ours.visits, theirs.children_visits)
        np.testing.assert_array_equal(ours.counts, theirs.node_visits)
        np.testing.assert_array_equal(ours.parents, theirs.parents)
        made = np.asarray(ours.parents) >= 0
        np.testing.assert_array_equal(np.asarray(ours.slots)[made], np.asarray(theirs.action_from_parent)[made])
        tried = np.asarray(ours.visits) > 0
        inner = np.asarray(ours.counts)[..., None] * tried > 0
        values = theirs.children_rewards + theirs.children_discounts * theirs.children_values
        np.testing.assert_allclose(np.asarray(ours.values)[inner], np.asarray(values)[inner], atol=2e-5)
        np.testing.assert_allclose(np.asarray(ours.means)[made], np.asarray(theirs.node_values)[made], atol=2e-5)
        children = np.full(tried.shape, -1)
        for lane, node in zip(*np.nonzero(made), strict=True):
            children[lane, ours.parents[lane, node], ours.slots[lane, node]] = node
        np.testing.assert_array_equal(children, theirs.children_index)


def retold(model: Partner, tree: Tree, lane: int, policy: Puct) -> dict[str, np.ndarray]:
    """One tree grown again in NumPy, simulation by simulation, from who led where alone.

    Every choice on the way has to be the one of the highest bound at that time, by formulae written here again.
    """
    state, parents, slots, humans = (
        np.asarray(x)[lane] for x in (tree.embedding.state, tree.parents, tree.slots, tree.humans)
    )
    rewards_by, discounts, raw = np.asarray(model.rewards), np.asarray(model.discounts), np.asarray(model.values)[state]
    logits = np.asarray(tree.logits)[lane].astype(float)
    prior = np.exp(logits - logits.max(1, keepdims=True))
    prior /= prior.sum(1, keepdims=True)
    visits, totals = np.zeros(logits.shape), np.zeros(logits.shape)
    count, means = np.zeros(len(state)), np.zeros(len(state))
    count[0], means[0] = 1, raw[0]
    past = np.zeros(len(state), np.uint32)
    for node in range(1, len(state)):
        path = [node]
        while path[-1] > 0:
            path.append(parents[path[-1]])
        for child, parent in itertools.pairwise(path):
            seen = visits[parent] > 0
            q = totals[parent] / np.maximum(visits[parent], 1)
            span = [*q[seen], means[parent]]
            scaled = np.where(seen, (q - min(span)) / max(max(span) - min(span), 1e-8), 0.0)
            growth = np.log((count[parent] + policy.base + 1) / policy.base)
            bound = scaled + (policy.exploration + growth) * prior[parent] * np.sqrt(count[parent]) / (
                1 + visits[parent]
            )
            assert bound[slots[child]] > bound[np.isfinite(logits[parent])].max() - 1e-4
        with np.errstate(over="ignore"):
            above = parents[node]
            past[node] = (past[above] * np.uint32(31) + np.uint32(slots[node])) * np.uint32(17) + np.uint32(
                humans[node]
            )
            past[node] += np.uint32(1)
        count[node], means[node], total = 1, raw[node], raw[node]
        for child, parent in itertools.pairwise(path):
            before, after, slot = state[parent], state[child], slots[child]
            reward = rewards_by[ASSISTANT, before, before, after] + rewards_by[HUMAN, after, before, after]
            total = reward + discounts[before, slot] * total
            visits[parent, slot] += 1
            totals[parent, slot] += total
            count[parent] += 1
            means[parent] += (total - means[parent]) / count[parent]
    return {"visits": visits, "values": totals / np.maximum(visits, 1), "counts": count, "means": means, "past": past}


@pytest.fixture(scope="module")
def grown() -> tuple[Partner, Tree, Tree]:
    """A model with four human actions, its trees, and those of its swapped variant."""
    config, rng = Config(60), np.random.default_rng(3)
    model = drawn(rng, 8, 4, 4)
    swapped = Swapped(*(getattr(model, name) for name in vars(model)))
    root, _ = masked(model.roots(rng.integers(0, 8, 3)), rng)
    return model, *(grow(each, root, STILL, config, jax.random.key(4))[0] for each in (model, swapped))


def same(model: Partner, tree: Tree) -> None:
    for lane in range(tree.counts.shape[0]):
        told = retold(model, tree, lane, STILL)
        np.testing.assert_array_equal(told["visits"], tree.visits[lane])
        np.testing.assert_array_equal(told["counts"], tree.counts[lane])
        np.testing.assert_allclose(told["values"], tree.values[lane], atol=1e-4)
        np.testing.assert_allclose(told["means"], tree.means[lane], atol=1e-4)


def test_chance_trees_equal_numpy(grown: tuple[Partner, Tree, Tree]) -> None:
    """Choices, parts of the reward and statistics are those of the formulae; the swapped beliefs are found out."""
    model, tree, swapped = grown
    same(model, tree)
    with pytest.raises(AssertionError):
        same(model, swapped)


def test_what_a_node_remembers_is_its_own_way(grown: tuple[Partner, Tree, Tree]) -> None:
    """Nothing of a sibling's: the hash of the way to each node, found again from the root."""
    model, tree, _ = grown
    for lane in range(tree.counts.shape[0]):
        np.testing.assert_array_equal(retold(model, tree, lane, STILL)["past"], tree.embedding.past[lane])


def test_one_child_for_each_human_action(grown: tuple[Partner, Tree, Tree]) -> None:
    """No two nodes have the same way there, and some edge has several children."""
    _, tree, _ = grown
    for lane in range(tree.counts.shape[0]):
        edges = np.stack([tree.parents[lane], tree.slots[lane], tree.humans[lane]], 1)[1:]
        assert len(np.unique(edges, axis=0)) == len(edges)
        assert len(np.unique(edges[:, :2], axis=0)) < len(edges)


def test_humans_part_is_scored_by_what_their_action_told() -> None:
    """A cell is wanted with q = 0.2; they fill it, so q is 1 now. That is worth 2 q - 1 = 1, and not -0.6."""
    before, after = 0.2, 1.0
    rewards = np.zeros((2, 2, 2, 2))
    for state, q in enumerate((before, after)):
        rewards[HUMAN, state], rewards[ASSISTANT, state] = 2 * q - 1, 10 * (2 * q - 1)
    tables = [jnp.asarray(x, jnp.float32) for x in (np.ones((2, 1)), rewards, np.zeros((2, 1)), np.zeros((2, 1)))]
    model = Partner(jnp.ones((2, 1, 1), jnp.int32), *tables, jnp.zeros(2))
    tree, _ = grow(model, model.roots(np.zeros(1, int)), STILL, Config(1), jax.random.key(0))
    assert tree.rewards[0, 1] == pytest.approx(2 * after - 1 + 10 * (2 * before - 1))


@pytest.fixture(scope="module")
def long() -> tuple[Partner, Tree, Config]:
    """Two turns deep and 3000 simulations long; at the second turn one action alone is legal."""
    rng, config = np.random.default_rng(11), Config(3000, max_depth=2)
    model = drawn(rng, 7, 3, 4)
    # State 0 leads to states 1 to 6, in which action 0 alone is legal.
    following = model.following.at[0].set(1 + model.following[0] % 6)
    logits = model.logits.at[1:, 1:].set(-jnp.inf)
    model = eqx.tree_at(lambda m: (m.following, m.logits), model, (following, logits))
    policy = Puct(noise_share=0.0, exploration=20.0)
    return model, grow(model, model.roots(np.zeros(2, int)), policy, config, jax.random.key(5))[0], config


def test_root_values_are_expectations(long: tuple[Partner, Tree, Config]) -> None:
    """Q(a) = Σ_h P(h) (r + γ Σ_h' P(h') (r' + γ' v)): nothing is chosen after a, so the mean return is unbiased."""
    model, tree, _ = long
    p, r, gamma, v = (np.asarray(x, float) for x in (model.humans, model.rewards, model.discounts, model.values))
    following = np.asarray(model.following)

    def step(state: int, action: int, human: int) -> tuple[float, int]:
        after = following[state, action, human]
        return r[ASSISTANT, state, state, after] + r[HUMAN, after, state, after], after

    for action in range(3):
        mean, square = 0.0, 0.0
        for h1, h2 in itertools.product(range(4), repeat=2):
            first, middle = step(0, action, h1)
            second, last = step(middle, 0, h2)
            chance = p[0, h1] * p[middle, h2]
            total = first + gamma[0, action] * (second + gamma[middle, 0] * v[last])
            mean, square = mean + chance * total, square + chance * total**2
        for lane in range(2):
            visits = int(tree.visits[lane, 0, action])
            assert visits > 100
            # The first visit of each child ends there, in its value: at most four returns of another kind.
            spread = np.sqrt((square - mean**2) / visits) + 4 * 10.0 / visits
            assert abs(float(tree.values[lane, 0, action]) - mean) < 4.5 * spread


def test_humans_are_drawn_as_predicted(long: tuple[Partner, Tree, Config]) -> None:
    """At every visit anew: how often each child of the root was visited is as its human action's probability says."""
    model, tree, config = long
    p = np.asarray(model.humans[0], float)
    p /= p.sum()
    for lane in range(2):
        visits = np.asarray(tree.visits[lane, 0])
        assert visits.sum() == config.num_simulations
        # Candidates meet the same draws, so each is looked at on its own.
        for action in range(3):
            below = (np.asarray(tree.parents[lane]) == 0) & (np.asarray(tree.slots[lane]) == action)
            drawn = np.bincount(tree.humans[lane][below], tree.counts[lane][below], 4)
            assert drawn.sum() == visits[action]
            assert stats.chisquare(drawn, visits[action] * p).pvalue > 1e-5


class Crowd(Partner):
    """So many humans' actions that none is drawn twice."""

    def human(self, embedding: Place, key: Key[Array, ""]) -> Int[Array, ""]:
        return jax.random.randint(key, (), 0, 1 << 30)

    def expand(self, embedding: Place, action: Int[Array, ""], human: Int[Array, ""]) -> Leaf:
        return super().expand(embedding, action, human % self.following.shape[2])


def test_candidates_meet_the_same_draws() -> None:
    """The k-th visit of each, in its order; and these are as many as there are visits."""
    rng = np.random.default_rng()
    model = drawn(rng, 5, 4, 3, Crowd)
    tree, _ = grow(model, model.roots(np.zeros(2, int)), Gumbel(), Config(40, max_depth=2), jax.random.key(6))
    parents, slots, humans = (np.asarray(leaf) for leaf in (tree.parents, tree.slots, tree.humans))
    met = [[humans[lane][(parents[lane] == 0) & (slots[lane] == slot)] for slot in range(4)] for lane in range(2)]
    for some in met:
        longest = max(some, key=len)
        assert sum(map(len, some)) == 40
        assert len(np.unique(longest)) == len(longest)
        assert sorted(map(len, some))[-2] > 1, "several were tried more than once"
        for one in some:
            np.testing.assert_array_equal(one, longest[: len(one)])
    assert met[0][0][0] != met[1][0][0], "every search has its own"


def node(values: list[float], visits: list[int], logits: list[float], bounds: tuple[float, float]) -> Statistics:
    """Statistics of a node whose own value is the model's, 0.5."""
    q, n, prior = jnp.asarray(values, jnp.float32), jnp.asarray(visits, jnp.int32), jnp.asarray(logits, jnp.float32)
    half, around = jnp.asarray(0.5), jnp.asarray(bounds)
    return Statistics(prior, n, q, 1 + n.sum(dtype=jnp.int32), half, half, around, around * 2.0)


def test_transforms() -> None:
    some = node([1.0, 3.0, 0.0], [2, 1, 0], [0.0, 0.0, 0.0], (-1.0, 4.0))
    np.testing.assert_allclose(by_siblings(some), [0.2, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(by_returns(some), [0.4, 0.8, 0.3], atol=1e-6)
    np.testing.assert_allclose(by_tree(some), [0.3, 0.5, 0.25], atol=1e-6)


def test_values_that_lie_close_speak_less() -> None:
    """σ is (50 + 2) · 0.1 times the spread of the values, over the least one where that is greater."""
    for gap, spread, q in ((0.3, 1e-8, 1.0), (0.3, 3.0, 0.1), (6.0, 3.0, 1.0)):
        root = node([1.0, 1.0 + gap], [2, 2], [0.0, 0.0], (0.0, 7.0))
        _, weights = Gumbel(least_spread=spread).conclude(root, jnp.zeros(2), jax.random.key(0))
        assert jnp.log(weights[1] / weights[0]) == pytest.approx(5.2 * q, rel=1e-4)


def test_noise_stays_among_the_legal_and_has_dirichlets_moments() -> None:
    """E η = 1/n and Var η = (n - 1) / (n² (n α + 1)), here n = 3."""
    policy, alpha = Puct(noise_share=0.25, concentration=0.4), 0.4
    logits = jnp.array([1.0, -jnp.inf, 0.0, 2.0])
    noise = np.asarray(jax.vmap(policy.draw, (None, 0))(logits, jax.random.split(jax.random.key(0), 20_000)))
    assert (noise[:, 1] == 0).all()
    np.testing.assert_allclose(noise.sum(1), 1.0, atol=1e-5)
    variance = 2 / (9 * (3 * alpha + 1))
    legal = noise[:, [0, 2, 3]]
    np.testing.assert_allclose(legal.mean(0), 1 / 3, atol=4.5 * np.sqrt(variance / len(noise)))
    np.testing.assert_allclose(legal.var(0), variance, rtol=0.05)
    stirred = jax.nn.softmax(policy.stir(logits, jnp.asarray(noise[0])))
    np.testing.assert_allclose(stirred, 0.75 * jax.nn.softmax(logits) + 0.25 * noise[0], atol=1e-6)


def test_temperature_is_the_inverse_of_the_exponent() -> None:
    root = node([1.0, 2.0, 3.0], [4, 0, 1], [0.0, 0.0, 0.0], (0.0, 3.0))
    _, weights = Puct(temperature=2 / 3).conclude(root, jnp.zeros(3), jax.random.key(0))
    np.testing.assert_allclose(weights, [8 / 9, 0.0, 1 / 9], atol=1e-6)
    tied = node([1.0, 2.0, 3.0], [2, 2, 1], [0.0, 0.0, 0.0], (0.0, 3.0))
    slot, weights = Puct(temperature=0.0).conclude(tied, jnp.zeros(3), jax.random.key(0))
    assert int(slot) == 1
    np.testing.assert_array_equal(weights, [0.0, 1.0, 0.0])


def test_pruning_keeps_the_likeliest() -> None:
    logits = jnp.array([0.0, 3.0, -jnp.inf, 2.0, 1.0])
    actions, kept = tree_search.prune(logits, 3)
    np.testing.assert_array_equal(actions, [1, 3, 4])
    np.testing.assert_array_equal(kept, [3.0, 2.0, 1.0])
    actions, kept = tree_search.prune(logits, 9)
    np.testing.assert_array_equal(actions, range(5))
    np.testing.assert_array_equal(kept, logits)


def test_bad_input_is_refused() -> None:
    model = drawn(np.random.default_rng(0), 3, 2, 1)
    roots, key = model.roots(np.zeros(1, int)), jax.random.key(0)
    with pytest.raises(ValueError, match="0 simulations"):
        search(model, roots, STILL, Config(0), key)
    with pytest.raises(ValueError, match="greatest depth is 0"):
        search(model, roots, STILL, Config(4, max_depth=0), key)
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        search(model, jax.tree.map(lambda x: x[0], roots), STILL, Config(4), key)
    with pytest.raises(ValueError, match="GB"):
        search(model, roots, STILL, Config(10**9), key)

"""piKL: the closed form against brute force over all flat actions, its limits, and that no other policy does better."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.core import HUMAN, Human
from tacit.games import building_small
from tacit.games.building.actions import (
    PASS,
    EditLegal,
    EditLogits,
    flatten,
    flatten_legal,
    log_prob,
    num_actions,
)
from tacit.games.building.blocks import AIR
from tacit.games.building.game import bare_ground
from tacit.games.building.hand import HASTE
from tacit.humans import builder
from tacit.humans.pikl import HALVINGS, PiKL, anchored, turn_value
from tacit.humans.planner import ActionValues, action_values, prospects, reweigh

RNG = np.random.default_rng()
N, M = 10, 5
A = num_actions(M, N)
GAME = building_small.make().alone()
SHAPE = GAME.shape


@pytest.fixture
def compile_quickly():
    """For a test that computes little and compiles much."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def draw(sparse=0.3):
    """Any anchor (with impossible actions), values and legality."""

    def logits(*shape):
        drawn = RNG.normal(0.0, 2.0, shape)
        return jnp.asarray(np.where(RNG.random(shape) < sparse, -np.inf, drawn), jnp.float32)

    kind = np.asarray(logits(N, M)).copy()
    kind[np.arange(N), RNG.integers(2, M, N)] = RNG.normal(size=N)
    anchor = EditLogits(jnp.float32(RNG.normal()), logits(N), jnp.asarray(kind), logits(N), logits(6))
    anchor = anchor._replace(move=anchor.move.at[0].set(0.5))
    normal = [jnp.asarray(RNG.normal(size=size), jnp.float32) for size in ((), (N, M), (N,), (6,))]
    values = ActionValues(*normal)
    legal = EditLegal(*(jnp.asarray(RNG.random(size) < 0.6) for size in (N, N, 6)))
    return anchor, values, legal._replace(move=legal.move.at[0].set(True))


def flat_values(values):
    """Q of every flat action."""
    return np.concatenate([values.rest[None], values.place.T.reshape(-1), values.remove, values.move]).astype(
        np.float64
    )


def chances(logits, legal, num_kinds=M):
    """The probability of every flat action."""
    weight = np.where(np.asarray(flatten_legal(legal, num_kinds)), np.asarray(flatten(logits), np.float64), -np.inf)
    return np.exp(weight - weight.max()) / np.exp(weight - weight.max()).sum()


def brute_force(anchor, values, legal, rationality, num_kinds=M):
    """The definition, one number an action."""
    before = chances(anchor, legal, num_kinds)
    q = flat_values(values)
    weight = before * np.exp(rationality * (q - q.max()))
    weight[PASS] = 0.0
    return np.concatenate([before[:1], (1.0 - before[PASS]) * weight[1:] / weight.sum()])


RULES = {
    "best kind only": lambda anchor, values, legal, rationality: anchored(
        anchor, values._replace(place=values.place.max(1, keepdims=True).repeat(M, 1)), legal, rationality
    ),
    "passing weighed too": lambda anchor, values, legal, rationality: reweigh(
        anchor, jax.tree.map(lambda q: rationality * q, values)
    ),
    "odds over what is not legal": lambda anchor, values, legal, rationality: anchored(
        anchor, values, jax.tree.map(jnp.ones_like, legal), rationality
    ),
    "λ for 1 / λ": lambda anchor, values, legal, rationality: anchored(anchor, values, legal, 1.0 / rationality),
}


def differs(rule, rationality, num_cases=20):
    """The greatest difference of a chance from brute force in some cases."""
    gaps = []
    for _ in range(num_cases):
        anchor, values, legal = draw()
        found = chances(rule(anchor, values, legal, rationality), legal)
        gaps.append(np.abs(found - brute_force(anchor, values, legal, rationality)).max())
    return max(gaps)


@pytest.mark.parametrize("rationality", [0.0, 0.3, 1.7, 20.0])
def test_it_is_the_closed_form_over_all_flat_actions(rationality):
    assert differs(anchored, rationality) < 1e-5


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_broken_rule_is_noticed(rule):
    assert differs(rule, 1.7) > 1e-2


def test_the_games_own_likelihood_says_the_same():
    anchor, values, legal = draw()
    policy = anchored(anchor, values, legal, 1.3)
    found = jax.vmap(lambda action: log_prob(policy, legal, action))(jnp.arange(A))
    np.testing.assert_allclose(np.exp(found), brute_force(anchor, values, legal, 1.3), atol=1e-5)


def test_without_rationality_it_is_the_anchor_and_with_much_the_best_that_the_anchor_does():
    for _ in range(10):
        anchor, values, legal = draw()
        before = chances(anchor, legal)
        np.testing.assert_allclose(chances(anchored(anchor, values, legal, 0.0), legal), before, atol=1e-6)
        after = chances(anchored(anchor, values, legal, 1e4), legal)
        acts = np.where(before > 0.0, flat_values(values), -np.inf)[1:]
        best = 1 + acts.argmax()
        np.testing.assert_allclose([after[PASS], after[best]], [before[PASS], 1.0 - before[PASS]], atol=1e-5)


def objective(policy, before, q, temperature):
    """E[Q] - λ KL(π ‖ anchor)."""
    some = policy > 0.0
    return policy @ q - temperature * (policy[some] * np.log(policy[some] / before[some])).sum()


def best_response_gap(rule, rationality, num_rivals=300):
    """By how much the best of many rival policies beats the rule's; all pass as often as the anchor."""
    anchor, values, legal = draw()
    before, q = chances(anchor, legal), flat_values(values)
    policy = chances(rule(anchor, values, legal, rationality), legal)
    own = objective(policy, before, q, 1.0 / rationality)
    gaps = []
    for _ in range(num_rivals):
        near = policy * np.exp(RNG.normal(0.0, RNG.choice([0.01, 0.1, 1.0]), A))
        rival = np.concatenate([[0.0], near[1:]]) if RNG.random() < 0.8 else (before > 0) * RNG.exponential(size=A)
        rival[PASS] = 0.0
        rival *= (1.0 - before[PASS]) / rival.sum()
        rival[PASS] = before[PASS]
        gaps.append(objective(rival, before, q, 1.0 / rationality) - own)
    return max(gaps)


def test_no_policy_that_passes_as_often_does_better():
    assert max(best_response_gap(anchored, rationality) for rationality in (0.2, 1.0, 5.0)) < 1e-6
    assert best_response_gap(RULES["λ for 1 / λ"], 3.0) > 1e-3
    assert best_response_gap(lambda anchor, *_: anchor, 3.0) > 1e-3


def test_what_a_policy_gains_and_pays_is_in_balance_at_every_action():
    """Karush-Kuhn-Tucker: Q(a) - λ log π(a)/h(a) is the same for all a that may happen, but passing."""
    anchor, values, legal = draw()
    before, after = chances(anchor, legal), chances(anchored(anchor, values, legal, 2.5), legal)
    some = before > 0.0
    some[PASS] = False
    balance = flat_values(values)[some] - np.log(after[some] / before[some]) / 2.5
    np.testing.assert_allclose(balance, balance[0], atol=1e-4)
    assert ((before > 0.0) == (after > 0.0)).all()


def test_an_anchor_that_always_passes_still_does_and_one_that_never_does_never_will():
    anchor, values, legal = draw()
    nothing = jax.tree.map(lambda leaf: jnp.full_like(leaf, -jnp.inf), anchor)._replace(rest=jnp.zeros(()))
    for idle in (nothing, nothing._replace(rest=jnp.float32(-jnp.inf))):
        policy = anchored(idle, values, legal, 1.0)
        assert not any(np.isnan(np.asarray(leaf)).any() for leaf in policy)
        np.testing.assert_allclose(chances(policy._replace(kind=jnp.zeros((N, M))), legal)[PASS], 1.0)
    busy = anchored(anchor._replace(rest=jnp.float32(-jnp.inf)), values, legal, 1.0)
    assert chances(busy, legal)[PASS] == 0.0


class Anyone(Human):
    """Who prefers nothing, but may hesitate to break what stands, and counts the turns."""

    hesitation: float = eqx.field(static=True, default=0.0)

    def init(self, key):
        del key
        return jnp.zeros((), jnp.int32)

    def logits(self, theta, memory, observation, key):
        del theta, observation, key
        even = GAME.indifferent(HUMAN)
        return even._replace(remove=even.remove - self.hesitation), memory + 1

    def feel(self, memory, observation, felt):
        del observation, felt
        return memory + 100


def mind(anchor, rationality):
    return PiKL(anchor, SHAPE, GAME.num_kinds, GAME.reach, jnp.float32(rationality))


def play(human, thetas, keys, num_turns):
    """Everybody builds; the first states, whether each is finished, and the last memories."""
    return play_from(human, thetas, jax.vmap(GAME.init)(keys), keys, num_turns)


@eqx.filter_jit
def play_from(human, thetas, starts, keys, num_turns):
    """Everybody builds on from there."""

    def one(theta, carry, key):
        state, memory = carry
        sees = GAME.observe(state)[HUMAN]
        logits, memory = human.logits(theta, memory, sees, key)
        action = GAME.sample(logits, sees.legal[HUMAN], key)
        return GAME.step(state, jnp.stack([action, jnp.int32(0)]), key), memory

    def body(carry, keys):
        return jax.vmap(one)(thetas, carry, keys), None

    carry = starts, jax.vmap(human.init)(keys)
    turns = jax.vmap(lambda key: jax.random.split(key, num_turns), out_axes=1)(keys)
    (states, memories), _ = jax.lax.scan(body, carry, turns)
    return states, memories


@eqx.filter_jit
def choose(human, thetas, states, memories):
    """What piKL, its anchor and the values say in each world."""

    def one(theta, state, memory):
        sees = GAME.observe(state)[HUMAN]
        policy, after = human.logits(theta, memory, sees, jax.random.key(0))
        anchor, _ = human.anchor.logits(theta, memory.anchor, sees, jax.random.key(0))
        ahead, legal = prospects(theta, after.passages, sees, GAME.num_kinds, GAME.reach), sees.legal[HUMAN]
        value = turn_value(anchor, ahead, legal, human.rationality)
        return policy, anchor, action_values(ahead, value), legal, ahead, value

    return jax.vmap(one)(thetas, states, memories)


@pytest.fixture(scope="module")
def built():
    """Houses, their states at first, and after 120 turns beside an anchor that knows nothing."""
    keys = jax.random.split(jax.random.key(int(RNG.integers(1 << 30))), 16)
    thetas = jax.jit(jax.vmap(GAME.sample_theta))(keys)
    return thetas, keys, *play(mind(Anyone(), 8.0), thetas, keys, 120)


def left(states, thetas):
    return (np.asarray(states.blocks) != np.asarray(thetas)).sum((1, 2, 3))


def test_it_builds_beside_an_anchor_that_knows_nothing(built):
    thetas, keys, states, memories = built
    assert (np.asarray(memories.anchor) == 120).all()
    begun = left(jax.jit(jax.vmap(GAME.init))(keys), thetas).sum()
    assert left(states, thetas).sum() < 0.4 * begun
    idle, _ = play(mind(Anyone(), 0.0), thetas, keys, 120)
    assert left(idle, thetas).sum() > begun


def test_in_the_game_it_is_the_same_over_all_its_actions(compile_quickly, built):
    thetas, keys, states, memories = built
    anchor = builder.make(GAME)
    human = PiKL(anchor, SHAPE, GAME.num_kinds, GAME.reach, jnp.float32(0.8))
    people = jax.vmap(anchor.init)(keys)
    found = choose(human, thetas, states, memories._replace(anchor=people))
    for at in range(len(keys)):
        policy, before, values, legal = jax.tree.map(lambda leaf, at=at: leaf[at], found[:4])
        exact = brute_force(before, values, legal, np.float64(np.float32(0.8)), GAME.num_kinds)
        np.testing.assert_allclose(chances(policy, legal, GAME.num_kinds), exact, rtol=1e-3, atol=1e-7)
        assert len(exact) == GAME.num_actions[HUMAN]


def settled(before, ahead, rationality):
    """The V that is what its own Q makes of it: the definition, one number an action, over and over."""
    value = float(ahead.best)
    if before[PASS] == 1.0:
        return 0.0  # put off for ever
    for _ in range(300):
        q = flat_values(action_values(ahead, jnp.float32(value)))[1:]
        acting = 1.0 - before[PASS]
        gained = np.log((before[1:] / acting) @ np.exp(rationality * (q - q.max()))) / rationality + q.max()
        value = before[PASS] * HASTE * value + acting * gained
    return value


def test_a_turn_is_worth_what_acting_like_this_makes_of_it(built):
    thetas, keys, states, memories = built
    anchor = builder.make(GAME)
    human = PiKL(anchor, SHAPE, GAME.num_kinds, GAME.reach, jnp.float32(0.8))
    memories = memories._replace(anchor=jax.vmap(anchor.init)(keys))
    _, before, _, legal, ahead, value = choose(human, thetas, states, memories)
    less = []
    for at in range(len(keys)):
        h, may, leads_to = jax.tree.map(lambda leaf, at=at: leaf[at], (before, legal, ahead))
        exact = settled(chances(h, may, GAME.num_kinds), leads_to, 0.8)
        assert abs(value[at] - exact) < 2.0 * leads_to.best / 2**HALVINGS + 1e-3
        less.append(leads_to.best - exact)
    assert max(less) > 0.1  # the planner's own would not do


def shut_out(human, num_people=16):
    """Of some people before a house that stands but for a block in its middle, how many put that in."""
    theta = bare_ground(SHAPE).at[2:6, 2:5, 2:6].set(6)
    keys = jax.random.split(jax.random.key(int(RNG.integers(1 << 30))), num_people)
    starts = jax.vmap(GAME.init)(keys)
    starts = starts._replace(blocks=starts.blocks.at[:].set(theta.at[3, 3, 3].set(AIR)))
    states, _ = play_from(human, jnp.broadcast_to(theta, starts.blocks.shape), starts, keys, 120)
    return int((states.blocks[:, 3, 3, 3] == 6).sum())


def test_shut_out_by_habit_it_breaks_in(monkeypatch):
    human = mind(Anyone(hesitation=6.0), 4.0)
    assert shut_out(human) >= 14
    monkeypatch.setattr("tacit.humans.pikl.turn_value", lambda anchor, ahead, legal, rationality: ahead.best)
    jax.clear_caches()
    assert shut_out(human) <= 8


def test_it_feels_as_its_anchor_does():
    human = mind(Anyone(), 1.0)

    @jax.jit
    def feel(key):
        return human.feel(human.init(key), GAME.observe(GAME.init(key))[HUMAN], jnp.zeros(()))

    assert feel(jax.random.key(0)).anchor == 100

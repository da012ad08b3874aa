"""What the search imagines is what would happen, and what it expects to earn is the mean over all houses."""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.app.cast import cast
from tacit.assistants import greedy
from tacit.assistants.assistancezero import AssistanceZero, Foresight, Skill, load_skill
from tacit.core import ASSISTANT, HUMAN
from tacit.games import building_small
from tacit.games.building.actions import certain, first_choice, first_choices, num_actions
from tacit.games.building.game import Edits, similarity
from tacit.games.building.hand import earned, hand
from tacit.humans import builder
from tacit.learning.networks import CounselNetwork
from tacit.planning.tree_policies import Gumbel
from tacit.planning.tree_search import Config
from tacit.storage import save_weights, shipped

RNG = np.random.default_rng()
GAME = building_small.make()
HUMAN_PLAYER = builder.make(GAME)
READER = greedy.make(GAME, HUMAN_PLAYER)
SKILL = Skill(CounselNetwork(READER.skill.network, jax.random.key(0)), READER.skill.threshold)
MODEL = Foresight(GAME, SKILL, 16)
SEARCHER = AssistanceZero(MODEL, Gumbel(scale=0.0), Config(8, max_depth=3))


@pytest.fixture(autouse=True, scope="module")
def compile_quickly() -> Iterator[None]:
    """Little is played here and much compiled."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@eqx.filter_jit
def turn(theta, state, person, memory, key):
    """A turn with the searcher: what was known, what the search found, both actions, and what came of them."""
    human_key, assistant_key, think_key = jax.random.split(key, 3)
    sees = GAME.observe(state)[ASSISTANT]
    wish, person = HUMAN_PLAYER.logits(theta, person, sees, think_key)
    human = GAME.sample(wish, sees.legal[HUMAN], human_key)
    help_, memory = SEARCHER.logits(memory, sees, think_key)
    found = SEARCHER.consider(memory, think_key)
    action = GAME.sample(help_, sees.legal[ASSISTANT], assistant_key)
    after = GAME.step(state, jnp.stack([human, action]), key)
    imagined = MODEL.expand(MODEL.look(sees, memory.history, memory.belief.evidence).embedding, action, human)
    return after, person, memory, found, jnp.stack([human, action]), imagined


@pytest.fixture(scope="module")
def played():
    """Some turns of an episode."""
    key = jax.random.key(int(RNG.integers(1 << 30)))
    theta, state = GAME.sample_theta(key), GAME.init(key)
    person, memory = HUMAN_PLAYER.init(key), SEARCHER.init(key)
    turns = []
    for number in range(24):
        state, person, memory, *rest = turn(theta, state, person, memory, jax.random.fold_in(key, number))
        turns.append((state, memory, *rest))
    return theta, turns


def test_what_is_imagined_is_what_is_then_believed(played):
    """A node's world and belief are those of the real turn with the same actions, read by the assistant itself."""
    _, turns = played
    read = eqx.filter_jit(lambda memory, state: READER.read(memory, GAME.observe(state)[ASSISTANT]))
    moved = 0
    for state, memory, _, _, imagined in turns:
        node = imagined.embedding
        assert (node.seen.blocks == state.blocks).all()
        assert (node.seen.feet == state.feet).all()
        known = read(memory, state)
        # A correction is evidence that outlasts the network's reading; a node keeps that of its root alone.
        if (known.belief.evidence == memory.belief.evidence).all():
            now, then = known.belief.probabilities, memory.belief.probabilities
            np.testing.assert_allclose(node.belief.astype(jnp.float32), now, atol=2e-3)
            moved += float(jnp.abs(now - then).max()) > 0.05
    assert moved > 3, "the belief moves from turn to turn, so that the wrong one would be noticed"


def test_it_does_what_the_search_ends_on(played):
    for _, _, found, actions, _ in played[1]:
        assert int(found.action[0]) == int(actions[ASSISTANT])


def test_untrained_it_first_tries_what_the_greedy_hand_would_do(played):
    @eqx.filter_jit
    def both(belief, state):
        seen = GAME.observe(state)[ASSISTANT]
        hands = first_choices(hand(seen, belief, SKILL.threshold, ASSISTANT), seen.legal[ASSISTANT])
        return MODEL.prior(belief, seen), hands

    theta, turns = played
    done = set()
    for state, memory, *_ in turns:
        for share in (0.0, 0.5, 0.9):
            half_told = share * jax.nn.one_hot(theta, GAME.num_kinds) + (1.0 - share) * memory.belief.probabilities
            prior, hands = both(half_told, state)
            assert hands[jnp.argmax(prior)] == hands.max()
            done.add(int(jnp.argmax(prior)))
    assert len(done) > 2, "it does one thing here and another there"


def test_without_targets_no_step_is_likelier_than_another(played):
    aimless = Foresight(GAME, SKILL, 16, targets=False)
    both = eqx.filter_jit(
        lambda belief, state: [model.prior(belief, GAME.observe(state)[ASSISTANT]) for model in (aimless, MODEL)]
    )
    theta, turns = played
    apart = 0
    for state, memory, *_ in turns:
        half_told = 0.9 * jax.nn.one_hot(theta, GAME.num_kinds) + 0.1 * memory.belief.probabilities
        without, usual = map(np.asarray, both(half_told, state))
        np.testing.assert_array_equal(without[:-6], usual[:-6])
        assert len(set(without[-6:]) - {-np.inf}) <= 1
        apart += (without != usual).any()
    assert apart > 3


def test_compressed_beliefs_take_half_the_room_and_say_nearly_the_same(played):
    whole = Foresight(GAME, SKILL, 16, compressed=False)

    @eqx.filter_jit
    def both(knows):
        return [model.look(knows.last, knows.history, knows.belief.evidence).embedding for model in (MODEL, whole)]

    for _, memory, *_ in played[1][::6]:
        halved, node = both(memory)
        for part in ("belief", "evidence"):
            small, large = getattr(halved, part), getattr(node, part)
            assert 2 * small.nbytes == large.nbytes
            np.testing.assert_allclose(small.astype(jnp.float32), large, rtol=1e-3, atol=1e-6)


def test_told_the_house_it_builds_it():
    key = jax.random.key(int(RNG.integers(1 << 30)))
    theta, state = GAME.sample_theta(key), GAME.init(key)
    person = HUMAN_PLAYER.init(key)
    memory = SEARCHER.tell(SEARCHER.init(key), 50.0 * jax.nn.one_hot(theta, GAME.num_kinds))
    gained = []
    for number in range(24):
        state, person, memory, *_ = turn(theta, state, person, memory, jax.random.fold_in(key, number))
        gained.append(float(GAME.reward(theta, state, state.last_actions, state)[ASSISTANT]))
    assert min(gained) >= 0.0, "it does no harm"
    assert sum(gained) >= 8.0


def test_what_an_edit_earns_is_the_mean_over_houses():
    cells, kinds = 12, GAME.num_kinds
    for _ in range(20):
        belief = RNG.dirichlet(np.full(kinds, 0.4), cells)
        edits = Edits(
            jnp.asarray(RNG.integers(-1, cells, 2), jnp.int32),
            *(jnp.asarray(RNG.integers(0, kinds, 2), jnp.int8) for _ in range(2)),
        )
        found = earned(edits, jnp.asarray(belief, jnp.float32))
        for player in (HUMAN, ASSISTANT):
            cell = int(edits.cell[player])
            goals = jnp.arange(kinds, dtype=jnp.int8)
            before, after = (jnp.full(kinds, kind[player], jnp.int8) for kind in (edits.before, edits.after))
            gains = np.asarray(similarity(after, goals) - similarity(before, goals))
            exact = 0.0 if cell < 0 else float((belief[cell] * gains).sum())
            assert float(found[player]) == pytest.approx(exact, abs=1e-5)


def test_the_last_turn_is_followed_by_nothing(played):
    state, memory = played[1][-1][:2]
    late = GAME.observe(state)[ASSISTANT]._replace(time=jnp.int32(GAME.horizon - 1))
    nothing = jnp.zeros((*GAME.shape, GAME.num_kinds))

    @jax.jit
    def discounts(seen):
        node = MODEL.look(seen, memory.history, nothing)
        return node.discount, MODEL.expand(node.embedding, jnp.int32(0), jnp.int32(0)).discount

    before, after = discounts(late)
    assert float(before) == pytest.approx(GAME.discount)
    assert float(after) == 0.0


def test_what_is_not_recalled_is_not_seen(played):
    """Nor in the search: without a past the same moment is read as one without a past."""
    memory = played[1][-1][1]
    nothing = jax.tree.map(jnp.zeros_like, memory.history)
    forgetful = Foresight(GAME, SKILL, recall=lambda past: jax.tree.map(jnp.zeros_like, past))
    read = eqx.filter_jit(lambda model, past: model.glance(memory.last, past).belief)
    np.testing.assert_array_equal(read(forgetful, memory.history), read(MODEL, nothing))
    assert float(jnp.abs(read(MODEL, memory.history) - read(MODEL, nothing)).max()) > 0.05


def test_it_plays_with_weights_from_a_file(tmp_path):
    bias = SKILL.network.value_head.bias + RNG.normal()
    skill = Skill(eqx.tree_at(lambda net: net.value_head.bias, SKILL.network, bias), SKILL.threshold)
    save_weights(tmp_path / "learned.safetensors", skill, {"name": "assistancezero-small"})
    found = cast("building-small", "builder", f"assistancezero={tmp_path / 'learned.safetensors'}").assistant
    assert eqx.tree_equal(found.foresight.skill, skill)
    trained = load_skill(GAME, shipped("assistancezero-small"))
    assert eqx.tree_equal(cast("building-small", "builder", "assistancezero").assistant.foresight.skill, trained)
    assert float(jnp.abs(trained.network.value_head.weight).max()) > 0.0
    assert not eqx.tree_equal(trained.network.voxels, SKILL.network.voxels)
    with pytest.raises(ValueError, match="belief-small"):
        cast("building-small", "builder", f"assistancezero={shipped('belief-small')}")


def test_an_action_alone_is_what_is_drawn():
    count = num_actions(GAME.num_kinds, GAME.num_cells)
    placeable = RNG.integers(1 + 2 * GAME.num_cells, count, 30)
    actions = jnp.asarray([0, count - 1, count - 7, *placeable], jnp.int32)
    legal = jax.tree.map(jnp.ones_like, GAME.legal(GAME.init(jax.random.key(0)))[ASSISTANT])

    @jax.jit
    @jax.vmap
    def draw(action, key):
        return GAME.sample(certain(action, GAME.num_kinds, GAME.num_cells), legal, key)

    assert (draw(actions, jax.random.split(jax.random.key(1), len(actions))) == actions).all()
    choices = np.asarray(first_choice(actions, GAME.num_kinds, GAME.num_cells))
    num = GAME.num_cells
    for action, choice in zip(np.asarray(actions).tolist(), choices.tolist(), strict=True):
        if action == 0:
            assert choice == 0
        elif action < 1 + GAME.num_kinds * num:
            assert choice == 1 + (action - 1) % num
        else:
            assert choice == 1 + num + action - 1 - GAME.num_kinds * num

"""What AssistanceZero's rivals are shown, what they try, what they then do, and that each can be trained."""

import dataclasses
import json
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.app import cli
from tacit.app.cast import cast
from tacit.assistants import greedy
from tacit.assistants.assistancezero import Foresight, Skill, advised, load_skill
from tacit.assistants.intuition import Intuition
from tacit.core import ASSISTANT, HUMAN
from tacit.games import building_small
from tacit.games.building import history
from tacit.games.building.actions import first_choices, flatten
from tacit.games.building.game import Edits, State
from tacit.humans import builder
from tacit.learning.counsel import flat
from tacit.learning.goals import seen
from tacit.learning.networks import CounselNetwork
from tacit.learning.ppo import log_probs, taken
from tacit.recipes import ppo, pretrained, sft
from tacit.recipes.belief_small import HelpedBuilding, World
from tacit.recipes.ppo import TriedBuilding
from tacit.recipes.pretrained import Bystander, ShownBuilding, exchanged
from tacit.storage import about_weights, save_weights, shipped

GAME = building_small.make()
PERSON = builder.make(GAME)
READER = greedy.load_skill(GAME, shipped("belief-small"))
BLANK = CounselNetwork(READER.network, jax.random.key(0))
SCHEDULE = {
    "num_rounds": 1,
    "num_updates": 2,
    "num_kept": 1,
    "num_worlds": 5,
    "num_held_out": 1,
    "batch": 8,
    "warm_up": 1,
    "num_threads": 1,
}


@pytest.fixture(autouse=True, scope="module")
def compile_quickly() -> Iterator[None]:
    """Little is played here and much compiled."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def opinionated(rng: np.random.Generator) -> CounselNetwork:
    """A network whose policy and value heads say something."""
    heads = ("policy_head", "rest_head", "value_head")
    return eqx.tree_at(
        lambda net: [getattr(net, head).weight for head in heads],
        BLANK,
        [jnp.asarray(0.1 * rng.normal(size=getattr(BLANK, head).weight.shape), jnp.float32) for head in heads],
    )


def anywhere(rng: np.random.Generator) -> State:
    """A world in which anything may have happened."""
    state = GAME.init(jax.random.key(int(rng.integers(1 << 30))))
    mess = (rng.random(GAME.shape) < 0.15) & (np.asarray(state.blocks) == 0)
    mess[tuple(np.asarray(state.feet).T)] = False
    edits = Edits(
        jnp.asarray(rng.integers(-1, GAME.num_cells, 2), jnp.int32),
        *(jnp.asarray(rng.integers(0, GAME.num_kinds, 2), jnp.int8) for _ in range(2)),
    )
    return state._replace(
        blocks=jnp.asarray(np.where(mess, rng.integers(2, GAME.num_kinds, GAME.shape), state.blocks), jnp.int8),
        touched=jnp.asarray(rng.integers(0, 3, GAME.shape), jnp.int8),
        edits=edits,
        last_actions=jnp.asarray(rng.integers(0, 100, 2), jnp.int32),
        effective=jnp.asarray([True, False]),
    )


def test_in_the_others_place_one_sees_what_they_would_see(rng):
    """The observation of the world in which the two have changed places, found by the game itself."""
    observe = eqx.filter_jit(GAME.observe)
    for _ in range(5):
        state = anywhere(rng)
        other = state._replace(
            touched=jnp.asarray(np.array([0, 2, 1], np.int8)[np.asarray(state.touched)]),
            feet=state.feet[::-1],
            edits=Edits(*(leaf[::-1] for leaf in state.edits)),
            last_actions=state.last_actions[::-1],
            effective=state.effective[::-1],
        )
        sees = observe(state)[ASSISTANT]
        assert eqx.tree_equal(exchanged(sees), observe(other)[HUMAN])
        assert not eqx.tree_equal(exchanged(sees), sees)


@pytest.mark.slow
def test_people_alone_build_from_the_assistants_place(rng):
    """All that is built is theirs and right; the lesson is what they did, and they might."""
    helped = HelpedBuilding(game=GAME, human=Bystander(GAME.num_kinds), unhelped=0.0)
    source = ShownBuilding(helped=helped, teacher=PERSON, threshold=READER.threshold, num_moments=16)
    key = jax.random.key(int(rng.integers(1 << 30)))
    begun = source.begin(4, key)
    begun = begun._replace(world=begun.world._replace(last_turn=jnp.full(4, GAME.horizon)))
    after, lessons = eqx.filter_jit(lambda worlds: source.collect(worlds, BLANK, key))(begun)
    state = after.world.state
    assert (state.time == 16 * source.every).all()
    built = (np.asarray(state.touched) == ASSISTANT + 1) & (np.asarray(state.blocks) != 0)
    assert (built.sum((1, 2, 3)) > 0).all()
    assert built.sum() > 30
    assert (np.asarray(state.touched) != HUMAN + 1).all()
    right = np.asarray(state.blocks) == np.asarray(after.world.house)
    assert right[built].mean() > 0.8
    improved, prior = (np.asarray(flat(merged(leaf)), np.float64) for leaf in (lessons.improved, lessons.prior))
    np.testing.assert_array_equal(np.sort(improved, 1)[:, -2:], np.broadcast_to([0.0, 1.0], (len(improved), 2)))
    assert (prior[improved > 0] > -np.inf).all(), "only what is legal is done"
    assert (lessons.moment.rest | lessons.moment.move.any(-1)).all(), "a bystander rests or steps aside"


def merged(leaves):
    """Lessons of worlds and times in one row."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), leaves)


@pytest.mark.slow
def test_what_was_tried_is_what_the_policy_would_try(rng):
    """Read back from the lessons, the network gives each turn the probability that it was tried with."""
    network = opinionated(rng)
    helped = HelpedBuilding(game=GAME, human=PERSON, unhelped=0.0)
    source = TriedBuilding(helped=helped, threshold=READER.threshold, trace=0.95, own=1.0, num_moments=8)
    key = jax.random.key(int(rng.integers(1 << 30)))
    collect = eqx.filter_jit(lambda worlds: source.collect(worlds, network, key))
    worlds, tried = collect(source.begin(4, key)._replace(last_turn=jnp.full(4, 3, jnp.int32)))
    assert (worlds.state.time == 8).all(), "nothing is cut within a round, as if it had ended there"
    assert (collect(worlds)[0].state.time == 8).all(), "but before the next"
    tried = merged(tried)
    again = taken(log_probs(network(*seen(tried.lesson.moment)), tried.lesson), tried.lesson)
    # What was seen is kept in steps of 1 / 64.
    np.testing.assert_allclose(again, tried.log_prob, atol=0.05)
    wrong = taken(log_probs(BLANK(*seen(tried.lesson.moment)), tried.lesson), tried.lesson)
    assert np.abs(np.asarray(wrong - tried.log_prob)).max() > 0.1
    assert float(tried.advantage.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(tried.advantage.std()) == pytest.approx(1.0, abs=1e-2)


def test_the_reward_is_ones_own_or_shared(rng):
    """Of edits that both players made, somewhere to the good and somewhere not."""
    helped = HelpedBuilding(game=GAME, human=PERSON)

    def earned(house, state):
        world = World(house, state, None, None, jnp.zeros(()), jnp.int32(0))
        return helped.earned(world, world)

    houses = rng.integers(0, GAME.num_kinds, (40, *GAME.shape)).astype(np.int8)
    parts = np.array([eqx.filter_jit(earned)(jnp.asarray(house), anywhere(rng)) for house in houses])
    assert (parts[:, ASSISTANT] * parts[:, HUMAN] != 0.0).any(), "both did something that counts"
    for own in (1.0, 0.0, 0.3):
        source = TriedBuilding(helped=helped, threshold=READER.threshold, trace=0.95, own=own)
        found = jax.vmap(source.reward)(jnp.asarray(parts))
        np.testing.assert_allclose(found, own * parts[:, ASSISTANT] + (1 - own) * parts.sum(1), atol=1e-6)


def test_without_a_search_it_does_what_comes_to_mind(rng):
    """The prior of the search and the policy head's advice, sharpened; kinds as sure as the belief is."""
    skill = Skill(opinionated(rng), READER.threshold)
    mind = Intuition(GAME, skill)

    @eqx.filter_jit
    def asked(key, state):
        sees = GAME.observe(state)[ASSISTANT]
        logits, memory = mind.logits(mind.init(key), sees, key)
        said = skill.network(*history.view(memory.history, sees))
        prior = first_choices(
            Foresight(GAME, skill, 16).promise(memory.belief.probabilities, sees), sees.legal[ASSISTANT]
        )
        few = Intuition(GAME, skill, num_candidates=16).logits(mind.init(key), sees, key)[0]
        choices = [first_choices(some, sees.legal[ASSISTANT]) for some in (logits, few)]
        return choices, prior + advised(said), flatten(logits), memory

    (found, few), at_one, every, memory = asked(jax.random.key(1), anywhere(rng))
    considered = np.flatnonzero(few > -np.inf)
    assert len(considered) == 16
    assert np.asarray(at_one)[considered].min() >= np.delete(at_one, considered).max()
    np.testing.assert_array_equal(few[considered], found[considered])
    some = np.isfinite(np.asarray(at_one))
    assert 1 < some.sum() < len(some)
    exact = np.asarray(at_one, np.float64)[some] / 0.3
    exact = np.exp(exact - exact.max())
    p = np.asarray(jax.nn.softmax(found))
    np.testing.assert_allclose(p[some], exact / exact.sum(), atol=1e-4)
    assert (p[~some] == 0.0).all()
    kinds = np.asarray(every)[1 + 2 * GAME.num_cells : 1 + GAME.num_kinds * GAME.num_cells].reshape(-1, GAME.num_cells)
    best = np.asarray(memory.belief.probabilities).reshape(GAME.num_cells, -1)[:, 2:].argmax(-1)
    may = kinds.max(0) > -np.inf
    assert may.sum() > 10
    assert (kinds.argmax(0) == best)[may].all()


def trained(monkeypatch, capsys, out, recipe, name):
    """What is said of a recipe's training in this folder, and the numbers of its only round."""
    monkeypatch.setattr(recipe, "make", lambda data: made(recipe, data))
    assert cli.main(["train", name, "--out", str(out), "--json"]) == 0
    capsys.readouterr()
    (line,) = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return about_weights(out / f"{name}.safetensors"), json.loads(line)["numbers"]


def made(recipe, data):
    """The recipe's trainer with as little as can be, its trial left out."""
    config = recipe.Config(**SCHEDULE)
    full = recipe.trainer(config, sft.start(data)) if recipe is sft else recipe.trainer(config)
    keep = full.finish.threshold
    source = dataclasses.replace(full.source, num_moments=2)
    return dataclasses.replace(full, source=source, finish=lambda network: (Skill(network, keep), {}))


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "told"), [(pretrained, "policy"), (sft, "policy"), (ppo, "entropy")])
def test_each_can_be_trained(monkeypatch, tmp_path, capsys, recipe, told):
    name = recipe.__name__.rpartition(".")[2]
    about, numbers = trained(monkeypatch, capsys, tmp_path / "run", recipe, name)
    assert about["config"]["num_worlds"] == SCHEDULE["num_worlds"]
    assert 0.0 < numbers[told] < np.log(2 * GAME.num_cells + 7), "no surer and no less sure than it can be"
    assert 0.0 < numbers["held_out_air"] < np.log(GAME.num_kinds)
    learned = load_skill(GAME, tmp_path / "run" / f"{name}.safetensors").network
    for part in ("voxels", "policy_head"):
        assert not eqx.tree_equal(getattr(learned, part), getattr(BLANK, part)), f"{part} has learned nothing"


def test_fine_tuning_goes_on_from_what_was_learned_before(rng, tmp_path):
    skill = Skill(opinionated(rng), READER.threshold)
    save_weights(tmp_path / "pretrained.safetensors", skill, {"name": "pretrained"})
    assert eqx.tree_equal(sft.start(tmp_path / "pretrained.safetensors"), skill.network)
    assert eqx.tree_equal(sft.start(None), BLANK)


def test_weights_of_something_else_are_refused():
    with pytest.raises(ValueError, match="belief-small"):
        sft.start(shipped("belief-small"))


@pytest.mark.parametrize("name", ["ppo", "pretrained", "sft"])
def test_who_learned_without_a_search_plays_without_one(name, rng, tmp_path):
    """With the weights that come with tacit, or with others, and never with those of the belief alone."""
    skill = Skill(opinionated(rng), READER.threshold)
    save_weights(tmp_path / "mine.safetensors", skill, {"name": name})
    mine = cast("building-small", "builder", f"{name}={tmp_path / 'mine.safetensors'}").assistant
    assert isinstance(mine, Intuition)
    assert eqx.tree_equal(mine.skill, skill)
    usual = cast("building-small", "builder", name).assistant
    assert eqx.tree_equal(usual.skill, load_skill(GAME, shipped(name)))
    assert float(jnp.abs(usual.skill.network.policy_head.weight).max()) > 0.0
    with pytest.raises(ValueError, match="belief-small"):
        cast("building-small", "builder", f"{name}={shipped('belief-small')}")

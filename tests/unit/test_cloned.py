"""The cloned human: told from where they stand, whatever the materials; what is there to be learned is learned."""

from collections.abc import Iterator
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.app.cast import trained
from tacit.assistants import none
from tacit.core import HUMAN
from tacit.games import building_small, chef_world
from tacit.games.building.actions import BREAK, DIRECTIONS, MOVE, PLACE, Action, encode, first_choices
from tacit.games.building.blocks import AIR, BEDROCK, DIRT, FIRST_PLACEABLE
from tacit.games.building.checking import RecordedHouses
from tacit.games.building.game import ABSENT, BuildingGame, Edits, State
from tacit.games.building.recorded import knows_house, states
from tacit.games.building.recordings import load_recordings
from tacit.humans import builder, cloned, situation
from tacit.humans.demonstrations import SIZES, Told, demonstrations, tell, weights
from tacit.humans.past import nothing_yet
from tacit.humans.persona import draw_persona
from tacit.learning.cloning import Cloning, Config, cross_entropy
from tacit.learning.training import train
from tacit.play import play
from tacit.storage import about_weights, save_weights, shipped

RNG = np.random.default_rng()
SHAPE, REACH, M = (15, 6, 15), 2.5, 7
LOW, HIGH = 5, 10
"""The part of the world along x and z in which something is: far from the edges, even when moved by 2."""
DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "mbag_human"


@pytest.fixture(autouse=True, scope="module")
def compile_quickly() -> Iterator[None]:
    """Little is computed here and much compiled."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def bare():
    blocks = np.full(SHAPE, AIR, np.int8)
    blocks[:, 0], blocks[:, 1] = BEDROCK, DIRT
    return blocks


def draw_world():
    """A house, a state of a half-built world with a partner, and a past, all drawn within the inner part."""
    inner = (slice(LOW, HIGH), slice(1, 5), slice(LOW, HIGH))
    house, blocks = bare(), bare()
    size = house[inner].shape
    house[inner] = np.where(RNG.random(size) < 0.5, RNG.integers(FIRST_PLACEABLE, M, size), AIR)
    built = RNG.random(size) < 0.4
    blocks[inner] = np.where(
        built, np.where(RNG.random(size) < 0.2, RNG.integers(DIRT, M, size), house[inner]), blocks[inner]
    )
    feet = np.array([[x, y, z] for x in range(LOW, HIGH) for y in (2, 3) for z in range(LOW, HIGH)])
    feet = feet[RNG.permutation(len(feet))]
    apart = next(one for one in feet if abs(one - feet[0]).max() > 1)
    for x, y, z in (feet[0], apart):
        blocks[x, y : y + 2, z] = AIR
    cell = RNG.integers(LOW, HIGH, 3)
    cell[1] = 4
    what = int(RNG.choice([PLACE, BREAK, MOVE]))
    return house, blocks, np.stack([feet[0], apart]), cell, what, int(RNG.integers(FIRST_PLACEABLE, M))


def compose(world, shift=(0, 0), names=None):
    """The world as theta, state and past: moved aside and with its materials renamed."""
    house, blocks, feet, cell, what, kind = world
    names = np.arange(M) if names is None else names
    by = np.array([shift[0], 0, shift[1]])
    house, blocks = (names[np.roll(grid, shift, (0, 2))].astype(np.int8) for grid in (house, blocks))
    feet, cell, kind = feet + by, cell + by, names[kind]
    index = int(np.ravel_multi_index(tuple(cell), SHAPE))
    edited = what != MOVE
    parts = (what, index if edited else 0, kind if what == PLACE else 0, 3 if what == MOVE else 0)
    action = encode(Action(*(jnp.int32(part) for part in parts)), M, int(np.prod(SHAPE)))
    before, after = (kind, AIR) if what == BREAK else (AIR, kind)
    before, after = (jnp.array([one if edited else 0, 0], jnp.int8) for one in (before, after))
    state = State(
        jnp.asarray(blocks),
        jnp.zeros(SHAPE, jnp.int8),
        jnp.asarray(feet, jnp.int32),
        Edits(jnp.array([index if edited else -1, -1], jnp.int32), before, after),
        jnp.stack([action, jnp.int32(0)]).astype(jnp.int32),
        jnp.array([True, False]),
        jnp.int32(7),
    )
    past = nothing_yet(SHAPE)
    notes = past.notes._replace(last_cell=jnp.asarray(cell - np.array([1, 0, 1]), jnp.int32), last_kind=jnp.int8(kind))
    rng = np.random.default_rng(3)
    past = past._replace(
        notes=notes,
        last=jnp.int32(1),
        follows=jnp.asarray(rng.uniform(0, 9, (6, 6)), jnp.float32),
        heading=jnp.asarray(rng.uniform(0, 0.3, 6), jnp.float32),
        line=jnp.array([1, 0, 0], jnp.int32),
    )
    return jnp.asarray(house), past, state


GAME = BuildingGame(RecordedHouses(jnp.asarray(bare())[None]), SHAPE, M, REACH, horizon=9)


def judge():
    """Logits of a person with random networks, compiled anew."""
    human = cloned.make(GAME)
    drawn = lambda leaf: jnp.asarray(RNG.normal(0, 0.3, leaf.shape), jnp.float32)  # noqa: E731
    chooser = eqx.tree_at(
        lambda c: [leaf for one in (c.first, *c.others) for leaf in (one.direct.weight, one.out.weight, one.out.bias)],
        human.chooser,
        replace_fn=drawn,
    )
    human = eqx.tree_at(lambda h: h.chooser, human, chooser)

    @eqx.filter_jit
    def run(human, theta, past, state):
        sees = GAME.observe(state)[HUMAN]
        return human.logits(theta, past, sees, jax.random.key(0))[0], sees.legal[HUMAN]

    return lambda *situation: run(human, *situation)


@pytest.fixture(scope="module")
def whole():
    return judge()


@pytest.fixture(scope="module")
def broken():
    """The same told of absolute places and of the materials' numbers."""
    with pytest.MonkeyPatch.context() as patch:
        cells, kinds = situation.of_cells, situation.of_kinds
        patch.setattr(
            situation,
            "of_cells",
            lambda site: cells(site).at[:, 0].add(jnp.sin(situation.cells_of(site.goal)[:, 0].astype(jnp.float32))),
        )
        patch.setattr(
            situation,
            "of_kinds",
            lambda site, count: kinds(site, count) + 0.1 * jnp.arange(count, dtype=jnp.float32)[None, :, None],
        )
        found = judge()
        found(*compose(draw_world()))
        yield found


def moved_alike(run):
    """Whether moving the world aside moves the choices."""
    world, shift = draw_world(), tuple(RNG.integers(1, 3, 2) * RNG.choice([-1, 1], 2))
    (one, offered), (other, also) = run(*compose(world)), run(*compose(world, shift))
    place, remove = (
        np.roll(np.asarray(group).reshape(SHAPE), shift, (0, 2)) for group in (offered.place, offered.remove)
    )
    assert (place == np.asarray(also.place).reshape(SHAPE)).all()
    assert (remove == np.asarray(also.remove).reshape(SHAPE)).all()
    assert (np.asarray(offered.move) == np.asarray(also.move)).all()
    if place.sum() <= 3:  # hardly anything is on offer here: draw another world
        return moved_alike(run)
    expected, found = np.asarray(first_choices(one, offered)), np.asarray(first_choices(other, also))
    count = place.size
    rolled = [
        np.roll(expected[1 + i * count : 1 + (i + 1) * count].reshape(SHAPE), shift, (0, 2)).reshape(-1) for i in (0, 1)
    ]
    return np.allclose(np.concatenate([expected[:1], *rolled, expected[1 + 2 * count :]]), found, rtol=1e-3, atol=1e-3)


def renamed_alike(run):
    """Whether renaming the materials renames the choices."""
    world = draw_world()
    names = np.concatenate([[AIR, BEDROCK], FIRST_PLACEABLE + RNG.permutation(M - FIRST_PLACEABLE)])
    (one, offered), (other, also) = run(*compose(world)), run(*compose(world, names=names))
    first = np.allclose(first_choices(one, offered), first_choices(other, also), rtol=1e-3, atol=1e-3)
    there = np.asarray(offered.place)
    kinds = [np.asarray(jax.nn.log_softmax(logits.kind[:, FIRST_PLACEABLE:]))[there] for logits in (one, other)]
    return first and np.allclose(kinds[0], kinds[1][:, names[FIRST_PLACEABLE:] - FIRST_PLACEABLE], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("number", range(6))
def test_a_world_moved_aside_looks_the_same(whole, number):
    del number
    assert moved_alike(whole)


@pytest.mark.parametrize("number", range(6))
def test_renamed_materials_look_the_same(whole, number):
    del number
    assert renamed_alike(whole)


def test_absolute_places_and_names_are_noticed(broken):
    assert not all(moved_alike(broken) for _ in range(4))
    assert not all(renamed_alike(broken) for _ in range(4))


def test_choices_are_a_distribution(whole):
    logits, legal = whole(*compose(draw_world()))
    assert float(jnp.exp(first_choices(logits, legal)).sum()) == pytest.approx(1.0, abs=1e-4)


def test_only_the_building_game():
    with pytest.raises(ValueError, match=r"^The human 'cloned' plays the building game only, not"):
        cloned.make(chef_world.make())


def test_weights_of_something_else_are_refused():
    other = Path(cloned.__file__).parents[1] / "weights" / "belief-small.safetensors"
    with pytest.raises(ValueError, match="does not fit"):
        cloned.make(GAME, other)


@pytest.mark.parametrize("name", ["cloned", "pikl"])
def test_weights_that_are_not_there_are_missed_in_one_sentence(name, tmp_path):
    missing = tmp_path / "nobody.safetensors"
    with pytest.raises(ValueError, match=r"nobody\.safetensors") as refusal:
        trained("tacit.humans", f"{name}={missing}")(GAME)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith(".")


def test_weights_given_by_name_are_those_that_are_used(tmp_path):
    usual = cloned.make(GAME).chooser
    other = eqx.tree_at(lambda c: c.inertia, usual, usual.inertia + 1.0)
    save_weights(tmp_path / "other.safetensors", other, {})
    for name, chooser in (("cloned", lambda human: human.chooser), ("pikl", lambda human: human.anchor.chooser)):
        human = trained("tacit.humans", f"{name}={tmp_path / 'other.safetensors'}")(GAME)
        assert float(chooser(human).inertia) == float(other.inertia) != float(usual.inertia)


def test_the_recordings_are_attributed_beside_the_weights():
    file = shipped(cloned.WEIGHTS)
    card = " ".join(file.with_suffix(".md").read_text("utf-8").split())
    for said in ("Laidlaw et al. 2025", "arXiv 2504.07091", "MIT", "minecraft-building-assistance-game"):
        assert said in card
    assert about_weights(file)["command"] in card


PERSON = draw_persona(jax.random.key(5))
"""Somebody whom the test makes up."""


class Someone(builder.Builder):
    """A builder who is always the same person."""

    def init(self, key):
        return super().init(key)._replace(persona=PERSON)


@pytest.fixture(scope="module")
def recorded_by_us():
    """Episodes of somebody whose probabilities we know: in a chooser's terms, and the true log-probabilities."""
    jax.config.update("jax_disable_most_optimizations", False)
    game = building_small.make("train", horizon=128).alone()
    person = Someone(game.shape, game.num_kinds, game.reach)

    @eqx.filter_jit
    def record(keys):
        def one(key):
            theta_key, play_key = jax.random.split(key)
            theta = game.sample_theta(theta_key)
            episode = play(game, person, none.make(game, person), theta, play_key)
            before = jax.tree.map(lambda leaf: leaf[:-1], episode.states)

            def look(memory, now):
                state, action = now
                sees = game.observe(state)[HUMAN]
                logits, memory = person.logits(theta, memory, sees, play_key)
                return memory, game.log_prob(logits, sees.legal[HUMAN], action)

            _, true = jax.lax.scan(look, person.init(play_key), (before, episode.actions[:, HUMAN]))
            return theta, before, episode.actions[:, HUMAN], episode.active, true

        return jax.vmap(one)(keys)

    thetas, befores, actions, active, true = record(jax.random.split(jax.random.key(int(RNG.integers(1 << 30))), 30))
    told, log_probs = [], []
    for number in range(len(thetas)):
        count = int(active[number].sum())
        before = jax.tree.map(lambda leaf, n=number, c=count: leaf[n][:c], befores)
        told.append(tell(game, thetas[number], before, np.asarray(actions[number][:count]), number))
        log_probs.append(np.asarray(true[number][:count]))
    return game, told, log_probs


def learn(told, seed=0):
    """A chooser learned from all but the last 8 episodes, stopped by 3 of these, and its nats on the last 5."""
    rows = np.arange(len(told))
    training, held_out, tested = (
        jnp.asarray(group, jnp.float32) for group in (rows < 22, (rows >= 22) & (rows < 25), rows >= 25)
    )
    every = demonstrations(told)
    trainer = Cloning(Config(num_rounds=30), SIZES, every, training, held_out)
    _, state = train(trainer, trainer.init(jax.random.key(seed)), 0, lambda *_: None, lambda *_: None)
    chooser, _ = trainer.release(state)
    return chooser, float(cross_entropy(chooser, every, tested).sum())


@pytest.mark.slow
def test_a_made_up_person_is_recovered(recorded_by_us):
    _, told, log_probs = recorded_by_us
    assert sum(one.dropped for one in told) == 0
    true = -float(np.concatenate(log_probs[25:]).mean())
    _, found = learn(told)
    # Nobody foresees better than the truth, but for chance; the clone comes close to it.
    assert true - 0.1 < found < true + 0.35, (true, found)
    # If what is seen has nothing to do with what is chosen, most is lost.
    mixed = [one._replace(lists=tuple(shuffle(choices) for choices in one.lists)) for one in told]
    assert learn(mixed)[1] > true + 0.6


def shuffle(choices):
    """The same lists, from each of which anything possible was chosen."""
    taken = np.asarray(choices.chosen) >= 0
    dice = np.where(np.asarray(choices.possible), RNG.random(choices.possible.shape), -1.0)
    return choices._replace(chosen=jnp.asarray(np.where(taken, dice.argmax(-1), -1), jnp.int32))


def test_told_turns_have_the_probability_that_is_played(recorded_by_us):
    """The steps of a choice, multiplied, are what the game makes of the human's logits."""
    game, _, _ = recorded_by_us
    chooser = cloned.make(game).chooser
    theta = game.sample_theta(jax.random.key(2))
    stranger = cloned.Cloned(chooser, game.shape, game.num_kinds, game.reach)

    @eqx.filter_jit
    def walk(theta, keys):
        def one(carry, key):
            state, memory = carry
            sees = game.observe(state)[HUMAN]
            logits, memory = stranger.logits(theta, memory, sees, key)
            action = game.sample(logits, sees.legal[HUMAN], key)
            log_prob = game.log_prob(logits, sees.legal[HUMAN], action)
            after = game.step(state, jnp.stack([action, jnp.int32(0)]), key)
            return (after, memory), (state, action, log_prob)

        return jax.lax.scan(one, (game.init(keys[0]), nothing_yet(game.shape)), keys)[1]

    before, actions, log_probs = walk(theta, jax.random.split(jax.random.key(3), 128))
    turns = tell(game, theta, before, np.asarray(actions))
    every = demonstrations([turns])
    total = float(cross_entropy(chooser, every, jnp.ones(1)).sum())
    assert total == pytest.approx(-float(log_probs.mean()), rel=1e-4)


def test_what_is_held_out_is_not_learned_from(recorded_by_us):
    _, told, _ = recorded_by_us
    people, partner = RNG.integers(0, 3, 8).tolist(), (RNG.random(8) < 0.5).tolist()
    episodes = [Told(*one) for one in zip(people, partner, told, strict=False)]
    for among in ([0], [1, 2], [0, 1, 2]):
        if not any(one.participant in among for one in episodes):
            continue
        training, held_out = (np.asarray(part) for part in weights(episodes, among))
        mine = np.array([one.participant in among for one in episodes])
        assert not training[~mine].any()
        assert not held_out[~mine].any()
        assert held_out.any()
        assert training.any()
        assert mine.sum() == 1 or not (training * held_out).any()
        assert ((training + held_out)[mine] >= 1).all()


@pytest.mark.skipif(not DATA.exists(), reason="the recordings of people are not here")
def test_the_partner_is_read_from_the_worlds():
    """A partner's edit is told where a cell changed that they touched last; their moves are single steps."""
    recording = next(
        one for one in load_recordings(DATA / "with_assistant_human.zip", lambda _: None) if knows_house(one)
    )
    seen = jax.tree.map(np.asarray, states(recording))
    blocks, touched = (grid.reshape(len(grid), -1) for grid in (recording.blocks, recording.touched))
    theirs = np.zeros(len(blocks), bool)
    theirs[1:] = ((blocks[1:] != blocks[:-1]) & (touched[1:] == 2)).any(1)
    cells = seen.edits.cell[:, 1]
    assert ((cells >= 0) == theirs).all()
    assert theirs.sum() > 50
    rows = np.flatnonzero(theirs)
    assert (blocks[rows, cells[rows]] == seen.edits.after[rows, 1]).all()
    assert (blocks[rows - 1, cells[rows]] == seen.edits.before[rows, 1]).all()
    direction = seen.last_actions[:, 1] - (1 + 11 * 1100)
    moved = (direction >= 0) & ~theirs
    assert moved.sum() > 50
    steps = np.diff(recording.feet[:, 1], axis=0, prepend=recording.feet[:1, 1])
    assert (steps[moved] == np.array(DIRECTIONS)[direction[moved]]).all()
    assert ABSENT not in map(tuple, recording.feet[rows[-1:], 1])

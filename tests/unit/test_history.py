"""The summary of the past, against one worked out from a whole episode; and the world seen from elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.assistants import random
from tacit.core import ASSISTANT, HUMAN
from tacit.games import building_small
from tacit.games.building import history
from tacit.games.building.actions import MOVE, EditLegal, decode
from tacit.games.building.game import ABSENT
from tacit.humans import builder
from tacit.learning.moments import Moment, every_way, other_names, renamed, turned
from tacit.play import play

TURNS = 90


@pytest.fixture(scope="module")
def game():
    return building_small.make("train", horizon=TURNS)


@pytest.fixture(scope="module")
def log(game):
    """What was seen each turn of an episode with a random helper, and the summary after it."""
    human = builder.make(game)
    helper = random.make(game, human)

    @jax.jit
    def run(key):
        theta = game.sample_theta(key)
        episode = play(game, human, helper, theta, key)
        seen = jax.vmap(lambda state: game.observe(state)[ASSISTANT])(episode.states)
        first = history.begin(game.shape, game.num_kinds)

        def body(past, rows):
            past = history.watch(past, *rows)
            return past, past

        before, after = (jax.tree.map(lambda leaf, part=part: leaf[part], seen) for part in (slice(-1), slice(1, None)))
        _, every = jax.lax.scan(body, first, (before, after))
        views = jax.vmap(history.view)(every, after)
        return seen, every, views

    for seed in np.random.default_rng().integers(1 << 30, size=20):
        found = jax.tree.map(np.asarray, run(jax.random.key(seed)))
        if worth_looking_at(found[1]):
            return found
    raise AssertionError("In none of 20 episodes did both players edit, pass over and break enough.")


def worth_looking_at(every):
    """Whether something of all that is summed up has happened."""
    busy = every.edits[-1].min() > 3 and every.passed.max() > 1 and every.tolerated.max() > 1
    return busy and (every.removed[:, ASSISTANT] > 0).any()


def by_hand(seen, game, turn):
    """The summary after `turn` turns from the whole log."""
    shape = game.shape
    removed, edited = np.zeros((2, *shape), np.int8), np.zeros((2, *shape))
    passed, tolerated, counts, idle = np.zeros(shape), np.zeros(shape), np.zeros(2), 0
    for time in range(turn):
        cells = seen.edits.cell[time + 1]
        edited *= np.exp(-1 / history.LONG)
        changed = np.zeros(shape, bool)
        for player in (HUMAN, ASSISTANT):
            if cells[player] < 0:
                continue
            where = np.unravel_index(cells[player], shape)
            changed[where] = True
            edited[player][where] = 1
            counts[player] += 1
            if seen.edits.after[time + 1, player] == 0:
                removed[player][where] = seen.edits.before[time + 1, player]
        removed[:, seen.blocks[time + 1] != 0] = 0
        if cells[HUMAN] >= 0:
            passed += seen.legal[HUMAN].place[time].reshape(shape)
            tolerated += seen.legal[HUMAN].remove[time].reshape(shape)
        passed[changed] = tolerated[changed] = 0
        idle = 0 if cells[HUMAN] >= 0 else idle + 1
    return removed, edited, passed, tolerated, counts, idle


@pytest.mark.parametrize("turn", [1, 30, TURNS])
def test_summary_is_what_the_log_says(log, game, turn):
    seen, every, _ = log
    removed, edited, passed, tolerated, counts, idle = by_hand(seen, game, turn)
    one = jax.tree.map(lambda leaf: leaf[turn - 1], every)
    np.testing.assert_array_equal(one.removed, removed)
    np.testing.assert_allclose(one.edited, edited, atol=1e-5)
    np.testing.assert_allclose(one.passed, passed)
    np.testing.assert_allclose(one.tolerated, tolerated)
    np.testing.assert_allclose(one.edits, counts)
    assert one.idle == idle


def test_heading_is_the_last_moves(log, game):
    seen, every, _ = log
    last = decode(jnp.asarray(seen.last_actions[1:, HUMAN]), game.num_kinds, game.num_cells)
    moved = (np.asarray(last.what) == MOVE) & seen.effective[1:, HUMAN]
    for turn in np.flatnonzero(moved):
        assert every.heading[turn].argmax() == last.direction[turn]
        assert every.heading[turn].max() == 1


def as_moment(view, goal):
    """A batch of moments with these planes; what else they hold follows from the planes."""
    place, remove = view.cells[:, -2] > 0, view.cells[:, -1] > 0
    moves = view.heading[..., 1] > 0
    none = np.zeros(len(goal), bool)
    moment = Moment(*view, goal, place, remove, moves, place, remove, moves, none)
    return jax.tree.map(jnp.asarray, moment)


def mirrored(seen, past, game, axis):
    """The observation and the summary in a world mirrored along `axis`, made by geometry alone."""
    size, shape = game.shape[axis], game.shape
    swap = np.arange(6)
    pair = [2 * axis, 2 * axis + 1]
    swap[pair] = swap[pair[::-1]]

    def flip(planes, first=0):
        return np.flip(planes, axis + first)

    def flip_flat(cells):
        return flip(cells.reshape(shape)).reshape(-1)

    feet = seen.feet.copy()
    there = feet[:, 0] != ABSENT[0]
    feet[there, axis] = size - 1 - feet[there, axis]
    legal = tuple(EditLegal(flip_flat(one.place), flip_flat(one.remove), one.move[swap]) for one in seen.legal)
    now = seen._replace(blocks=flip(seen.blocks), touched=flip(seen.touched), feet=feet, legal=legal)
    flipped = {name: flip(getattr(past, name)) for name in ("passed", "tolerated", "visited")}
    flipped |= {name: flip(getattr(past, name), 1) for name in ("removed", "edited")}
    return now, past._replace(heading=past.heading[swap], **flipped)


@pytest.mark.parametrize(("axis", "ways"), [(0, (True, False, False)), (2, (False, True, False))])
def test_mirrored_planes_are_those_of_the_mirrored_world(log, game, axis, ways):
    seen, every, views = log
    for turn in (20, 60):
        one = jax.tree.map(lambda leaf, turn=turn: leaf[turn], every)
        sight = jax.tree.map(lambda leaf, turn=turn: leaf[turn + 1], seen)
        now, past = jax.tree.map(jnp.asarray, mirrored(sight, one, game, axis))
        expected = history.view(past, now)
        view = jax.tree.map(lambda leaf, turn=turn: leaf[turn : turn + 1], views)
        found = turned(as_moment(view, sight.blocks[None]), *ways)
        for name in ("cells", "kinds", "traces", "heading", "scalars"):
            np.testing.assert_allclose(getattr(found, name)[0], getattr(expected, name), atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(found.goal[0], now.blocks)
        np.testing.assert_array_equal(found.may_place[0].reshape(-1), now.legal[HUMAN].place)


def test_swapped_twice_is_as_it_was_and_every_way_keeps_the_counts(log):
    seen, _, views = log
    moment = as_moment(jax.tree.map(lambda leaf: leaf[-8:], views), seen.blocks[-8:])
    for ways in ((True, False, False), (False, True, False), (False, False, True), (True, True, False)):
        back = turned(turned(moment, *ways), *ways)
        jax.tree.map(np.testing.assert_array_equal, back, moment)
    every = every_way(moment)
    one = jax.tree.map(lambda leaf: np.repeat(leaf[5:6], 8, 0), moment)
    assert len({np.asarray(goal).tobytes() for goal in every_way(one).goal}) > 1
    for name, leaf in moment._asdict().items():
        np.testing.assert_allclose(
            np.asarray(leaf, float).sum(), np.asarray(getattr(every, name), float).sum(), rtol=1e-5
        )


def test_other_names_rename_everything_alike(log, game):
    seen, _, views = log
    moment = as_moment(jax.tree.map(lambda leaf: leaf[-8:], views), seen.blocks[-8:])
    names = other_names(8, game.num_kinds, 3, 1.0, jax.random.key(3))
    assert (np.sort(names, -1) == np.arange(game.num_kinds)).all()
    assert (np.asarray(names)[:, :3] == np.arange(3)).all()
    assert (np.asarray(names) != np.arange(game.num_kinds)).any()
    other = renamed(moment, names)
    # The goal here is the world itself, which the first of the kinds' planes shows.
    np.testing.assert_array_equal(other.goal, other.kinds[:, 0])
    for row in range(8):
        np.testing.assert_allclose(other.traces[row][names[row]], moment.traces[row])
    back = renamed(other, jnp.argsort(names, -1))
    jax.tree.map(np.testing.assert_array_equal, back, moment)


def test_nobody_is_renamed_where_the_share_is_nothing(game):
    names = other_names(5, game.num_kinds, 3, 0.0, jax.random.key(0))
    np.testing.assert_array_equal(names, np.broadcast_to(np.arange(game.num_kinds), (5, game.num_kinds)))

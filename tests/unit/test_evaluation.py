"""Are turns counted right, and do figures and intervals mean what they say?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.assistants import belief_planner
from tacit.core import ASSISTANT, HUMAN
from tacit.evaluation import compare, metrics
from tacit.evaluation.compare import Contender, Contest, figures, interval, run, saving
from tacit.evaluation.plots import plot_rows
from tacit.games import building_small, off_switch
from tacit.games.building.game import edit_distance
from tacit.humans import boltzmann
from tacit.play import Turn


class Thoughts:
    def __init__(self, probabilities):
        self.probabilities = probabilities


@pytest.fixture(scope="module")
def contest():
    game = off_switch.make()
    return Contest(game, game, boltzmann.make(game, 2.0), num_episodes=13, seed=3)


@pytest.fixture(scope="module")
def planner(contest):
    return Contender("belief-planner", belief_planner.make(contest.game, contest.human))


@pytest.fixture(scope="module")
def world():
    """A building game, a house, a state with a few legal edits done by both, and a random belief."""
    rng = np.random.default_rng()
    game = building_small.make("test")
    step = jax.jit(lambda s, a: game.step(s, a, jax.random.key(0)))
    theta = game.sample_theta(jax.random.key(int(rng.integers(2**31))))
    before = game.init(jax.random.key(int(rng.integers(2**31))))
    cells = game.num_cells
    while True:  # until both have broken the ground below in the same turn
        legal = game.legal(before)
        choices = [np.flatnonzero(np.asarray(legal[p].remove)) for p in (HUMAN, ASSISTANT)]
        if all(len(choice) for choice in choices):
            human, assistant = (int(rng.choice(choice)) for choice in choices)
            if human != assistant:
                first = 1 + game.num_kinds * cells
                actions = jnp.array([first + human, first + assistant], jnp.int32)
                return game, theta, before, actions, step(before, actions)
        down = jnp.full((2,), 1 + (game.num_kinds + 1) * cells + 3, jnp.int32)
        before = step(before, down)._replace(time=jnp.zeros((), jnp.int32))


def test_slots_do_not_change_anything(contest, planner, monkeypatch):
    together = run(contest, planner)
    monkeypatch.setattr(compare, "SLOTS", 5)
    apart = run(contest, planner)
    assert len(together.turns) == contest.num_episodes
    jax.tree.map(np.testing.assert_array_equal, together, apart)


def test_progress_is_reported(contest, planner):
    seen = []
    run(contest, planner, lambda finished, turns: seen.append((finished, turns)))
    assert seen[-1][0] == contest.num_episodes


def test_figures_that_do_not_apply_are_none(contest, planner):
    found = figures(contest, run(contest, planner))
    assert found["human_actions"] is None
    assert found["belief_nll"] is None
    assert found["turns"] is not None
    assert found["turns"].mean == 2.0  # waiting is best, and then the human decides


def test_a_turn_is_counted_as_by_hand(world):
    game, theta, before, actions, after = world
    rng = np.random.default_rng()
    belief = rng.dirichlet(np.ones(game.num_kinds), size=game.shape).astype(np.float32)
    prior = rng.dirichlet(np.ones(game.num_kinds), size=game.shape).astype(np.float32)
    rewards = game.reward(theta, before, actions, after)
    turn = Turn(after, actions, rewards, jnp.array(True))
    yardstick = metrics.BuildingYardstick(jnp.asarray(prior))
    tally = jax.tree.map(np.asarray, yardstick.count(theta, before, turn, Thoughts(jnp.asarray(belief))))

    needed = (before.blocks != theta).sum() + ((before.blocks != theta) & (before.blocks != 0) & (theta != 0)).sum()
    assert tally.edits_needed == int(needed)
    assert tally.reward == float(edit_distance(before.blocks, theta) - edit_distance(after.blocks, theta))
    assert (tally.human_edits, tally.assistant_edits) == (1, 1)
    assert tally.assistant_gain == float(rewards[ASSISTANT])

    nll = {True: 0.0, False: 0.0}
    prior_nll = {True: 0.0, False: 0.0}
    cells = {True: 0, False: 0}
    gaps = np.zeros((10, 3))
    for x, y, z in np.ndindex(*game.shape):
        if 0 in (x, y, z) or (x, y, z)[0] == game.shape[0] - 1 or y == game.shape[1] - 1 or z == game.shape[2] - 1:
            continue
        air, kind = bool(before.blocks[x, y, z] == 0), int(theta[x, y, z])
        cells[air] += 1
        nll[air] -= np.log(belief[x, y, z, kind])
        prior_nll[air] -= np.log(prior[x, y, z, kind])
        sure = belief[x, y, z].max()
        gaps[min(int(sure * 10), 9)] += [1, sure, belief[x, y, z].argmax() == kind]
    assert (tally.cells_air, tally.cells_occupied) == (cells[True], cells[False])
    np.testing.assert_allclose([tally.nll_air, tally.nll_occupied], [nll[True], nll[False]], rtol=1e-4)
    np.testing.assert_allclose(
        [tally.prior_nll_air, tally.prior_nll_occupied], [prior_nll[True], prior_nll[False]], rtol=1e-4
    )
    np.testing.assert_allclose(tally.bins, gaps, rtol=1e-4)

    cell = np.unravel_index(int(after.edits.cell[ASSISTANT]), game.shape)
    sure = 1 - belief[cell][int(after.edits.before[ASSISTANT])]
    acted = tally.acted_bins.sum(0)
    np.testing.assert_allclose(acted, [1, sure, theta[cell] != after.edits.before[ASSISTANT]], rtol=1e-4)


def test_nothing_is_counted_after_the_end(world):
    game, theta, before, actions, after = world
    prior = jnp.full((*game.shape, game.num_kinds), 1 / game.num_kinds)
    turn = Turn(after, actions, jnp.zeros(2), jnp.array(False))
    before = before._replace(time=jnp.ones((), jnp.int32))
    tally = metrics.BuildingYardstick(prior).count(theta, before, turn, Thoughts(prior))
    assert all(float(jnp.abs(leaf).sum()) == 0.0 for leaf in jax.tree.leaves(tally))


def test_calibration_error():
    sure = np.array([0.95, 0.95, 0.35, 0.35])
    hits = np.array([1.0, 0.0, 0.0, 1.0])
    bins = metrics.binned(jnp.asarray(sure), jnp.asarray(hits), jnp.ones(4))
    # Two cells at .95 were right half of the time, two at .35 too: (2 · .45 + 2 · .15) / 4.
    assert metrics.calibration_error(np.asarray(bins)[None]) == pytest.approx(0.3)
    assert np.isnan(metrics.calibration_error(np.zeros((3, 10, 3))))


def test_intervals_cover_the_mean_as_often_as_they_say():
    rng = np.random.default_rng()
    covered = []
    for seed in range(200):
        tally = metrics.Tally(rng.exponential(2.0, 60), rng.normal(size=60))
        found = interval(lambda t: t.turns.mean(), tally, seed=seed, num_resamples=200)
        assert found is not None
        covered.append(found.low <= 2.0 <= found.high)
    assert 0.85 <= np.mean(covered) <= 0.995


def test_two_tallies_are_resampled_together():
    rng = np.random.default_rng()
    one = metrics.Tally(rng.exponential(2.0, 50), np.zeros(50))
    other = one._replace(turns=one.turns - 1.0)
    found = interval(lambda a, b: a.turns.mean() - b.turns.mean(), one, other)
    assert found is not None
    np.testing.assert_allclose([found.mean, found.low, found.high], 1.0, atol=1e-9)


def test_saving():
    class Edits:
        def __init__(self, edits):
            self.human_edits = np.array(edits, float)

    assert saving(Edits([30, 30]), Edits([40, 40])) == pytest.approx(0.25)


def test_plot(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    value = {"mean": 1.0, "low": 0.5, "high": 1.5}
    row = {
        "assistant": "none",
        "human_actions": value,
        "assistant_share": None,
        "turns": value,
        "goal_completed": value,
    }
    plot_rows([row], tmp_path / "deep" / "rows.png")
    assert (tmp_path / "deep" / "rows.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"should end in \.png"):
        plot_rows([row], tmp_path / "rows.docx")

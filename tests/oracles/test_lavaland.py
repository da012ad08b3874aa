"""Are the proofs of Lavaland's maps sound? Every walk of small lands is listed. And the studies, with parts broken."""

import itertools

import jax
import numpy as np
import pytest

from tacit.games import lavaland
from tacit.games.lavaland import LAVA, TARGET, Land
from tacit.planning import risk_averse
from tacit.planning.feature_world import feature_counts, feature_world
from tacit.studies import active_reward_design, reward_design

SEEN, PROXY = reward_design.SEEN, reward_design.LITERAL
WORST = float(reward_design.LAVAS.min())
HYPOTHESES = np.array([[*seen, lava] for seen in SEEN for lava in (WORST, 0.5)])


def every_walk(ground: np.ndarray, start: tuple[int, int], horizon: int) -> np.ndarray:
    """The terrain counts of every walk, by walking."""
    found = set()
    for moves in itertools.product(lavaland.MOVES, repeat=horizon):
        row, column = start
        counts = [0, 0, 0, 0]
        for down, right in moves:
            if ground[row, column] == TARGET:
                break
            there = (row + down, column + right)
            if 0 <= there[0] < ground.shape[0] and 0 <= there[1] < ground.shape[1]:
                row, column = there
                counts[ground[row, column]] += 1
            else:
                break
        else:
            found.add(tuple(counts))
            continue
        if ground[row, column] == TARGET:
            found.add(tuple(counts))
    return np.array(sorted(found))


def test_best_ways_by_walking_them_all(rng: np.random.Generator) -> None:
    for _ in range(3):
        ground = rng.choice([0, 1, LAVA], (2, 3), p=[0.3, 0.4, 0.3])
        ground[0, 0], ground[1, 2] = 1, TARGET
        weights = rng.normal(size=(6, 4))
        walks = every_walk(ground, (0, 0), 5)
        clear = walks[:, LAVA] == 0
        ways = lavaland.best_ways(ground, (0, 0), 5, weights)
        np.testing.assert_allclose(ways.clear, (walks[clear] @ weights.T).max(0), atol=1e-9)
        if not clear.all():
            np.testing.assert_allclose(ways.through, (walks[~clear] @ weights.T).max(0), atol=1e-9)
        world = feature_world(*lavaland.walk_arrays(ground, (0, 0)), horizon=5)
        best = (feature_counts(world, weights) * weights).sum(1)
        np.testing.assert_allclose(best, np.maximum(ways.clear, ways.through), atol=1e-9)


def test_maps_are_what_they_say(rng: np.random.Generator) -> None:
    key = jax.random.key(rng.integers(2**31))
    lands = list(lavaland.maps(key, 5, PROXY, SEEN, WORST, shape=(3, 4), horizon=7))
    assert len(lands) == 5
    for land in lands:
        assert LAVA not in land.training
        assert LAVA in land.test
        np.testing.assert_array_equal(land.training[land.test != LAVA], land.test[land.test != LAVA])
        walks = every_walk(land.test, land.start, land.horizon)
        values = walks @ PROXY
        assert (walks[values > values.max() - 1e-9][:, LAVA] > 0).all(), "the proxy must be tempted"
        test = feature_world(*lavaland.walk_arrays(land.test, land.start), horizon=land.horizon)
        for reference in (np.zeros(4), rng.normal(size=4) * [1, 1, 1, 0]):
            worst = ((walks - reference) @ HYPOTHESES.T).min(1)
            assert (walks[worst > worst.max() - 1e-9][:, LAVA] == 0).all(), "the best at worst must keep clear of lava"
            for planner in (risk_averse.plan_trajectory, risk_averse.plan_policy):
                plan = planner(test, HYPOTHESES, reference)
                assert plan.counts[LAVA] < 1e-9
            assert risk_averse.plan_trajectory(test, HYPOTHESES, reference).value == pytest.approx(
                worst.max(), abs=1e-9
            )
    again = list(lavaland.maps(key, 5, PROXY, SEEN, WORST, shape=(3, 4), horizon=7))
    assert all(np.array_equal(one.test, other.test) for one, other in zip(lands, again, strict=True))


def test_a_detour_that_is_not_worth_it_is_refused() -> None:
    """The claim is conditional: mild lava is worth crossing, and then the risk-averse plan does cross."""
    land = lavaland.CLASSIC
    mild = 0.4
    assert min(lavaland.prove(land, PROXY, SEEN, WORST)) > 0
    assert lavaland.prove(land, PROXY, SEEN, -mild).worth < 0
    test = feature_world(*lavaland.walk_arrays(land.test, land.start), horizon=land.horizon)
    support = np.array([[*seen, lava] for seen in SEEN for lava in (-mild, mild)])
    crossing = risk_averse.plan_trajectory(test, support, np.array([0.0, 5.0, 1.0, 0.0]))
    assert crossing.counts[LAVA] == 1.0
    with pytest.raises(ValueError, match="had a detour worth taking"):
        list(lavaland.maps(jax.random.key(0), 1, PROXY, SEEN, 0.5, shape=(3, 4), horizon=6))
    walled = Land(land.training, np.where(np.arange(7) == 3, LAVA, land.training), land.start, land.horizon)
    assert lavaland.best_ways(walled.test, land.start, land.horizon, HYPOTHESES).clear.max() < 0.0


SMALL = reward_design.Config(num_maps=6, num_designers=4, num_raw_maps=3)


def failed(claims) -> set[str]:
    return {claim.name for claim in claims if not claim.passed}


def believing(one: int):
    """A broken planner: it listens to one hypothesis, whatever it is told to consider."""
    whole = risk_averse.plan_trajectory
    return lambda world, hypotheses, reference, considered=None: whole(world, hypotheses, reference, [one])


def test_reward_design_holds_and_notices_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    with jax.enable_x64(True):
        parts = (reward_design.classic, reward_design.rates, reward_design.hacking)
        assert not set().union(*(failed(part(SMALL)) for part in parts))
        hopeful, first_sensor = 4, 0
        with monkeypatch.context() as broken:
            broken.setattr(risk_averse, "plan_trajectory", believing(hopeful))
            assert {"classic_risk_averse_value", "classic_risk_averse_off_dirt11,target1,lava0"} <= failed(
                reward_design.classic(SMALL)
            )
            assert "crossing_risk_averse" in failed(reward_design.rates(SMALL))
        with monkeypatch.context() as broken:
            broken.setattr(risk_averse, "plan_trajectory", believing(first_sensor))
            assert "hacking_risk_averse_second_sensor" in failed(reward_design.hacking(SMALL))
        with monkeypatch.context() as broken:  # a designer who did see lava
            land = lavaland.CLASSIC
            broken.setattr(lavaland, "CLASSIC", land._replace(training=land.test))
            assert "classic_likelihood_spread_over_lava" in failed(reward_design.classic(SMALL))


def test_active_asking_notices_menus_that_tell_nothing() -> None:
    config = active_reward_design.Config(num_designers=4, num_questions=2)
    found = active_reward_design.regrets(config)
    assert found["active"].shape == (4, 3)
    assert min(rows.min() for rows in found.values()) > -1e-9, "nobody does better than with the designer's own reward"
    for rows in found.values():
        np.testing.assert_array_equal(rows[:, 0], found["active"][:, 0])

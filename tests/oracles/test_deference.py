"""Is deferring worth what it should be? Quadrature, Stein's form, sampling, closed forms, and the game solved."""

import math

import numpy as np
import pytest
from scipy import stats

from tacit.games import off_switch
from tacit.planning import deference
from tacit.planning.assistance import reduce
from tacit.planning.belief_planning import AssistanceArrays, action_values


def drawn(rng):
    return rng.normal(), rng.uniform(0.3, 2.5), rng.uniform(0.2, 5.0)


def test_three_ways_agree() -> None:
    rng = np.random.default_rng()
    for _ in range(3):
        mean, deviation, rationality = drawn(rng)
        for trust in (rationality, math.inf):
            allows = deference.human(trust)
            by_quadrature = deference.defer(deference.gaussian(mean, deviation), allows)
            assert deference.gaussian_delta(mean, deviation, trust) == pytest.approx(by_quadrature.delta, abs=1e-9)
            utilities = stats.norm.ppf((np.arange(200_000) + rng.uniform(size=200_000)) / 200_000, mean, deviation)
            by_sampling = deference.defer(deference.samples(utilities), allows)
            assert by_sampling == pytest.approx(by_quadrature, abs=1e-3)  # stratified: far below 1e-3
        assert abs(deference.gaussian_delta(mean, deviation, rationality) - by_quadrature.delta) > 1e-4, (
            "an erring human must not be worth what a rational one is"
        )


def test_the_zero_line() -> None:
    rng = np.random.default_rng()
    for _ in range(3):
        deviation, rationality = rng.uniform(0.3, 2.0), rng.uniform(0.2, 3.0)
        line = deference.indifference(deviation, rationality)
        assert line == pytest.approx(rationality * deviation**2 / 2, abs=1e-6)
        for sign in (-1, 1):
            belief = [deference.gaussian(sign * scale * line, deviation) for scale in (0.9, 1.1)]
            inside, outside = (deference.defer(one, deference.human(rationality)).delta for one in belief)
            assert inside > 0 > outside


def test_signs() -> None:
    rng = np.random.default_rng()
    utilities, weights = rng.uniform(0.1, 2.0, 5), rng.dirichlet(np.ones(5))
    rational = deference.human(math.inf)
    for sign in (-1, 1):
        one_signed = deference.defer(deference.discrete(sign * utilities, weights), rational)
        assert one_signed.delta == pytest.approx(0.0, abs=1e-15)
        assert deference.defer(deference.discrete(sign * utilities, weights), deference.human(1.0)).delta < 0
    both = deference.defer(deference.discrete([*utilities, -1.0], [*(0.9 * weights), 0.1]), rational)
    assert both.delta > 0
    perverse = deference.defer(deference.gaussian(rng.normal(), 1.0), lambda u: deference.human(2.0)(-u))
    assert perverse.delta < 0


def test_the_game_is_worth_what_the_formula_says() -> None:
    rng = np.random.default_rng()
    utilities, weights = rng.normal(size=4), rng.dirichlet(np.ones(4))
    rationality = rng.uniform(0.5, 3.0)
    allows = deference.human(rationality)
    expected = deference.defer(deference.discrete(utilities, weights), allows)
    game = off_switch.make(utilities, weights)
    arrays = game.arrays
    human = np.zeros((4, 3, 2))
    human[..., off_switch.ALLOW] = 1.0
    human[:, off_switch.WAITING, off_switch.ALLOW] = allows(utilities)
    human[:, off_switch.WAITING, off_switch.PRESS] = allows(-utilities)
    looks, horizon = np.eye(3, dtype=np.float32), 2
    problem = AssistanceArrays(
        *(np.asarray(part, np.float32) for part in (arrays.transitions, arrays.rewards)),
        np.broadcast_to(human, (horizon, *human.shape)).astype(np.float32),
        looks,
        arrays.legal_assistant,
        1.0,
    )
    problem = type(problem)(*map(np_to_jax, problem))
    belief = np_to_jax(np.outer(arrays.prior, arrays.initial).astype(np.float32))
    values = action_values(problem, belief, np_to_jax(np.int32(0)), horizon)
    assert np.asarray(values) == pytest.approx([expected.wait, expected.act, 0.0], abs=1e-5)
    # Double precision: two turns of the reduced problem by hand.
    pomdp = reduce(arrays, human)
    last = pomdp.rewards.max(1)
    wait = pomdp.initial @ (pomdp.rewards[:, 0] + pomdp.transitions[0] @ last)
    assert wait == pytest.approx(expected.wait, abs=1e-12)


def np_to_jax(value):
    import jax.numpy as jnp

    return jnp.asarray(value) if isinstance(value, np.ndarray | np.generic) else value


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"probabilities sums to 0.75"):
        deference.discrete([1.0, -1.0], [0.5, 0.25])
    with pytest.raises(ValueError, match=r"utilities\[1\] is nan"):
        deference.samples([1.0, math.nan])
    with pytest.raises(ValueError, match="standard deviation is 0"):
        deference.gaussian(0.0, 0.0)
    with pytest.raises(ValueError, match="rationality is -1"):
        deference.human(-1.0)
    with pytest.raises(ValueError, match="below 8"):
        deference.indifference(5.0, 20.0)

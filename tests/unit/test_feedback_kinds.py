"""Are demonstrations and presses the one rule? Closed forms in double precision; calibration that can fail."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from tacit.beliefs.exact import believe
from tacit.feedback import calibration, choice, comparison, demonstration, press
from tacit.planning.feature_world import feature_world

S, A, D, T, N = 4, 3, 2, 3, 5


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def drawn(rng):
    legal = rng.uniform(size=(S, A)) < 0.8
    legal[:, 0] = True
    world = feature_world(
        np.eye(S)[rng.integers(S, size=(S, A))], rng.normal(size=(S, A, D)), np.eye(S)[1], legal, horizon=T
    )
    return world, jnp.asarray(rng.normal(size=(N, D))), float(rng.uniform(0.3, 3.0))


def walk(world, plan):
    """The features collected and the states seen by one plan, or None where it is not legal."""
    state, counts, states = int(world.initial.argmax()), np.zeros(D), []
    for action in plan:
        if not world.legal[state, action]:
            return None
        states.append(state)
        counts = counts + world.features[state, action]
        state = int(world.transitions[state, action].argmax())
    return counts, states


def test_a_demonstration_is_maximum_entropy_by_enumeration(double) -> None:
    rng = np.random.default_rng()
    world, thetas, rationality = drawn(rng)
    plans = list(itertools.product(range(A), repeat=T))
    walks = [(plan, walk(world, plan)) for plan in plans]
    legal = [(plan, *found) for plan, found in walks if found is not None]
    counts = np.array([found for _, found, _ in legal])
    expected = special.log_softmax(rationality * np.asarray(thetas) @ counts.T, axis=1)
    listed = choice.log_likelihoods(demonstration.make(world), thetas, rationality)
    assert np.abs(listed - expected).max() < 1e-10
    for index, (plan, _, states) in enumerate(legal):
        shown = np.stack([states, plan], 1)
        soft = demonstration.log_likelihood(world, shown, thetas, rationality)
        assert np.abs(soft - expected[:, index]).max() < 1e-10
        wrong = demonstration.log_likelihood(world, shown, thetas, 1.5 * rationality)
        assert len(legal) == 1 or np.abs(wrong - expected[:, index]).max() > 1e-6
    assert (demonstration.trajectories(world)[..., 1] == [plan for plan, _, _ in legal]).all()


def test_a_press_is_logistic_in_the_difference(double) -> None:
    rng = np.random.default_rng()
    course, stay = jnp.asarray(rng.normal(size=(6, D))), jnp.asarray(rng.normal(size=D))
    thetas, rationality = jnp.asarray(rng.normal(size=(N, D))), float(rng.uniform(0.3, 3.0))
    for turn in range(6):
        on = np.asarray(course.sum(0) @ thetas.T)
        off = np.asarray((course[:turn].sum(0) + (6 - turn) * stay) @ thetas.T)
        told = choice.log_likelihoods(press.make(course, turn, stay), thetas, rationality)
        assert np.abs(np.exp(told[:, press.PRESS]) - special.expit(rationality * (off - on))).max() < 1e-10


def test_calibration_tells_right_from_wrong(double) -> None:
    rng = np.random.default_rng(7)
    world, thetas, _ = drawn(rng)
    prior = believe(thetas, jnp.ones(N))
    questions = [
        demonstration.make(world),
        press.make(jnp.asarray(rng.normal(size=(4, D))), 1, jnp.zeros(D)),
        comparison.make(jnp.asarray(rng.normal(size=(3, D)))),
    ]
    keys = jax.random.split(jax.random.key(1), 4000)

    def found(learning):
        ranks = calibration.ranks(prior, questions, 1.5, learning, lambda theta: theta[0], keys)
        return calibration.p_value(ranks)

    assert found(1.5) > 1e-4
    assert found(4.5) < 1e-6
    assert found(0.0) > 1e-4, "to learn nothing is calibrated: it is the prior"


def test_bad_input_is_named() -> None:
    rng = np.random.default_rng()
    world, thetas, _ = drawn(rng)
    with pytest.raises(ValueError, match="without chance"):
        demonstration.make(
            feature_world(np.full((S, A, S), 1 / S), rng.normal(size=(S, A, D)), np.eye(S)[0], horizon=T)
        )
    with pytest.raises(ValueError, match="which lists none"):
        demonstration.make(world._replace(horizon=40))
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        demonstration.log_likelihood(world, np.zeros((2, 2), int), thetas, 1.0)
    shut = world._replace(legal=np.array([[True, True, False]] * S))
    with pytest.raises(ValueError, match="does 2 in state 1 at turn 0"):
        demonstration.log_likelihood(shut, np.array([[1, 2]] * T), thetas, 1.0)
    with pytest.raises(ValueError, match="turns 0 to 5"):
        press.make(jnp.zeros((6, D)), 6, jnp.zeros(D))
    with pytest.raises(ValueError, match="10 ranks"):
        calibration.p_value(jnp.zeros(10))

"""POMCP against brute force and against its slow twin, its simulators against the arrays, its dice against chance."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy_pomcp
import pytest
from scipy import stats

from tacit.arrays import Pomdp, pomdp
from tacit.core import Simulator
from tacit.planning import dice, particle_filter, pomcp
from tacit.planning.tabular_simulator import State, TabularSimulator
from tacit.pomdps import rock_sample, tiger
from tacit.pomdps.rock_sample_simulator import RockSampleSimulator

HORIZON = 3


def drawn(rng: np.random.Generator, states: int = 3, actions: int = 3, observations: int = 2) -> Pomdp:
    """A random POMDP, sharp enough that observations matter."""
    return pomdp(
        rng.dirichlet(np.full(states, 0.3), (actions, states)),
        rng.dirichlet(np.full(observations, 0.2), (actions, states)),
        rng.normal(size=(states, actions)),
        rng.dirichlet(np.ones(states)),
        0.9,
    )


def brute_force(problem: Pomdp, belief: np.ndarray, turns: int, blind: bool = False) -> np.ndarray:
    """Q of each action by following every observation; one who is blind sees none."""
    values = belief @ problem.rewards
    if turns > 1:
        for action in range(len(values)):
            moved = belief @ problem.transitions[action]
            seen = problem.observations[action].toarray().T * moved
            branches = seen.sum(0, keepdims=True) if blind else seen
            worth = [brute_force(problem, branch, turns - 1, blind).max() for branch in branches]
            values[action] += problem.discount * sum(worth)
    return values


def roots(simulator: Simulator, batch: int, particles: int, seed: int = 0) -> State:
    return jax.vmap(lambda key: particle_filter.begin(simulator, particles, key))(
        jax.random.split(jax.random.key(seed), batch)
    )


@pytest.fixture(scope="module")
def games() -> list[tuple[Pomdp, TabularSimulator]]:
    rng = np.random.default_rng(1)
    problems = [drawn(rng) for _ in range(4)]
    return [(problem, TabularSimulator(problem, HORIZON)) for problem in problems]


def gaps(
    games: list, exploration: float, blind: bool = False, num_simulations: int = 30_000
) -> list[tuple[float, float]]:
    """For each game: how far the value found lies below the best, and what the worst chosen action loses."""
    found = []
    for problem, seeing in games:
        simulator = Blind(seeing) if blind else seeing
        numbers = np.random.default_rng(2).choice(3, (8, 4096), p=problem.initial)
        particles = seeing.states(jnp.asarray(numbers, jnp.int32))
        config = pomcp.Config(exploration, num_simulations)
        result = pomcp.search(simulator, particles, config, jax.random.split(jax.random.key(3), 8))
        exact = brute_force(problem, problem.initial, HORIZON)
        value = float(pomcp.together(result).values.max())
        found.append((exact.max() - value, exact.max() - exact[np.asarray(result.action)].min()))
    return found


class Blind(Simulator):
    """The same world, but nothing is seen."""

    inner: TabularSimulator

    num_actions = property(lambda self: self.inner.num_actions)
    num_observations = property(lambda self: 1)
    horizon = property(lambda self: self.inner.horizon)
    discount = property(lambda self: self.inner.discount)

    def init(self, key):
        return self.inner.init(key)

    def step(self, state, action, key):
        return self.inner.step(state, action, key)

    def observe(self, state):
        return jnp.zeros_like(state.seen)

    def legal(self, state):
        return self.inner.legal(state)


class TestAgainstBruteForce:
    def test_values_approach_the_best(self, games):
        for gap, lost in gaps(games, exploration=2.0):
            assert -0.06 < gap < 0.12
            assert lost < 0.05

    def test_one_who_sees_nothing_is_worth_what_the_blind_are(self, games):
        for (problem, _), (gap, _) in zip(games, gaps(games, 2.0, blind=True), strict=True):
            exact = brute_force(problem, problem.initial, HORIZON).max()
            blind = brute_force(problem, problem.initial, HORIZON, blind=True).max()
            assert gap == pytest.approx(exact - blind, abs=0.12)

    def test_seeing_matters_here(self, games):
        """So that the two tests above tell the two searches apart."""
        lost = [
            brute_force(problem, problem.initial, HORIZON).max()
            - brute_force(problem, problem.initial, HORIZON, blind=True).max()
            for problem, _ in games
        ]
        assert max(lost) > 0.25

    def test_without_exploration_it_settles_on_less(self, games):
        bold, timid = gaps(games, 2.0, num_simulations=2000), gaps(games, 0.0, num_simulations=2000)
        assert max(lost for _, lost in timid) > max(lost for _, lost in bold) + 0.05

    def test_tiger_listens_twice_and_opens(self):
        simulator = TabularSimulator(tiger.make(), 3)
        particles = simulator.states(jnp.tile(jnp.arange(2), (8, 1)))
        config = pomcp.Config(exploration=110.0, num_simulations=60_000)
        found = pomcp.together(pomcp.search(simulator, particles, config, jax.random.split(jax.random.key(0), 8)))
        assert int(found.action[0]) == 0
        assert 1.2 < float(found.values[0, 0]) < 2.4  # 2.3098 at best; -2.85 for one who does not hear

    def test_played_from_particles_it_earns_nearly_the_best(self, games):
        for problem, simulator in games[:2]:
            config = pomcp.Config(exploration=1.5, num_simulations=1500)
            outcome = particle_filter.play(simulator, config, 200, HORIZON, jax.random.split(jax.random.key(5), 256))
            best = brute_force(problem, problem.initial, HORIZON).max()
            error = np.std(outcome.returns) / 16
            assert best - 4 * error - 0.08 < np.mean(outcome.returns) < best + 4 * error
            assert (np.asarray(outcome.evidence) > 0).all()


class TestAgainstItsTwin:
    def test_the_same_values_on_average(self):
        problem = drawn(np.random.default_rng(7))
        simulator = TabularSimulator(problem, 4)
        count, config = 200, pomcp.Config(exploration=1.0, num_simulations=60)
        numbers = jnp.tile(jnp.arange(3), (count, 1))
        particles = simulator.states(numbers)
        ours = pomcp.search(simulator, particles, config, jax.random.split(jax.random.key(0), count))
        dense = [[matrix.toarray() for matrix in kind] for kind in (problem.transitions, problem.observations)]
        model = numpy_pomcp.tabular(*dense, problem.rewards, problem.discount)
        theirs = [
            numpy_pomcp.search(model, [0, 1, 2], 1.0, 60, 4, np.random.default_rng(seed)) for seed in range(count)
        ]
        values = np.array([np.array(root.totals) / np.array(root.visits) for root in theirs])
        visits = np.array([root.visits for root in theirs])
        for left, right in ((np.asarray(ours.values), values), (np.asarray(ours.visits, float), visits)):
            error = np.sqrt((left.var(0) + right.var(0)) / count)
            assert (np.abs(left.mean(0) - right.mean(0)) < 4.5 * error).all()


class TestBatch:
    def test_a_search_does_not_hang_on_what_runs_beside_it(self, games):
        _, simulator = games[0]
        config, keys, particles = pomcp.Config(1.0, 200), jax.random.split(jax.random.key(1), 5), roots(simulator, 5, 8)
        whole = pomcp.search(simulator, particles, config, keys)
        for part in (pomcp.side_by_side(simulator, particles, config, keys), each(simulator, particles, config, keys)):
            assert np.array_equal(whole.visits, part.visits)
            assert np.allclose(whole.values, part.values, atol=1e-5)
            assert np.array_equal(whole.action, part.action)

    def test_every_simulation_is_a_visit_and_turns_cut_the_depth(self, games):
        problem, simulator = games[0]
        config, particles = pomcp.Config(1.0, 500), simulator.states(jnp.zeros((3, 1), jnp.int32))
        found = pomcp.search(simulator, particles, config, jax.random.split(jax.random.key(1), 3), jnp.asarray(1))
        assert (np.asarray(found.visits).sum(1) == 500).all()
        assert np.allclose(found.values, problem.rewards[0], atol=1e-4)

    def test_a_rollout_of_ones_own(self, games):
        problem, simulator = games[0]

        def first(state, legal, key):
            del state, legal, key
            return jnp.zeros((), jnp.int32)

        config = pomcp.Config(0.0, 3)
        found = pomcp.search(simulator, roots(simulator, 64, 1), config, jax.random.split(jax.random.key(1), 64))
        other = pomcp.search(
            simulator, roots(simulator, 64, 1), config, jax.random.split(jax.random.key(1), 64), None, first
        )
        assert not np.allclose(found.values, other.values)
        del problem


def each(simulator, particles, config, keys):
    pieces = [slice(index, index + 1) for index in range(len(keys))]
    parts = [pomcp.search(simulator, State(*(x[piece] for x in particles)), config, keys[piece]) for piece in pieces]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


class Corridor(Simulator):
    """Walk right to the end, which pays 1 and ends; the forbidden action would pay a million, as would staying on."""

    num_actions = property(lambda self: 3)
    num_observations = property(lambda self: 4)
    horizon = property(lambda self: 12)
    discount = property(lambda self: 1.0)

    def init(self, key):
        return jnp.zeros((), jnp.int32)

    def step(self, state, action, key):
        state = jnp.where(state >= 3, state, state + (action == 1).astype(jnp.int32))
        reward = jnp.where(action == 2, 1e6, (state == 3).astype(jnp.float32))
        return state, reward, state >= 3

    def observe(self, state):
        return state

    def legal(self, state):
        return jnp.array([True, True, False])


def test_what_is_not_legal_is_never_tried_and_nothing_is_paid_after_the_end():
    simulator = Corridor()
    found = pomcp.search(
        simulator, jnp.zeros((4, 1), jnp.int32), pomcp.Config(1.0, 2000), jax.random.split(jax.random.key(0), 4)
    )
    assert (np.asarray(found.visits)[:, 2] == 0).all()
    assert (np.asarray(found.values)[:, 2] == -np.inf).all()
    assert np.asarray(found.values)[:, :2].max() <= 1.0
    assert (np.asarray(found.values)[:, 1] > 0.8).all()


class TestParticles:
    def test_beliefs_are_bayes(self, games):
        problem, simulator = games[1]
        particles = particle_filter.begin(simulator, 20_000, jax.random.key(0))
        belief, keys = problem.initial, jax.random.split(jax.random.key(1), 3)
        for turn, action in enumerate((0, 1, 2)):
            moved = belief @ problem.transitions[action]
            chances = moved @ problem.observations[action].toarray()
            seen = int(np.argmin(np.where(chances > 0.05, chances, 1.0)))
            particles, evidence = jax.jit(particle_filter.update)(
                simulator, particles, jnp.asarray(action), jnp.asarray(seen), keys[turn]
            )
            belief = moved * problem.observations[action].toarray()[:, seen]
            assert float(evidence) == pytest.approx(belief.sum(), abs=0.02)
            belief = belief / belief.sum()
            counts = np.bincount(np.asarray(particles.number), minlength=3) / 20_000
            assert np.allclose(counts, belief, atol=0.03)

    def test_rejection_where_no_likelihood_is_known(self, games):
        problem, simulator = games[1]

        class Showing(TabularSimulator):
            likelihood = Simulator.likelihood

        showing = Showing(problem, HORIZON)
        particles = particle_filter.begin(simulator, 20_000, jax.random.key(0))
        args = (particles, jnp.asarray(0), jnp.asarray(1), jax.random.key(2))
        (exact, likely), (rejected, share) = (
            particle_filter.update(simulator, *args),
            particle_filter.update(showing, *args),
        )
        assert float(likely) == pytest.approx(float(share), abs=0.02)
        counts = [np.bincount(np.asarray(state.number), minlength=3) / 20_000 for state in (exact, rejected)]
        assert np.allclose(*counts, atol=0.04)
        assert (np.asarray(rejected.seen) == 1).all()

    def test_what_no_particle_explains_is_told(self):
        simulator = RockSampleSimulator(2, 1, rocks=[(1, 1)])
        particles = particle_filter.begin(simulator, 10, jax.random.key(0))
        _, evidence = particle_filter.update(simulator, particles, jnp.asarray(0), jnp.asarray(1), jax.random.key(1))
        assert float(evidence) == 0.0


class TestSimulators:
    def test_tabular_draws_what_the_arrays_say(self):
        rng = np.random.default_rng(4)
        problem = drawn(rng, states=5, observations=4)
        simulator, count = TabularSimulator(problem), 20_000
        for action in range(3):
            start = int(rng.integers(5))
            keys = jax.random.split(jax.random.key(action), count)
            states, rewards, over = jax.vmap(simulator.step, (None, None, 0))(
                simulator.states(jnp.asarray(start)), jnp.asarray(action), keys
            )
            joint = np.zeros((5, 4))
            np.add.at(joint, (np.asarray(states.number), np.asarray(states.seen)), 1)
            exact = problem.transitions[action].toarray()[start][:, None] * problem.observations[action].toarray()
            assert_frequencies(joint, exact)
            assert np.allclose(rewards, problem.rewards[start, action], atol=1e-6)
            assert not np.asarray(over).any()
            likely = jax.vmap(jax.vmap(simulator.likelihood, (None, 0)), (0, None))(states, jnp.arange(4))
            assert np.allclose(likely, problem.observations[action].toarray()[np.asarray(states.number)], atol=1e-6)
        firsts = jax.vmap(simulator.init)(jax.random.split(jax.random.key(9), count))
        assert_frequencies(np.bincount(np.asarray(firsts.number), minlength=5), problem.initial)

    @pytest.mark.parametrize(("n", "k"), [(4, 4), (3, 0), (5, 3)])
    def test_rock_sample_is_the_one_of_the_arrays(self, n, k):
        problem, simulator = rock_sample.make(n, k, seed=3), RockSampleSimulator(n, k, seed=3)
        count, rng = 3000, np.random.default_rng(n)
        number = jax.vmap(simulator.number)
        state = jax.vmap(simulator.init)(jax.random.split(jax.random.key(0), count))
        assert_frequencies(np.bincount(np.asarray(number(state)), minlength=len(problem.initial)), problem.initial)
        step = eqx.filter_jit(lambda simulator, *args: jax.vmap(simulator.step)(*args))
        likely = jax.vmap(jax.vmap(simulator.likelihood, (None, 0)), (0, None))
        sights = [matrix.toarray() for matrix in problem.observations]
        right, all_of = 0.0, 0.0
        for turn in range(30):
            before = np.asarray(number(state))
            action = rng.integers(5 + k, size=count)
            state, reward, over = step(
                simulator, state, jnp.asarray(action, jnp.int32), jax.random.split(jax.random.key(turn), count)
            )
            after, seen = np.asarray(number(state)), np.asarray(state.seen)
            told = np.asarray(likely(state, jnp.arange(3)))
            for chosen in range(5 + k):
                here = action == chosen
                certain = problem.transitions[chosen].toarray()[before[here]]
                assert np.array_equal(certain.argmax(1), after[here])
                assert (certain.max(1) == 1.0).all()
                assert np.allclose(problem.rewards[before[here], chosen], np.asarray(reward)[here])
                chances = sights[chosen][after[here]]
                assert np.allclose(told[here], chances, atol=1e-6)
                right += (seen[here] == chances.argmax(1)).sum() - chances.max(1).sum()
                all_of += (chances.max(1) * (1 - chances.max(1))).sum()
            assert np.array_equal(np.asarray(over), after == len(problem.initial) - 1)
        assert abs(right) <= 4.5 * np.sqrt(all_of)

    def test_the_same_search_values_from_either_simulator(self):
        """Tabular and factored RockSample: the same problem, so the same returns of the same chance play."""
        config, keys = pomcp.Config(1e9, 200), jax.random.split(jax.random.key(0), 128)
        found = []
        for simulator in (TabularSimulator(rock_sample.make(4, 4)), RockSampleSimulator(4, 4)):
            values = np.asarray(pomcp.search(simulator, roots(simulator, 128, 64), config, keys).values)
            found.append((values.mean(0), values.var(0) / 128))
        (left, left_error), (right, right_error) = found
        assert (np.abs(left - right) < 4.5 * np.sqrt(left_error + right_error)).all()


def assert_frequencies(counts: np.ndarray, chances: np.ndarray) -> None:
    """Counts as chance would have them; nothing where the chance is zero."""
    counts, chances = np.ravel(counts), np.ravel(chances)
    assert (counts[chances == 0] == 0).all()
    expected = chances * counts.sum()
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected * (1 - chances)) + 3).all()


class TestDice:
    def test_numbers_are_even_alone_and_in_pairs(self):
        key = dice.quick(jax.random.key(0))
        keys = jax.random.split(key, 200_000)
        folded = jax.vmap(lambda index: jax.random.fold_in(key, index))(jnp.arange(200_000))
        deep = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, 1), 2)[1])(keys)
        streams = [
            jax.random.uniform(key, (200_000,)),
            *(jax.vmap(jax.random.uniform)(children) for children in (keys, folded, deep)),
            jax.vmap(lambda key: jax.random.uniform(key, (2,))[1])(keys),
        ]
        for stream in map(np.asarray, streams):
            assert stats.chisquare(np.bincount((stream * 256).astype(int), minlength=256)).pvalue > 1e-5
            pairs = (stream[:-1] * 16).astype(int) * 16 + (stream[1:] * 16).astype(int)
            assert stats.chisquare(np.bincount(pairs[::2], minlength=256)).pvalue > 1e-5
        for left, right in itertools.pairwise(streams[1:]):
            pairs = (np.asarray(left) * 16).astype(int) * 16 + (np.asarray(right) * 16).astype(int)
            assert stats.chisquare(np.bincount(pairs, minlength=256)).pvalue > 1e-5

    def test_children_differ(self):
        keys = jax.random.key_data(jax.random.split(dice.quick(jax.random.key(1)), 100_000))
        assert len(np.unique(np.asarray(keys), axis=0)) == 100_000

    def test_all_widths(self):
        key = dice.quick(jax.random.key(2))
        for kind in (jnp.uint8, jnp.uint16, jnp.uint32):
            bits = np.asarray(jax.random.bits(key, (1000,), kind))
            assert bits.dtype == kind
            assert bits.max() > 0.9 * np.iinfo(bits.dtype).max
        with jax.enable_x64(True):
            assert np.asarray(jax.random.bits(key, (1000,), jnp.uint64)).max() > 2**63


class TestBadInput:
    def test_messages(self):
        problem = tiger.make(discount=1.0)
        with pytest.raises(ValueError, match="no horizon and the discount is 1"):
            TabularSimulator(problem)
        simulator = TabularSimulator(tiger.make())
        keys, particles = jax.random.split(jax.random.key(0), 2), roots(simulator, 2, 4)
        for config, words in (
            (pomcp.Config(1.0, 0), "num_simulations is 0"),
            (pomcp.Config(-1.0), "exploration is -1"),
            (pomcp.Config(1.0, epsilon=0.0), "epsilon is 0"),
            (pomcp.Config(1.0, 10**9), "fewer simulations"),
        ):
            with pytest.raises(ValueError, match=words):
                pomcp.search(simulator, particles, config, keys)
        with pytest.raises(ValueError, match="cannot be simulated"):
            RockSampleSimulator(4, 31)

    def test_depth(self):
        assert pomcp.depth(500, 0.95, 0.01) == 90
        assert 0.95**90 < 0.01 < 0.95**89
        assert pomcp.depth(10, 0.95, 0.01) == 10
        assert pomcp.depth(7, 1.0, 0.01) == 7
        assert pomcp.depth(7, 0.0, 0.01) == 1
        assert pomcp.depth(None, 0.5, 0.3) == 2

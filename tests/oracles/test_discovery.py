"""Humans who find out what they want, and who helps them: exact values against histories enumerated one by one."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.arrays import GameArrays, game_arrays
from tacit.assistants import explorer, none
from tacit.contracts.forms import require_frequencies
from tacit.core import Assistant, Human
from tacit.games import tasting
from tacit.games.asking import FeltGame, all_or_nothing, make_asking
from tacit.games.tabular import TabularGame
from tacit.humans import bayesian, estimator, learning
from tacit.planning import discovery, exact_pomdp, policy_graph
from tacit.planning.discovery import LearnerArrays, learner_arrays
from tacit.play import play

N, S, H, A, M, F, T = 2, 3, 2, 2, 3, 2, 3


def random_game(rng: np.random.Generator, horizon: int = T) -> FeltGame:
    """Feelings, moves and sights at random; what the assistant may do differs by what it sees."""
    levels = np.array([-1.0, 1.0])
    feels = rng.dirichlet(np.full(F, 0.7), (N, S, H, A))
    arrays = game_arrays(
        rng.dirichlet(np.full(S, 0.5), (S, H, A)),
        feels @ levels,
        rng.dirichlet(np.ones(N)),
        rng.dirichlet(np.ones(S)),
        horizon,
        float(rng.uniform(0.7, 1.0)),
        sees=[rng.permutation(S), [0, 1, 1]],
        legal_human=[[True, True], [True, True], [True, False]],
        legal_assistant=[[True, rng.random() < 0.5], [True, True], [True, True]],
    )
    return FeltGame(arrays, levels, feels)


def random_human(rng: np.random.Generator, game: FeltGame) -> LearnerArrays:
    choose = rng.dirichlet(np.full(H, 0.5), (M, S)) * game.arrays.legal_human
    return learner_arrays(
        game.arrays,
        rng.dirichlet(np.ones(M), N) if rng.random() < 0.5 else rng.dirichlet(np.ones(M)),
        choose / choose.sum(-1, keepdims=True),
        game.feels,
        rng.integers(M, size=(M, S, H, A, F)),
    )


def first_sights(arrays: GameArrays, human: LearnerArrays) -> dict[int, dict]:
    """For each first sight, how likely each (theta, world, memory) is together with it."""
    found = {}
    for n, s, m in itertools.product(range(N), range(S), range(human.choose.shape[0])):
        weight = arrays.prior[n] * arrays.initial[s] * human.start[n, m]
        found.setdefault(int(arrays.sees[1, s]), {})[n, s, m] = weight
    return found


def one_turn(arrays: GameArrays, human: LearnerArrays, belief: dict, action: int) -> tuple[float, dict]:
    """The expected reward, and the weights that follow for each (human action, sight)."""
    reward, following = 0.0, {}
    for (n, s, m), weight in belief.items():
        taken = action if arrays.legal_assistant[s, action] else 0
        for h, f, after in itertools.product(range(H), range(F), range(S)):
            chance = weight * human.choose[m, s, h]
            chance *= human.feels[n, s, h, taken, f] * arrays.transitions[s, h, taken, after]
            reward += chance * arrays.rewards[n, s, h, taken]
            there = following.setdefault((h, int(arrays.sees[1, after])), {})
            place = n, after, int(human.learn[m, s, h, taken, f])
            there[place] = there.get(place, 0.0) + chance
    return reward, following


def best(arrays: GameArrays, human: LearnerArrays, belief: dict, turns: int) -> float:
    """The most that can be made of a belief, by every action and everything that can be seen."""
    values = []
    for action in range(A):
        reward, following = one_turn(arrays, human, belief, action)
        onward = sum(best(arrays, human, after, turns - 1) for after in following.values()) if turns > 1 else 0.0
        values.append(reward + arrays.discount * onward)
    return max(values)


def follow(arrays: GameArrays, human: LearnerArrays, belief: dict, turns: int, rule, seen: tuple) -> float:
    """What an assistant is worth that does `rule(everything seen so far)`."""
    reward, following = one_turn(arrays, human, belief, rule(seen))
    if turns == 1:
        return reward
    onward = [follow(arrays, human, after, turns - 1, rule, (*seen, now)) for now, after in following.items()]
    return reward + arrays.discount * sum(onward)


def together(game: TabularGame, human: LearnerArrays) -> policy_graph.Worked:
    return policy_graph.solve(discovery.reduce_learning(game.arrays, human), game.horizon)


def obeying(game: TabularGame, human: LearnerArrays) -> float:
    problem = discovery.reduce_learning(game.arrays, human)
    passing = policy_graph.reactive(np.zeros(len(problem.observation_names), int))
    return policy_graph.evaluate(problem, passing, game.horizon)


def test_values_by_enumerating_histories() -> None:
    rng = np.random.default_rng()
    for _ in range(6):
        game = random_game(rng)
        human = random_human(rng, game)
        problem = discovery.reduce_learning(game.arrays, human)
        found = policy_graph.solve(problem, T)
        firsts = first_sights(game.arrays, human)
        assert found.value == pytest.approx(
            sum(best(game.arrays, human, belief, T) for belief in firsts.values()), abs=1e-10
        )
        assert policy_graph.evaluate(problem, found.graph, T) == pytest.approx(found.value, abs=1e-10)
        # Rules that look at the last thing seen, and passing among them.
        for table in (np.zeros(2 * H, int), rng.integers(A, size=2 * H)):
            rule = lambda seen, table=table: table[seen[-1][1] * H + seen[-1][0]]  # noqa: E731
            worth = sum(follow(game.arrays, human, b, T, rule, ((0, z),)) for z, b in firsts.items())
            assert policy_graph.evaluate(problem, policy_graph.reactive(table), T) == pytest.approx(worth, abs=1e-10)
            assert found.value >= worth - 1e-10


def test_best_of_all_plans_written_down() -> None:
    """The plan found is the best of every map from histories of two turns to actions."""
    rng = np.random.default_rng()
    game = random_game(rng, 2)
    human = random_human(rng, game)
    firsts = first_sights(game.arrays, human)
    total = 0.0
    for sight, belief in firsts.items():
        plans = []
        for first, *second in itertools.product(range(A), repeat=1 + 2 * H):
            rule = lambda seen, first=first, second=second: (  # noqa: E731
                first if len(seen) == 1 else second[seen[1][1] * H + seen[1][0]]
            )
            plans.append(follow(game.arrays, human, belief, 2, rule, ((0, sight),)))
        total += max(plans)
    assert together(game, human).value == pytest.approx(total, abs=1e-10)


def test_alpha_vectors_agree() -> None:
    rng = np.random.default_rng()
    game = random_game(rng)
    start = np.eye(S)[rng.integers(S)]  # nothing to see before the first action
    game = eqx.tree_at(lambda game: game.arrays.initial, game, start)
    problem = discovery.reduce_learning(game.arrays, random_human(rng, game))
    assert policy_graph.solve(problem, 2).value == pytest.approx(exact_pomdp.solve(problem, 2).value, abs=1e-8)


def test_enumeration_catches_a_human_who_is_got_wrong() -> None:
    """A human taken to forget, to feel otherwise, or to show what they feel, has another value than theirs."""
    rng = np.random.default_rng()
    wrong = np.zeros(3)
    for _ in range(6):
        game = random_game(rng)
        human = random_human(rng, game)
        truth = sum(best(game.arrays, human, belief, T) for belief in first_sights(game.arrays, human).values())
        stays = np.broadcast_to(np.arange(M)[:, None, None, None, None], human.learn.shape)
        broken = (
            together(game, human._replace(learn=stays)).value,
            together(game, human._replace(feels=human.feels[..., ::-1])).value,
            policy_graph.solve(discovery.one_mind(game.arrays, game.feels), T).value,
        )
        wrong += np.abs(np.array(broken) - truth) > 1e-6
    assert (wrong >= 1).all()


def test_no_team_beats_one_mind_and_none_loses_to_obeying() -> None:
    rng = np.random.default_rng()
    gains = []
    for _ in range(5):
        states, options, thetas = 2, 2, 3
        game = make_asking(
            rng.dirichlet(np.ones(states), (states, options)),
            rng.normal(size=(thetas, states, options)),
            rng.dirichlet(np.ones(thetas)),
            rng.dirichlet(np.ones(states)),
            2,
        )
        bound = policy_graph.solve(discovery.one_mind(game.arrays, game.feels), game.horizon).value
        for human in (
            estimator.make(game, 3.0, patience=1),
            bayesian.make(game, 3.0, patience=2),
            estimator.win_stay_lose_shift(game),
        ):
            value, alone = together(game, human.arrays).value, obeying(game, human.arrays)
            assert alone - 1e-10 <= value <= bound + 1e-10
            gains.append(value - alone)
        far = bayesian.far_sighted(game)
        assert obeying(game, far.arrays) == pytest.approx(bound, abs=1e-9)
        assert together(game, far.arrays).value == pytest.approx(bound, abs=1e-9)
        knower = learning.expert(game, np.inf, lookahead=game.horizon)
        # Who plans further than the game lasts may be wrong in the end; in the bandit below that cannot be.
        assert together(game, knower.arrays).value >= obeying(game, knower.arrays) - 1e-10
    assert max(gains) > 1e-3


def two_arms(rounds: int) -> FeltGame:
    """Bernoulli arms with even priors: Gauss-Legendre nodes have every moment that so many rounds can ask for."""
    nodes, weights = np.polynomial.legendre.leggauss(rounds // 2 + 1)
    pairs = np.array(list(itertools.product((nodes + 1) / 2, repeat=2)))
    prior = np.array([one * other / 4 for one, other in itertools.product(weights, repeat=2)])
    return make_asking(np.ones((1, 2, 1)), pairs[:, None], prior, [1.0], rounds, scale=(0.0, 1.0))


def by_counts(rounds: int) -> float:
    """The Bayes-optimal value of two such arms, from wins and losses alone."""

    @functools.cache
    def value(tally: tuple[int, int, int, int], left: int) -> float:
        if left == 0:
            return 0.0
        options = []
        for arm in (0, 2):
            mean = (tally[arm] + 1) / (tally[arm] + tally[arm + 1] + 2)
            won, lost = (tuple(c + (i == arm + k) for i, c in enumerate(tally)) for k in (0, 1))
            options.append(mean * (1 + value(won, left - 1)) + (1 - mean) * value(lost, left - 1))
        return max(options)

    return value((0, 0, 0, 0), rounds)


@pytest.mark.parametrize(("rounds", "golden"), [(5, 26 / 9), (10, 6.0217857)])
def test_bandit_is_a_special_case(rounds: int, golden: float) -> None:
    game = two_arms(rounds)
    human = estimator.win_stay_lose_shift(game)
    value = together(game, human.arrays).value
    assert value == pytest.approx(by_counts(rounds), abs=1e-9)
    assert value == pytest.approx(golden, abs=5e-8)
    # Somebody who stays and shifts the same whatever happens tells nothing.
    dumb = human.arrays._replace(learn=human.arrays.learn[..., :1].repeat(human.arrays.learn.shape[-1], -1))
    assert together(game, dumb).value < golden - 0.01


def test_tasting_by_hand() -> None:
    """One new dish, two rounds, a guest who knows their own mind: serve it, and go on with it if they ask for it."""
    rng = np.random.default_rng()
    share, loved, other = rng.uniform(0.3, 0.5), rng.uniform(0.8, 1.0), rng.uniform(0.0, 0.1)
    mean = share * loved + (1 - share) * other
    again = share * loved**2 + (1 - share) * other**2
    usual = rng.uniform(mean + 0.01, (mean + 1) / 2 - 0.01)
    game = tasting.make(1, 2, usual, loved, other, share)
    human = estimator.make(game, np.inf).arrays
    assert obeying(game, human) == pytest.approx(2 * usual, abs=1e-12)
    assert together(game, human).value == pytest.approx(max(2 * usual, mean + again + (1 - mean) * usual), abs=1e-12)
    # Who orders at random tells nothing, and is served what is best for anyone.
    noise = estimator.make(game, 0.0).arrays
    assert together(game, noise).value == pytest.approx(2 * usual, abs=1e-12)
    assert obeying(game, noise) == pytest.approx(usual + mean, abs=1e-12)


def test_nothing_to_gain_from_somebody_who_knows() -> None:
    for rounds in (1, 3):
        game = tasting.make(num_rounds=rounds)
        knower = learning.expert(game, np.inf).arrays
        assert together(game, knower).value == pytest.approx(obeying(game, knower), abs=1e-12)


def test_not_knowing_which_human_it_is() -> None:
    """A plan for either human is worth, on average, what it is worth beside each."""
    game = tasting.make(num_rounds=3)
    humans = [learning.expert(game, 10.0).arrays, estimator.make(game).arrays]
    share = float(np.random.default_rng().uniform(0.2, 0.8))
    unsure = together(game, discovery.mixture(humans, [share, 1 - share]))
    worth = [
        policy_graph.evaluate(discovery.reduce_learning(game.arrays, human), unsure.graph, game.horizon)
        for human in humans
    ]
    assert unsure.value == pytest.approx(share * worth[0] + (1 - share) * worth[1], abs=1e-10)
    assert unsure.value <= share * together(game, humans[0]).value + (1 - share) * together(game, humans[1]).value


def returns(game: TabularGame, human: Human, assistant: Assistant, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The discounted return of each of many episodes, and what the human did in it."""

    discounts = jnp.asarray(game.discount ** np.arange(game.horizon), jnp.float32)

    def one(key):
        theta_key, play_key = jax.random.split(key)
        episode = play(game, human, assistant, game.sample_theta(theta_key), play_key)
        return episode.rewards.sum(1) @ discounts, episode.states.last_actions[1:, 0]

    keys = jax.random.split(jax.random.key(seed), 20_000)
    got, did = jax.jit(jax.vmap(one))(keys)
    return np.asarray(got, np.float64), np.asarray(did)


def test_play_is_worth_what_was_planned() -> None:
    """In a random game, where theta shapes the first memory and the first sight tells something."""
    rng = np.random.default_rng()
    game = random_game(rng)
    arrays = random_human(rng, game)
    human = learning.learner(game, arrays.start, arrays.choose, arrays.learn)
    plain = none.make(game, human)
    for assistant, value in (
        (explorer.make(game, human), together(game, arrays).value),
        (plain, obeying(game, arrays)),
    ):
        got, did = returns(game, human, assistant, 3)
        assert abs(got.mean() - value) <= 5 * got.std() / len(got) ** 0.5 + 1e-5
    # The human who is played does what the arrays say, memory and all.
    chances = np.zeros((H,) * T)
    beliefs = {(): {k: v for belief in first_sights(game.arrays, arrays).values() for k, v in belief.items()}}
    for _ in range(T):
        onward = {}
        for said, belief in beliefs.items():
            for (h, _), after in one_turn(game.arrays, arrays, belief, 0)[1].items():
                there = onward.setdefault((*said, h), {})
                for place, weight in after.items():
                    there[place] = there.get(place, 0.0) + weight
        beliefs = onward
    for said, belief in beliefs.items():
        chances[said] = sum(belief.values())
    counts = np.zeros_like(chances)
    np.add.at(counts, tuple(did.T), 1)
    require_frequencies("What the human does", counts.ravel(), chances.ravel())


def test_much_and_nothing_to_learn() -> None:
    """Where everyone wants the same nobody learns, and the noise-free are best obeyed; too much is refused."""
    rng = np.random.default_rng()
    game = make_asking(np.ones((1, 3, 1)), rng.uniform(size=(1, 1, 3)), [1.0], [1.0], 2)
    for human in (estimator.make(game, np.inf), bayesian.make(game, np.inf), learning.expert(game, np.inf)):
        assert human.arrays.choose.shape[0] == 1
        assert obeying(game, human.arrays) == pytest.approx(2 * game.arrays.rewards.max(), abs=1e-12)
    teller = estimator.win_stay_lose_shift(game)
    assert together(game, teller.arrays).value == pytest.approx(2 * game.arrays.rewards.max(), abs=1e-12)
    large = TabularGame(np.ones((1, 10, 10, 1)), rng.normal(size=(3, 1, 10, 10)), np.ones(3) / 3, [1.0], 2)
    with pytest.raises(ValueError, match=r"The 100 things to try, 300 feelings .* memories, too many to list"):
        estimator.make(large)
    with pytest.raises(ValueError, match=r"beliefs can be reached by 40 feelings, too many to list"):
        bayesian.make(random_game(rng), patience=40)


def test_bad_humans_are_named() -> None:
    rng = np.random.default_rng()
    game = random_game(rng)
    good = random_human(rng, game)
    m, s = rng.integers(M), rng.integers(2)
    off, away, illegal, alike = good.choose.copy(), good.learn.copy(), good.choose.copy(), good.choose.copy()
    off[m, s, 0] += 0.5
    away[m, s, 0, 1, 0] = M
    illegal[m, 2] = [0.5, 0.5]
    bad = {
        "choose": (off, rf"choose\[{m}, {s}\] sums to 1.5"),
        "learn": (away, rf"learn\[{m}, {s}, 0, 1, 0\] is {M}; its entries are whole numbers from 0 to {M - 1}\."),
        "feels": (good.feels[:, :, :, :1], "feels has shape"),
        "start": (np.full((N, M), 0.5), r"start\[0\] sums to 1.5"),
    }
    for name, (value, message) in bad.items():
        with pytest.raises(ValueError, match=message):
            learner_arrays(game.arrays, **(good._asdict() | {name: value}))
    with pytest.raises(ValueError, match=r"not legal for the human in state 2\."):
        learner_arrays(game.arrays, **(good._asdict() | {"choose": illegal}))
    blind = eqx.tree_at(lambda game: game.arrays.sees, game, np.array([[0, 0, 1], [0, 1, 1]])).arrays
    alike[:, 0], alike[:, 1] = [1.0, 0.0], [0.0, 1.0]
    with pytest.raises(ValueError, match=r"choose\[:, 0\] and choose\[:, 1\] differ, but both states look like 0"):
        learner_arrays(blind, **(good._asdict() | {"choose": alike, "learn": np.zeros_like(good.learn)}))
    with pytest.raises(ValueError, match="knows 3 observations and the problem has 4"):
        policy_graph.evaluate(discovery.reduce_learning(game.arrays, good), policy_graph.reactive([0, 0, 0]), T)
    certain = tasting.make(num_rounds=2)
    surprised = discovery.reduce_learning(certain.arrays, estimator.make(certain).arrays)
    plan = together(certain, learning.expert(certain, np.inf).arrays).graph
    with pytest.raises(ValueError, match="something can be seen that the plan takes for impossible"):
        policy_graph.evaluate(surprised, plan, certain.horizon)
    with pytest.raises(ValueError, match=r"feels\[0, 0, 0, 0\] has mean .* but rewards\[0, 0, 0, 0\] is"):
        FeltGame(game.arrays, [-2.0, 2.0], game.feels)
    with pytest.raises(ValueError, match="scale runs from 0"):
        all_or_nothing(game.arrays.rewards, (0.0, 1.0))

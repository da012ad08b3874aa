"""When is it better to find out together than to obey? Exact values beside humans who do not know what they want yet.

After Chan et al. 2019, "The Assistive Multi-Armed Bandit", arXiv 1901.08654, whose two arms are the first case here;
then a guest who has never tried what they might love, and random worlds. The human asks and feels; the assistant sees
what is asked for and decides. All values are exact (`planning.discovery`): obeying ≤ finding out together ≤ one mind
that chooses for both and feels it.
"""

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from tacit.assistants import explorer, none
from tacit.core import Assistant, Game, Human
from tacit.games import tasting
from tacit.games.asking import FeltGame, make_asking
from tacit.humans import bayesian, estimator, learning
from tacit.humans.learning import Learner
from tacit.planning import discovery, policy_graph
from tacit.planning.policy_graph import Worked
from tacit.play import play
from tacit.studies.claims import Claim, at_least, near

EXACT = 1e-9
CHAN = "Chan et al. 2019: whoever wins, stays and loses, shifts tells all they feel; Bayes-optimal value of two arms"
BOUND = "the assistant may pass, and one mind may do as any team does"
BY_HAND = "the closed form for this guest"
PLAYED = "the exact value; 3 standard errors"
NOTHING = "who knows and says what is best, or explores as well as one can, is best obeyed"
EXPERT = "Chan et al. 2019: assuming an expert hurts a learner (29.1 < 33.2 on four arms); here by exact values"
LEARNER = "found here, exactly: the opposite mistake hurts as well"
UNSURE = "found here, exactly: a plan for who may be either is better than obeying, whoever comes"


@dataclasses.dataclass(frozen=True)
class Config:
    """How well guests know what they think, how many rounds are played, and how much is drawn."""

    rationalities: tuple[float, ...] = (3.0, 10.0, 30.0, math.inf)
    rationality: float = 10.0
    num_rounds: int = 6
    num_worlds: int = 6
    num_episodes: int = 8192
    seed: int = 0


TIERS = {"tiny": Config(), "small": Config(num_rounds=7, num_worlds=60, num_episodes=65536)}


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """Bandit, tasting and random worlds; then what is lost by taking a learner for an expert, and play."""
    del data
    config = config or TIERS.get(tier, TIERS["small"])
    return [*bandit(), *worlds(config), *by_hand(), *margins(config), *mistaken(config), *played(config)]


def bandit() -> list[Claim]:
    """Two arms: the team of an assistant and the simplest of learners does as well as anyone could."""
    found = []
    for rounds, value, off in ((5, 26 / 9, EXACT), (10, 6.0217857, 5e-8)):
        game = two_arms(rounds)
        worth = discovery.worth(game.arrays, estimator.win_stay_lose_shift(game).arrays)
        found += [
            near(f"two_arms_together@rounds{rounds}", worth.together, value, off, CHAN),
            near(f"two_arms_one_mind@rounds{rounds}", worth.one_mind, worth.together, EXACT, CHAN),
            at_least(f"two_arms_margin@rounds{rounds}", worth.together - worth.alone, 0.04, "better than obeying"),
        ]
    return found


def two_arms(rounds: int) -> FeltGame:
    """Two arms that pay 0 or 1, any mean from 0 to 1 being as likely.

    What matters of the prior are its moments up to the number of rounds, and Gauss-Legendre nodes have those exactly.
    """
    nodes, weights = np.polynomial.legendre.leggauss(rounds // 2 + 1)
    means = list(itertools.product((nodes + 1) / 2, repeat=2))
    prior = [one * other / 4 for one, other in itertools.product(weights, repeat=2)]
    return make_asking(np.ones((1, 2, 1)), [[pair] for pair in means], prior, [1.0], rounds, scale=(0.0, 1.0))


def worlds(config: Config) -> list[Claim]:
    """Random worlds with two states, three tastes and three rounds: four learners in each."""
    rng = np.random.default_rng(config.seed)
    gains, lacks, explored = [], [], []
    for _ in range(config.num_worlds):
        game = make_asking(
            rng.dirichlet(np.ones(2), (2, 2)), rng.normal(size=(3, 2, 2)), rng.dirichlet(np.ones(3)), [0.5, 0.5], 3
        )
        bound = policy_graph.solve(discovery.one_mind(game.arrays, game.feels), game.horizon).value
        for human in (
            estimator.make(game, 3.0, patience=1),
            bayesian.make(game, 3.0, patience=2),
            estimator.win_stay_lose_shift(game),
        ):
            together, alone = best(game, human).value, obeying(game, human)
            gains.append(together - alone)
            lacks.append(bound - together)
        explored.append(abs(bound - obeying(game, bayesian.far_sighted(game))))
    return [
        at_least("least_margin_in_random_worlds", min(gains), -EXACT, BOUND),
        at_least("least_lack_to_one_mind_in_random_worlds", min(lacks), -EXACT, BOUND),
        at_least(
            "worlds_with_a_margin", float(np.mean(np.array(gains) > 1e-3)), 0.9, "noisy or short-sighted learners"
        ),
        near("far_sighted_alone_lacks_at_most", max(explored), 0.0, EXACT, NOTHING),
    ]


def by_hand() -> list[Claim]:
    """Guests whose values have a closed form."""
    game = tasting.make(num_new=1, num_rounds=2)
    # Love: 0.9 with share 0.4, else 0.1. Serve the new dish; the guest asks for it again if they liked it.
    mean, again = 0.4 * 0.9 + 0.6 * 0.1, 0.4 * 0.9**2 + 0.6 * 0.1**2
    sure, random = estimator.make(game, math.inf), estimator.make(game, 0.0)
    return [
        near("one_new_dish_together", best(game, sure).value, mean + again + (1 - mean) * 0.5, EXACT, BY_HAND),
        near("one_new_dish_obeying", obeying(game, sure), 2 * 0.5, EXACT, BY_HAND),
        near("random_orders_together", best(game, random).value, 2 * 0.5, EXACT, BY_HAND),
        near("random_orders_obeying", obeying(game, random), 0.5 + mean, EXACT, BY_HAND),
    ]


def margins(config: Config) -> list[Claim]:
    """What is gained by finding out together, by the number of rounds and by how well guests know what they think."""
    long = tasting.make(num_rounds=config.num_rounds)
    found = []
    for rationality in config.rationalities:
        human = estimator.make(long, rationality)
        margin = best(long, human).value - obeying(long, human)
        found.append(at_least(f"margin@rationality{rationality:g}", margin, 0.1, "measured; more than 0 is the claim"))
    grown = []
    for rounds in range(1, config.num_rounds + 1):
        game = tasting.make(num_rounds=rounds)
        human = estimator.make(game, math.inf)
        grown.append(best(game, human).value - obeying(game, human))
    expert, explores = learning.expert(long, math.inf), bayesian.far_sighted(long)
    teller = estimator.win_stay_lose_shift(long)
    bound = policy_graph.solve(discovery.one_mind(long.arrays, long.feels), long.horizon).value
    sources = "one round is too short to find out for", "the more rounds, the more there is to find out for"
    return [
        *found,
        near("margin_of_one_round", grown[0], 0.0, EXACT, sources[0]),
        at_least("least_growth_of_the_margin_by_a_round", float(np.diff(grown).min()), 0.01, sources[1]),
        near("margin_beside_an_expert", best(long, expert).value - obeying(long, expert), 0.0, EXACT, NOTHING),
        near(
            "margin_beside_the_far_sighted", best(long, explores).value - obeying(long, explores), 0.0, EXACT, NOTHING
        ),
        near("together_with_who_tells_all", best(long, teller).value, bound, EXACT, CHAN),
    ]


def mistaken(config: Config) -> list[Claim]:
    """What a plan made for an expert does to a learner, the other way round, and a plan for who may be either."""
    game = tasting.make(num_rounds=config.num_rounds)
    expert, learner = learning.expert(game, config.rationality), estimator.make(game, config.rationality)
    for_expert, for_learner = best(game, expert), best(game, learner)
    either = discovery.mixture([expert.arrays, learner.arrays], [0.75, 0.25])
    unsure = policy_graph.solve(discovery.reduce_learning(game.arrays, either), game.horizon)
    obeyed = obeying(game, learner), obeying(game, expert)
    claims = [
        ("learner_taken_for_expert_loses_to_obeying", obeyed[0] - under(game, for_expert, learner), EXPERT),
        ("expert_taken_for_learner_loses_to_obeying", obeyed[1] - under(game, for_learner, expert), LEARNER),
        ("unsure_beats_obeying_a_learner", under(game, unsure, learner) - obeyed[0], UNSURE),
        ("unsure_beats_obeying_an_expert", under(game, unsure, expert) - obeyed[1], UNSURE),
    ]
    return [at_least(name, measured, 1e-3, source) for name, measured, source in claims]


def played(config: Config) -> list[Claim]:
    """The mean return of play beside the exact value."""
    game = tasting.make(num_rounds=4)
    human = estimator.make(game, config.rationality)
    keys = jax.random.split(jax.random.key(config.seed), config.num_episodes)
    found = []
    for name, assistant, value in (
        ("together", explorer.make(game, human), best(game, human).value),
        ("obeying", none.make(game, human), obeying(game, human)),
    ):
        got = np.asarray(returns(game, human, assistant, keys), np.float64)
        found.append(near(f"played_{name}", got.mean(), value, 3 * got.std() / math.sqrt(len(got)), PLAYED))
    return found


@eqx.filter_jit
def returns(game: Game, human: Human, assistant: Assistant, keys: Array) -> Float[Array, " B"]:
    """The reward of each episode."""

    def one(key: Array) -> Float[Array, ""]:
        theta_key, play_key = jax.random.split(key)
        return play(game, human, assistant, game.sample_theta(theta_key), play_key).rewards.sum()

    return jax.vmap(one)(keys)


def best(game: FeltGame, human: Learner) -> Worked:
    """The best plan beside this human."""
    return policy_graph.solve(discovery.reduce_learning(game.arrays, human.arrays), game.horizon)


def obeying(game: FeltGame, human: Learner) -> float:
    """What the human is worth who always gets what they ask for."""
    problem = discovery.reduce_learning(game.arrays, human.arrays)
    return policy_graph.evaluate(
        problem, policy_graph.reactive(np.zeros(len(problem.observation_names), int)), game.horizon
    )


def under(game: FeltGame, plan: Worked, human: Learner) -> float:
    """What a plan is worth beside a human for whom it may not have been made."""
    return policy_graph.evaluate(discovery.reduce_learning(game.arrays, human.arrays), plan.graph, game.horizon)


def draw(figure: Any) -> None:
    """The margin over obeying by how well guests know what they think; and what six rounds are worth to whom."""
    left, right = figure.subplots(1, 2)
    rationalities = np.geomspace(0.5, 100.0, 19)
    for rounds in (1, 2, 3, 4, 5, 6):
        game = tasting.make(num_rounds=rounds)
        humans = [estimator.make(game, float(rationality)) for rationality in rationalities]
        values = [best(game, human).value for human in humans]
        alone = [obeying(game, human) for human in humans]
        left.plot(rationalities, np.subtract(values, alone), label=f"{rounds} round{'s' * (rounds > 1)}")
    bound = policy_graph.solve(discovery.one_mind(game.arrays, game.feels), game.horizon).value
    expert = [learning.expert(game, float(rationality)) for rationality in rationalities]
    hurt = [under(game, best(game, knower), human) for knower, human in zip(expert, humans, strict=True)]
    left.axhline(0.0, color="black", linewidth=0.8)
    left.set_title("finding out together, more than obeying")
    left.set_ylabel("margin (dishes enjoyed)")
    right.axhline(bound, color="black", linewidth=0.8, linestyle=":", label="one mind that feels")
    right.plot(rationalities, values, label="together")
    right.plot(rationalities, alone, "--", label="obeying")
    right.plot(rationalities, hurt, "-.", label="taking the guest for an expert")
    right.set_title("six rounds")
    right.set_ylabel("value (dishes enjoyed)")
    right.set_ylim(top=bound + 0.7)  # the legend goes above
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("self-knowledge: rationality (nats per dish)")
        axes.legend()

"""Is every kind of feedback one rule? Likelihoods against closed forms, calibrated beliefs, and what an answer tells.

Jeon, Milli and Dragan 2020, "Reward-rational (implicit) choice", arXiv 2002.04833. All in double precision.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy import special

from tacit.beliefs.exact import ExactBelief, believe
from tacit.core import Question
from tacit.feedback import calibration, choice, comparison, demonstration, press, proxy_reward
from tacit.planning import feature_world
from tacit.planning.feature_world import FeatureWorld
from tacit.studies.claims import Claim, at_least, near

CLOSED = "Jeon, Milli and Dragan 2020, table 1: the closed form of this kind alone"
CALIBRATED = "Talts et al. 2018, theorem 1: ranks are uniform (chi-square, 20 bins)"
INFORMATION = "Lindley 1956: information is never negative, and never lost by asking more"

NUM_FEATURES = 3
SIDE = 3


@dataclasses.dataclass(frozen=True)
class Config:
    """How many hypotheses there are, how rational people are, and how much is simulated."""

    num_hypotheses: int = 30
    rationality: float = 2.0
    num_simulations: int = 10_000
    num_answers: int = 4
    num_people: int = 400
    seed: int = 0


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """Closed forms, simulated answers, calibration, information, and regret. Every tier is the same."""
    del tier, data
    config = config or Config()
    with jax.enable_x64(True):
        return [*closed_forms(config), *answers(config), *calibrated(config), *information(config), *regrets(config)]


def grid(rng: np.random.Generator) -> FeatureWorld:
    """A square grid without chance, with random features, started in a corner: four moves, three turns."""
    places = np.arange(SIDE * SIDE)
    rows, columns = places // SIDE, places % SIDE
    moves = [(0, 1), (0, -1), (1, 0), (-1, 0)]
    follow = [np.clip(rows + down, 0, SIDE - 1) * SIDE + np.clip(columns + right, 0, SIDE - 1) for down, right in moves]
    features = np.repeat(rng.normal(size=(len(places), 1, NUM_FEATURES)), len(moves), 1)
    return feature_world.feature_world(
        np.eye(len(places))[np.stack(follow, 1)], features, np.eye(len(places))[0], horizon=3
    )


def people(config: Config, rng: np.random.Generator) -> ExactBelief:
    """Weight vectors that somebody might have, each as likely."""
    thetas = rng.normal(size=(config.num_hypotheses, NUM_FEATURES))
    return believe(jnp.asarray(thetas), jnp.ones(config.num_hypotheses))


def ask_comparison(rng: np.random.Generator, world: FeatureWorld) -> Question:
    """Which of two random ways to go is better?"""
    counts = demonstration.make(world).counts
    return comparison.make(counts[jnp.asarray(rng.choice(len(counts), 2, replace=False))])


def ask_demonstration(rng: np.random.Generator, world: FeatureWorld) -> Question:
    """How would you go?"""
    del rng
    return demonstration.make(world)


def ask_proxy(rng: np.random.Generator, world: FeatureWorld) -> Question:
    """Which of five random rewards would you hand over?"""
    return proxy_reward.make(world, rng.normal(size=(5, NUM_FEATURES)))


def ask_press(rng: np.random.Generator, world: FeatureWorld) -> Question:
    """Should a random way to go be stopped on its way? To stand still is to stay in the corner."""
    ways = demonstration.trajectories(world)
    way = ways[rng.integers(len(ways))]
    course = jnp.asarray(world.features[way[:, 0], way[:, 1]])
    return press.make(course, int(rng.integers(world.horizon)), jnp.asarray(world.features[0, 0]))


KINDS: dict[str, Callable[[np.random.Generator, FeatureWorld], Question]] = {
    "comparison": ask_comparison,
    "demonstration": ask_demonstration,
    "proxy_reward": ask_proxy,
    "press": ask_press,
}


def closed_forms(config: Config) -> list[Claim]:
    """The one rule against each kind's own formula, written out in NumPy."""
    rng = np.random.default_rng(config.seed)
    world, thetas = grid(rng), np.asarray(people(config, rng).hypotheses)
    off = {}
    pair = ask_comparison(rng, world)
    first, second = np.asarray(pair.outcomes) @ thetas.T  # pyright: ignore[reportAttributeAccessIssue]
    off["comparison"] = told(pair, thetas, config)[:, 0] - special.expit(config.rationality * (first - second))
    ways = demonstration.trajectories(world)
    returns = np.stack([world.features[way[:, 0], way[:, 1]] @ thetas.T for way in ways]).sum(1)
    enumerated = special.softmax(config.rationality * returns, axis=0).T
    off["demonstration"] = told(demonstration.make(world), thetas, config) - enumerated
    soft = [demonstration.log_likelihood(world, way, jnp.asarray(thetas), config.rationality) for way in ways[::9]]
    off["demonstration_unlisted"] = np.exp(np.stack(soft, 1)) - enumerated[:, ::9]
    proxies = rng.normal(size=(6, NUM_FEATURES))
    earned = thetas @ feature_world.feature_counts(world, proxies).T
    off["proxy_reward"] = told(proxy_reward.make(world, proxies), thetas, config) - special.softmax(
        config.rationality * earned, axis=1
    )
    way, turn = ways[rng.integers(len(ways))], 1
    on = (world.features[way[:, 0], way[:, 1]] @ thetas.T).sum(0)
    stopped = (world.features[way[:turn, 0], way[:turn, 1]] @ thetas.T).sum(0) + 2 * world.features[0, 0] @ thetas.T
    course = jnp.asarray(world.features[way[:, 0], way[:, 1]])
    asked = press.make(course, turn, jnp.asarray(world.features[0, 0]))
    off["press"] = told(asked, thetas, config)[:, press.PRESS] - special.expit(config.rationality * (stopped - on))
    return [near(f"closed_form@{name}", float(np.abs(gap).max()), 0.0, 1e-10, CLOSED) for name, gap in off.items()]


def told(question: Question, thetas: Float[np.ndarray, "N D"], config: Config) -> Float[np.ndarray, "N K"]:
    """P(k | θ) of every answer by the library's rule."""
    return np.exp(choice.log_likelihoods(question, jnp.asarray(thetas), config.rationality))


def answers(config: Config) -> list[Claim]:
    """Simulated answers come as often as they are likely."""
    rng = np.random.default_rng(config.seed + 1)
    world = grid(rng)
    theta = jnp.asarray(rng.normal(size=NUM_FEATURES))
    keys = jax.random.split(jax.random.key(config.seed), 20_000)
    found = []
    for name, ask in KINDS.items():
        question = ask(rng, world)
        chances = np.exp(choice.log_likelihood(question, theta, config.rationality))
        given = jax.jit(jax.vmap(functools.partial(choice.answer, question, theta, config.rationality)))(keys)
        counts = np.bincount(np.asarray(given), minlength=len(chances))
        due = chances * len(keys)
        surprise = float(((counts - due) ** 2 / due).sum() - len(chances) + 1) / np.sqrt(2 * (len(chances) - 1))
        source = "Pearson's chi-square, in standard deviations from its mean"
        found.append(at_least(f"answers_within_five_deviations@{name}", 5.0 - float(surprise), 0.0, source))
    return found


def calibrated(config: Config) -> list[Claim]:
    """Beliefs after every kind and after mixtures of all are calibrated, and the wrong rationality shows."""
    rng = np.random.default_rng(config.seed + 2)
    world, prior = grid(rng), people(config, rng)
    keys = jax.random.split(jax.random.key(config.seed + 1), config.num_simulations)
    direction = jnp.asarray(rng.normal(size=NUM_FEATURES))
    rank = functools.partial(calibration.ranks, prior, statistic=functools.partial(jnp.dot, direction), keys=keys)
    alone = {name: [ask(rng, world)] for name, ask in KINDS.items()}
    mixture = [ask(rng, world) for ask in KINDS.values()]
    found = []
    for name, asked in {**alone, "mixture": mixture}.items():
        p = calibration.p_value(rank(asked, answering=config.rationality, learning=config.rationality))
        found.append(at_least(f"calibrated@{name}", p, 0.01, CALIBRATED))
    wrong = calibration.p_value(rank(mixture, answering=config.rationality, learning=4.0 * config.rationality))
    return [
        *found,
        at_least("wrong_rationality_is_caught", -float(np.log10(wrong + 1e-300)), 6.0, "the same test, -log10 p"),
    ]


def information(config: Config) -> list[Claim]:
    """An answer is worth something, an idle question nothing, and two answers at least as much as either."""
    rng = np.random.default_rng(config.seed + 3)
    world, belief = grid(rng), people(config, rng)
    falls, lost = [], []
    for ask in KINDS.values():
        first, second = ask(rng, world), ask_comparison(rng, world)
        alone, other, together = (float(gain) for gain in gains(belief, first, second, config.rationality))
        falls.append(abs(alone - fall_of_entropy(belief, first, config.rationality)))
        lost.append(max(alone, other) - together)
    same = comparison.make(jnp.ones((3, NUM_FEATURES)))
    idle = float(choice.information_gain(belief, same, config.rationality))
    return [
        near("gain_is_the_expected_fall_of_entropy", max(falls), 0.0, 1e-10, "Lindley 1956, equation 2"),
        near("gain_of_identical_options", idle, 0.0, 1e-15, INFORMATION),
        at_least("two_answers_tell_more", -max(lost), 0.0, INFORMATION),
    ]


def fall_of_entropy(belief: ExactBelief, question: Question, rationality: float) -> float:
    """H(θ) - Σ_k P(k) H(θ | k), from the joint table of hypotheses and answers."""
    told = np.exp(choice.log_likelihoods(question, belief.hypotheses, rationality))
    joint = np.asarray(belief.probabilities)[:, None] * told
    return float(special.entr(joint.sum(1)).sum() - special.entr(joint).sum() + special.entr(joint.sum(0)).sum())


@eqx.filter_jit
def gains(
    belief: ExactBelief, first: Question, second: Question, rationality: float
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """What the one, the other and both tell: I(θ; k), I(θ; l) and I(θ; k, l) = I(θ; k) + Σ_k P(k) I(θ; l | k)."""
    chances = choice.predict(belief, first, rationality)
    after = jax.vmap(
        lambda given: choice.information_gain(choice.learn(belief, first, given, rationality), second, rationality)
    )(jnp.arange(len(chances)))
    one, other = (choice.information_gain(belief, question, rationality) for question in (first, second))
    return one, other, one + chances @ after


@eqx.filter_jit
def regret_curves(
    belief: ExactBelief,
    questions: list[Question],
    returns: Float[Array, "K D"],
    rationality: float,
    keys: Key[Array, " B"],
) -> Float[Array, "B T"]:
    """How much is lost, after each answer, by going the way that is best for the mean theta of the belief."""

    def one(key: Key[Array, ""]) -> Float[Array, " T"]:
        theta_key, *answer_keys = jax.random.split(key, 1 + len(questions))
        theta, now, lost = belief.sample(theta_key), belief, []
        for question, answer_key in zip(questions, answer_keys, strict=True):
            now = choice.learn(now, question, choice.answer(question, theta, rationality, answer_key), rationality)
            way = jnp.argmax(returns @ now.expect(lambda other: other))
            lost.append(jnp.max(returns @ theta) - returns[way] @ theta)
        return jnp.stack(lost)

    return jax.vmap(one)(keys)


def learning_curves(config: Config) -> dict[str, np.ndarray]:
    """The regret of `num_people` people after each answer, for three kinds and for two in turn."""
    rng = np.random.default_rng(config.seed + 4)
    world, belief = grid(rng), people(config, rng)
    returns = demonstration.make(world).counts
    keys = jax.random.split(jax.random.key(config.seed), config.num_people)
    kinds = ("comparison", "proxy_reward", "press")
    asked = {name: [KINDS[name](rng, world) for _ in range(config.num_answers)] for name in kinds}
    half = config.num_answers // 2
    asked["comparison, then press"] = [*asked["comparison"][:half], *asked["press"][half:]]
    return {
        name: np.asarray(regret_curves(belief, questions, returns, config.rationality, keys))
        for name, questions in asked.items()
    }


def regrets(config: Config) -> list[Claim]:
    """Every kind lowers regret, and a second kind lowers it further."""
    curves = learning_curves(config)
    source = "paired over people, low end of the 95 % interval"
    found = [
        at_least(f"regret_falls@{name}", lowest(lost[:, 0] - lost[:, -1]), 0.0, source) for name, lost in curves.items()
    ]
    mixed = curves["comparison, then press"]
    added = lowest(mixed[:, config.num_answers // 2 - 1] - mixed[:, -1])
    return [*found, at_least("presses_add_to_comparisons", added, 0.0, source)]


def lowest(gains: Float[np.ndarray, " B"]) -> float:
    """The low end of the 95 % interval of the mean."""
    return float(gains.mean() - 1.96 * gains.std() / np.sqrt(len(gains)))


def draw(figure: Any) -> None:
    """Regret after each answer, by kind; and calibrated ranks beside those of one who overrates people."""
    config = Config()
    left, right = figure.subplots(1, 2)
    with jax.enable_x64(True):
        for name, lost in learning_curves(config).items():
            left.plot(
                range(1, config.num_answers + 1), lost.mean(0), marker="o", markersize=3, label=name.replace("_", " ")
            )
        rng = np.random.default_rng(0)
        world, prior = grid(rng), people(config, rng)
        asked = [ask(rng, world) for ask in KINDS.values()]
        keys = jax.random.split(jax.random.key(0), config.num_simulations)
        for label, learning in (("right rationality", 1.0), ("four times too high", 4.0)):
            found = calibration.ranks(
                prior, asked, config.rationality, learning * config.rationality, lambda theta: theta[0], keys
            )
            right.hist(np.asarray(found), bins=20, range=(0, 1), alpha=0.6, density=True, label=label)
    left.set(xlabel="answers", ylabel="regret (units of reward)", title="what each kind teaches")
    left.set(ylim=(0, 1.5 * left.get_ylim()[1]), xticks=range(1, config.num_answers + 1))  # the legend goes above
    right.set(xlabel="rank of the truth in the belief", ylabel="density", title="calibration, all kinds mixed")
    left.legend(frameon=False)
    right.legend(frameon=False)

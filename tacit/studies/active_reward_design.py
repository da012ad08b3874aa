"""Which proxies should the designer choose among? Menus chosen to tell the most, against the whole list and chance.

Mindermann, Shah, Gleave and Hadfield-Menell 2018, "Active Inverse Reward Design", arXiv 1809.03060. Every designer has
a training world and is asked the same number of questions about proxy rewards for it, however these are chosen. Then
an agent optimises the posterior mean in worlds that the designer never saw. Its regret is what the designer's own
reward would have earned there less what it earns. Designers are paired: same worlds, same theta.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from scipy import stats

from tacit.beliefs.exact import ExactBelief, believe
from tacit.feedback import choice, proxy_reward
from tacit.feedback.proxy_reward import ProxyReward
from tacit.games import lavaland
from tacit.planning.feature_world import FeatureWorld, feature_counts, feature_world
from tacit.studies.claims import Claim, at_least

SOURCE = "Mindermann et al. 2018, figure 4: direction, paired over designers"


@dataclasses.dataclass(frozen=True)
class Config:
    """The designers and what they are asked; a world is a square of cells, each of one kind."""

    num_designers: int = 40
    num_questions: int = 8
    menu: int = 3
    num_proxies: int = 20
    num_hypotheses: int = 100
    num_kinds: int = 10
    side: int = 5
    horizon: int = 8
    num_tests: int = 3
    rationality: float = 5.0
    seed: int = 0


class Designer(NamedTuple):
    """What one designer wants, where they try proxies, and where the agent will act."""

    question: ProxyReward
    hypotheses: Float[np.ndarray, "N D"]
    theta: Float[np.ndarray, " D"]
    tests: list[FeatureWorld]


Asking = Callable[[ExactBelief, ProxyReward, Config, Key[Array, ""]], Int[Array, " K"]]
"""How the next menu of proxies is chosen."""


def active(belief: ExactBelief, question: ProxyReward, config: Config, key: Key[Array, ""]) -> Int[Array, " K"]:
    """The menu that tells the most."""
    del key
    return proxy_reward.best_menu(belief, question, config.menu, config.rationality)


def chance(belief: ExactBelief, question: ProxyReward, config: Config, key: Key[Array, ""]) -> Int[Array, " K"]:
    """Any menu of that size."""
    del belief
    return jax.random.permutation(key, len(question.counts))[: config.menu]


def vanilla(belief: ExactBelief, question: ProxyReward, config: Config, key: Key[Array, ""]) -> Int[Array, " K"]:
    """All proxies, as in inverse reward design."""
    del belief, config, key
    return jnp.arange(len(question.counts))


WAYS: dict[str, Asking] = {"active": active, "random menus": chance, "vanilla": vanilla}


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """Active asking beats both; the lower end of the 95 % interval of the mean paired difference is above 0."""
    del data
    config = config or Config(num_designers=200 if tier != "tiny" else Config.num_designers)
    found = regrets(config)
    last = {name: rows[:, -1] for name, rows in found.items()}
    compared = {
        "active_less_than_vanilla": last["vanilla"] - last["active"],
        "active_less_than_vanilla_once": found["vanilla"][:, 1] - last["active"],
        "active_less_than_random_menus": last["random menus"] - last["active"],
        "active_less_than_unasked": found["active"][:, 0] - last["active"],
    }
    return [
        at_least(f"regret_{name}@{config.num_questions}_low", interval(gaps)[0], 0.0, SOURCE)
        for name, gaps in compared.items()
    ]


def interval(values: Float[np.ndarray, " B"]) -> tuple[float, float]:
    """The 95 % interval of a mean, by Student's t."""
    reach = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return float(values.mean() - reach), float(values.mean() + reach)


def regrets(config: Config) -> dict[str, Float[np.ndarray, "B T"]]:
    """The regret of each way of asking after 0, 1, ... questions, for each designer."""
    with jax.enable_x64(True):
        designers = [
            meet(config, np.random.default_rng([config.seed, number])) for number in range(config.num_designers)
        ]
        keys = jax.random.split(jax.random.key(config.seed), config.num_designers)
        return {
            name: np.stack([ask(one, way, config, key) for one, key in zip(designers, keys, strict=True)])
            for name, way in WAYS.items()
        }


def meet(config: Config, rng: np.random.Generator) -> Designer:
    """Draw a designer."""

    def world() -> FeatureWorld:
        shape = (config.side, config.side)
        looks = np.eye(config.num_kinds)[rng.integers(config.num_kinds, size=shape)]
        ground = np.full(shape, lavaland.DIRT)
        return feature_world(*lavaland.walk_arrays(ground, (2, 2), looks), horizon=config.horizon)

    def weights(number: int) -> Float[np.ndarray, "K D"]:
        rows = rng.normal(size=(number, config.num_kinds))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    hypotheses = weights(config.num_hypotheses)
    question = proxy_reward.make(world(), weights(config.num_proxies))
    theta = hypotheses[rng.integers(config.num_hypotheses)]
    return Designer(question, hypotheses, theta, [world() for _ in range(config.num_tests)])


def ask(designer: Designer, way: Asking, config: Config, key: Key[Array, ""]) -> Float[np.ndarray, " T"]:
    """The regret after each question, and before the first."""
    theta, hypotheses = jnp.asarray(designer.theta), jnp.asarray(designer.hypotheses)
    belief = believe(hypotheses, jnp.ones(len(hypotheses)))
    means = [belief.probabilities @ hypotheses]
    for turn_key in jax.random.split(key, config.num_questions):
        menu_key, answer_key = jax.random.split(turn_key)
        menu = way(belief, designer.question, config, menu_key)
        belief, mean = hear(belief, designer.question, menu, theta, jnp.asarray(config.rationality), answer_key)
        means.append(mean)
    plans = np.vstack([designer.theta, *map(np.asarray, means)])
    earned = np.mean([feature_counts(world, plans) @ designer.theta for world in designer.tests], axis=0)
    return earned[0] - earned[1:]


@eqx.filter_jit
def hear(
    belief: ExactBelief,
    question: ProxyReward,
    menu: Int[Array, " K"],
    theta: Float[Array, " D"],
    rationality: Float[Array, ""],
    key: Key[Array, ""],
) -> tuple[ExactBelief, Float[Array, " D"]]:
    """The belief after the designer's answer about a menu, and its mean."""
    asked = proxy_reward.narrow(question, menu)
    learnt = choice.learn(belief, asked, choice.answer(asked, theta, rationality, key), rationality)
    return learnt, learnt.probabilities @ learnt.hypotheses


def draw(figure: Any) -> None:
    """Mean regret after each question with its 95 % interval."""
    config = Config()
    panel = figure.subplots()
    turns = np.arange(config.num_questions + 1)
    for place, (name, rows) in enumerate(regrets(config).items()):
        low, high = np.array([interval(column) for column in rows.T]).T
        panel.plot(turns, rows.mean(0), marker="o", color=f"C{place}", label=name)
        panel.fill_between(turns, low, high, color=f"C{place}", alpha=0.2, linewidth=0)
    panel.set_xticks(turns)
    panel.set_ylim(bottom=0.0)
    panel.set_xlabel("questions asked")
    panel.set_ylabel("regret in unseen worlds (reward)")
    panel.legend(frameon=False)

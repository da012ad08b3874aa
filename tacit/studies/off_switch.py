"""What is it worth to let the human decide? The off-switch game: closed forms, quadrature, sampling, the plan and play.

Hadfield-Menell, Dragan, Abbeel and Russell 2017, "The Off-Switch Game", arXiv 1611.08219. Δ is by how much waiting for
the human is better than the best the assistant can do alone. For U in {-1, 1} at equal odds it is 1/2 with a rational
human and tanh(rationality / 2) / 2 with a logistic one; for a Gaussian belief see `planning.deference`.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float
from scipy import stats

from tacit.assistants import belief_planner
from tacit.assistants.belief_planner import BeliefPlanner
from tacit.core import ASSISTANT, Game, Human
from tacit.games import off_switch
from tacit.humans import boltzmann
from tacit.planning import deference
from tacit.play import play
from tacit.studies.claims import Claim, at_least, near

COINS = "Hadfield-Menell et al. 2017, equation 1, for two equally likely utilities"
RATIONAL = "Hadfield-Menell et al. 2017, theorem 1: σ φ(μ/σ) - |μ| Φ(-|μ|/σ)"
STEIN = "Hadfield-Menell et al. 2017, theorem 2 (Stein's lemma), integrated independently"
LINE = "|μ| = rationality · σ² / 2, where the integrand is odd"

GAUSSIAN = {
    (0.0, 1.0, math.inf): 0.39894,
    (0.25, 1.0, math.inf): 0.28634,
    (-0.5, 1.0, math.inf): 0.19780,
    (0.75, 1.0, math.inf): 0.13117,
    (-1.0, 1.0, math.inf): 0.08332,
    (0.0, 1.0, 10.0): 0.39260,
    (0.0, 1.0, 2.0): 0.30285,
    (0.0, 1.0, 1.0): 0.20662,
    (0.0, 1.0, 0.5): 0.11802,
    (0.5, 2.0, 10.0): 0.56953,
    (0.5, 2.0, 0.5): 0.18511,
    (0.5, 0.5, 10.0): 0.03380,
    (0.5, 0.5, 2.0): -0.06266,
    (0.5, 0.5, 0.5): -0.18905,
}
"""Δ by mean, deviation and rationality, to five places."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How rational the humans are (infinity is rational), how much is played and sampled, how noisy a reading is."""

    rationalities: tuple[float, ...] = (0.5, 1.0, 2.0, math.inf)
    num_episodes: int = 4096
    num_samples: int = 1_000_000
    noise: float = 1.0
    seed: int = 0


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """Two utilities by plan and by play, then Gaussian beliefs three ways. Every tier is the same."""
    del tier, data
    config = config or Config()
    return [*two_utilities(config), *gaussians(config), *signs(config), *readings(config)]


def two_utilities(config: Config) -> list[Claim]:
    """The value that the planner finds and the mean that play gives, for each rationality."""
    game = off_switch.make()
    keys = jax.random.split(jax.random.key(config.seed), config.num_episodes)
    found = []
    for rationality in config.rationalities:
        human = boltzmann.make(game, rationality)
        assistant = belief_planner.make(game, human)
        expected = math.tanh(rationality / 2) / 2
        rewards = returns(game, human, assistant, keys)
        error = float(rewards.std()) / math.sqrt(config.num_episodes)
        name = f"rationality{rationality:g}"
        found += [
            near(f"waiting_planned@{name}", planned(assistant, game), expected, 1e-6, COINS),
            near(f"waiting_played@{name}", float(rewards.mean()), expected, 3 * error, COINS),
        ]
    return found


def planned(assistant: BeliefPlanner, game: Game) -> float:
    """What the assistant thinks that waiting is worth, before anything has happened."""
    key = jax.random.key(0)
    sees = game.observe(game.init(key))[ASSISTANT]
    _, memory = assistant.logits(assistant.init(key), sees, key)
    return float(assistant.thoughts(memory).values[off_switch.WAIT])


@eqx.filter_jit
def returns(game: Game, human: Human, assistant: BeliefPlanner, keys: Array) -> Float[Array, " B"]:
    """The reward of each episode."""

    def one(key: Array) -> Float[Array, ""]:
        theta_key, play_key = jax.random.split(key)
        return play(game, human, assistant, game.sample_theta(theta_key), play_key).rewards.sum()

    return jax.vmap(one)(keys)


def gaussians(config: Config) -> list[Claim]:
    """Δ of Gaussian beliefs against the table, three ways against each other at means drawn anew, and the zero line."""
    rng = np.random.default_rng(config.seed)
    found = []
    for (mean, deviation, rationality), expected in GAUSSIAN.items():
        name = f"delta@mean{mean:g},deviation{deviation:g},rationality{rationality:g}"
        measured = deference.defer(deference.gaussian(mean, deviation), deference.human(rationality)).delta
        found.append(near(name, measured, expected, 5.1e-6, RATIONAL if math.isinf(rationality) else STEIN))
    stein, sampled = [], []
    for mean, deviation, rationality in zip(
        rng.normal(size=8), rng.uniform(0.3, 2, 8), rng.uniform(0.2, 5, 8), strict=True
    ):
        allows = deference.human(rationality)
        exact = deference.defer(deference.gaussian(mean, deviation), allows).delta
        stein.append(abs(deference.gaussian_delta(mean, deviation, rationality) - exact))
        utilities = rng.normal(mean, deviation, config.num_samples)
        # Both parts of Δ are means of the same draws, so the error is that of their difference.
        gains = allows(utilities) * utilities - (utilities if mean > 0 else 0.0)
        sampled.append(abs(gains.mean() - exact) / (gains.std() / math.sqrt(len(gains))))
    found += [
        near("stein_and_quadrature_differ_at_most", max(stein), 0.0, 1e-9, STEIN),
        at_least(
            "sampling_within_four_standard_errors", 4.0 - max(sampled), 0.0, "the law of large numbers, 8 beliefs"
        ),
    ]
    for beta in (0.25, 0.5, 1.0, 2.0):
        line = deference.indifference(1.0, 1.0 / beta)
        found.append(near(f"zero_line@rationality{1 / beta:g}", line, 0.5 / beta, 1e-6, LINE))
    return found


def signs(config: Config) -> list[Claim]:
    """When waiting is worth nothing, and when less than that."""
    rng = np.random.default_rng(config.seed)
    utilities, even = rng.uniform(0.1, 2.0, 5), np.full(5, 0.2)
    one_signed = deference.defer(deference.discrete(utilities, even), deference.human(math.inf)).delta
    perverse = deference.defer(deference.gaussian(0.0, 1.0), lambda utility: deference.human(1.0)(-utility)).delta
    source = "Hadfield-Menell et al. 2017, theorem 1 and its corollary"
    return [
        near("one_signed_belief", one_signed, 0.0, 1e-12, source),
        at_least("loss_with_a_perverse_human", -perverse, 0.01, source),
    ]


def readings(config: Config) -> list[Claim]:
    """An assistant that overrates its one noisy reading of U waits too seldom."""
    right = informed(config.noise, config.noise)
    source = "Bayes' rule: no belief does better than the right one"
    return [
        at_least(
            f"right_belief_gains_over_noise_x{scale:g}",
            right - informed(config.noise, scale * config.noise),
            0.0,
            source,
        )
        for scale in (0.1, 0.3, 3.0)
    ]


def informed(noise: float, assumed: float, rationality: float = 2.0) -> float:
    """E of what is gained when U ~ N(0, 1), read once with `noise`, and the assistant takes the noise to be `assumed`.

    The assistant acts, waits or switches off, whichever its posterior says is best. Integrated over the reading.
    """
    allows = deference.human(rationality)
    shrink, believed = 1.0 / (1.0 + noise**2), 1.0 / (1.0 + assumed**2)
    gained = []
    for reading in stats.norm.ppf((np.arange(400) + 0.5) / 400, scale=math.sqrt(1.0 + noise**2)):
        thought = gaussian_grid(believed * reading, assumed * math.sqrt(believed))
        truth = gaussian_grid(shrink * reading, noise * math.sqrt(shrink))
        choice = int(np.argmax(deference.defer(thought, allows)[:3]))
        gained.append(deference.defer(truth, allows)[choice])
    return float(np.mean(gained))


def gaussian_grid(mean: float, deviation: float) -> deference.Expect:
    """N(mean, deviation²) by its quantiles' midpoints: coarser than quadrature, and fast."""
    return deference.samples(stats.norm.ppf((np.arange(400) + 0.5) / 400, mean, deviation))


def draw(figure: Any) -> None:
    """Δ against the assistant's doubt, where waiting stops to pay, and what it costs to overrate a reading."""
    left, middle, right = figure.subplots(1, 3)
    deviations = np.linspace(0.05, 2.0, 60)
    for mean in (0.0, 0.25, 0.5, 1.0):
        left.plot(
            deviations, [deference.gaussian_delta(mean, one, math.inf) for one in deviations], label=f"μ = {mean:g}"
        )
    left.set(xlabel="σ, the assistant's doubt", ylabel="Δ, value of waiting", title="rational human")
    left.legend(frameon=False)
    means, betas = np.linspace(-2, 2, 81), np.linspace(0.15, 2.0, 40)
    deltas = [
        [deference.defer(gaussian_grid(mean, 1.0), deference.human(1 / beta)).delta for mean in means] for beta in betas
    ]
    shades = middle.contourf(means, betas, deltas, levels=np.linspace(-0.4, 0.4, 17), cmap="RdBu", extend="both")
    middle.plot(means, 1 / (2 * np.maximum(np.abs(means), 1e-9)), "k", label="|μ| = σ²/(2β)")
    middle.set(xlabel="μ (σ = 1)", ylabel="β = 1/rationality", ylim=(betas[0], betas[-1]), title="erring human: Δ")
    middle.legend(loc="upper right", framealpha=1.0)
    figure.colorbar(shades, ax=middle)
    scales = np.geomspace(0.1, 10, 31)
    right.semilogx(scales, [informed(1.0, scale) for scale in scales])
    right.axvline(1.0, color="gray", linestyle=":", label="right")
    right.set(xlabel="assumed / true noise", ylabel="expected utility", title="one noisy reading of U")
    right.legend(frameon=False)

"""Should you show what you like best, or what tells most? Best-response demonstrations against an expert's, on a grid.

The learner is maximum entropy IRL: of a listed theta it takes the one that makes the demonstration likeliest, and walks
for it. An expert walks as if nobody watched; a best response gives up some reward to be understood. Hadfield-Menell et
al. 2016, arXiv 1606.03137, section 4.3: the best response does better by every measure. Paired by theta; what counts is
the direction. (A learner who walks for the mean of a Bayesian belief loses little to an expert's demonstration, and
nothing is left to be gained by a clearer one.)
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy import stats

from tacit.beliefs.exact import ExactBelief, believe
from tacit.feedback import choice, demonstration
from tacit.feedback.demonstration import Demonstration
from tacit.games import feature_gridworld
from tacit.games.feature_gridworld import FeatureGridworld
from tacit.planning.feature_world import FeatureWorld, feature_world
from tacit.studies.claims import Claim, at_least

SOURCE = "Hadfield-Menell et al. 2016, section 4.3: direction, by a paired sign test; -log10 p"


@dataclasses.dataclass(frozen=True)
class Config:
    """How many people want what, what the learner thinks possible, and how far a demonstration leans to be clear."""

    num_people: int = 500
    num_hypotheses: int = 4000
    num_grids: int = 5
    rationality: float = 1.0
    effort: float = 1.0
    seed: int = 0


class Outcome(NamedTuple):
    """What comes of a demonstration: regret of the learner's walk, squared error of theta, and KL of trajectories."""

    regret: Float[Array, " B"]
    error: Float[Array, " B"]
    divergence: Float[Array, " B"]


def world_of(game: FeatureGridworld) -> FeatureWorld:
    """One player's half of the game."""
    follow, cells = np.asarray(game.follow), len(game.follow)
    features = np.asarray(game.features, np.float64)[follow]
    return feature_world(np.eye(cells)[follow], features, np.eye(cells)[game.start], horizon=game.num_steps)


@eqx.filter_jit
def outcomes(
    asked: Demonstration, belief: ExactBelief, thetas: Float[Array, "B D"], rationality: float, effort: float
) -> Outcome:
    """What comes of the demonstrations of people who want `thetas`."""

    def one(theta: Float[Array, " D"]) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
        shown = demonstration.instructive(asked.counts, theta, rationality, effort)
        after = choice.learn(belief, asked, shown, rationality)
        guess = after.hypotheses[jnp.argmax(after.log_weights)]
        walked = asked.counts[jnp.argmax(asked.counts @ guess)]
        truth, thought = (choice.log_likelihood(asked, weights, rationality) for weights in (theta, guess))
        divergence = jnp.sum(jnp.exp(truth) * (truth - thought))
        return jnp.max(asked.counts @ theta) - walked @ theta, jnp.square(theta - guess).sum(), divergence

    return Outcome(*jax.lax.map(one, thetas, batch_size=50))


def compare(config: Config) -> tuple[Outcome, Outcome]:
    """Experts and best responses, the same people on the same grids."""
    both = []
    for effort in (0.0, config.effort):
        found = []
        for grid in range(config.num_grids):
            game = feature_gridworld.make(seed=config.seed + grid)
            theta_key, belief_key = jax.random.split(jax.random.key(config.seed + grid))
            thetas = drawn(game, theta_key, config.num_people // config.num_grids)
            belief = believe(drawn(game, belief_key, config.num_hypotheses), jnp.ones(config.num_hypotheses))
            found.append(outcomes(demonstration.make(world_of(game)), belief, thetas, config.rationality, effort))
        both.append(jax.tree.map(lambda *parts: jnp.concatenate(parts), *found))
    return both[0], both[1]


def drawn(game: FeatureGridworld, key: Key[Array, ""], number: int) -> Float[Array, "B D"]:
    """Thetas from the game's prior."""
    return jax.vmap(game.sample_theta)(jax.random.split(key, number))


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """The best response is better by each measure. Every tier is the same."""
    del tier, data
    expert, best = compare(config or Config())
    found = []
    for name in Outcome._fields:
        gains = np.asarray(getattr(expert, name) - getattr(best, name), np.float64)
        found += [
            at_least(f"best_response_gains@{name}", float(gains.mean()), 0.0, "the mean over people"),
            at_least(f"sign_test@{name}", sign_test(gains), 3.0, SOURCE),
        ]
    return found


def sign_test(gains: Float[np.ndarray, " B"]) -> float:
    """-log10 of the probability that so many gains, or more, would be positive by chance; ties count for neither."""
    ups, downs = int((gains > 1e-5).sum()), int((gains < -1e-5).sum())
    return -float(np.log10(stats.binomtest(ups, max(ups + downs, 1), alternative="greater").pvalue))


def draw(figure: Any) -> None:
    """A grid with what one person shows as an expert and as a teacher; and the three measures for many people."""
    config = Config(num_people=100, num_grids=1)
    left, *rest = figure.subplots(1, 4, width_ratios=[1.4, 1, 1, 1])
    game = feature_gridworld.make(seed=config.seed)
    walks = demonstration.trajectories(world_of(game))
    asked = demonstration.make(world_of(game))
    theta = drawn(game, jax.random.key(4), 1)[0]
    side = round(np.sqrt(len(game.follow)))
    left.imshow(np.asarray(game.features @ theta).reshape(side, side), cmap="RdYlGn")
    for effort, label, style in ((0.0, "expert", "k--"), (config.effort, "best response", "b-")):
        shown = demonstration.instructive(asked.counts, theta, config.rationality, effort)
        cells = [*walks[shown, :, 0], int(game.follow[walks[shown, -1, 0], walks[shown, -1, 1]])]
        rows, columns = np.divmod(cells, side)
        left.plot(columns, rows, style, marker="o", markersize=3, label=label)
    left.set(title="reward and what is shown", xticks=[], yticks=[])
    left.legend(frameon=False, loc="upper left")
    expert, best = compare(config)
    labels = {"regret": "regret (reward)", "error": "|θ - guess|²", "divergence": "KL of walks (nats)"}
    for panel, (name, label) in zip(rest, labels.items(), strict=True):
        parts = [np.asarray(getattr(outcome, name), np.float64) for outcome in (expert, best)]
        errors = [1.96 * part.std() / np.sqrt(len(part)) for part in parts]
        panel.bar(
            ["expert", "best\nresponse"], [part.mean() for part in parts], yerr=errors, color=["gray", "C0"], capsize=3
        )
        panel.set(title=label)

"""What is it worth to let the human decide? The value of waiting for U in {-1, 1}: the closed form, the plan, the play.

With equal odds, acting and switching off are both worth 0. Waiting is worth 1/2 with a rational human, and with one who
presses with probability 1 / (1 + exp(rationality · U)) it is tanh(rationality / 2) / 2: Hadfield-Menell et al. 2017,
"The Off-Switch Game", arXiv 1611.08219, equation 1.
"""

import dataclasses
import math
from pathlib import Path

import equinox as eqx
import jax
from jaxtyping import Array, Float

from tacit.assistants import belief_planner
from tacit.assistants.belief_planner import BeliefPlanner
from tacit.core import ASSISTANT, Game, Human
from tacit.games import off_switch
from tacit.humans import boltzmann
from tacit.play import play
from tacit.studies.claims import Claim, near

SOURCE = "Hadfield-Menell et al. 2017, equation 1, for two equally likely utilities"


@dataclasses.dataclass(frozen=True)
class Config:
    """How rational the humans are (infinity is rational), and how many episodes are played with each."""

    rationalities: tuple[float, ...] = (0.5, 1.0, 2.0, math.inf)
    num_episodes: int = 4096
    seed: int = 0


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """The value that the planner finds and the mean that play gives, for each rationality. Every tier is the same."""
    del tier, data
    config = config or Config()
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
            near(f"waiting_planned@{name}", planned(assistant, game), expected, 1e-6, SOURCE),
            near(f"waiting_played@{name}", float(rewards.mean()), expected, 3 * error, SOURCE),
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

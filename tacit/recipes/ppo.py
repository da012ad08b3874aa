"""An assistant that learned by trying: proximal policy optimisation with auxiliary losses, in building-small.

The third rival of AssistanceZero (Laidlaw et al. 2025, arXiv 2504.07091, section 5). It starts as AssistanceZero does,
from the learned belief and the prior of its search, acts in many worlds beside the same people, and learns from what
came of that: `learning.ppo` has the losses. The advantages are

    A_t = Σ_k (γλ)^k δ_{t+k},   δ_t = r_t + γ V_{t+1} - V_t

up to the end of the episode or of the round (Schulman et al. 2016, arXiv 1506.02438, equation 16).
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from tacit.assistants.assistancezero import Foresight, Skill, advised, untrained
from tacit.assistants.intuition import Intuition
from tacit.core import ASSISTANT
from tacit.games import building_small
from tacit.games.building import actions as factored
from tacit.games.building.game import BuildingGame, Observation
from tacit.humans import mixed
from tacit.learning import ppo
from tacit.learning.counsel import Lesson
from tacit.learning.lessons import LessonTrainer, Source
from tacit.learning.networks import CounselNetwork
from tacit.learning.ppo import Tried, Trying
from tacit.recipes.assistancezero_small import Trial, looking_back, written
from tacit.recipes.belief_small import HelpedBuilding, World


@dataclasses.dataclass(frozen=True)
class Config(ppo.Config):
    """The schedule; the losses are in `learning.ppo`."""

    num_rounds: int = 36
    num_updates: int = 64
    num_worlds: int = 256
    num_held_out: int = 16
    learning_rate: float = 0.002
    patience: int = 36


class Turn(NamedTuple):
    """What is kept of a turn until it is known what followed."""

    lesson: Lesson
    log_prob: Float[Array, ""]
    reward: Float[Array, ""]
    discount: Float[Array, ""]
    """Of what follows; 0 where the episode ended with this turn."""
    value: Float[Array, ""]


class TriedBuilding(Source):
    """People who build, in worlds where the assistant does what comes to its mind."""

    helped: HelpedBuilding
    threshold: Float[Array, ""]
    trace: float
    own: float
    num_moments: int = eqx.field(static=True, default=16)

    @property
    def game(self) -> BuildingGame:
        """The game."""
        return self.helped.game

    def begin(self, num_worlds: int, key: Key[Array, ""]) -> World:
        """Fresh episodes, the first of them cut short anywhere."""
        return self.helped.begin(num_worlds, key)

    def collect(self, worlds: World, network: CounselNetwork, key: Key[Array, ""]) -> tuple[World, Tried]:
        """Act, then look back at how it turned out beside what was hoped for."""
        num, model = len(worlds.last_turn), Foresight(self.game, Skill(network, self.threshold))

        def some(worlds: World, now: tuple[Bool[Array, ""], Key[Array, ""]]) -> tuple[World, Turn]:
            begins, key = now
            return jax.vmap(lambda world, key: self.turn(model, world, begins, key))(worlds, jax.random.split(key, num))

        begins = jnp.arange(self.num_moments) == 0
        worlds, turns = jax.lax.scan(some, worlds, (begins, jax.random.split(key, self.num_moments)))
        last = jax.vmap(lambda world: model.glance(self.seen(world), world.history).said.value)(worlds)
        gained = advantages(turns.reward, turns.discount, turns.value, last, self.trace)
        lessons = turns.lesson._replace(value=gained + turns.value)
        tried = Tried(lessons, turns.log_prob, (gained - gained.mean()) / (gained.std() + 1e-6))
        return worlds, jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), tried)

    def seen(self, world: World) -> Observation:
        """What the assistant sees of a world."""
        return self.game.observe(world.state)[ASSISTANT]

    def turn(self, model: Foresight, world: World, begins: Bool[Array, ""], key: Key[Array, ""]) -> tuple[World, Turn]:
        """One turn, which `begins` the round or not; a world whose episode is over begins another first."""
        renew_key, act_key, play_key = jax.random.split(key, 3)
        world = self.helped.renew(world, renew_key, begins)
        said, belief, prior = model.glance(self.seen(world), world.history)
        prior = prior.astype(jnp.float16).astype(jnp.float32)  # as it is kept
        log_p = jax.nn.log_softmax(prior + advised(said))
        choice = factored.draw(jnp.exp(log_p), jax.random.uniform(act_key))
        after, human = self.helped.play(world, model.actions(choice, belief), play_key)
        moment = self.helped.moment(world, self.helped.view(world), human)
        lesson = written(moment, prior, jnp.zeros_like(prior).at[choice].set(1.0), belief, said.value)
        reward = self.reward(self.helped.earned(world, after))
        discount = jnp.where(self.helped.over(after), 0.0, self.game.discount)
        return after, Turn(lesson, log_p[choice], reward, discount, said.value)

    def reward(self, parts: Float[Array, "2"]) -> Float[Array, ""]:
        """What counts of the players' parts: so much of it of the assistant's alone, the rest of both together."""
        return self.own * parts[ASSISTANT] + (1.0 - self.own) * parts.sum()


def advantages(
    rewards: Float[Array, "T B"],
    discounts: Float[Array, "T B"],
    values: Float[Array, "T B"],
    last: Float[Array, " B"],
    trace: float,
) -> Float[Array, "T B"]:
    """A_t = Σ_k (γλ)^k δ_{t+k}: by how much the λ-returns are more than what was hoped for."""
    return looking_back(rewards, discounts, values, last, trace) - values


def make(data: Path | None) -> LessonTrainer:
    """The training."""
    del data
    return trainer(Config())


def trainer(config: Config) -> LessonTrainer:
    """The training with any config."""
    game = building_small.make("train")
    human, start = mixed.make(game), untrained(game)
    helped = HelpedBuilding(game=game, human=human, unhelped=0.0)
    source = TriedBuilding(helped=helped, threshold=start.threshold, trace=config.trace, own=config.own)
    trial = Trial(game, human, start.threshold, Intuition)
    return LessonTrainer(config, source, Trying(config, start.network, game.num_kinds), trial)

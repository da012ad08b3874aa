"""An assistant that does what a person would do: imitation of people who build alone, in building-small.

The first rival of AssistanceZero (Laidlaw et al. 2025, arXiv 2504.07091, section 5). A scripted person who knows the
house sits in the assistant's place and builds it, while the player in the person's place keeps out of the way. From the
learned belief on, the network learns what they do and what the house is, which it is not shown:

    L = λ_policy · -log p(what they did) + λ_goal · mean_x -log q(x, θ_x)
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.assistants.assistancezero import Foresight, Skill, untrained
from tacit.assistants.intuition import Intuition
from tacit.core import ASSISTANT, HUMAN, Human, Memory
from tacit.games import building_small
from tacit.games.building import actions as factored
from tacit.games.building.actions import EditLogits
from tacit.games.building.game import House, Observation
from tacit.games.building.hand import hand
from tacit.humans import builder
from tacit.learning import counsel
from tacit.learning.counsel import Advice, Lesson
from tacit.learning.lessons import LessonTrainer, Source
from tacit.learning.networks import CounselNetwork
from tacit.recipes.assistancezero_small import Trial, written
from tacit.recipes.belief_small import NEVER, HelpedBuilding, World


@dataclasses.dataclass(frozen=True)
class Config(counsel.Config):
    """The schedule and the losses. Nothing is searched and no value is learned."""

    num_rounds: int = 40
    num_updates: int = 48
    num_worlds: int = 256
    num_held_out: int = 16
    learning_rate: float = 0.002
    patience: int = 40
    value: float = 0.0
    before: float = 0.0
    human: float = 0.0


class Bystander(Human):
    """Keeps out of the way of the house and does nothing for it."""

    num_kinds: int = eqx.field(static=True)

    def init(self, key: Key[Array, ""]) -> None:
        """Nothing to remember."""
        del key

    def logits(
        self, theta: House, memory: None, observation: Observation, key: Key[Array, ""]
    ) -> tuple[EditLogits, None]:
        """The hand's, to which no edit is worth it."""
        del key
        known = jax.nn.one_hot(theta, self.num_kinds, dtype=jnp.float32)
        return hand(observation, known, NEVER, HUMAN), memory


class Shown(NamedTuple):
    """An episode under way, and the memory of the one in the assistant's place."""

    world: World
    teacher: Memory


class ShownBuilding(Source):
    """Somebody who knows the house, a person in any game of two, sits in the assistant's place and shows how."""

    helped: HelpedBuilding
    teacher: Human
    threshold: Float[Array, ""]
    num_moments: int = eqx.field(static=True, default=8)
    every: int = eqx.field(static=True, default=4)
    """Turns from one lesson to the next."""

    def begin(self, num_worlds: int, key: Key[Array, ""]) -> Shown:
        """Fresh episodes, the first of them cut short anywhere."""
        world_key, teacher_key = jax.random.split(key)
        worlds = self.helped.begin(num_worlds, world_key)
        return Shown(worlds, jax.vmap(self.teacher.init)(jax.random.split(teacher_key, num_worlds)))

    def collect(self, worlds: Shown, network: CounselNetwork, key: Key[Array, ""]) -> tuple[Shown, Lesson]:
        """Look on, and note down what is done every few turns."""
        num = len(worlds.world.last_turn)

        def turn(shown: Shown, key: Key[Array, ""]) -> tuple[Shown, tuple[Int[Array, ""], Int[Array, ""]]]:
            return self.turn(shown, key)

        def one(shown: Shown, key: Key[Array, ""]) -> tuple[Shown, Lesson]:
            renew_key, teacher_key, *keys = jax.random.split(key, 2 + self.every)
            world = self.helped.renew(shown.world, renew_key)
            fresh = world.state.time == 0
            teacher = jax.tree.map(
                lambda new, old: jnp.where(fresh, new, old), self.teacher.init(teacher_key), shown.teacher
            )
            after, done = jax.lax.scan(turn, Shown(world, teacher), jnp.stack(keys))
            return after, self.lesson(network, world, *jax.tree.map(lambda leaf: leaf[0], done))

        def some(worlds: Shown, key: Key[Array, ""]) -> tuple[Shown, Lesson]:
            return jax.vmap(one)(worlds, jax.random.split(key, num))

        worlds, lessons = jax.lax.scan(some, worlds, jax.random.split(key, self.num_moments))
        return worlds, jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), lessons)

    def turn(self, shown: Shown, key: Key[Array, ""]) -> tuple[Shown, tuple[Int[Array, ""], Int[Array, ""]]]:
        """One turn, and what the person and the teacher did."""
        think_key, act_key, play_key = jax.random.split(key, 3)
        world, game = shown.world, self.helped.game
        seen = game.observe(world.state)[ASSISTANT]
        wish, teacher = self.teacher.logits(world.house, shown.teacher, exchanged(seen), think_key)
        answer = game.sample(wish, seen.legal[ASSISTANT], act_key)
        world, human = self.helped.play(world, answer, play_key)
        return Shown(world, teacher), (human, answer)

    def lesson(self, network: CounselNetwork, world: World, human: Int[Array, ""], answer: Int[Array, ""]) -> Lesson:
        """What is to be learned from this turn, in which the person and the teacher did this."""
        game = self.helped.game
        model, seen = Foresight(game, Skill(network, self.threshold)), game.observe(world.state)[ASSISTANT]
        _, belief, prior = model.glance(seen, world.history)
        done = factored.first_choice(answer, game.num_kinds, game.num_cells)
        moment = self.helped.moment(world, self.helped.view(world), human)
        return written(moment, prior, jnp.zeros_like(prior).at[done].set(1.0), belief, jnp.zeros(()))


def exchanged(seen: Observation) -> Observation:
    """What is seen by somebody who is in the assistant's place and thinks of themself as the person."""
    touched = jnp.where(seen.touched == 0, seen.touched, HUMAN + ASSISTANT + 2 - seen.touched)
    pairs = (seen.feet, seen.edits, seen.last_actions, seen.effective)
    feet, edits, last_actions, effective = jax.tree.map(lambda pair: pair[::-1], pairs)
    return Observation(
        seen.blocks, touched, feet, edits, last_actions, effective, seen.time, (seen.legal[1], seen.legal[0])
    )


def make(data: Path | None) -> LessonTrainer:
    """The training."""
    del data
    return trainer(Config())


def trainer(config: Config) -> LessonTrainer:
    """The training with any config."""
    game = building_small.make("train")
    return imitating(config, untrained(game).network, Bystander(game.num_kinds))


def imitating(config: Config, network: CounselNetwork, human: Human) -> LessonTrainer:
    """The training of a network, beside somebody."""
    game = building_small.make("train")
    person, threshold = builder.make(game), untrained(game).threshold
    helped = HelpedBuilding(game=game, human=human, unhelped=0.0)
    source = ShownBuilding(helped=helped, teacher=person, threshold=threshold)
    return LessonTrainer(
        config, source, Advice(config, network, game.num_kinds), Trial(game, person, threshold, Intuition)
    )

"""A belief over houses of building-small, learned from episodes of scripted people, most of them helped.

The people are builders drawn anew every episode, the houses those of the train split. In four worlds of five the
assistant helps with the network as it is, more or less boldly; in the others it only keeps out of the way. The least
expected gain of an edit is then chosen by what it saves on houses of the train split.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.assistants.greedy import Greedy, Skill, sizes
from tacit.core import ASSISTANT, HUMAN, Human, Memory
from tacit.evaluation.compare import Contender, Contest, run
from tacit.evaluation.metrics import BUILDING_FIGURES, marginal_prior
from tacit.games import building_small
from tacit.games.building import history
from tacit.games.building.actions import BREAK, MOVE, PASS, PLACE, decode
from tacit.games.building.game import BuildingGame, House, State
from tacit.games.building.hand import hand
from tacit.games.building.history import History
from tacit.humans import builder
from tacit.learning.goals import Config, Goals
from tacit.learning.lessons import LessonTrainer, Source
from tacit.learning.moments import Moment, packed
from tacit.learning.networks import VoxelNetwork

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Among these the least expected gain of an edit is chosen."""
NUM_TRIALS = 64
"""Episodes that each is tried in."""
TRIED = ("human_actions", "assistant_share", "goal_completed", "calibration_error_acted")
"""The figures that are told of each."""
NEVER = 2.0
"""A least gain that no edit reaches."""


class World(NamedTuple):
    """An episode under way."""

    house: House
    state: State
    human: Memory
    history: History
    threshold: Float[Array, ""]
    """How bold the help is."""
    last_turn: Int[Array, ""]
    """When it may be cut short."""


class HelpedBuilding(Source):
    """People who build, in worlds where a network helps."""

    game: BuildingGame
    human: Human
    num_moments: int = eqx.field(static=True, default=8)
    every: int = eqx.field(static=True, default=8)
    """Turns from one moment to the next. Between them the help goes by what was believed at the first."""
    at_once: int = eqx.field(static=True, default=32)
    """Worlds that play side by side; of so many all that is needed stays in a CPU's cache."""
    unhelped: float = 0.2
    """Share of episodes in which the assistant keeps out of the way."""

    def begin(self, num_worlds: int, key: Key[Array, ""]) -> World:
        """Fresh episodes; these first ones are cut short anywhere, so that later they are at all stages."""
        key, cut_key = jax.random.split(key)
        worlds = _fresh(self, jax.random.split(key, num_worlds))
        return worlds._replace(last_turn=jax.random.randint(cut_key, (num_worlds,), 0, self.game.horizon // 2))

    def fresh(self, key: Key[Array, ""]) -> World:
        """The beginning of one episode."""
        house_key, state_key, human_key, help_key, bold_key = jax.random.split(key, 5)
        alone = jax.random.uniform(help_key) < self.unhelped
        return World(
            self.game.sample_theta(house_key),
            self.game.init(state_key),
            self.human.init(human_key),
            history.begin(self.game.shape, self.game.num_kinds),
            jnp.where(alone, NEVER, jax.random.uniform(bold_key, minval=0.1, maxval=0.8)),
            jnp.int32(self.game.horizon),
        )

    def collect(self, worlds: World, network: VoxelNetwork, key: Key[Array, ""]) -> tuple[World, Moment]:
        """Take moments while playing on in each world; a world whose episode is over begins another first."""
        renew_key, play_key = jax.random.split(key)
        num_worlds = worlds.last_turn.shape[0]
        worlds = jax.vmap(self.renew)(worlds, jax.random.split(renew_key, num_worlds))

        def on(world: World, key: Key[Array, ""]) -> tuple[World, Moment]:
            seen = self.view(world)
            believed = jax.nn.softmax(network(*seen).goal)
            after, actions = jax.lax.scan(
                lambda world, key: self.turn(world, believed, key), world, jax.random.split(key, self.every)
            )
            return after, self.moment(world, seen, actions[0])

        def one(begun: tuple[World, Key[Array, ""]]) -> tuple[World, Moment]:
            world, key = begun
            return jax.lax.scan(on, world, jax.random.split(key, self.num_moments))

        return jax.lax.map(one, (worlds, jax.random.split(play_key, num_worlds)), batch_size=self.at_once)

    def renew(self, world: World, key: Key[Array, ""], may_cut: bool | Bool[Array, ""] = True) -> World:
        """The world, or a fresh one if its episode is over, or was to be cut short by now and may be.

        Where it matters what follows a turn, cut between rounds alone: a round ends in what is hoped for from there.
        """
        over = self.over(world) | (may_cut & (world.state.time >= world.last_turn))
        return jax.tree.map(lambda new, old: jnp.where(over, new, old), self.fresh(key), world)

    def over(self, world: World) -> Bool[Array, ""]:
        """Whether the episode has ended by itself."""
        return self.game.finished(world.house, world.state) | (world.state.time >= self.game.horizon)

    def earned(self, before: World, after: World) -> Float[Array, "2"]:
        """What a turn really earned, by player."""
        return self.game.reward(before.house, before.state, after.state.last_actions, after.state)

    def turn(
        self, world: World, believed: Float[Array, "X Y Z M"], key: Key[Array, ""]
    ) -> tuple[World, Int[Array, ""]]:
        """One turn, and what the human did."""
        assistant_key, human_key = jax.random.split(key)
        before = self.game.observe(world.state)[ASSISTANT]
        help_ = hand(before, believed, world.threshold, ASSISTANT)
        return self.play(world, self.game.sample(help_, before.legal[ASSISTANT], assistant_key), human_key)

    def play(self, world: World, answer: Int[Array, ""], key: Key[Array, ""]) -> tuple[World, Int[Array, ""]]:
        """One turn in which the assistant does this, and what the human did."""
        think_key, human_key, step_key = jax.random.split(key, 3)
        before = self.game.observe(world.state)[HUMAN]
        wish, memory = self.human.logits(world.house, world.human, before, think_key)
        action = self.game.sample(wish, before.legal[HUMAN], human_key)
        state = self.game.step(world.state, jnp.stack([action, answer]), step_key)
        after = self.game.observe(state)[HUMAN]
        seen = history.watch(world.history, before, after)
        return world._replace(state=state, human=memory, history=seen), action

    def view(self, world: World) -> history.View:
        """What the network sees."""
        return history.view(world.history, self.game.observe(world.state)[ASSISTANT])

    def moment(self, world: World, seen: history.View, action: Int[Array, ""]) -> Moment:
        """What is to be learned from this moment, where the human does this."""
        shape, legal = self.game.shape, self.game.legal(world.state)[HUMAN]
        what, cell, _, direction = decode(action, self.game.num_kinds, self.game.num_cells)
        there = jnp.arange(self.game.num_cells, dtype=cell.dtype).reshape(shape) == cell
        traces, heading, scalars = (leaf.astype(jnp.float16) for leaf in (seen.traces, seen.heading, seen.scalars))
        return Moment(
            packed(seen.cells),
            seen.kinds,
            traces,
            heading,
            scalars,
            goal=world.house,
            may_place=legal.place.reshape(shape),
            may_remove=legal.remove.reshape(shape),
            may_move=legal.move,
            place=there & (what == PLACE),
            remove=there & (what == BREAK),
            move=(jnp.arange(6) == direction) & (what == MOVE),
            rest=what == PASS,
        )


@eqx.filter_jit
def _fresh(source: HelpedBuilding, keys: Key[Array, " B"]) -> World:
    return jax.vmap(source.fresh)(keys)


class Tuning(eqx.Module):
    """Chooses the threshold that saves people most on the houses that the network was trained on."""

    game: BuildingGame
    human: Human

    def __call__(self, network: VoxelNetwork) -> tuple[Skill, Mapping[str, Any]]:
        """The skill, and what each threshold led to."""
        contest = Contest(self.game, self.game, self.human, NUM_TRIALS, seed=1)
        found = []
        for threshold in THRESHOLDS:
            tally = run(contest, Contender("greedy", Greedy(self.game, Skill(network, jnp.float32(threshold)))))
            found.append({name: float(BUILDING_FIGURES[name](tally)) for name in TRIED})
        best = THRESHOLDS[np.argmin([row["human_actions"] for row in found])]
        told = {
            f"{name}_at_{threshold:g}": value
            for threshold, row in zip(THRESHOLDS, found, strict=True)
            for name, value in row.items()
        }
        return Skill(network, jnp.float32(best)), {"threshold": best, **told}


def make(data: Path | None) -> LessonTrainer:
    """The training."""
    del data
    return trainer(Config())


def trainer(config: Config) -> LessonTrainer:
    """The training with any config."""
    game = building_small.make("train")
    human = builder.make(game)
    prior = marginal_prior(game, jax.random.key(0))
    network = sizes(game, config.width, config.depth, config.embedding)
    goals = Goals(config, network, prior)
    return LessonTrainer(config, HelpedBuilding(game=game, human=human), goals, Tuning(game, human))

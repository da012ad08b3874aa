"""AssistanceZero in building-small: a search that learns from its own searches, beside people of two kinds.

The network starts as the learned belief. Every round the assistant plays on in many worlds, searching before each of
its actions, and the network learns what the searches ended on, what followed, what the house was and what the person
did. The people are drawn anew every episode, scripted builders or such as plan and act like recorded ones; the houses
are those of the train split.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.assistants.assistancezero import (
    EXPLORING,
    PLAYING,
    SURELY,
    AssistanceZero,
    Foresight,
    Node,
    Skill,
    everything,
    untrained,
)
from tacit.core import ASSISTANT, Assistant, Human
from tacit.evaluation.compare import Contender, Contest, run
from tacit.evaluation.metrics import BUILDING_FIGURES
from tacit.games import building_small
from tacit.games.building import actions as factored
from tacit.games.building.game import BuildingGame
from tacit.games.building.history import History
from tacit.humans import mixed
from tacit.learning.counsel import FULL, Advice, Choices, Config, Lesson
from tacit.learning.lessons import LessonTrainer, Source
from tacit.learning.moments import Moment
from tacit.learning.networks import CounselNetwork
from tacit.planning.tree_policies import Gumbel
from tacit.planning.tree_search import Config as Search
from tacit.planning.tree_search import Leaf, search
from tacit.recipes.belief_small import HelpedBuilding, World

CONFIG = Config(num_rounds=40, num_updates=48, num_worlds=256, num_held_out=16, learning_rate=0.001, patience=40)
NUM_TRIALS = 64
"""Episodes that the finished assistant is tried in."""
TRIED = ("human_actions", "assistant_share", "goal_completed", "calibration_error_acted")


class Turn(NamedTuple):
    """What is kept of a turn until it is known what followed."""

    lesson: Lesson
    reward: Float[Array, ""]
    discount: Float[Array, ""]
    """Of what follows; 0 where the episode ended with this turn."""
    value: Float[Array, ""]
    """The network's own, before it searched."""


class SearchedBuilding(Source):
    """People who build, in worlds where the assistant searches before it acts."""

    helped: HelpedBuilding
    threshold: Float[Array, ""]
    policy: Gumbel
    config: Search = eqx.field(static=True)
    num_moments: int = eqx.field(static=True, default=8)
    every: int = eqx.field(static=True, default=2)
    """Turns from one lesson to the next."""
    trace: float = 0.9
    """λ of the returns: G = r + γ ((1 - λ) V' + λ G')."""
    recall: Callable[[History], History] = everything
    """What the network is shown of the past, in the search too."""

    @property
    def game(self) -> BuildingGame:
        """The game."""
        return self.helped.game

    def begin(self, num_worlds: int, key: Key[Array, ""]) -> World:
        """Fresh episodes, the first of them cut short anywhere."""
        return self.helped.begin(num_worlds, key)

    def collect(self, worlds: World, network: CounselNetwork, key: Key[Array, ""]) -> tuple[World, Lesson]:
        """Search and act, then look back at what followed each turn."""
        model = Foresight(self.game, Skill(network, self.threshold), recall=self.recall)
        num = self.num_moments * self.every
        worlds, turns = jax.lax.scan(
            lambda worlds, now: self.turn(model, worlds, *now),
            worlds,
            (jnp.arange(num) == 0, jax.random.split(key, num)),
        )
        last = jax.vmap(lambda world: self.root(model, world).value)(worlds)
        returns = looking_back(turns.reward, turns.discount, turns.value, last, self.trace)
        lessons = turns.lesson._replace(value=returns)
        return worlds, jax.tree.map(lambda leaf: jnp.swapaxes(leaf[:: self.every], 0, 1), lessons)

    def root(self, model: Foresight, world: World) -> Leaf:
        """Where the search of a world begins."""
        nothing = jnp.zeros((*self.game.shape, self.game.num_kinds))
        return model.look(self.game.observe(world.state)[ASSISTANT], world.history, nothing)

    def turn(self, model: Foresight, worlds: World, begins: Bool[Array, ""], key: Key[Array, ""]) -> tuple[World, Turn]:
        """One turn in every world, which `begins` the round or not; those whose episode is over begin another first."""
        num = len(worlds.last_turn)
        renew_key, search_key, play_key = jax.random.split(key, 3)
        worlds = jax.vmap(self.helped.renew, (0, 0, None))(worlds, jax.random.split(renew_key, num), begins)
        roots = jax.vmap(lambda world: self.root(model, world))(worlds)
        found = search(model, roots, self.policy, self.config, search_key)
        after, human = jax.vmap(self.helped.play)(worlds, found.action, jax.random.split(play_key, num))

        def one(world: World, root: Leaf, tried: Int[Array, " K"], weights: Float[Array, " K"], human: Array) -> Lesson:
            node: Node = root.embedding
            belief = node.belief.astype(jnp.float32)
            prior = model.prior(belief, node.seen)
            slots = factored.first_choice(tried, self.game.num_kinds, self.game.num_cells)
            considered = jnp.zeros_like(prior, bool).at[slots].set(jnp.take(prior, slots) > -jnp.inf)
            improved = jnp.zeros_like(prior).at[slots].add(weights)
            shown = self.helped.view(world._replace(history=self.recall(world.history)))
            moment = self.helped.moment(world, shown, human)
            return written(moment, jnp.where(considered, prior, -jnp.inf), improved, belief, root.value)

        lessons = jax.vmap(one)(worlds, roots, found.actions, found.weights, human)
        rewards, over = jax.vmap(self.helped.earned)(worlds, after), jax.vmap(self.helped.over)(after)
        return after, Turn(lessons, rewards.sum(-1), jnp.where(over, 0.0, self.game.discount), roots.value)


def written(
    moment: Moment,
    prior: Float[Array, " F"],
    improved: Float[Array, " F"],
    belief: Float[Array, "X Y Z M"],
    value: Float[Array, ""],
) -> Lesson:
    """The lesson of a turn, as it is kept."""
    believed = jnp.round(FULL * jnp.moveaxis(belief, -1, 0)).astype(jnp.uint8)
    shape = belief.shape[:-1]
    return Lesson(moment, planes(prior, shape), planes(improved, shape), believed, value)


def planes(choices: Float[Array, " F"], shape: tuple[int, ...]) -> Choices:
    """Numbers of first choices, each in its place in a world of this shape."""
    rest, place, remove, move = factored.parted(choices.astype(jnp.float16))
    return Choices(place.reshape(shape), remove.reshape(shape), move, rest)


def looking_back(
    rewards: Float[Array, "T B"],
    discounts: Float[Array, "T B"],
    values: Float[Array, "T B"],
    last: Float[Array, " B"],
    trace: float,
) -> Float[Array, "T B"]:
    """G_t = r_t + γ_t ((1 - λ) V_{t+1} + λ G_{t+1}), with G_T = V_T = `last` (Sutton and Barto 2018, section 12.1)."""

    def back(after: Float[Array, " B"], turn: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        reward, discount, value = turn
        found = reward + discount * ((1.0 - trace) * value + trace * after)
        return found, found

    following = jnp.concatenate([values[1:], last[None]])
    return jax.lax.scan(back, last, (rewards, discounts, following), reverse=True)[1]


def searching(game: BuildingGame, skill: Skill, config: Search = PLAYING) -> AssistanceZero:
    """The assistant that searches with this skill, without noise."""
    return AssistanceZero(Foresight(game, skill), SURELY, config)


class Trial(eqx.Module):
    """Plays with what was learned, on houses of the train split."""

    game: BuildingGame
    human: Human
    threshold: Float[Array, ""]
    play: Callable[[BuildingGame, Skill], Assistant] = searching
    """Who plays with a skill."""
    num_episodes: int = eqx.field(static=True, default=NUM_TRIALS)

    def __call__(self, network: CounselNetwork) -> tuple[Skill, Mapping[str, Any]]:
        """The skill, and how well it helps."""
        skill = Skill(network, self.threshold)
        contest = Contest(self.game, self.game, self.human, self.num_episodes, seed=1)
        tally = run(contest, Contender("learned", self.play(self.game, skill)))
        return skill, {name: float(BUILDING_FIGURES[name](tally)) for name in TRIED}


def make(data: Path | None) -> LessonTrainer:
    """The training."""
    del data
    return trainer(CONFIG)


def trainer(config: Config) -> LessonTrainer:
    """The training with any config."""
    game = building_small.make("train")
    human = mixed.make(game)
    start = untrained(game)
    helped = HelpedBuilding(game=game, human=human, unhelped=0.0)
    source = SearchedBuilding(helped=helped, threshold=start.threshold, policy=EXPLORING, config=PLAYING)
    advice = Advice(config, start.network, game.num_kinds)
    return LessonTrainer(config, source, advice, Trial(game, human, start.threshold))

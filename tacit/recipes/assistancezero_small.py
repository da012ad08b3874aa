"""AssistanceZero in building-small: a search that learns from its own searches, beside scripted people.

The network starts as the learned belief. Every round the assistant plays on in many worlds, searching before each of
its actions, and the network learns what the searches ended on, what followed, what the house was and what the person
did. The people are builders drawn anew every episode, the houses those of the train split.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.assistants.assistancezero import AssistanceZero, Foresight, Node, Skill
from tacit.assistants.greedy import load_skill
from tacit.core import ASSISTANT, Assistant, Human
from tacit.evaluation.compare import Contender, Contest, run
from tacit.evaluation.metrics import BUILDING_FIGURES
from tacit.games import building_small
from tacit.games.building import actions as factored
from tacit.games.building import history
from tacit.games.building.game import BuildingGame
from tacit.games.building.history import History
from tacit.humans import builder
from tacit.learning.counsel import FULL, Advice, Choices, Config, Lesson
from tacit.learning.lessons import LessonTrainer, Source
from tacit.learning.moments import Moment
from tacit.learning.networks import Counsel, CounselNetwork
from tacit.planning.tree_policies import Gumbel
from tacit.planning.tree_search import Config as Search
from tacit.planning.tree_search import Leaf, search
from tacit.recipes.belief_small import HelpedBuilding, World
from tacit.storage import shipped

TRAINING = Search(num_simulations=16, max_depth=8)
PLAYING = Search(num_simulations=50, max_depth=8)
NUM_CANDIDATES = 16
CONFIG = Config(num_rounds=60, num_updates=48, num_worlds=256, num_held_out=16, learning_rate=0.01, patience=60)
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


def everything(past: History) -> History:
    """All that `games.building.history` keeps."""
    return past


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
    """What is remembered of the past from one turn to the next."""

    @property
    def game(self) -> BuildingGame:
        """The game."""
        return self.helped.game

    def begin(self, num_worlds: int, key: Key[Array, ""]) -> World:
        """Fresh episodes, the first of them cut short anywhere."""
        return self.helped.begin(num_worlds, key)

    def collect(self, worlds: World, network: CounselNetwork, key: Key[Array, ""]) -> tuple[World, Lesson]:
        """Search and act, then look back at what followed each turn."""
        model = Foresight(self.game, Skill(network, self.threshold), NUM_CANDIDATES)
        worlds, turns = jax.lax.scan(
            lambda worlds, key: self.turn(model, worlds, key),
            worlds,
            jax.random.split(key, self.num_moments * self.every),
        )
        last = jax.vmap(lambda world: self.root(model, self.recalled(world)).value)(worlds)
        returns = looking_back(turns.reward, turns.discount, turns.value, last, self.trace)
        lessons = turns.lesson._replace(value=returns)
        return worlds, jax.tree.map(lambda leaf: jnp.swapaxes(leaf[:: self.every], 0, 1), lessons)

    def root(self, model: Foresight, world: World) -> Leaf:
        """Where the search of a world begins."""
        nothing = jnp.zeros((*self.game.shape, self.game.num_kinds))
        return model.look(self.game.observe(world.state)[ASSISTANT], world.history, nothing)

    def turn(self, model: Foresight, worlds: World, key: Key[Array, ""]) -> tuple[World, Turn]:
        """One turn in every world; those whose episode is over begin another first."""
        num = len(worlds.last_turn)
        renew_key, search_key, play_key = jax.random.split(key, 3)
        worlds = jax.vmap(self.helped.renew)(worlds, jax.random.split(renew_key, num))
        worlds = jax.vmap(self.recalled)(worlds)
        roots = jax.vmap(lambda world: self.root(model, world))(worlds)
        found = search(model, roots, self.policy, self.config, search_key)
        after, human = jax.vmap(self.helped.play)(worlds, found.action, jax.random.split(play_key, num))

        def one(world: World, root: Leaf, tried: Int[Array, " K"], weights: Float[Array, " K"], human: Array) -> Lesson:
            node: Node = root.embedding
            belief = node.belief.astype(jnp.float32)
            prior = factored.first_choices(model.promise(belief, node.seen), node.seen.legal[ASSISTANT])
            slots = factored.first_choice(tried, self.game.num_kinds, self.game.num_cells)
            considered = jnp.zeros_like(prior, bool).at[slots].set(jnp.take(prior, slots) > -jnp.inf)
            improved = jnp.zeros_like(prior).at[slots].add(weights)
            moment = self.helped.moment(world, self.helped.view(world), human)
            return written(moment, jnp.where(considered, prior, -jnp.inf), improved, belief, root.value)

        lessons = jax.vmap(one)(worlds, roots, found.actions, found.weights, human)
        rewards, over = jax.vmap(self.helped.earned)(worlds, after), jax.vmap(self.helped.over)(after)
        return after, Turn(lessons, rewards.sum(-1), jnp.where(over, 0.0, self.game.discount), roots.value)

    def recalled(self, world: World) -> World:
        """The world with what is remembered of its past."""
        return world._replace(history=self.recall(world.history))


class Glance(NamedTuple):
    """What the network makes of a moment without a search."""

    said: Counsel
    belief: Float[Array, "X Y Z M"]
    prior: Float[Array, " F"]
    """Logits without the network's part, rounded as they are kept; -inf for what is not legal."""


def glance(game: BuildingGame, skill: Skill, world: World) -> Glance:
    """What the assistant sees, believes and would do first."""
    seen = game.observe(world.state)[ASSISTANT]
    said = skill.network(*history.view(world.history, seen))
    belief = jax.nn.softmax(said.heads.goal)
    promise = Foresight(game, skill, NUM_CANDIDATES).promise(belief, seen)
    prior = factored.first_choices(promise, seen.legal[ASSISTANT])
    return Glance(said, belief, prior.astype(jnp.float16).astype(jnp.float32))


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
    num = math.prod(shape)
    rest, place, remove, move = jnp.split(choices.astype(jnp.float16), (1, 1 + num, 1 + 2 * num))
    return Choices(place.reshape(shape), remove.reshape(shape), move, rest[0])


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
    return AssistanceZero(game, skill, Gumbel(scale=0.0), config)


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
    human = builder.make(game)
    reader = load_skill(game, shipped("belief-small"))
    network = CounselNetwork(reader.network, jax.random.key(0))
    helped = HelpedBuilding(game=game, human=human, unhelped=0.0)
    source = SearchedBuilding(helped=helped, threshold=reader.threshold, policy=Gumbel(), config=TRAINING)
    return LessonTrainer(config, source, Advice(config, network, game.num_kinds), Trial(game, human, reader.threshold))

"""AssistanceZero in building-small: a search that learns from its own searches, beside scripted people.

The network starts as the learned belief. Every round the assistant plays on in many worlds, searching before each of
its actions, and the network learns what the searches ended on, what followed, what the house was and what the person
did. The people are builders drawn anew every episode, the houses those of the train split.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.assistants.assistancezero import AssistanceZero, Foresight, Node, Skill
from tacit.assistants.greedy import load_skill
from tacit.core import ASSISTANT, Human
from tacit.evaluation.compare import Contender, Contest, run
from tacit.evaluation.metrics import BUILDING_FIGURES
from tacit.games import building_small
from tacit.games.building import actions as factored
from tacit.games.building.game import BuildingGame
from tacit.humans import builder
from tacit.learning.counsel import FULL, Advice, Choices, Config, Lesson
from tacit.learning.lessons import LessonTrainer, Source
from tacit.learning.networks import CounselNetwork
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
        last = jax.vmap(lambda world: self.root(model, world).value)(worlds)
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
        roots = jax.vmap(lambda world: self.root(model, world))(worlds)
        found = search(model, roots, self.policy, self.config, search_key)
        after, human = jax.vmap(self.helped.play)(worlds, found.action, jax.random.split(play_key, num))

        def one(world: World, root: Leaf, tried: Int[Array, " K"], weights: Float[Array, " K"], human: Array) -> Lesson:
            moment = self.helped.moment(world, self.helped.view(world), human)
            node: Node = root.embedding
            promise = model.promise(node.belief.astype(jnp.float32), node.seen)
            prior = factored.first_choices(promise, node.seen.legal[ASSISTANT])
            slots = factored.first_choice(tried, self.game.num_kinds, self.game.num_cells)
            considered = jnp.zeros_like(prior, bool).at[slots].set(jnp.take(prior, slots) > -jnp.inf)
            improved = jnp.zeros_like(prior).at[slots].add(weights)
            believed = jnp.round(FULL * jnp.moveaxis(node.belief.astype(jnp.float32), -1, 0)).astype(jnp.uint8)
            return Lesson(
                moment,
                self.planes(jnp.where(considered, prior, -jnp.inf)),
                self.planes(improved),
                believed,
                root.value,
            )

        lessons = jax.vmap(one)(worlds, roots, found.actions, found.weights, human)
        reward, over = jax.vmap(self.outcome)(worlds, after)
        return after, Turn(lessons, reward, jnp.where(over, 0.0, self.game.discount), roots.value)

    def outcome(self, before: World, after: World) -> tuple[Float[Array, ""], Bool[Array, ""]]:
        """What a turn really earned, and whether the episode is over."""
        actions = after.state.last_actions
        reward = self.game.reward(before.house, before.state, actions, after.state).sum()
        over = self.game.finished(after.house, after.state) | (after.state.time >= after.last_turn)
        return reward, over

    def planes(self, choices: Float[Array, " F"]) -> Choices:
        """Numbers of first choices, each in its place."""
        num = self.game.num_cells
        rest, place, remove, move = jnp.split(choices.astype(jnp.float16), (1, 1 + num, 1 + 2 * num))
        return Choices(place.reshape(self.game.shape), remove.reshape(self.game.shape), move, rest[0])


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


class Trial(eqx.Module):
    """Plays with what was learned, on houses of the train split."""

    game: BuildingGame
    human: Human
    threshold: Float[Array, ""]
    config: Search = eqx.field(static=True, default=PLAYING)
    num_episodes: int = eqx.field(static=True, default=NUM_TRIALS)

    def __call__(self, network: CounselNetwork) -> tuple[Skill, Mapping[str, Any]]:
        """The skill, and how well it helps."""
        skill = Skill(network, self.threshold)
        assistant = AssistanceZero(self.game, skill, Gumbel(scale=0.0), self.config)
        contest = Contest(self.game, self.game, self.human, self.num_episodes, seed=1)
        tally = run(contest, Contender("assistancezero", assistant))
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

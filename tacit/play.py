"""How is a game played? One turn, a whole episode, and what the assistant thought while it ran."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.core import (
    ASSISTANT,
    HUMAN,
    Assistant,
    Episode,
    Game,
    Human,
    Legal,
    Memory,
    Observation,
    Problem,
    State,
    Theta,
    Thoughts,
)

Record = TypeVar("Record")


class Moment(NamedTuple):
    """Everything between two turns: the world, both memories, the clock and whether the game is over."""

    state: State
    human: Memory
    assistant: Memory
    time: Int[Array, ""]
    finished: Bool[Array, ""]


class Turn(NamedTuple):
    """What one turn adds to an episode; `active` is false once the game is over."""

    state: State
    actions: Int[Array, "2"]
    rewards: Float[Array, "2"]
    active: Bool[Array, ""]


class TurnKeys(NamedTuple):
    """The randomness of one turn, by use."""

    human: Key[Array, ""]
    assistant: Key[Array, ""]
    human_action: Key[Array, ""]
    assistant_action: Key[Array, ""]
    step: Key[Array, ""]
    felt: Key[Array, ""]


def turn_keys(key: Key[Array, ""], time: Int[Array, ""]) -> TurnKeys:
    """The keys of turn `time` of the episode that was played with `key`."""
    return TurnKeys(*jax.random.split(jax.random.fold_in(key, time + 1), len(TurnKeys._fields)))


def begin(game: Game, human: Human, assistant: Assistant, theta: Theta, key: Key[Array, ""]) -> Moment:
    """The moment before the first turn of the episode that is played with `key`."""
    state_key, human_key, assistant_key = jax.random.split(jax.random.fold_in(key, 0), 3)
    state = game.init(state_key)
    return Moment(
        state,
        human.init(human_key),
        assistant.init(assistant_key),
        jnp.zeros((), jnp.int32),
        game.finished(theta, state),
    )


def respond(
    game: Game,
    human: Human,
    theta: Theta,
    state: State,
    memory: Memory,
    assistant_action: Int[Array, ""],
    keys: TurnKeys,
) -> tuple[Int[Array, "2"], State, Float[Array, "2"], Memory]:
    """The human chooses beside `assistant_action`, the world moves, the human feels.

    Returns both actions, the next state, the rewards by player and the human's new memory.
    """
    logits, memory = human.logits(theta, memory, game.observe(state)[HUMAN], keys.human)
    human_action = game.sample(logits, game.legal(state)[HUMAN], keys.human_action)
    actions = jnp.stack([human_action, assistant_action])
    next_state = game.step(state, actions, keys.step)
    rewards = game.reward(theta, state, actions, next_state)
    felt = game.felt(theta, state, actions, next_state, keys.felt)
    return actions, next_state, rewards, human.feel(memory, game.observe(next_state)[HUMAN], felt)


def turn(
    game: Game, human: Human, assistant: Assistant, theta: Theta, moment: Moment, key: Key[Array, ""]
) -> tuple[Moment, Turn]:
    """Play one turn: both see, both choose, the world moves, the human feels. `key` is the episode's.

    Once the game is over, the moment stands still.
    """
    keys = turn_keys(key, moment.time)
    sees = game.observe(moment.state)[ASSISTANT]
    logits, assistant_memory = assistant.logits(moment.assistant, sees, keys.assistant)
    choice = game.sample(logits, game.legal(moment.state)[ASSISTANT], keys.assistant_action)
    actions, state, rewards, human_memory = respond(game, human, theta, moment.state, moment.human, choice, keys)
    time = moment.time + 1
    over = game.finished(theta, state) | (time >= game.horizon)
    following = Moment(state, human_memory, assistant_memory, time, over)
    active = ~moment.finished
    following = jax.tree.map(lambda new, old: jnp.where(active, new, old), following, moment)
    return following, Turn(following.state, actions, jnp.where(active, rewards, 0.0), active)


def advance(
    game: Game,
    human: Human,
    assistant: Assistant,
    theta: Theta,
    moment: Moment,
    num_turns: int,
    record: Callable[[Moment, Moment, Turn], Record],
    key: Key[Array, ""],
) -> tuple[Moment, Record]:
    """Play `num_turns` turns and keep `record(before, after, turn)` of each, with a leading time axis.

    `key` is the episode's.
    """

    def body(before: Moment, _: None) -> tuple[Moment, Record]:
        after, now = turn(game, human, assistant, theta, before, key)
        return after, record(before, after, now)

    return jax.lax.scan(body, moment, length=num_turns)


def play(game: Game, human: Human, assistant: Assistant, theta: Theta, key: Key[Array, ""]) -> Episode:
    """Play one episode to the game's horizon. It traces under `jax.jit` and `jax.vmap`."""
    start = begin(game, human, assistant, theta, key)
    _, turns = advance(game, human, assistant, theta, start, game.horizon, lambda before, after, turn: turn, key)
    return join(theta, start.state, turns, key)


def join(theta: Theta, first: State, turns: Turn, key: Key[Array, ""]) -> Episode:
    """The episode that starts in the state `first` and goes on with `turns`."""
    states = jax.tree.map(lambda one, rest: jnp.concatenate([one[None], rest]), first, turns.state)
    return Episode(theta, states, turns.actions, turns.rewards, turns.active, key)


def retrace(game: Game, assistant: Assistant, episode: Episode) -> Thoughts:
    """What the assistant thought at each turn of the episode, with a leading time axis of T."""
    _, _, assistant_key = jax.random.split(jax.random.fold_in(episode.key, 0), 3)

    def body(memory: Memory, now: tuple[State, Int[Array, ""]]) -> tuple[Memory, Thoughts]:
        state, time = now
        sees = game.observe(state)[ASSISTANT]
        _, memory = assistant.logits(memory, sees, turn_keys(episode.key, time).assistant)
        return memory, assistant.thoughts(memory)

    times = jnp.arange(episode.active.shape[0], dtype=jnp.int32)
    seen = jax.tree.map(lambda x: x[:-1], episode.states)
    _, thoughts = jax.lax.scan(body, assistant.init(assistant_key), (seen, times))
    return thoughts


class AssistantState(NamedTuple):
    """What the assistant's problem hides: theta, the world, the human's memory and the clock."""

    theta: Theta
    world: State
    human: Memory
    time: Int[Array, ""]


class AssistantProblem(Problem):
    """The assistant's side of a game whose human is fixed."""

    game: Game
    human: Human

    @property
    def num_actions(self) -> int:
        """The assistant's number of actions."""
        return self.game.num_actions[ASSISTANT]

    @property
    def horizon(self) -> int:
        """The game's."""
        return self.game.horizon

    @property
    def discount(self) -> float:
        """The game's."""
        return self.game.discount

    def init(self, key: Key[Array, ""]) -> AssistantState:
        """Draw theta, the world and the human."""
        theta_key, world_key, human_key = jax.random.split(key, 3)
        return AssistantState(
            self.game.sample_theta(theta_key),
            self.game.init(world_key),
            self.human.init(human_key),
            jnp.zeros((), jnp.int32),
        )

    def step(
        self, state: AssistantState, action: Int[Array, ""], key: Key[Array, ""]
    ) -> tuple[AssistantState, Float[Array, ""], Bool[Array, ""]]:
        """The human answers the same world at the same time; the reward is the shared one."""
        keys = TurnKeys(*jax.random.split(key, len(TurnKeys._fields)))
        _, world, rewards, memory = respond(self.game, self.human, state.theta, state.world, state.human, action, keys)
        time = state.time + 1
        over = self.game.finished(state.theta, world) | (time >= self.horizon)
        return AssistantState(state.theta, world, memory, time), rewards.sum(), over

    def observe(self, state: AssistantState) -> Observation:
        """The assistant's observation."""
        return self.game.observe(state.world)[ASSISTANT]

    def legal(self, state: AssistantState) -> Legal:
        """The assistant's legal actions."""
        return self.game.legal(state.world)[ASSISTANT]

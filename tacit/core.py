"""What is an assistance game, and what must its players provide?

READ FIRST. A game hides theta, what the human wants. Two players act at once, share one reward, and only
the human (or nobody) knows theta. Everything else in tacit keeps the contracts of this file.

Three kinds of class and no fourth: Module (behaviour and arrays), NamedTuple (a plain record), frozen
dataclass (a Config). Every verb takes the random key last and consumes it. Methods are pure: they trace under
`jax.jit` and `jax.vmap`, and a new state is returned, never written.

Reference: Hadfield-Menell et al. 2016, "Cooperative Inverse Reinforcement Learning", arXiv 1606.03137;
Shah et al. 2020, "Benefits of Assistance over Reward Learning".
"""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

HUMAN, ASSISTANT = 0, 1

# Any pytree; a game says which. The names carry the meaning, the game's own file the shapes.

Theta = Any
State = Any
Observation = Any
Memory = Any
Logits = Any
Legal = Any
Thoughts = Any


def sample_flat(logits: Float[Array, " A"], legal: Bool[Array, " A"], key: Key[Array, ""]) -> Int[Array, ""]:
    """Draw one legal action index, P(a) ∝ legal(a) · exp logits(a)."""
    return jax.random.categorical(key, jnp.where(legal, logits, -jnp.inf)).astype(jnp.int32)


def log_prob_flat(logits: Float[Array, " A"], legal: Bool[Array, " A"], action: Int[Array, ""]) -> Float[Array, ""]:
    """Log-probability of `action` under `sample_flat`; -inf when it is not legal."""
    return jax.nn.log_softmax(jnp.where(legal, logits, -jnp.inf))[action]


class Game(eqx.Module):
    """An assistance game: worlds, moves and one shared reward whose parameters theta are hidden.

    Theta is any pytree and is never part of the state, so `observe`, `legal` and `step` cannot leak it.
    Actions are integers, one per player: `actions[HUMAN]` and `actions[ASSISTANT]`.
    """

    @property
    @abc.abstractmethod
    def num_actions(self) -> tuple[int, int]:
        """How many actions the human and the assistant have."""

    @property
    @abc.abstractmethod
    def horizon(self) -> int:
        """Turns in the longest episode."""

    @property
    @abc.abstractmethod
    def discount(self) -> float:
        """Weight of the next turn's reward relative to this one's, in (0, 1]."""

    @abc.abstractmethod
    def sample_theta(self, key: Key[Array, ""]) -> Theta:
        """Draw what the human wants from the prior."""

    @abc.abstractmethod
    def init(self, key: Key[Array, ""]) -> State:
        """Draw the first state. It does not depend on theta."""

    @abc.abstractmethod
    def step(self, state: State, actions: Int[Array, "2"], key: Key[Array, ""]) -> State:
        """Draw the next state. An action that is not legal passes."""

    @abc.abstractmethod
    def reward(self, theta: Theta, state: State, actions: Int[Array, "2"], next_state: State) -> Float[Array, "2"]:
        """Expected reward of one transition for someone who wants theta, split into each player's part.

        The shared reward is the sum. A game without parts gives all of it to the human's.
        """

    @abc.abstractmethod
    def observe(self, state: State) -> tuple[Observation, Observation]:
        """What the human and the assistant see. It cannot take theta."""

    @abc.abstractmethod
    def legal(self, state: State) -> tuple[Legal, Legal]:
        """Which actions each player may take; by default a boolean per action. At least one always is."""

    @abc.abstractmethod
    def finished(self, theta: Theta, state: State) -> Bool[Array, ""]:
        """Whether nothing is left to do. Asked by `play` alone: never by search, never shown to the assistant."""

    # Defaults that a game may replace.

    def alone(self) -> "Game":
        """The same game without the assistant's body; itself where nobody has one."""
        return self

    def felt(
        self, theta: Theta, state: State, actions: Int[Array, "2"], next_state: State, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """What a person who is still learning their taste feels. The assistant never sees it."""
        del key
        return self.reward(theta, state, actions, next_state).sum()

    def indifferent(self, player: int) -> Logits:
        """Logits of a player who prefers nothing: one number per action by default."""
        return jnp.zeros(self.num_actions[player])

    def sample(self, logits: Logits, legal: Legal, key: Key[Array, ""]) -> Int[Array, ""]:
        """Draw an action from a policy's logits; flat by default. A large game owns a factored form."""
        return sample_flat(logits, legal, key)

    def log_prob(self, logits: Logits, legal: Legal, action: Int[Array, ""]) -> Float[Array, ""]:
        """Log-probability that `sample` gives `action`: the one likelihood that all inference uses."""
        return log_prob_flat(logits, legal, action)


class Human(eqx.Module):
    """A policy that knows theta, or is still learning it from what it feels."""

    @abc.abstractmethod
    def init(self, key: Key[Array, ""]) -> Memory:
        """Draw the memory at the start of an episode, and whatever about this person varies by episode."""

    @abc.abstractmethod
    def logits(
        self, theta: Theta, memory: Memory, observation: Observation, key: Key[Array, ""]
    ) -> tuple[Logits, Memory]:
        """Preferences over actions, and the new memory.

        Where it serves as a likelihood it is exact: a Thompson sampler gives each arm's probability of being
        best, not a draw. A human who does not know theta ignores the argument.
        """

    def feel(self, memory: Memory, observation: Observation, felt: Float[Array, ""]) -> Memory:
        """Learn from what was felt; `observation` is the human's after the turn. The default learns nothing."""
        del observation, felt
        return memory


class Assistant(eqx.Module):
    """A policy that does not know theta."""

    @abc.abstractmethod
    def init(self, key: Key[Array, ""]) -> Memory:
        """The memory (belief included) at the start of an episode."""

    @abc.abstractmethod
    def logits(self, memory: Memory, observation: Observation, key: Key[Array, ""]) -> tuple[Logits, Memory]:
        """Preferences over actions after `observation`, and the new memory."""

    @abc.abstractmethod
    def thoughts(self, memory: Memory) -> Thoughts:
        """What the app and the metrics may see of the memory: the guessed goal, values. None if there is nothing."""


class Belief(eqx.Module):
    """A distribution over theta."""

    @abc.abstractmethod
    def update(self, log_likelihood: Float[Array, "..."]) -> "Belief":
        """Bayes' rule: b'(θ) ∝ b(θ) · L(θ), with log L given per hypothesis (or per cell and kind)."""

    @abc.abstractmethod
    def expect(self, f: Callable[[Theta], Array]) -> Array:
        """E_b[f(θ)]."""

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""]) -> Theta:
        """Draw one theta."""


class Question(eqx.Module):
    """Something a person answers by choosing: two houses, a correction, the off-switch. An answer is an index."""

    @abc.abstractmethod
    def values(self, theta: Theta) -> Float[Array, " K"]:
        """How good each option is for someone who wants theta."""


class Problem(eqx.Module):
    """A game with the partner fixed, as one player sees it. Learners and search accept this, so they know no roles."""

    @property
    @abc.abstractmethod
    def num_actions(self) -> int:
        """How many actions this player has."""

    @property
    @abc.abstractmethod
    def horizon(self) -> int:
        """Turns in the longest episode."""

    @property
    @abc.abstractmethod
    def discount(self) -> float:
        """Weight of the next turn's reward relative to this one's, in (0, 1]."""

    @abc.abstractmethod
    def init(self, key: Key[Array, ""]) -> State:
        """Draw the first state, the partner's memory and theta included."""

    @abc.abstractmethod
    def step(
        self, state: State, action: Int[Array, ""], key: Key[Array, ""]
    ) -> tuple[State, Float[Array, ""], Bool[Array, ""]]:
        """The next state, the shared reward and whether the episode has ended."""

    @abc.abstractmethod
    def observe(self, state: State) -> Observation:
        """What this player sees."""

    @abc.abstractmethod
    def legal(self, state: State) -> Legal:
        """Which actions this player may take."""


class Simulator(Problem):
    """A problem whose observations are numbered, so that a search can tell one history from another."""

    @property
    @abc.abstractmethod
    def num_observations(self) -> int:
        """How many observations there are."""

    @abc.abstractmethod
    def observe(self, state: State) -> Int[Array, ""]:
        """The number of what is seen."""

    def likelihood(self, state: State, observation: Int[Array, ""]) -> Float[Array, ""]:
        """Probability of seeing `observation` on the step that led to `state`; by default 1 if `observe` says so, or 0.

        A simulator that knows the exact probability gives it, and a particle filter keeps more of its particles.
        """
        return (self.observe(state) == observation).astype(jnp.float32)


class Episode(NamedTuple):
    """One episode as it was played. Beliefs are not stored: `play.retrace` finds them again.

    `states` has T + 1 entries, the others T. After the end (`active` false) the state stands still, rewards are
    zero and the actions mean nothing.
    """

    theta: Theta
    states: State
    actions: Int[Array, "T 2"]
    rewards: Float[Array, "T 2"]
    active: Bool[Array, " T"]
    key: Key[Array, ""]
    """The key that `play` consumed, from which the assistant's own randomness can be drawn again."""

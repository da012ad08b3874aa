"""How does a Problem become a Gymnasium environment?

An episode's randomness is one JAX key, which NumPy draws when it begins; turn t takes a key made of that one and t, as
in `play`. The environment keeps what it must between calls, as Gymnasium asks; all that it computes is pure, and
compiled once for all environments of the same problem.
"""

from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int8, Key, UInt32

from tacit.app.interop.spaces import bounds, checked_actions, dict_space, drawer, flat_legal, named, values
from tacit.core import ASSISTANT, Problem, State

Module = TypeVar("Module", bound=eqx.Module)


class Running(NamedTuple):
    """An episode under way: its key, the problem's state and how many turns have passed."""

    key: Key[Array, ""]
    state: State
    time: Int[Array, ""]


class Shown(NamedTuple):
    """What the player is shown: named leaves, and 1 for every legal action."""

    leaves: dict[str, Array]
    mask: Int8[Array, " A"]


class Outcome(NamedTuple):
    """What a turn came to. An episode that reaches the horizon is truncated; one that ends before has terminated."""

    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]


def placed(module: Module) -> Module:
    """The same with its NumPy arrays handed to JAX once, rather than at every call."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, module)


def episode_words(generator: np.random.Generator) -> UInt32[np.ndarray, "2"]:
    """The chance of one episode, drawn by NumPy: 63 bits."""
    drawn = int(generator.integers(2**63))
    return np.array([drawn >> 32, drawn & 0xFFFFFFFF], np.uint32)


def episode_key(words: UInt32[Array, "2"]) -> Key[Array, ""]:
    """The same as a JAX key."""
    return jax.random.fold_in(jax.random.key(words[0]), words[1])


def first(problem: Problem, words: UInt32[Array, "2"]) -> tuple[Running, Shown]:
    """The start of an episode."""
    key = episode_key(words)
    state = problem.init(jax.random.fold_in(key, 0))
    return Running(key, state, jnp.zeros((), jnp.int32)), show(problem, state)


def following(problem: Problem, running: Running, action: Int[Array, ""]) -> tuple[Running, Shown, Outcome]:
    """One turn."""
    time = running.time + 1
    state, reward, ended = problem.step(running.state, action, jax.random.fold_in(running.key, time))
    last = time >= problem.horizon
    return Running(running.key, state, time), show(problem, state), Outcome(reward, ended & ~last, last)


def show(problem: Problem, state: State) -> Shown:
    """What a state looks like to the player."""
    legal = flat_legal(problem.legal(state), problem.num_actions)
    return Shown(named(problem.observe(state)), legal.astype(jnp.int8))


def observation_space(problem: Problem) -> gymnasium.spaces.Dict:
    """The space of what the player sees."""
    leaves = jax.eval_shape(lambda words: first(problem, words)[1].leaves, jax.ShapeDtypeStruct((2,), jnp.uint32))
    return dict_space(leaves, bounds(problem, ASSISTANT))


_first, _following = eqx.filter_jit(first), eqx.filter_jit(following)


class ProblemEnv(gymnasium.Env[dict[str, Any], Any]):
    """A problem as Gymnasium plays it. `info["action_mask"]` says what is legal; what is not, passes."""

    def __init__(self, problem: Problem, render_mode: str | None = None):
        """Raises ValueError for an observation that Gymnasium has no space for."""
        self.problem = problem
        self.drawer = drawer(problem)
        self.metadata = self.drawer.metadata()
        self.render_mode = self.drawer.checked(render_mode)
        self._space = observation_space(problem)
        self.observation_space = self._space
        self.action_space = gymnasium.spaces.Discrete(problem.num_actions)
        self._placed = placed(problem)
        self._running: Running | None = None
        self._mask = np.zeros(0, np.int8)
        self._over = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode; one seed begins one row of episodes, over and over. There are no options."""
        super().reset(seed=seed)
        del options
        self._running, shown = _first(self._placed, jnp.asarray(episode_words(self.np_random)))
        self._over = False
        return self._seen(shown)

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """One turn: the reward is the shared one, without discount."""
        if self._running is None or self._over:
            raise gymnasium.error.ResetNeeded("There is no episode under way; call reset first.")
        chosen = checked_actions(action, (), self.problem.num_actions)
        self._running, shown, outcome = _following(self._placed, self._running, jnp.asarray(chosen))
        observation, info = self._seen(shown)
        reward, terminated, truncated = float(outcome.reward), bool(outcome.terminated), bool(outcome.truncated)
        self._over = terminated or truncated
        return observation, reward, terminated, truncated, info

    def action_masks(self) -> Bool[np.ndarray, " A"]:
        """What is legal now, as sb3-contrib's MaskablePPO asks for it."""
        return self._mask == 1

    def render(self) -> str | None:
        """The world as text, in mode "ansi"."""
        if self.render_mode is None or self._running is None:
            return None
        return self.drawer.draw(self._running.state)

    def _seen(self, shown: Shown) -> tuple[dict[str, Any], dict[str, Any]]:
        self._mask = np.array(shown.mask)
        return values(self._space, shown.leaves), {"action_mask": self._mask.copy()}


def gymnasium_env(problem: Problem, render_mode: str | None = None) -> ProblemEnv:
    """A problem, such as `AssistantProblem(game, human)`, as a Gymnasium environment."""
    return ProblemEnv(problem, render_mode)

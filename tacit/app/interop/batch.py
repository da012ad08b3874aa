"""How does a Problem become a Gymnasium vector environment? Many episodes in one compiled step.

Sub-environment i meets the same episodes as a `ProblemEnv` that is reset with its seed. One that is over begins anew on
the next step, whatever its action: Gymnasium's autoreset mode NEXT_STEP.
"""

from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Array, Bool, Float, Int, UInt32

from tacit.app.interop.single import Outcome, Running, Shown, episode_words, first, following, observation_space, placed
from tacit.app.interop.spaces import checked_actions, values
from tacit.core import Problem


@eqx.filter_jit
def _first(problem: Problem, words: UInt32[Array, "B 2"]) -> tuple[Running, Shown]:
    """The start of every episode."""
    return jax.vmap(lambda one: first(problem, one))(words)


@eqx.filter_jit
def _following(problem: Problem, running: Running, actions: Int[Array, " B"]) -> tuple[Running, Shown, Outcome]:
    """One turn of every episode."""
    return jax.vmap(lambda one, action: following(problem, one, action))(running, actions)


@eqx.filter_jit
def _chosen(over: Bool[Array, " B"], new: Any, old: Any) -> Any:
    """`new` where an episode is over, else `old`."""
    return jax.vmap(lambda over, new, old: jax.tree.map(lambda *pair: jnp.where(over, *pair), new, old))(over, new, old)


class ProblemVectorEnv(VectorEnv[dict[str, Any], Any, np.ndarray]):
    """A batch of episodes of one problem. `infos["action_mask"]` says what is legal; what is not, passes."""

    def __init__(self, problem: Problem, num_envs: int):
        """Raises ValueError for an observation that Gymnasium has no space for."""
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; there is at least one environment.")
        self.problem = problem
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": []}
        single = observation_space(problem)
        self.single_observation_space = single
        self.single_action_space = gymnasium.spaces.Discrete(problem.num_actions)
        self._space = gymnasium.spaces.Dict({name: batch_space(part, num_envs) for name, part in single.spaces.items()})
        self.observation_space = self._space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._placed = placed(problem)
        self._generators: list[np.random.Generator] = []
        self._now: tuple[Running, Shown] | None = None
        self._over = np.zeros(num_envs, bool)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin every episode; sub-environment i is given seed + i. There are no options."""
        del options
        if seed is not None or not self._generators:
            seeds = [None if seed is None else seed + i for i in range(self.num_envs)]
            self._generators = [seeding.np_random(one)[0] for one in seeds]
        self._over = np.zeros(self.num_envs, bool)
        running, shown = _first(self._placed, self._words(~self._over))
        self._now = running, shown
        return self._seen(shown)

    def step(
        self, actions: Any
    ) -> tuple[dict[str, Any], Float[np.ndarray, " B"], Bool[np.ndarray, " B"], Bool[np.ndarray, " B"], dict[str, Any]]:
        """One turn of every episode, or the first sight of the next."""
        if self._now is None:
            raise gymnasium.error.ResetNeeded("There is no episode under way; call reset first.")
        chosen = checked_actions(actions, (self.num_envs,), self.problem.num_actions)
        running, shown, outcome = _following(self._placed, self._now[0], jnp.asarray(chosen))
        if self._over.any():
            fresh = _first(self._placed, self._words(self._over))
            running, shown = _chosen(jnp.asarray(self._over), fresh, (running, shown))
        self._now = running, shown
        reward, terminated, truncated = (np.where(self._over, np.zeros_like(part), part) for part in outcome)
        self._over = terminated | truncated
        observations, infos = self._seen(shown)
        return observations, reward.astype(np.float64), terminated, truncated, infos

    def _words(self, begin: Bool[np.ndarray, " B"]) -> UInt32[Array, "B 2"]:
        """The chance of the episodes that begin, zeros for the others."""
        words = np.zeros((self.num_envs, 2), np.uint32)
        for i in np.flatnonzero(begin):
            words[i] = episode_words(self._generators[i])
        return jnp.asarray(words)

    def _seen(self, shown: Shown) -> tuple[dict[str, Any], dict[str, Any]]:
        infos = {"action_mask": np.array(shown.mask), "_action_mask": np.ones(self.num_envs, bool)}
        return values(self._space, shown.leaves), infos


def vector_env(problem: Problem, num_envs: int) -> ProblemVectorEnv:
    """A problem as a Gymnasium vector environment: what makes training fast."""
    return ProblemVectorEnv(problem, num_envs)

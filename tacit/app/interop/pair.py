"""How does a game become a PettingZoo environment, in which both players are somebody else's algorithms?

The human's observation also holds what is the human's own: theta, or what the last turn felt like to someone who does
not know theta yet. Nothing that the assistant gets is made of theta, but for the reward and the end of an episode.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.utils import seeding
from jaxtyping import Array, Float, Int, Key, UInt32
from pettingzoo import ParallelEnv

from tacit.app.interop.single import Outcome, Shown, episode_key, episode_words, placed
from tacit.app.interop.spaces import bounds, checked_actions, dict_space, drawer, flat_legal, named, values
from tacit.core import ASSISTANT, HUMAN, Game, State, Theta
from tacit.evaluation.compare import draw
from tacit.play import turn_keys

AGENTS = ("human", "assistant")
"""In the order of `core.HUMAN` and `core.ASSISTANT`."""

OWN = ("theta", "felt")
"""What can be shown to the human alone."""


class Pair(NamedTuple):
    """An episode under way: its key, the goal, the world, what was felt last and how many turns have passed."""

    key: Key[Array, ""]
    theta: Theta
    world: State
    felt: Float[Array, ""]
    time: Int[Array, ""]


def drawn(game: Game, words: UInt32[Array, "2"]) -> tuple[Theta, Key[Array, ""]]:
    """The goal of an episode and the key that `play` would play it with, drawn as evaluations do."""
    return draw(game, episode_key(words))


def first(game: Game, theta: Theta, key: Key[Array, ""]) -> tuple[Pair, tuple[Shown, Shown]]:
    """The start of the episode that `play` plays with the same goal and key."""
    world = game.init(jax.random.split(jax.random.fold_in(key, 0), 3)[0])
    pair = Pair(key, theta, world, jnp.zeros(()), jnp.zeros((), jnp.int32))
    return pair, show(game, pair)


def following(game: Game, pair: Pair, actions: Int[Array, "2"]) -> tuple[Pair, tuple[Shown, Shown], Outcome]:
    """One turn of it."""
    keys = turn_keys(pair.key, pair.time)
    world = game.step(pair.world, actions, keys.step)
    reward = game.reward(pair.theta, pair.world, actions, world).sum()
    felt = game.felt(pair.theta, pair.world, actions, world, keys.felt)
    time = pair.time + 1
    last = time >= game.horizon
    after = Pair(pair.key, pair.theta, world, felt, time)
    return after, show(game, after), Outcome(reward, game.finished(pair.theta, world) & ~last, last)


def show(game: Game, pair: Pair) -> tuple[Shown, Shown]:
    """What the world looks like to each player; the human's holds theta and what was felt as well."""
    sees, legal = game.observe(pair.world), game.legal(pair.world)
    leaves = [named(sees[player]) for player in (HUMAN, ASSISTANT)]
    masks = [flat_legal(legal[player], game.num_actions[player]).astype(jnp.int8) for player in (HUMAN, ASSISTANT)]
    own = named({"theta": pair.theta, "felt": pair.felt})
    if own.keys() & leaves[HUMAN].keys():
        raise ValueError(
            "This game shows the human something called theta or felt; those names are taken by the real ones."
        )
    leaves[HUMAN] |= own
    return Shown(leaves[HUMAN], masks[HUMAN]), Shown(leaves[ASSISTANT], masks[ASSISTANT])


_drawn, _first, _following = eqx.filter_jit(drawn), eqx.filter_jit(first), eqx.filter_jit(following)


class GameEnv(ParallelEnv[str, dict[str, Any], Any]):
    """A game as PettingZoo plays it; both agents are paid the shared reward. What is not legal passes."""

    def __init__(self, game: Game, own: tuple[str, ...] = ("theta",), render_mode: str | None = None):
        """`own` says what the human alone is shown, of `OWN`."""
        if not set(own) <= set(OWN):
            raise ValueError(f"own is {own}; what the human alone is shown can be {' and '.join(OWN)}.")
        self.game = game
        self.drawer = drawer(game)
        self.metadata = self.drawer.metadata() | {"name": type(game).__name__, "is_parallelizable": True}
        self.render_mode = self.drawer.checked(render_mode)
        self.possible_agents = list(AGENTS)
        self.agents = []
        key = jax.eval_shape(jax.random.key, 0)
        self._theta = jax.eval_shape(game.sample_theta, key)
        shown = jax.eval_shape(lambda theta, key: first(game, theta, key)[1], self._theta, key)
        hidden = set(OWN) - set(own)
        self._spaces = {
            agent: dict_space(
                {name: leaf for name, leaf in sees.leaves.items() if name.partition("/")[0] not in hidden},
                bounds(game, player),
            )
            for player, (agent, sees) in enumerate(zip(AGENTS, shown, strict=True))
        }
        self.observation_spaces = {**self._spaces}
        self.action_spaces = {
            agent: gymnasium.spaces.Discrete(count) for agent, count in zip(AGENTS, game.num_actions, strict=True)
        }
        self._placed = placed(game)
        self._pair: Pair | None = None
        self._generator: np.random.Generator | None = None

    def observation_space(self, agent: str) -> gymnasium.Space:
        """What an agent sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.Space:
        """What an agent may do."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """Begin an episode; `options["theta"]` gives the goal, which is drawn unless it is given."""
        if seed is not None or self._generator is None:
            self._generator, _ = seeding.np_random(seed)
        theta, key = _drawn(self._placed, jnp.asarray(episode_words(self._generator)))
        if options is not None and "theta" in options:
            theta = self._checked(options["theta"])
        self._pair, shown = _first(self._placed, theta, key)
        self.agents = list(AGENTS)
        return self._seen(shown)

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[
        dict[str, dict[str, Any]], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]
    ]:
        """One turn: both act at once."""
        if self._pair is None or not self.agents:
            return {}, {}, {}, {}, {}
        if missing := [agent for agent in AGENTS if agent not in actions]:
            raise ValueError(f"There is no action for {' and '.join(missing)}; both players act at once.")
        counts = zip(AGENTS, self.game.num_actions, strict=True)
        chosen = np.stack([checked_actions(actions[agent], (), count) for agent, count in counts])
        self._pair, shown, outcome = _following(self._placed, self._pair, jnp.asarray(chosen))
        observations, infos = self._seen(shown)
        reward, terminated, truncated = float(outcome.reward), bool(outcome.terminated), bool(outcome.truncated)
        if terminated or truncated:
            self.agents = []
        return (
            observations,
            dict.fromkeys(AGENTS, reward),
            dict.fromkeys(AGENTS, terminated),
            dict.fromkeys(AGENTS, truncated),
            infos,
        )

    def render(self) -> str | None:
        """The world as text, in mode "ansi"."""
        if self.render_mode is None or self._pair is None:
            return None
        return self.drawer.draw(self._pair.world)

    def _checked(self, theta: Any) -> Theta:
        """A goal with the right form. Raises ValueError for another."""
        wanted, given = (jax.tree.map(np.shape, tree) for tree in (self._theta, theta))
        if wanted != given:
            raise ValueError(f"This theta has shape {given}; the game's has {wanted}.")
        return jax.tree.map(lambda form, leaf: jnp.asarray(leaf, form.dtype), self._theta, theta)

    def _seen(self, shown: tuple[Shown, Shown]) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        both = list(zip(AGENTS, shown, strict=True))
        return (
            {agent: values(self._spaces[agent], sees.leaves) for agent, sees in both},
            {agent: {"action_mask": np.array(sees.mask)} for agent, sees in both},
        )


def parallel_env(game: Game, own: tuple[str, ...] = ("theta",), render_mode: str | None = None) -> GameEnv:
    """A game as a PettingZoo parallel environment of "human" and "assistant"."""
    return GameEnv(game, own, render_mode)

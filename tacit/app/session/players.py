"""Who sits at the table? The person at the page and an assistant, as players of `play.turn`.

What is here is compiled once a process, whoever plays.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from tacit import play
from tacit.beliefs.particles import ParticleBelief
from tacit.core import ASSISTANT, HUMAN, Assistant, Human, Memory, Observation, Thoughts
from tacit.games.building import actions
from tacit.games.building.actions import EditLogits, certain
from tacit.games.building.game import BuildingGame, House
from tacit.games.building.hand import approach
from tacit.games.building.walking import Walk, walk, walk_cost
from tacit.play import Moment, Turn, turn_keys

Cell = tuple[int, int, int]


@runtime_checkable
class Tellable(Protocol):
    """An assistant that can be told about single cells."""

    def tell(self, memory: Memory, log_likelihood: Float[Array, "X Y Z M"]) -> Memory:
        """The memory after this evidence."""
        ...


@runtime_checkable
class Expectant(Protocol):
    """An assistant that can be told of whole houses, by their plans."""

    def expect(self, memory: Memory, plans: ParticleBelief, key: Key[Array, ""]) -> Memory:
        """The memory once it is known that it is probably one of these."""
        ...


class Players(NamedTuple):
    """The game and the assistant; the human sits at the page."""

    game: BuildingGame
    assistant: Assistant


class Thinking(NamedTuple):
    """What the assistant makes of the present world: what it will do, its memory then, and what may be seen of it."""

    action: Int[Array, ""]
    memory: Memory
    thoughts: Thoughts


class Ways(NamedTuple):
    """Which cells the person can fill or empty from here, and the way to where each of the others can be."""

    place: Bool[Array, "X Y Z"]
    remove: Bool[Array, "X Y Z"]
    walk: Walk


class Seated(Human):
    """The person: their memory is the action they chose."""

    game: BuildingGame

    def init(self, key: Key[Array, ""]) -> Int[Array, ""]:
        """Nothing chosen."""
        return jnp.zeros((), jnp.int32)

    def logits(
        self, theta: House, memory: Int[Array, ""], observation: Observation, key: Key[Array, ""]
    ) -> tuple[EditLogits, Int[Array, ""]]:
        """What they chose."""
        return certain(memory, self.game.num_kinds, self.game.num_cells), memory


class Resolved(Assistant):
    """The assistant once it has thought: its memory is the action it chose."""

    game: BuildingGame

    def init(self, key: Key[Array, ""]) -> Int[Array, ""]:
        """Nothing chosen."""
        return jnp.zeros((), jnp.int32)

    def logits(
        self, memory: Int[Array, ""], observation: Observation, key: Key[Array, ""]
    ) -> tuple[EditLogits, Int[Array, ""]]:
        """What it chose."""
        return certain(memory, self.game.num_kinds, self.game.num_cells), memory

    def thoughts(self, memory: Int[Array, ""]) -> None:
        """They were told before."""


@eqx.filter_jit
def sample_house(game: BuildingGame, key: Key[Array, ""]) -> House:
    """`Game.sample_theta`."""
    return game.sample_theta(key)


@eqx.filter_jit
def begin(players: Players, theta: House, key: Key[Array, ""]) -> Moment:
    """`play.begin`, with types as they are after a turn, so that the first thought needs no compilation of its own."""
    moment = play.begin(players.game, Seated(players.game), players.assistant, theta, key)
    arrays, keys = eqx.partition(moment, lambda leaf: not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))
    return eqx.combine(jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), arrays), keys)


@eqx.filter_jit
def think(players: Players, moment: Moment, key: Key[Array, ""]) -> Thinking:
    """The assistant's half of `play.turn`, with the same randomness."""
    game, keys = players.game, turn_keys(key, moment.time)
    logits, memory = players.assistant.logits(moment.assistant, game.observe(moment.state)[ASSISTANT], keys.assistant)
    action = game.sample(logits, game.legal(moment.state)[ASSISTANT], keys.assistant_action)
    return Thinking(action, memory, players.assistant.thoughts(memory))


@eqx.filter_jit
def turn(
    game: BuildingGame, theta: House, moment: Moment, pair: Int[Array, "2"], key: Key[Array, ""]
) -> tuple[Moment, Turn]:
    """`play.turn` in which the two do this."""
    moment = moment._replace(human=pair[HUMAN], assistant=pair[ASSISTANT])
    return play.turn(game, Seated(game), Resolved(game), theta, moment, key)


@eqx.filter_jit
def tell(assistant: Tellable, memory: Memory, log_likelihood: Float[Array, "X Y Z M"]) -> Memory:
    """The assistant's memory after evidence about single cells."""
    return assistant.tell(memory, log_likelihood)


@eqx.filter_jit
def expect(assistant: Expectant, memory: Memory, plans: ParticleBelief, key: Key[Array, ""]) -> Memory:
    """The assistant's memory once it was told which houses are likely."""
    return assistant.expect(memory, plans, key)


@eqx.filter_jit
def ways(game: BuildingGame, moment: Moment) -> Ways:
    """What the person can do from here, and how they come to the rest."""
    sees = game.observe(moment.state)[HUMAN]
    fields = walk(walk_cost(sees.blocks, sees.feet[ASSISTANT]), sees.feet[HUMAN])
    legal = sees.legal[HUMAN]
    return Ways(legal.place.reshape(game.shape), legal.remove.reshape(game.shape), approach(fields, sees, HUMAN))


def decoded(game: BuildingGame, action: int) -> tuple[int, Cell, int, int]:
    """An action taken apart: what, the cell, the kind and the direction."""
    what, cell, kind, direction = actions.decode(jnp.int32(action), game.num_kinds, game.num_cells)
    x, y, z = np.unravel_index(int(cell), game.shape)
    return int(what), (int(x), int(y), int(z)), int(kind), int(direction)


def encoded(game: BuildingGame, what: int, cell: Cell = (0, 0, 0), kind: int = 0, direction: int = 0) -> int:
    """The inverse of `decoded`."""
    index = int(np.ravel_multi_index(cell, game.shape))
    parts = actions.Action(*(jnp.int32(part) for part in (what, index, kind, direction)))
    return int(actions.encode(parts, game.num_kinds, game.num_cells))

"""What are the rules of the building game? Two flying bodies, one house that only the human knows.

MBAG: Laidlaw et al. 2025, arXiv 2504.07091.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int8, Key

from tacit.core import ASSISTANT, HUMAN, Game
from tacit.games.building import actions as factored
from tacit.games.building.actions import BREAK, DIRECTIONS, MOVE, PASS, PLACE, EditLegal, EditLogits
from tacit.games.building.blocks import AIR, BEDROCK, DIRT, FIRST_PLACEABLE
from tacit.games.building.sight import Sight, can_stand, head, inside, look_up

House = Int8[Array, "X Y Z"]
"""Theta: the kind that each cell of the whole world should hold, ground included."""


class Edits(NamedTuple):
    """What the two players really changed in the last turn, in the order in which it happened.

    `cell` is -1 for a player who changed nothing; `before` and `after` are kinds, air if nothing was changed.
    """

    cell: Int[Array, "2"]
    before: Int8[Array, "2"]
    after: Int8[Array, "2"]


class State(NamedTuple):
    """The world. `feet` is each body's lower cell; `touched` is 0 nobody, 1 human, 2 assistant."""

    blocks: Int8[Array, "X Y Z"]
    touched: Int8[Array, "X Y Z"]
    feet: Int[Array, "2 3"]
    edits: Edits
    last_actions: Int[Array, "2"]
    effective: Bool[Array, "2"]
    time: Int[Array, ""]


class Observation(NamedTuple):
    """All of the world is public; theta is not in it. Both players see the same, in absolute order (human first).

    `last_actions` are as chosen, `effective` says which of them did anything (passing never does).
    """

    blocks: Int8[Array, "X Y Z"]
    touched: Int8[Array, "X Y Z"]
    feet: Int[Array, "2 3"]
    edits: Edits
    last_actions: Int[Array, "2"]
    effective: Bool[Array, "2"]
    time: Int[Array, ""]
    legal: tuple[EditLegal, EditLegal]


ABSENT = (-10, -10, -10)
"""The feet of a body that is not there."""

SYMBOLS = ".#dcglpsbw"
"""One letter a kind, for `text`."""


@runtime_checkable
class Houses(Protocol):
    """Where houses come from."""

    def sample(self, key: Key[Array, ""]) -> House:
        """Draw a house."""
        ...


def bare_ground(shape: tuple[int, int, int]) -> Int8[Array, "X Y Z"]:
    """The world before anything is built: a layer of bedrock, a layer of dirt, air."""
    layers = np.full(shape[1], AIR, np.int8)
    layers[0], layers[1] = BEDROCK, DIRT
    return jnp.broadcast_to(jnp.asarray(layers)[None, :, None], shape)


def similarity(kind: Int8[Array, "*S"], goal: Int8[Array, "*S"]) -> Float[Array, "*S"]:
    """How well a cell serves the goal: 1 if right, -1 for the wrong block where there should be one, else 0."""
    return jnp.where(kind == goal, 1.0, jnp.where((kind != AIR) & (goal != AIR), -1.0, 0.0))


def edit_distance(blocks: Int8[Array, "X Y Z"], house: House) -> Float[Array, ""]:
    """How many blocks have to be placed or broken to get the house; a wrong block counts twice."""
    return (1.0 - similarity(blocks, house)).sum()


def goal_completed(blocks: Int8[Array, "X Y Z"], house: House) -> Float[Array, ""]:
    """The share of the edits from bare ground to the house that is done, at most 1; below 0 after harm."""
    shape = (blocks.shape[0], blocks.shape[1], blocks.shape[2])
    return 1.0 - edit_distance(blocks, house) / edit_distance(bare_ground(shape), house)


def text(blocks: Int8[Array, "X Y Z"], feet: Int[Array, "2 3"]) -> str:
    """The world as lines of text: its layers from the ground up, side by side; x to the right, z downwards.

    Letters are SYMBOLS; H and A are the human's and the assistant's bodies.
    """
    letters = np.array(list(SYMBOLS))[np.asarray(blocks)]
    for name, (x, y, z) in zip("HA", np.asarray(feet).tolist(), strict=True):
        if (x, y, z) != ABSENT:
            letters[x, y : y + 2, z] = name
    rows = ("  ".join("".join(letters[:, y, z]) for y in range(letters.shape[1])) for z in range(letters.shape[2]))
    return "\n".join(rows)


class BuildingGame(Game):
    """Two players build the house that the human wants, from as many blocks as they like, flying.

    Theta is the `House`. With `solo` the assistant has no body and can only pass: the human's game alone.
    """

    houses: Houses
    sight: Sight
    shape: tuple[int, int, int] = eqx.field(static=True)
    num_kinds: int = eqx.field(static=True)
    reach: float = eqx.field(static=True)
    num_turns: int = eqx.field(static=True)
    gamma: float = eqx.field(static=True)
    solo: bool = eqx.field(static=True)

    def __init__(
        self,
        houses: Houses,
        shape: tuple[int, int, int],
        num_kinds: int,
        reach: float,
        horizon: int,
        discount: float = 0.95,
        solo: bool = False,
    ):
        """A world of `shape` (y is up) with `num_kinds` kinds of block, air and bedrock included.

        `reach` is measured in cells, from the eye to the click and from the head's cell to the edited one.
        """
        if shape[1] < 4:
            raise ValueError(f"A world {shape[1]} cells high has no room for two layers of ground and a body; give 4.")
        if not FIRST_PLACEABLE < num_kinds <= len(SYMBOLS):
            raise ValueError(f"There can be 3 to {len(SYMBOLS)} kinds, air and bedrock included, not {num_kinds}.")
        self.houses = houses
        self.sight = Sight(shape, reach)
        self.shape = shape
        self.num_kinds = num_kinds
        self.reach = reach
        self.num_turns = horizon
        self.gamma = discount
        self.solo = solo

    @property
    def num_cells(self) -> int:
        """N = X·Y·Z."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def num_actions(self) -> tuple[int, int]:
        """A, the same for both."""
        count = factored.num_actions(self.num_kinds, self.num_cells)
        return count, count

    @property
    def horizon(self) -> int:
        """Turns in the longest episode."""
        return self.num_turns

    @property
    def discount(self) -> float:
        """Weight of the next turn's reward relative to this one's."""
        return self.gamma

    def alone(self) -> "BuildingGame":
        """The human's game alone."""
        return BuildingGame(self.houses, self.shape, self.num_kinds, self.reach, self.horizon, self.discount, solo=True)

    def sample_theta(self, key: Key[Array, ""]) -> House:
        """Draw a house."""
        return self.houses.sample(key)

    def init(self, key: Key[Array, ""]) -> State:
        """Bare ground, and both bodies in the air, all places where they do not collide being equally likely."""
        human_key, assistant_key = jax.random.split(key)
        levels = self.shape[1] - 2
        places = self.shape[0] * self.shape[2] * levels
        human = jax.random.randint(human_key, (), 0, places, jnp.int32)
        # Places are numbered up each column, so that those that collide with the human's are at most three in a row.
        lowest = human - jnp.minimum(human % levels, 1)
        colliding = human + jnp.minimum(levels - 1 - human % levels, 1) - lowest + 1
        assistant = jax.random.randint(assistant_key, (), 0, places - colliding, jnp.int32)
        place = jnp.stack([human, assistant + jnp.where(assistant >= lowest, colliding, 0)])
        column = place // levels
        feet = jnp.stack([column // self.shape[2], place % levels + 2, column % self.shape[2]], -1)
        if self.solo:
            feet = feet.at[ASSISTANT].set(jnp.array(ABSENT, jnp.int32))
        return State(
            bare_ground(self.shape),
            jnp.zeros(self.shape, jnp.int8),
            feet,
            Edits(jnp.full((2,), -1, jnp.int32), jnp.zeros((2,), jnp.int8), jnp.zeros((2,), jnp.int8)),
            jnp.zeros((2,), jnp.int32),
            jnp.zeros((2,), bool),
            jnp.zeros((), jnp.int32),
        )

    def step(self, state: State, actions: Int[Array, "2"], key: Key[Array, ""]) -> State:
        """The human acts, then the assistant on the world as the human left it. What is not legal by then passes."""
        del key
        what, index, _, _ = factored.decode(actions, self.num_kinds, self.num_cells)
        cells = jnp.stack(jnp.unravel_index(index, self.shape), -1).astype(jnp.int32)
        # What the rules allow and the mask does not: to fill one's own cells, and to click the edge of a far cell.
        own = jax.vmap(inside)(cells, state.feet) & (what == PLACE)
        away = cells - jax.vmap(head)(state.feet)
        far = ((away * away).sum(-1) > int(self.reach**2)) & ((what == PLACE) | (what == BREAK))
        return self.resolve(state, jnp.where(own | far, PASS, actions))._replace(last_actions=actions.astype(jnp.int32))

    def resolve(self, state: State, actions: Int[Array, "2"]) -> State:
        """One turn by MBAG's rules, which allow a little more than its mask, `legal`, offers: see `step`."""
        state, *human = self.act(state, HUMAN, actions[HUMAN])
        state, *assistant = self.act(state, ASSISTANT, actions[ASSISTANT])
        cell, before, after, effective = (jnp.stack(pair) for pair in zip(human, assistant, strict=True))
        return state._replace(
            edits=Edits(cell, before, after),
            last_actions=actions.astype(jnp.int32),
            effective=effective,
            time=state.time + 1,
        )

    def act(
        self, state: State, player: int, action: Int[Array, ""]
    ) -> tuple[State, Int[Array, ""], Int8[Array, ""], Int8[Array, ""], Bool[Array, ""]]:
        """One player's half of a turn by MBAG's rules. Its clock, edits and flags are left to `resolve`.

        Returns the state, the edited cell or -1, its kind before and after, and whether anything was done.
        """
        what, index, kind, direction = factored.decode(action, self.num_kinds, self.num_cells)
        feet, other = state.feet[player], state.feet[1 - player]
        cell = jnp.stack(jnp.unravel_index(index, self.shape)).astype(jnp.int32)
        before = look_up(state.blocks, cell)
        placing = what == PLACE
        suitable = jnp.where(
            placing,
            (before == AIR) & (kind >= FIRST_PLACEABLE) & ~inside(cell, other),
            (what == BREAK) & (before != AIR) & (before != BEDROCK),
        )
        edited = suitable & self.sight.clickable(state.blocks, feet, other, cell, placing)
        after = jnp.where(edited, jnp.where(placing, kind, AIR).astype(jnp.int8), before)
        target = feet + jnp.array(DIRECTIONS, jnp.int32)[direction]
        moved = (what == MOVE) & can_stand(state.blocks, target, other)
        # No place is meant where nothing was edited. To choose cell by cell, XLA would do again for every reader.
        here = tuple(jnp.where(edited, cell, self.num_cells))
        state = state._replace(
            blocks=state.blocks.at[here].set(after, mode="drop"),
            touched=state.touched.at[here].set(jnp.int8(player + 1), mode="drop"),
            feet=state.feet.at[player].set(jnp.where(moved, target, feet)),
        )
        cell = jnp.where(edited, index, -1).astype(jnp.int32)
        air = jnp.int8(AIR)
        return state, cell, jnp.where(edited, before, air), jnp.where(edited, after, air), edited | moved

    def reward(self, theta: House, state: State, actions: Int[Array, "2"], next_state: State) -> Float[Array, "2"]:
        """By how much each player's edit brought the world nearer to the house: s(after) - s(before) at the cell."""
        del state, actions
        edits = next_state.edits
        goal = theta.reshape(-1)[jnp.maximum(edits.cell, 0)]
        gain = similarity(edits.after, goal) - similarity(edits.before, goal)
        return jnp.where(edits.cell >= 0, gain, 0.0)

    def observe(self, state: State) -> tuple[Observation, Observation]:
        """Both see everything but the house."""
        observation = Observation(*state, legal=self.legal(state))
        return observation, observation

    def legal(self, state: State) -> tuple[EditLegal, EditLegal]:
        """What each player is offered."""
        human, assistant = state.feet[HUMAN], state.feet[ASSISTANT]
        return (
            self.sight.legal(state.blocks, human, assistant),
            self.sight.legal(state.blocks, assistant, human),
        )

    def finished(self, theta: House, state: State) -> Bool[Array, ""]:
        """Whether the house stands."""
        return (state.blocks == theta).all()

    def indifferent(self, player: int) -> EditLogits:
        """Every first choice alike, and every kind."""
        del player
        cells = jnp.zeros((self.num_cells,))
        return EditLogits(jnp.zeros(()), cells, jnp.zeros((self.num_cells, self.num_kinds)), cells, jnp.zeros((6,)))

    def sample(self, logits: EditLogits, legal: EditLegal, key: Key[Array, ""]) -> Int[Array, ""]:
        """Draw an action: first what and where, then of which kind."""
        return factored.sample(logits, legal, key)

    def log_prob(self, logits: EditLogits, legal: EditLegal, action: Int[Array, ""]) -> Float[Array, ""]:
        """Log-probability that `sample` gives `action`."""
        return factored.log_prob(logits, legal, action)


def building_game(game: Game, who: str) -> BuildingGame:
    """The game, if it is a building game: `who` plays no other. Raises ValueError where it is another."""
    if not isinstance(game, BuildingGame):
        raise ValueError(f"{who} plays the building game only, not {type(game).__name__}.")
    return game

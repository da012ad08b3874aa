"""Given what each cell probably should be, which block should a player place or break now? A greedy hand.

The reward of an edit is linear in theta written as per-cell probabilities q, so its expectation is exact: filling an
air cell with kind m gains 2 q_m - 1, breaking a block of kind k gains 1 - 2 q_k. The hand takes the edit, or the first
step towards the edit, whose gain discounted by the walk is highest. It serves a human who plans and the oracle (q is 0
or 1), the particles and a learned belief alike; `player` says whose hand it is.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int8

from tacit.games.building.actions import DIRECTIONS, EditLogits
from tacit.games.building.blocks import AIR, BEDROCK, FIRST_PLACEABLE
from tacit.games.building.game import Edits, Observation
from tacit.games.building.walking import (
    DIG,
    UNREACHABLE,
    Walk,
    body_cells,
    dig_cost,
    in_sight,
    shift,
    walk,
    walk_cost,
    within_reach,
)

SHARPNESS = 200.0
"""Logits per unit of value: a hundredth more is seven times as likely; equals are drawn evenly."""
HASTE = 0.93
"""What a gain is worth one step further away."""
DEFER = 0.05
"""What filling a cell that somebody emptied is worth: ways in and out are closed last, or they are dug for ever."""
NEXT_TO = 1.5
"""Reach, in cells, of someone next to what they want to see."""
WORTH_DIGGING = 3.0
"""The least sum of gains out there for which someone shut in breaks a block that has to be put back."""
ASIDE = 0.02
"""Value of stepping aside: less than any edit, more than resting."""


class Gains(NamedTuple):
    """Expected change in reward of each edit; -1 where it makes no sense."""

    place: Float[Array, "X Y Z"]
    remove: Float[Array, "X Y Z"]


class Values(NamedTuple):
    """What the best edit is worth that each action does or leads to, 0 where it leads to none."""

    place: Float[Array, "X Y Z"]
    remove: Float[Array, "X Y Z"]
    move: Float[Array, "6"]


def gains(blocks: Int8[Array, "X Y Z"], probabilities: Float[Array, "X Y Z M"]) -> Gains:
    """E[s(after) - s(before)] of filling each air cell with its likeliest kind, and of breaking each block."""
    current = jnp.take_along_axis(probabilities, blocks.astype(jnp.int32)[..., None], axis=-1)[..., 0]
    fill = 2.0 * probabilities[..., FIRST_PLACEABLE:].max(-1) - 1.0
    air, breakable = blocks == AIR, (blocks != AIR) & (blocks != BEDROCK)
    return Gains(jnp.where(air, fill, -1.0), jnp.where(breakable, 1.0 - 2.0 * current, -1.0))


def touching(solid: Bool[Array, "X Y Z"]) -> Bool[Array, "X Y Z"]:
    """The cells beside a solid one, where a block can be placed."""
    near = jnp.zeros_like(solid)
    for direction in DIRECTIONS:
        near |= shift(solid, direction, False)
    return near


def approach(ways: Walk, observation: Observation, player: int) -> Walk:
    """The way to where each cell is sure to be seen, or else to next to it."""
    sure = in_sight(ways, observation.blocks, observation.feet[1 - player])
    hope = within_reach(ways, NEXT_TO)
    seen = sure.distance < UNREACHABLE
    return Walk(jnp.where(seen, sure.distance, hope.distance), jnp.where(seen, sure.move, hope.move))


def towards(ways: Walk, value: Float[Array, "X Y Z"]) -> Float[Array, "6"]:
    """The best value that lies behind each first move, discounted by the way there."""
    digs, moves = ways.distance // DIG, ways.distance % DIG
    steps = (digs * 4 + moves).astype(jnp.float32)
    worth = jnp.where((ways.distance < UNREACHABLE) & (ways.distance > 0), value * HASTE**steps, 0.0)
    which = ways.move[None] == jnp.arange(6, dtype=ways.move.dtype)[:, None, None, None]
    return jnp.where(which, worth[None], 0.0).max((1, 2, 3))


def doorways(blocks: Int8[Array, "X Y Z"]) -> Bool[Array, "X Y Z"]:
    """The feet positions at which a body shuts a way that is one body wide: in it, or before it."""
    solid = blocks != AIR
    stopped = solid | shift(solid, (0, -1, 0), False)
    along_x, along_z = (
        shift(stopped, (x, 0, z), True) & shift(stopped, (-x, 0, -z), True) for x, z in ((0, 1), (1, 0))
    )
    narrow = ~stopped & (along_x | along_z)
    leads_there = narrow | touching(narrow)
    return leads_there | shift(leads_there, (0, 1, 0), False) | shift(leads_there, (0, -1, 0), False)


def parking(
    observation: Observation, probabilities: Float[Array, "X Y Z M"], ways: Walk, player: int
) -> tuple[Bool[Array, ""], Float[Array, "6"]]:
    """Whether the body is in nobody's way where it is, and how good each move is for getting out of it.

    Out of the way is where the house hardly needs a block in either body cell, two cells or more from the other player,
    and in no doorway. Out of a doorway goes the shortest way alone, or somebody could walk to and fro in it for ever.
    """
    needed = 1.0 - probabilities[..., AIR]
    in_house = jnp.maximum(needed, shift(needed, (0, -1, 0), 0))
    sizes = observation.blocks.shape
    other = observation.feet[1 - player]
    apart = [jnp.abs(jnp.arange(s, dtype=jnp.int32) - f) for s, f in zip(sizes, other, strict=True)]
    near = (apart[0] <= 1)[:, None, None] & (apart[1] <= 2)[None, :, None] & (apart[2] <= 1)[None, None, :]
    doors = doorways(observation.blocks)
    clear = (in_house < 0.1) & ~near & ~doors
    here = tuple(observation.feet[player])
    aside = towards(ways, clear.astype(jnp.float32))
    return clear[here], jnp.where(doors[here] & (aside < aside.max()), 0.0, aside)


def dig(
    ways: Walk, value: Float[Array, "X Y Z"], observation: Observation, player: int
) -> tuple[Float[Array, "6"], Float[Array, "X Y Z"]]:
    """Values of the moves and of the blocks to break for someone who is shut in; the moves need no breaking."""
    moves = towards(ways, value)
    best = jnp.argmax(moves)
    feet = observation.feet[player] + jnp.array(DIRECTIONS, jnp.int32)[best]
    in_way = body_cells(feet, observation.blocks.shape) & (observation.blocks != AIR)
    blocked = jnp.where(in_way, moves[best], 0.0)
    return jnp.where(in_way.any(), 0.0, moves), blocked


def values(
    observation: Observation,
    probabilities: Float[Array, "X Y Z M"],
    threshold: float | Float[Array, ""],
    player: int,
    urgency: Float[Array, "X Y Z"],
    worth_digging: float,
) -> Values:
    """Of the player's edits that gain more than `threshold`, of steps towards them, and of steps out of the way.

    What filling a cell is worth is multiplied by its `urgency`; `worth_digging` is as in `WORTH_DIGGING`.
    """
    blocks, feet, other = observation.blocks, observation.feet[player], observation.feet[1 - player]
    legal = observation.legal[player]
    gain = gains(blocks, probabilities)
    place = jnp.where(gain.place > threshold, gain.place, 0.0) * urgency
    remove = jnp.where(gain.remove > threshold, gain.remove, 0.0)
    here_place, here_remove = legal.place.reshape(blocks.shape), legal.remove.reshape(blocks.shape)

    # What cannot be done from here is walked to, or dug to if there is no way to any of it.
    other_body = body_cells(other, blocks.shape)
    far_place = jnp.where(~here_place & touching(blocks != AIR) & ~other_body, place, 0.0)
    far = jnp.maximum(far_place, jnp.where(here_remove, 0.0, remove))
    ways = walk(walk_cost(blocks, other), feet)
    moves = towards(approach(ways, observation, player), far)
    at_hand = jnp.maximum(jnp.where(here_place, place, 0.0), jnp.where(here_remove, remove, 0.0))
    idle = (moves.max() <= DEFER) & (at_hand.max() <= DEFER)
    shut_in = idle & (far.sum() >= worth_digging)
    digging = walk(dig_cost(blocks, other), feet, wanted=shut_in)
    dug_moves, dug_blocks = dig(approach(digging, observation, player), far, observation, player)
    moves = jnp.where(shut_in, jnp.maximum(moves, dug_moves), moves)
    remove = jnp.where(shut_in, jnp.maximum(remove, dug_blocks), remove)

    # With nothing to do, stay out of the way.
    parked, aside = parking(observation, probabilities, ways, player)
    moves = jnp.where(idle & ~parked & (moves.max() == 0.0), ASIDE * aside, moves)
    return Values(place, remove, moves)


def worth(
    observation: Observation, probabilities: Float[Array, "X Y Z M"], threshold: float | Float[Array, ""], player: int
) -> Values:
    """The values for someone who closes ways in and out last."""
    emptied = (observation.touched != 0) & (observation.blocks == AIR)
    return values(observation, probabilities, threshold, player, jnp.where(emptied, DEFER, 1.0), WORTH_DIGGING)


def earned(edits: Edits, probabilities: Float[Array, "N M"]) -> Float[Array, "2"]:
    """E[s(after) - s(before)] of each player's edit."""
    chances = probabilities[jnp.maximum(edits.cell, 0)]

    def served(kind: Int8[Array, "2"]) -> Float[Array, "2"]:
        right = jnp.take_along_axis(chances, kind.astype(jnp.int32)[:, None], 1)[:, 0]
        return right - jnp.where(kind == AIR, 0.0, 1.0 - right - chances[:, AIR])

    return jnp.where(edits.cell >= 0, served(edits.after) - served(edits.before), 0.0)


def hand(
    observation: Observation, probabilities: Float[Array, "X Y Z M"], threshold: float | Float[Array, ""], player: int
) -> EditLogits:
    """The player's preferences: the best of these values, nearly always."""
    place, remove, moves = worth(observation, probabilities, threshold, player)

    def preference(value: Float[Array, "*S"]) -> Float[Array, "*S"]:
        return jnp.where(value > 0, SHARPNESS * value, -jnp.inf)

    kinds = probabilities.reshape(-1, probabilities.shape[-1])
    return EditLogits(
        rest=jnp.zeros(()),
        place=preference(place).reshape(-1),
        kind=SHARPNESS * kinds,
        remove=preference(remove).reshape(-1),
        move=preference(moves),
    )

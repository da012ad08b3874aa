"""How far is every cell for a body of two cells that flies, and which way does it set out?

Everything here depends on the world and the bodies alone, never on theta, so that one field serves every hypothesis
about the house. Distances count moves; a distance of `UNREACHABLE` or more means that there is no way.
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Int8

from tacit.games.building.actions import DIRECTIONS
from tacit.games.building.blocks import AIR, BEDROCK

UNREACHABLE = 1 << 20
"""Entering such a cell is impossible, and so is being that far away."""

DIG = 1 << 8
"""Price of one broken block in `dig_cost`, in moves: dearer than any detour, so that a way digs as little as it can."""

STAY = 6
"""The first move towards what needs none."""


class Walk(NamedTuple):
    """The fewest moves to each cell, and the first of them (a direction of `DIRECTIONS`, or `STAY`)."""

    distance: Int[Array, "X Y Z"]
    move: Int[Array, "X Y Z"]


def shift(grid: Array, offset: tuple[int, int, int], fill: int | bool) -> Array:
    """The grid moved by `offset`: result[c] = grid[c - offset], and `fill` where that is outside."""
    pads, window = [], []
    for size, step in zip(grid.shape, offset, strict=True):
        if abs(step) >= size:
            return jnp.full_like(grid, fill)
        pads.append((max(step, 0), max(-step, 0)))
        window.append(slice(max(-step, 0), max(-step, 0) + size))
    return jnp.pad(grid, pads, constant_values=fill)[tuple(window)]


def body_cells(feet: Int[Array, "3"], shape: tuple[int, ...]) -> Bool[Array, "X Y Z"]:
    """The cells of a body: its feet and the one above. None of them may be in the world."""
    x, y, z = (jnp.arange(size, dtype=jnp.int32) for size in shape)
    column = (x == feet[0])[:, None, None] & (z == feet[2])[None, None, :]
    return column & ((y == feet[1]) | (y == feet[1] + 1))[None, :, None]


def collides(other_feet: Int[Array, "3"], shape: tuple[int, ...]) -> Bool[Array, "X Y Z"]:
    """Feet positions at which a body would overlap the other's: the same column and at most one cell up or down."""
    x, y, z = (jnp.arange(size, dtype=jnp.int32) for size in shape)
    column = (x == other_feet[0])[:, None, None] & (z == other_feet[2])[None, None, :]
    return column & (jnp.abs(y - other_feet[1]) <= 1)[None, :, None]


def standable(blocks: Int8[Array, "X Y Z"], other_feet: Int[Array, "3"]) -> Bool[Array, "X Y Z"]:
    """Feet positions that a body may take: air for feet and head (which may stick out), and not in the other's."""
    air = blocks == AIR
    return air & shift(air, (0, -1, 0), True) & ~collides(other_feet, blocks.shape)


def walk_cost(blocks: Int8[Array, "X Y Z"], other_feet: Int[Array, "3"]) -> Int[Array, "X Y Z"]:
    """Price of entering each feet position on the way: one move, where a body may stand."""
    return jnp.where(standable(blocks, other_feet), 1, UNREACHABLE)


def dig_cost(blocks: Int8[Array, "X Y Z"], other_feet: Int[Array, "3"]) -> Int[Array, "X Y Z"]:
    """Price of entering each feet position for someone ready to dig: `DIG` more for each block to be broken.

    A distance under this price is `digs * DIG + moves`.
    """
    solid = jnp.where(blocks == BEDROCK, UNREACHABLE, jnp.where(blocks == AIR, 0, DIG))
    cost = 1 + solid + shift(solid, (0, -1, 0), 0)
    return jnp.where(collides(other_feet, blocks.shape), UNREACHABLE, jnp.minimum(cost, UNREACHABLE))


def walk(cost: Int[Array, "X Y Z"], feet: Int[Array, "3"], wanted: bool | Bool[Array, ""] = True) -> Walk:
    """The cheapest ways from `feet` when entering a position costs `cost`, by relaxation until nothing changes.

    Distance and first move travel as one number, 8 · distance + move, so ties go to the earlier direction. Where the
    ways are not `wanted` nothing is relaxed, and they lead no further than one move.
    """
    nowhere = 8 * UNREACHABLE + STAY
    # The cells in a row, with one border cell after each line of z and each plane of y: a neighbour is then at a fixed
    # distance in the row, and its ways are read in one contiguous slice.
    _, rows, lines = bordered = (cost.shape[0], cost.shape[1] + 1, cost.shape[2] + 1)
    price = 8 * jnp.pad(cost, ((0, 0), (0, 1), (0, 1)), constant_values=UNREACHABLE).reshape(-1)
    size, margin = price.size, rows * lines
    strides = [(x * rows + y) * lines + z for x, y, z in DIRECTIONS]
    place = jnp.arange(size, dtype=jnp.int32)
    here = (feet[0] * rows + feet[1]) * lines + feet[2]
    start = jnp.where(place == here, STAY, nowhere)
    for move, stride in enumerate(strides):
        start = jnp.where((place == here + stride) & (price < 8 * UNREACHABLE), price + move, start)
    edge = jnp.full((margin,), nowhere, jnp.int32)

    def relax(ways: Int[Array, " N"]) -> Int[Array, " N"]:
        # Stored before it is read, or XLA would ask of every single entry which part of the concatenation it is in.
        around = jax.lax.optimization_barrier(jnp.concatenate([edge, ways, edge]))
        neighbours = [around[margin - stride : margin - stride + size] for stride in strides]
        return jnp.minimum(ways, functools.reduce(jnp.minimum, neighbours) + price)

    def body(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        ways, _ = carry
        new = relax(relax(ways))
        return new, jnp.any(new != ways)

    ways, _ = jax.lax.while_loop(lambda carry: carry[1], body, (start, jnp.asarray(wanted)))
    return unpack(ways.reshape(bordered)[:, :-1, :-1])


def unpack(ways: Int[Array, "X Y Z"]) -> Walk:
    """Take 8 · distance + move apart."""
    return Walk(ways >> 3, ways & 7)


def best(candidates: list[Int[Array, "X Y Z"]]) -> Walk:
    """The nearest of several packed ways, cell by cell."""
    nearest = candidates[0]
    for candidate in candidates[1:]:
        nearest = jnp.minimum(nearest, candidate)
    return unpack(nearest)


def within_reach(ways: Walk, reach: float) -> Walk:
    """The fewest moves to a position from which each cell is within reach, seen or not, and the first of them.

    Reach is the rules' squared distance from the head's cell to the target's. A position at which the body would
    cover the target does not count. It is a hope: blocks may hide the target from there.
    """
    x_size, y_size, z_size = ways.distance.shape
    nowhere, limit = 8 * UNREACHABLE + STAY, int(reach)
    packed = 8 * ways.distance + ways.move
    # By the cell of the head, which may stick out above the world; padded and stored once, each shift is then a slice.
    tall = jnp.pad(packed, ((limit, limit), (limit + 1, limit), (limit, limit)), constant_values=nowhere)
    tall = jax.lax.optimization_barrier(tall)

    def seen_from(x: int, y: int, z: int, heads: Int[Array, "X2 Y2 Z2"]) -> Int[Array, "X Y Z"]:
        return heads[limit - x : limit - x + x_size, limit - y : limit - y + y_size, limit - z : limit - z + z_size]

    # By column, the heights in reach are an interval, so each column costs one slice of a sliding minimum.
    sliding = [tall]
    for up in range(1, limit + 1):
        both = jnp.minimum(shift(tall, (0, up, 0), nowhere), shift(tall, (0, -up, 0), nowhere))
        sliding.append(jax.lax.optimization_barrier(jnp.minimum(sliding[-1], both)))
    candidates = []
    for x, z in itertools.product(range(-limit, limit + 1), repeat=2):
        room = reach * reach - x * x - z * z
        if abs(x) >= x_size or abs(z) >= z_size or room < 0:
            continue
        if x == 0 and z == 0:
            candidates += [seen_from(0, y, 0, tall) for y in range(-limit, limit + 1) if y not in (0, -1)]
            continue
        candidates.append(seen_from(x, 0, z, sliding[int(room**0.5)]))
    return best(candidates)


def in_sight(ways: Walk, blocks: Int8[Array, "X Y Z"], other_feet: Int[Array, "3"]) -> Walk:
    """The fewest moves to a position from which each cell is sure to be seen, and the first of them.

    Sight is sure for a cell that touches the head or lies under the feet, as the line from the eye then runs within
    the body and the target. Beside the feet a block is sure to be seen (its near face is), an empty cell if the one
    above it is empty too. These positions are within any reach of 2 or more.
    """
    nowhere = 8 * UNREACHABLE + STAY
    packed = 8 * ways.distance + ways.move
    sideways = [direction for direction in DIRECTIONS if direction[1] == 0]
    free = (blocks == AIR) & ~body_cells(other_feet, blocks.shape)
    clear = (blocks != AIR) | shift(free, (0, -1, 0), True)
    beside_feet = [jnp.where(clear, shift(packed, direction, nowhere), nowhere) for direction in sideways]
    beside_head = [shift(packed, (x, 1, z), nowhere) for x, _, z in sideways]
    ends = [shift(packed, (0, 2, 0), nowhere), shift(packed, (0, -1, 0), nowhere)]
    return best([*beside_feet, *beside_head, *ends])

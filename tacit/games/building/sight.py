"""What can a player see and reach? Line of sight from the eye to the faces of blocks (MBAG, Laidlaw et al. 2025).

An edit is a click. Nine points of each face, a hair in front of it, can be clicked from an eye 1.6 above the feet if
they are near enough and the cells that the straight line from the eye enters hold neither a block nor the other player.
Placing in cell c against the block beyond c's side f, and breaking that block from c, click the very same points. So
one question answers both: which sides of cell c are seen from within?

Whether a ray is blocked depends only on the cells around the head. All rays are traced once, in whole numbers; of two
rays to one side, one that enters all the cells of the other is dropped; the rest become bit masks. During play the
cells around the head are packed into the same bits, and a side is seen if the AND with one of its rays is 0.
"""

import functools
import itertools
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Int8, Int32, UInt8, UInt32

from tacit.games.building.actions import DIRECTIONS, EditLegal
from tacit.games.building.blocks import AIR, BEDROCK

UNIT = 10_000
"""Eyes and clicks lie on multiples of 1 / UNIT, so that rays are traced without rounding."""
EYE = (5_000, 6_000, 5_000)
"""Where the eye is in the head's cell."""
HAIR = 1
"""How far in front of its side a click is."""
GRID = (1_000, 5_000, 9_000)
"""Where on a side one can click, along both of its axes."""

NEAR = 1 << len(DIRECTIONS)
"""The bit of a view that says a cell is near enough to be offered; the lower bits are its six sides."""

Offset = tuple[int, int, int]
"""A cell, counted from the head's; or a point, counted from that cell's corner in 1 / UNIT."""


def trace(click: Offset) -> list[Offset]:
    """The cells that the segment from the eye to `click` enters, in order, the head's own left out.

    Amanatides and Woo 1987. Where walls are crossed at the same time, x comes before y before z.
    """
    spans = [stop - start for start, stop in zip(EYE, click, strict=True)]
    crossings = []
    for axis, (start, span) in enumerate(zip(EYE, spans, strict=True)):
        first = UNIT - start if span > 0 else start
        # A wall at distance w is crossed at time w / |span|; times are compared over a common denominator.
        scale = math.prod(max(abs(other), 1) for i, other in enumerate(spans) if i != axis)
        crossings += [(wall * scale, axis) for wall in range(first, abs(span), UNIT)]
    cell, path = [0, 0, 0], []
    for _, axis in sorted(crossings):
        cell[axis] += 1 if spans[axis] > 0 else -1
        path.append((cell[0], cell[1], cell[2]))
    return path


def clicks(cell: Offset, side: int) -> list[Offset]:
    """The nine points just within `cell` that touch its `side`, an index of DIRECTIONS."""
    axis, up = side // 2, side % 2 == 0
    found = []
    for u, v in itertools.product(GRID, GRID):
        point = [u, v]
        point.insert(axis, UNIT - HAIR if up else HAIR)
        found.append((cell[0] * UNIT + point[0], cell[1] * UNIT + point[1], cell[2] * UNIT + point[2]))
    return found


def minimal_rays(cell: Offset, side: int, reach: float) -> list[frozenset[Offset]]:
    """The smallest sets of cells of which one has to be empty for `side` to be seen from within `cell`."""
    step = DIRECTIONS[side]
    beyond = (cell[0] + step[0], cell[1] + step[1], cell[2] + step[2])
    found: set[frozenset[Offset]] = set()
    for click in clicks(cell, side):
        if sum((stop - start) ** 2 for start, stop in zip(EYE, click, strict=True)) <= (reach * UNIT) ** 2:
            path = frozenset(trace(click))
            if beyond not in path:  # a block has to be there to be clicked, and would hide its own far side
                found.add(path)
    return [ray for ray in found if not any(other < ray for other in found)]


class Rays(NamedTuple):
    """All the rays of one reach as tables, L listed cells, G seen sides (those with most rays first), R rays, W words.

    Bit b of a ray stands for listed cell b. The list is padded with the last cell of `cells`, far from any reach.
    """

    cells: np.ndarray
    """The listed cells, counted from the head's: [32 W, 3]."""
    masks: np.ndarray
    """Ray by ray: first one ray of every side, then a second of those that have one, and so on: [W, R]."""
    counts: tuple[int, ...]
    """How many sides have a first ray, a second, ..."""
    sides: np.ndarray
    """Where each side of each listed cell is among the G, or G if it is never seen: [32 W, 6]."""
    box: np.ndarray
    """Where each cell of the cube around the head is in the list: [D, D, D]."""
    near: np.ndarray
    """Which listed cells are near enough, from centre to centre, for an edit to be offered: [32 W]."""


@functools.cache
def rays(reach: float) -> Rays:
    """Trace everything within `reach` of the eye."""
    radius = math.ceil(reach) + 1
    span = range(-radius, radius + 1)
    cube = list(itertools.product(span, span, span))
    groups = [((cell, side), minimal_rays(cell, side, reach)) for cell in cube for side in range(len(DIRECTIONS))]
    groups = sorted((group for group in groups if group[1]), key=lambda group: -len(group[1]))
    near = {cell for cell in cube if sum(x * x for x in cell) <= reach * reach}
    listed = sorted(near | {cell for _, found in groups for ray in found for cell in ray} | {g[0][0] for g in groups})
    num_words = (len(listed) + 32) // 32  # at least one place is left over for the padding
    bit = {cell: index for index, cell in enumerate(listed)}
    planes = [
        [found[k] for _, found in groups if len(found) > k] for k in range(max(len(found) for _, found in groups))
    ]
    masks = np.zeros((num_words, sum(map(len, planes))), np.uint32)
    for r, ray in enumerate(ray for plane in planes for ray in plane):
        for cell in ray:
            masks[bit[cell] // 32, r] |= np.uint32(1 << (bit[cell] % 32))
    sides = np.full((32 * num_words, len(DIRECTIONS)), len(groups), np.int32)
    for index, ((cell, side), _) in enumerate(groups):
        sides[bit[cell], side] = index
    box = np.full((2 * radius + 1,) * 3, 32 * num_words - 1, np.int32)
    for cell in listed:
        box[cell[0] + radius, cell[1] + radius, cell[2] + radius] = bit[cell]
    padding = 32 * num_words - len(listed)
    return Rays(
        np.array(listed + [(radius, radius, radius)] * padding, np.int32),
        masks,
        tuple(map(len, planes)),
        sides,
        box,
        np.array([cell in near for cell in listed] + [False] * padding),
    )


def in_world(cells: Int[Array, "... 3"], shape: tuple[int, ...]) -> Bool[Array, "..."]:
    """Which cells are inside a world of this shape."""
    x, y, z = ((cells[..., axis] >= 0) & (cells[..., axis] < size) for axis, size in enumerate(shape))
    return x & y & z


def look_up(grid: Int[Array, "X Y Z"], cells: Int[Array, "... 3"]) -> Int[Array, "..."]:
    """What `grid` holds in each cell; beyond its edge whatever is nearest."""
    x, y, z = (jnp.clip(cells[..., axis], 0, size - 1) for axis, size in enumerate(grid.shape))
    return grid.reshape(-1)[(x * grid.shape[1] + y) * grid.shape[2] + z]


def inside(cells: Int[Array, "... 3"], feet: Int[Array, "3"]) -> Bool[Array, "..."]:
    """Which cells are filled by the body with these feet: two cells, one above the other."""
    x, y, z = (cells[..., axis] - feet[axis] for axis in range(3))
    return (x == 0) & ((y == 0) | (y == 1)) & (z == 0)


def can_stand(blocks: Int8[Array, "X Y Z"], feet: Int[Array, "... 3"], other: Int[Array, "3"]) -> Bool[Array, "..."]:
    """Where a body may be: feet in the world, both cells air (above the top counts as air), clear of the other body."""
    head = feet.at[..., 1].add(1)
    head_free = (head[..., 1] >= blocks.shape[1]) | (look_up(blocks, head) == AIR)
    away = jnp.abs(feet - other[(None,) * (feet.ndim - 1)])
    collides = (away[..., 0] == 0) & (away[..., 1] <= 1) & (away[..., 2] == 0)
    return in_world(feet, blocks.shape) & (look_up(blocks, feet) == AIR) & head_free & ~collides


def beside(grid: Bool[Array, "X Y Z"], side: int) -> Bool[Array, "X Y Z"]:
    """For each cell, what `grid` holds one step in direction `side`; False beyond the edge."""
    axis, up = side // 2, side % 2 == 0
    rest = jax.lax.slice_in_dim(grid, 1 if up else 0, grid.shape[axis] - (0 if up else 1), axis=axis)
    return jnp.pad(rest, [((0, 1) if up else (1, 0)) if i == axis else (0, 0) for i in range(3)])


class Sight(eqx.Module):
    """The rays of one reach, ready to be tested against a world. Letters as in `Rays`; K rays a side at most."""

    cells: Int32[Array, "L 3"]
    masks: UInt32[Array, "W R"]
    by_side: UInt32[Array, "G1 K W"]
    sides: Int32[Array, "L 6"]
    box: Int32[Array, "D D D"]
    near: UInt8[Array, " L"]
    counts: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, reach: float):
        """Trace the rays to everything within `reach`."""
        if not reach >= 1.0:
            raise ValueError(f"A reach of {reach} touches nothing; give at least 1.")
        table = rays(reach)
        num_words = len(table.masks)
        # A side with fewer rays than most is padded with rays that the last listed cell, always filled, blocks.
        by_side = np.zeros((table.counts[0] + 1, len(table.counts), num_words), np.uint32)
        by_side[:, :, -1] = 1 << 31
        start = 0
        for k, count in enumerate(table.counts):
            by_side[:count, k] = table.masks[:, start : start + count].T
            start += count
        self.cells = jnp.asarray(table.cells)
        self.masks = jnp.asarray(table.masks)
        self.by_side = jnp.asarray(by_side)
        self.sides = jnp.asarray(table.sides)
        self.box = jnp.asarray(table.box)
        self.near = jnp.asarray(np.where(table.near, NEAR, 0).astype(np.uint8))
        self.counts = table.counts

    def around(
        self, blocks: Int8[Array, "X Y Z"], feet: Int[Array, "3"], other: Int[Array, "3"]
    ) -> UInt32[Array, " W"]:
        """The listed cells around the head as bits, 1 where sight is blocked.

        Above the top all is empty. Elsewhere beyond the edge all is filled, so that nothing is clicked from there.
        """
        cells = self.cells + (feet + jnp.array((0, 1, 0), feet.dtype))[None]
        above = (cells[:, 1] >= blocks.shape[1]) & in_world(cells.at[:, 1].set(0), blocks.shape)
        empty = above | (in_world(cells, blocks.shape) & (look_up(blocks, cells) == AIR))
        blocked = (~empty | inside(cells, other)).at[-1].set(True)
        bits = blocked.reshape(-1, 32).astype(jnp.uint32) << jnp.arange(32, dtype=jnp.uint32)[None]
        return bits.sum(-1, dtype=jnp.uint32)

    def view(
        self, blocks: Int8[Array, "X Y Z"], feet: Int[Array, "3"], other: Int[Array, "3"]
    ) -> UInt8[Array, "X Y Z"]:
        """For each cell of the world, which of its sides are seen from within (six bits), and the bit NEAR."""
        around = self.around(blocks, feet, other)
        hit = functools.reduce(jnp.bitwise_or, (mask & word for mask, word in zip(self.masks, around, strict=True)))
        seen = jnp.zeros((self.counts[0] + 1,), bool)
        start = 0
        for count in self.counts:
            seen = seen.at[:count].max(hit[start : start + count] == 0)
            start += count
        bits = seen[self.sides].astype(jnp.uint8) << jnp.arange(len(DIRECTIONS), dtype=jnp.uint8)[None]
        listed = bits.sum(-1, dtype=jnp.uint8) | self.near
        return listed[self.listed(jnp.moveaxis(jnp.indices(blocks.shape, dtype=jnp.int32), 0, -1), feet)]

    def listed(self, cells: Int[Array, "... 3"], feet: Int[Array, "3"]) -> Int[Array, "..."]:
        """Where these cells of the world are in the list, for a body with these feet."""
        size = self.box.shape[0]
        places = cells - (feet + jnp.array((0, 1, 0), feet.dtype) - size // 2)[(None,) * (cells.ndim - 1)]
        return jnp.where(in_world(places, self.box.shape), look_up(self.box, places), len(self.cells) - 1)

    def legal(self, blocks: Int8[Array, "X Y Z"], feet: Int[Array, "3"], other: Int[Array, "3"]) -> EditLegal:
        """What the player with these `feet` is offered: MBAG's mask, but moves by the rule that moves are judged by.

        MBAG's mask also offers a step to right below the other body, which its rules then refuse; here offered is
        possible.
        """
        view = self.view(blocks, feet, other)
        solid = blocks != AIR
        place = jnp.zeros(blocks.shape, bool)
        remove = jnp.zeros(blocks.shape, bool)
        for side in range(len(DIRECTIONS)):
            clicked = ((view >> side) & 1 == 1) & beside(solid, side)
            place |= clicked
            remove |= beside(clicked, side ^ 1)
        near = view & NEAR != 0
        cells = jnp.moveaxis(jnp.indices(blocks.shape, dtype=jnp.int32), 0, -1)
        place &= near & ~solid & ~inside(cells, feet) & ~inside(cells, other)
        remove &= near & solid & (blocks != BEDROCK)
        moves = feet[None] + jnp.array(DIRECTIONS, feet.dtype)
        return EditLegal(place.reshape(-1), remove.reshape(-1), can_stand(blocks, moves, other))

    def clickable(
        self,
        blocks: Int8[Array, "X Y Z"],
        feet: Int[Array, "3"],
        other: Int[Array, "3"],
        cell: Int[Array, "3"],
        placing: Bool[Array, ""],
    ) -> Bool[Array, ""]:
        """Whether one block can be placed in `cell`, or broken there, as far as sight and reach go.

        Placing clicks a neighbour from within the cell, breaking clicks the block from within a neighbour.
        """
        sides = jnp.arange(len(DIRECTIONS))
        neighbours = cell[None] + jnp.array(DIRECTIONS, cell.dtype)
        within = jnp.where(placing, jnp.broadcast_to(cell[None], neighbours.shape), neighbours)
        solid = look_up(blocks, neighbours) != AIR
        possible = in_world(neighbours, blocks.shape) & (solid | ~placing)
        which = self.sides[self.listed(within, feet), jnp.where(placing, sides, sides ^ 1)]
        hits = self.by_side[which] & self.around(blocks, feet, other)[None, None]
        return (possible & ((hits == 0).all(-1)).any(-1)).any()

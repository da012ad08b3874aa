"""What can a player see and reach? Line of sight from the eye to the faces of blocks (MBAG, Laidlaw et al. 2025).

An edit is a click. Nine points of each face, a hair in front of it, can be clicked from an eye 1.6 above the feet if
they are near enough and the cells that the straight line from the eye enters hold neither a block nor the other player.
Placing in cell c against the block beyond c's side f, and breaking that block from c, click the very same points. So
one question answers both: which sides of cell c are seen from within?

Whether a ray is blocked depends only on the cells around the head. All rays are traced once, in whole numbers; of two
rays to one side, one that enters all the cells of the other is dropped; the rest become bit masks. During play the
cells around the head are packed into the same bits, and a side is seen if the AND with one of its rays is 0.

MBAG traces in floating point. Where a ray meets an edge, rounding decides there and a fixed order of axes here: in
cluttered worlds one in some thousands of legal edits differs.
"""

import functools
import itertools
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Int8, Int16, Int32, UInt16, UInt32

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
    """All the rays of one reach as tables: G seen sides (those with most rays first), R rays, W words, L targets."""

    cells: np.ndarray
    """The cells that rays enter, counted from the head's, bit by bit: [32 W, 3]. The last stands for no cell."""
    masks: np.ndarray
    """Ray by ray: first one ray of every side, then a second of those that have one, and so on: [W, R]."""
    counts: tuple[int, ...]
    """How many sides have a first ray, a second, ..."""
    uses: np.ndarray
    """Sides that serve to edit a target: [12, L]. The first six are its own, seen from within, to place a block;

    the others, seen from within its neighbours, are for breaking one. G is a side never seen.
    """
    box: np.ndarray
    """Which target each cell of the cube around the head is: [D, D, D]. The last target stands for all the others."""
    offered: np.ndarray
    """The same for each cell that is near enough to be offered, from centre to centre, and for the others in the

    smallest cube around the head that holds them all, of whose sides none is seen: [12, E, E, E].
    """


@functools.cache
def rays(reach: float) -> Rays:
    """Trace everything within `reach` of the eye."""
    radius = math.ceil(reach) + 2
    span = range(-radius, radius + 1)
    cube = list(itertools.product(span, span, span))
    found = {(cell, side): minimal_rays(cell, side, reach) for cell in cube for side in range(len(DIRECTIONS))}
    seen = sorted((key for key in found if found[key]), key=lambda key: -len(found[key]))
    index = {key: g for g, key in enumerate(seen)}

    entered = sorted({cell for key in seen for ray in found[key] for cell in ray})
    num_words = len(entered) // 32 + 1  # at least one bit is left over for no cell
    bit = {cell: number for number, cell in enumerate(entered)}
    most = len(found[seen[0]])
    planes = [[found[key][k] for key in seen if len(found[key]) > k] for k in range(most)]
    masks = np.zeros((num_words, sum(map(len, planes))), np.uint32)
    for r, ray in enumerate(ray for plane in planes for ray in plane):
        for cell in ray:
            masks[bit[cell] // 32, r] |= np.uint32(1 << (bit[cell] % 32))

    box = np.zeros((len(span),) * 3, np.int16)
    ways_to = []
    near = int(reach)
    offered = np.full((2 * len(DIRECTIONS), *(2 * near + 1,) * 3), len(seen), np.int32)
    for cell in cube:
        ways = [(cell, side) for side in range(len(DIRECTIONS))]
        ways += [((cell[0] + x, cell[1] + y, cell[2] + z), side ^ 1) for side, (x, y, z) in enumerate(DIRECTIONS)]
        row = [index.get(way, len(seen)) for way in ways]
        if min(row) < len(seen):
            box[cell[0] + radius, cell[1] + radius, cell[2] + radius] = len(ways_to)
            ways_to.append(row)
            if sum(x * x for x in cell) <= reach * reach:
                offered[:, cell[0] + near, cell[1] + near, cell[2] + near] = row
        else:
            box[cell[0] + radius, cell[1] + radius, cell[2] + radius] = -1
    box[box < 0] = len(ways_to)
    uses = np.array([*ways_to, [len(seen)] * 2 * len(DIRECTIONS)], np.int32).T
    return Rays(
        np.array(entered + [(radius, radius, radius)] * (32 * num_words - len(entered)), np.int32),
        masks,
        tuple(map(len, planes)),
        uses,
        box,
        offered,
    )


def in_world(cells: Int[Array, "... 3"], shape: tuple[int, ...]) -> Bool[Array, "..."]:
    """Which cells are inside a world of this shape."""
    x, y, z = ((cells[..., axis] >= 0) & (cells[..., axis] < size) for axis, size in enumerate(shape))
    return x & y & z


def look_up(grid: Int[Array, "X Y Z"], cells: Int[Array, "... 3"]) -> Int[Array, "..."]:
    """What `grid` holds in each cell; beyond its edge whatever is nearest."""
    x, y, z = (jnp.clip(cells[..., axis], 0, size - 1) for axis, size in enumerate(grid.shape))
    return grid.reshape(-1)[(x * grid.shape[1] + y) * grid.shape[2] + z]


def head(feet: Int[Array, "3"]) -> Int[Array, "3"]:
    """The upper cell of a body."""
    return feet + jnp.array((0, 1, 0), feet.dtype)


def inside(cells: Int[Array, "... 3"], feet: Int[Array, "3"]) -> Bool[Array, "..."]:
    """Which cells are filled by the body with these feet: two cells, one above the other."""
    x, y, z = (cells[..., axis] - feet[axis] for axis in range(3))
    return (x == 0) & ((y == 0) | (y == 1)) & (z == 0)


def can_stand(blocks: Int8[Array, "X Y Z"], feet: Int[Array, "... 3"], other: Int[Array, "3"]) -> Bool[Array, "..."]:
    """Where a body may be: feet in the world, both cells air (above the top counts as air), clear of the other body."""
    above = feet.at[..., 1].add(1)
    head_free = (above[..., 1] >= blocks.shape[1]) | (look_up(blocks, above) == AIR)
    away = jnp.abs(feet - other[(None,) * (feet.ndim - 1)])
    collides = (away[..., 0] == 0) & (away[..., 1] <= 1) & (away[..., 2] == 0)
    return in_world(feet, blocks.shape) & (look_up(blocks, feet) == AIR) & head_free & ~collides


def neighbours(grid: Bool[Array, "X Y Z"]) -> UInt16[Array, "X Y Z"]:
    """For each cell, one bit per direction: what `grid` holds one step that way, 0 beyond the edge."""
    bits = jnp.zeros(grid.shape, jnp.uint16)
    for side in range(len(DIRECTIONS)):
        axis, up = side // 2, side % 2 == 0
        rest = jax.lax.slice_in_dim(grid, 1 if up else 0, grid.shape[axis] - (0 if up else 1), axis=axis)
        moved = jnp.pad(rest, [((0, 1) if up else (1, 0)) if i == axis else (0, 0) for i in range(3)])
        bits |= moved.astype(jnp.uint16) << side
    return bits


def in_place(ways: UInt16[Array, "E E E"], centre: Int[Array, "3"], shape: tuple[int, ...]) -> UInt16[Array, "X Y Z"]:
    """A cube of cells around `centre`, cut to a world of this shape or filled up with 0."""
    size = ways.shape[0]
    placed = jnp.pad(ways, ((0, 1),) * 3)
    for axis, (length, middle) in enumerate(zip(shape, centre, strict=True)):
        index = jnp.arange(length, dtype=centre.dtype) - middle + size // 2
        within = (index >= 0) & (index < size)
        # By axis, and stored in between, rows are copied; cell by cell would cost three times as much.
        rows = jnp.take(placed, jnp.where(within, index, size), axis, mode="clip")
        placed = jax.lax.optimization_barrier(rows)
    return placed


class Sight(eqx.Module):
    """The rays of one reach in worlds of one shape, ready to be tested. Letters as in `Rays`; K rays a side at most."""

    cells: Int32[Array, "3 C"]
    masks: UInt32[Array, "W R"]
    by_side: UInt32[Array, "G1 K W"]
    uses: Int32[Array, "12 L"]
    offered: Int32[Array, "12 E E E"]
    box: Int16[Array, "D D D"]
    inner: UInt16[Array, "X Y Z"]
    """Which neighbours of a cell are in the world, as bits 6 to 11."""
    counts: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, shape: tuple[int, int, int], reach: float):
        """Trace the rays to everything within `reach`."""
        if not reach >= 1.0:
            raise ValueError(f"A reach of {reach} touches nothing; give at least 1.")
        table = rays(reach)
        # A side with fewer rays than most is padded with rays through the last bit, which is always set.
        by_side = np.zeros((table.counts[0] + 1, len(table.counts), len(table.masks)), np.uint32)
        by_side[:, :, -1] = 1 << 31
        start = 0
        for k, count in enumerate(table.counts):
            by_side[:count, k] = table.masks[:, start : start + count].T
            start += count
        self.cells = jnp.asarray(table.cells.T)
        self.masks = jnp.asarray(table.masks)
        self.by_side = jnp.asarray(by_side)
        self.uses = jnp.asarray(table.uses)
        self.box = jnp.asarray(table.box)
        self.offered = jnp.asarray(table.offered)
        self.inner = neighbours(jnp.ones(shape, bool)) << len(DIRECTIONS)
        self.counts = table.counts

    def around(
        self, blocks: Int8[Array, "X Y Z"], feet: Int[Array, "3"], other: Int[Array, "3"]
    ) -> UInt32[Array, " W"]:
        """The cells around the head as bits, 1 where sight is blocked.

        Above the top all is empty. Elsewhere beyond the edge it does not matter: no ray goes there and comes back.
        """
        # The axis comes first and bits are set by OR, or XLA would not make one pass of all this.
        cells = jnp.moveaxis(self.cells + head(feet)[:, None], 0, -1)
        filled = (look_up(blocks, cells) != AIR) & (cells[:, 1] < blocks.shape[1])
        blocked = (filled | inside(cells, other)).reshape(-1, 32).astype(jnp.uint32)
        words = (blocked << jnp.arange(32, dtype=jnp.uint32)[None]).sum(-1, dtype=jnp.uint32)
        no_cell = np.zeros(words.shape, np.uint32)
        no_cell[-1] = 1 << 31
        return words | no_cell

    def legal(self, blocks: Int8[Array, "X Y Z"], feet: Int[Array, "3"], other: Int[Array, "3"]) -> EditLegal:
        """What the player with these `feet` is offered: MBAG's mask, but moves by the rule that moves are judged by.

        MBAG's mask also offers a step to right below the other body, which its rules then refuse; here offered is
        possible.
        """
        # XLA likes to compute what is used twice twice. Sums over an axis stop it, hence some of the forms below.
        free = jnp.bitwise_or.reduce(self.masks & self.around(blocks, feet, other)[:, None], axis=0) == 0
        ends = np.cumsum(self.counts).tolist()
        planes = [
            jnp.pad(free[end - count : end], (0, self.counts[0] + 1 - count))
            for end, count in zip(ends, self.counts, strict=True)
        ]
        seen = functools.reduce(jnp.logical_or, planes)
        bits = jnp.arange(len(self.offered), dtype=jnp.uint16)[:, None, None, None]
        ways = (seen[self.offered].astype(jnp.uint16) << bits).sum(0, dtype=jnp.uint16)
        cells = jnp.moveaxis(jnp.indices(blocks.shape, dtype=jnp.int32), 0, -1)
        air = blocks == AIR
        bodies = inside(cells, feet) | inside(cells, other)
        wanted = jnp.where(air & ~bodies, neighbours(~air), jnp.where(air | (blocks == BEDROCK), 0, self.inner))
        legal = in_place(ways, head(feet), blocks.shape) & wanted != 0
        moves = feet[None] + jnp.array(DIRECTIONS, feet.dtype)
        return EditLegal((legal & air).reshape(-1), (legal & ~air).reshape(-1), can_stand(blocks, moves, other))

    def clickable(
        self,
        blocks: Int8[Array, "X Y Z"],
        feet: Int[Array, "3"],
        other: Int[Array, "3"],
        cell: Int[Array, "3"],
        placing: Bool[Array, ""],
    ) -> Bool[Array, ""]:
        """Whether one block can be placed in `cell`, or broken there, as far as sight and reach go.

        Placing clicks a solid neighbour from within the cell, breaking clicks the block from within a neighbour.
        """
        beside = cell[None] + jnp.array(DIRECTIONS, cell.dtype)
        possible = in_world(beside, blocks.shape) & ((look_up(blocks, beside) != AIR) | ~placing)
        place = cell - head(feet) + self.box.shape[0] // 2
        target = jnp.where(in_world(place, self.box.shape), look_up(self.box, place), self.uses.shape[1] - 1)
        sides = jnp.arange(len(DIRECTIONS)) + jnp.where(placing, 0, len(DIRECTIONS))
        hits = self.by_side[self.uses[sides, target]] & self.around(blocks, feet, other)[None, None]
        return (possible & (hits == 0).all(-1).any(-1)).any()

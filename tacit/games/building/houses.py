"""What might the human want built? A prior over houses: plans are drawn, then built block by block in JAX.

Any combination of a plan's values can be built, and is a house that stands and can be put up from the ground:

- every wall rises from the ground, and the ring of wall under the roof is whole, so nothing floats;
- a roof is flat, or rises by at most one from cell to cell. Where its height depends on one coordinate only, both
  ends of each row lie on a wall; a hip roof is two thick, so that each step rests on the one below;
- wings are at least three wide, so the inside is connected, and a door two high leads to it;
- no attic is closed off: the inside is open up to the roof, and an upper storey has a hole in its floor.

The split into train and test is by the outline from above and the kind of the roof. Both can be read off the blocks:
the outline is where there is anything above the ground, and the roof is what lies on top over every room (over every
cell, if there are eaves). So equal houses are always in the same split, wherever they stand.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Shaped, UInt32

from tacit.games.building.blocks import AIR, BEDROCK, DIRT, NAMES
from tacit.games.building.game import House
from tacit.games.building.plans import (
    BATTLEMENTS,
    EAVES,
    HIP,
    NUM_CHIMNEYS,
    NUM_DOORS,
    RIM,
    SMALLEST,
    TALL_WINDOWS,
    Plan,
    has_chimney,
    mix,
    weights,
)

__all__ = ["HouseGenerator", "Plan", "empty_world", "is_test", "mix"]

NUM_SPLITS = 5
"""One combination of outline and roof in five is for testing."""


class HouseGenerator(eqx.Module):
    """A prior over houses for a world of one shape: draws plans, builds them, tells train from test.

    `split` is "train", "test" or "all". Houses keep off the outer ring, y = 0 and the top layer.
    """

    shape: tuple[int, int, int] = eqx.field(static=True)
    num_kinds: int = eqx.field(static=True)
    split: str = eqx.field(static=True)
    log_prior: Float[Array, "F V"]
    """Log-probability of each value of each field of `Plan`; -inf where there is none."""

    def __init__(self, shape: tuple[int, int, int] = (8, 8, 8), num_kinds: int = 8, split: str = "train"):
        if shape[0] < 6 or shape[1] < 8 or shape[2] < 6:
            raise ValueError(f"Houses need a world of at least 6 x 8 x 6 cells, and this one is {shape}.")
        if not 8 <= num_kinds <= len(NAMES):
            raise ValueError(f"Houses are built from 8 to {len(NAMES)} kinds of block, not {num_kinds}.")
        if split not in ("train", "test", "all"):
            raise ValueError(f"There is no split {split!r}; there is train, test and all.")
        self.shape, self.num_kinds, self.split = shape, num_kinds, split
        table = weights(shape, num_kinds)
        rows = [table[field] for field in Plan._fields]
        longest = max(map(len, rows))
        padded = jnp.array([row + [0.0] * (longest - len(row)) for row in rows])
        self.log_prior = jnp.log(padded / padded.sum(axis=1, keepdims=True))

    def draw_plan(self, key: Key[Array, ""]) -> Plan:
        """Draw each field from its own prior, whatever the split."""
        return Plan(*jax.random.categorical(key, self.log_prior).astype(jnp.int32))

    def sample_plan(self, key: Key[Array, ""]) -> Plan:
        """Draw a plan of this split: the prior's draws in turn, until one belongs to it."""

        def again(carry: tuple[Plan, Bool[Array, ""], Key[Array, ""]]) -> tuple[Plan, Bool[Array, ""], Key[Array, ""]]:
            now, later = jax.random.split(carry[2])
            plan = self.draw_plan(now)
            return plan, self.in_split(plan), later

        start = again((self.draw_plan(key), jnp.zeros((), bool), key))
        return jax.lax.while_loop(lambda carry: ~carry[1], again, start)[0]

    def sample(self, key: Key[Array, ""]) -> House:
        """Draw a house of this split."""
        return self.build(self.sample_plan(key))

    def in_split(self, plan: Plan) -> Bool[Array, ""]:
        """Whether the plan's house belongs to this split."""
        if self.split == "all":
            return jnp.ones((), bool)
        return _for_testing(_ground(plan, self.shape).cover, plan.roof_kind) == (self.split == "test")

    def build(self, plan: Plan) -> House:
        """The whole world as it should be."""
        ground = _ground(plan, self.shape)
        rise = _rise(plan, ground, self.shape[1])
        outward = jnp.stack([_shift(ground.footprint, dx, dz) for dx, dz in SIDES])[plan.side]
        inward = jnp.stack([_shift(ground.room, -dx, -dz) for dx, dz in SIDES])[plan.side]
        door = _nth(ground.straight & ~outward & inward, plan.door, NUM_DOORS)
        blocks = _floors(empty_world(self.shape), plan, ground, rise)
        blocks = _walls(blocks, plan, ground, rise, door)
        return _roof(blocks, plan, ground, rise, door)


SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1))


class Ground(NamedTuple):
    """The plan seen from above: which cells are walls, room and corners, and each cell's place within the house."""

    footprint: Bool[Array, "X Z"]
    room: Bool[Array, "X Z"]
    corner: Bool[Array, "X Z"]
    straight: Bool[Array, "X Z"]
    outer: Bool[Array, "X Z"]
    """Walls with the outside at a side: all but the posts in inward corners."""
    cover: Bool[Array, "X Z"]
    """What the roof covers: the footprint and the eaves."""
    u: Int[Array, "X Z"]
    v: Int[Array, "X Z"]
    along: Int[Array, "X Z"]
    """Distance from the side that `turn` puts first."""


class Rise(NamedTuple):
    """The heights of a house: the ceiling of its ground floor, where its roof begins, and the roof over each cell."""

    ceiling: Int[Array, ""]
    foot: Int[Array, ""]
    underside: Int[Array, "X Z"]
    top: Int[Array, "X Z"]


def _ground(plan: Plan, shape: tuple[int, int, int]) -> Ground:
    """Lay out the outline: a box less some corners, or less a notch; every wing stays `SMALLEST` wide."""
    size_x, _, size_z = shape
    w, d = plan.width + SMALLEST, plan.depth + SMALLEST
    left = 1 + plan.place_x * (size_x - 1 - w) // (size_x - 4)
    front = 1 + plan.place_z * (size_z - 1 - d) // (size_z - 4)
    u = jnp.broadcast_to(jnp.arange(size_x)[:, None] - left, (size_x, size_z))
    v = jnp.broadcast_to(jnp.arange(size_z)[None, :] - front, (size_x, size_z))
    box = (u >= 0) & (u < w) & (v >= 0) & (v < d)

    a = jnp.stack([u, v, w - 1 - u, d - 1 - v])[plan.turn]
    b = jnp.stack([v, w - 1 - u, d - 1 - v, u])[plan.turn]
    m, n = jnp.where(plan.turn % 2 == 0, w, d), jnp.where(plan.turn % 2 == 0, d, w)
    # By outline: is the a-side (the b-side) cut at both ends; which corners are cut (low-low, high-low, low-high,
    # high-high in a and b); is there a notch.
    both_a, both_b, *corners, notch = jnp.array(
        [[0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0], [1, 0, 0, 0, 1, 1, 0],
         [1, 1, 1, 1, 1, 1, 0], [0, 1, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1]], bool)[plan.outline]  # fmt: skip
    cut = plan.cut + 1
    cut_a = jnp.minimum(cut, (m - SMALLEST) // jnp.where(both_a, 2, 1))
    cut_b = jnp.minimum(cut, (n - SMALLEST) // jnp.where(both_b, 2, 1))
    low_a, high_a, low_b, high_b = a < cut_a, a >= m - cut_a, b < cut_b, b >= n - cut_b
    gap = jnp.clip(cut, 0, jnp.maximum(m - 2 * SMALLEST, 0))
    missing = high_b & notch & (a >= (m - gap) // 2) & (a < (m - gap) // 2 + gap)
    for where, is_cut in zip([low_a & low_b, high_a & low_b, low_a & high_b, high_a & high_b], corners, strict=True):
        missing |= where & is_cut
    footprint = box & ~missing

    room = _erode(footprint)
    edge_x = footprint & ~(_shift(footprint, 1, 0) & _shift(footprint, -1, 0))
    edge_z = footprint & ~(_shift(footprint, 0, 1) & _shift(footprint, 0, -1))
    straight = edge_x ^ edge_z
    inner = jnp.zeros_like(box).at[1:-1, 1:-1].set(True)
    cover = footprint | (_dilate(footprint) & inner & (plan.roof == EAVES))
    return Ground(footprint, room, footprint & ~room & ~straight, straight, edge_x | edge_z, cover, u, v, b)


def _rise(plan: Plan, ground: Ground, size_y: int) -> Rise:
    """Find the heights; the roof rises as far as there is room for it below the world's top layer."""
    upper = plan.upper == 1
    ceiling = jnp.minimum(plan.height + 4, jnp.where(upper, size_y - 5, size_y - 2))
    foot = ceiling + jnp.where(upper, 3, 0)

    w, d = plan.width + SMALLEST, plan.depth + SMALLEST
    flat = jnp.zeros_like(ground.u)
    ring, hip = ground.room, flat
    for _ in range(size_y // 2):
        ring, hip = _erode(ring), hip + ring.astype(jnp.int32)
    along_x, along_z = jnp.minimum(ground.v, d - 1 - ground.v), jnp.minimum(ground.u, w - 1 - ground.u)
    shape = jnp.stack([flat] * 4 + [along_x, along_z, hip, ground.along // 2])[plan.roof]
    top = jnp.where(ground.footprint, jnp.minimum(foot + shape, size_y - 2), foot)

    lowest = jnp.where(ground.footprint, top, size_y)
    lowest = jnp.minimum(lowest, jnp.minimum(_shift(lowest, 1, 0), _shift(lowest, -1, 0)))
    lowest = jnp.minimum(lowest, jnp.minimum(_shift(lowest, 0, 1), _shift(lowest, 0, -1)))
    return Rise(ceiling, foot, jnp.where(plan.roof == HIP, lowest, top), top)


def _floors(blocks: House, plan: Plan, ground: Ground, rise: Rise) -> House:
    """Lay the floor in the ground, and an upper storey's, which leaves a hole to fly through.

    It keeps clear of the posts in inward corners too, for else these would be shut in on all sides.
    """
    y = _heights(blocks)
    floor = jnp.where(plan.full_floor == 1, ground.footprint, ground.room)
    blocks = _put(blocks, _up(floor) & (y == 1), _either(plan.floor_kind, jnp.int32(DIRT)))
    post = ground.corner & ~ground.outer
    hole = _nth(ground.room, jnp.int32(NUM_DOORS - 1), NUM_DOORS) | _shift(post, 1, 0) | _shift(post, -1, 0)
    boards = _up(ground.room & ~hole & (plan.upper == 1)) & (y == rise.ceiling)
    return _put(blocks, boards, _either(plan.floor_kind, plan.wall_kind))


def _walls(blocks: House, plan: Plan, ground: Ground, rise: Rise, door: Bool[Array, "X Z"]) -> House:
    """Raise the walls up to the roof, on a gable's ends too; with posts they begin at the ceiling."""
    y = _heights(blocks)
    wall = _up(ground.footprint & ~ground.room) & (y >= 2) & (y < _up(rise.top))
    wall &= _up(ground.corner) | (plan.posts == 0) | (y >= rise.ceiling)
    blocks = _put(blocks, wall, plan.wall_kind)
    blocks = _put(blocks, wall & (y == 2), _either(plan.plinth_kind, plan.wall_kind))
    blocks = _put(blocks, wall & _up(ground.corner) & (y < rise.foot), _either(plan.corner_kind, plan.wall_kind))

    step = jnp.array([1, 3, 2, 2, 1])[plan.windows]
    beat = ground.straight & ((ground.u + ground.v + plan.phase) % step == 0) & (plan.windows > 0)
    # Beside the door windows are not tall: were they holes, the lintel would have nothing to hold on to.
    tall = _up((plan.windows == TALL_WINDOWS) & ~_dilate(door)) & (y == 4) & (rise.ceiling > 4)
    row = (y == 3) | tall | ((plan.upper == 1) & (y == rise.ceiling + 2))
    blocks = _put(blocks, wall & _up(beat) & row, plan.window_kind)
    return _put(blocks, _up(door) & ((y == 2) | (y == 3)), jnp.int32(AIR))


def _roof(blocks: House, plan: Plan, ground: Ground, rise: Rise, door: Bool[Array, "X Z"]) -> House:
    """Put the roof on, then what stands on it: a rim or battlements, and a chimney, which leans on a wall."""
    y, highest = _heights(blocks), blocks.shape[1] - 2
    blocks = _put(blocks, _up(ground.cover) & (y >= _up(rise.underside)) & (y <= _up(rise.top)), plan.roof_kind)
    merlons = (plan.roof == BATTLEMENTS) & ((ground.u + ground.v) % 2 == 0)
    rim = ground.outer & ((plan.roof == RIM) | merlons)
    blocks = _put(blocks, _up(rim) & (y == rise.foot + 1) & (y <= highest), plan.wall_kind)
    chimney = _nth(ground.straight & ~door, plan.chimney, NUM_CHIMNEYS) & has_chimney(plan)
    ridge = jnp.max(jnp.where(ground.footprint, rise.top, 0))
    return _put(blocks, _up(chimney) & (y >= 2) & (y <= jnp.minimum(ridge + 1, highest)), plan.chimney_kind)


def empty_world(shape: tuple[int, int, int]) -> House:
    """Bedrock, dirt on top of it, and air."""
    return jnp.full(shape, AIR, jnp.int8).at[:, 0].set(BEDROCK).at[:, 1].set(DIRT)


def is_test(house: House) -> Bool[Array, ""]:
    """Whether a generated house is for testing, read off its blocks alone; `in_split` says the same of its plan."""
    above = house[:, 2:] != AIR
    outline = above.any(axis=1)
    # The innermost cells of the outline are rooms, or there are eaves: either way the roof lies on top.
    ring, depth = outline, outline.astype(jnp.int32)
    for _ in range(min(outline.shape) // 2):
        ring = _erode(ring)
        depth += ring.astype(jnp.int32)
    x, z = jnp.unravel_index(jnp.argmax(depth), depth.shape)
    top = house.shape[1] - 1 - jnp.argmax(above[x, ::-1, z])
    return _for_testing(outline, house[x, top, z].astype(jnp.int32))


def _for_testing(outline: Bool[Array, "X Z"], roof_kind: Int[Array, ""]) -> Bool[Array, ""]:
    """The split's rule: a hash of the outline, moved to the corner, and of the roof's kind."""
    outline = _shift(outline, jnp.argmax(outline.any(axis=1)), jnp.argmax(outline.any(axis=0)))
    cells = _scramble(jnp.arange(1, 1 + outline.size, dtype=jnp.uint32)).reshape(outline.shape)
    total = jnp.where(outline, cells, jnp.uint32(0)).sum(dtype=jnp.uint32)
    return _scramble(total ^ _scramble(roof_kind.astype(jnp.uint32))) % jnp.uint32(NUM_SPLITS) == 0


def _scramble(bits: UInt32[Array, "*N"]) -> UInt32[Array, "*N"]:
    """Spread every bit over the word (the finaliser of MurmurHash3, Appleby 2011)."""
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)


def _shift(cells: Shaped[Array, "X Z"], dx: int | Int[Array, ""], dz: int | Int[Array, ""]) -> Shaped[Array, "X Z"]:
    """Each cell's neighbour at (x + dx, z + dz). The outer ring, which is never built on, is what comes round."""
    return jnp.roll(jnp.roll(cells, -dx, 0), -dz, 1)


def _erode(cells: Bool[Array, "X Z"]) -> Bool[Array, "X Z"]:
    """The cells whose eight neighbours belong too."""
    row = cells & _shift(cells, 1, 0) & _shift(cells, -1, 0)
    return row & _shift(row, 0, 1) & _shift(row, 0, -1)


def _dilate(cells: Bool[Array, "X Z"]) -> Bool[Array, "X Z"]:
    """The cells that belong or have one of eight neighbours that does."""
    row = cells | _shift(cells, 1, 0) | _shift(cells, -1, 0)
    return row | _shift(row, 0, 1) | _shift(row, 0, -1)


def _nth(cells: Bool[Array, "X Z"], place: Int[Array, ""], num_places: int) -> Bool[Array, "X Z"]:
    """The one cell that lies `place` of `num_places` of the way through `cells`."""
    order = jnp.cumsum(cells.reshape(-1), dtype=jnp.int32).reshape(cells.shape)
    return cells & (order == 1 + place * order[-1, -1] // num_places)


def _heights(blocks: House) -> Int[Array, "1 Y 1"]:
    """The y of every cell."""
    return jnp.arange(blocks.shape[1])[None, :, None]


def _up(cells: Shaped[Array, "X Z"]) -> Shaped[Array, "X 1 Z"]:
    """The same at every height."""
    return cells[:, None, :]


def _put(blocks: House, where: Bool[Array, "X Y Z"], kind: Int[Array, ""]) -> House:
    """The world with blocks of one kind where `where` is true."""
    return jnp.where(where, kind.astype(jnp.int8), blocks)


def _either(kind: Int[Array, ""], fallback: Int[Array, ""]) -> Int[Array, ""]:
    """The kind, or `fallback` if it is none."""
    return jnp.where(kind == AIR, fallback, kind)

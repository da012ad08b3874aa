"""What might the human want built? Houses drawn from a plan: one small integer for each of its properties.

A plan's fields are drawn independently, so a belief over houses can redraw some and keep the rest. `build` is
defined for every combination of values, and each of them is a house that can stand and be built:

- every wall rises from the ground, and the ring of wall under the roof is whole, so nothing floats;
- a roof is either flat, or rises by at most one from cell to cell. Where its height depends on one coordinate only,
  both ends of each row lie on a wall; a hip roof is two thick, so that each step rests on the one below;
- wings are at least three wide, so the inside is connected, and a door two high leads to it;
- no attic is closed off: the inside is open up to the roof, and an upper storey has a hole in its floor.

The split into train and test reads the finished house alone, wherever it stands: its outline from above, its height
and its main kind of block. So equal houses are always in the same split, even up to translation.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int8, Key, Shaped, UInt32

from tacit.games.building.blocks import AIR, BEDROCK, DIRT, NAMES
from tacit.games.building.game import House

OUTLINES = ("rectangular", "L-shaped", "T-shaped", "cross-shaped", "Z-shaped", "U-shaped")
ROOFS = ("a flat roof", "a flat roof with eaves", "a flat roof with a rim", "battlements", "a gable roof along x",
         "a gable roof along z", "a hip roof", "a lean-to roof")  # fmt: skip
WINDOWS = ("no windows", "few windows", "some windows", "tall windows", "a band of windows")
FLAT, EAVES, RIM, BATTLEMENTS, GABLE_X, GABLE_Z, HIP, LEAN_TO = range(8)
SMALLEST = 3
"""The least width and depth of a house: two walls and a room between them."""
NUM_DOORS, NUM_CHIMNEYS = 3, 4
"""How many places along a wall are told apart."""

NUM_SPLITS = 5
"""One combination of outline, height and main kind in five is for testing."""


class Plan(NamedTuple):
    """A house in numbers. Fields ending in `_kind` are ids of `blocks`; `weights` tells which values each can take."""

    width: Int[Array, ""]
    """x-size less `SMALLEST`."""
    depth: Int[Array, ""]
    """z-size less `SMALLEST`."""
    place_x: Int[Array, ""]
    """Where it stands, spread over the room its width leaves."""
    place_z: Int[Array, ""]
    outline: Int[Array, ""]
    """An index into `OUTLINES`. What does not fit in width and depth is cut less."""
    turn: Int[Array, ""]
    """Quarter turns of the outline, and of a lean-to roof."""
    cut: Int[Array, ""]
    """How deep the outline's corners are cut out, less 1."""
    height: Int[Array, ""]
    """Height of the ground floor's walls, less 2."""
    upper: Int[Array, ""]
    """1 if there is an upper storey."""
    posts: Int[Array, ""]
    """1 if the ground floor is open, with posts at its corners and no walls."""
    roof: Int[Array, ""]
    """An index into `ROOFS`. It rises as far as the world allows."""
    side: Int[Array, ""]
    """The wall with the door: +x, -x, +z, -z."""
    door: Int[Array, ""]
    """Where along that wall."""
    windows: Int[Array, ""]
    """An index into `WINDOWS`."""
    phase: Int[Array, ""]
    """Where the windows' pattern begins."""
    chimney: Int[Array, ""]
    """Where along the outer wall the chimney stands."""
    full_floor: Int[Array, ""]
    """1 if the floor reaches under the walls."""
    wall_kind: Int[Array, ""]
    corner_kind: Int[Array, ""]
    """0 for the walls' kind."""
    plinth_kind: Int[Array, ""]
    """The lowest course of the walls; 0 for the walls' kind."""
    roof_kind: Int[Array, ""]
    window_kind: Int[Array, ""]
    """0 for holes."""
    floor_kind: Int[Array, ""]
    """0 to keep the dirt."""
    chimney_kind: Int[Array, ""]
    """0 for no chimney."""


NUM_FIELDS = len(Plan._fields)


WALL_KINDS = {"dirt": 0.3, "cobblestone": 1.5, "log": 1.0, "planks": 3.0, "stone": 1.5, "stonebrick": 2.0, "wool": 1.0}
CORNER_KINDS = {"air": 3.0, "cobblestone": 1.0, "log": 2.5, "planks": 0.5, "stone": 1.0, "stonebrick": 0.5}
PLINTH_KINDS = {"air": 4.0, "cobblestone": 1.0, "stone": 1.0, "stonebrick": 1.0}
ROOF_KINDS = {"cobblestone": 1.0, "glass": 0.2, "log": 1.5, "planks": 2.0, "stone": 1.5, "stonebrick": 1.0, "wool": 1.0}
WINDOW_KINDS = {"air": 1.0, "glass": 5.0}
FLOOR_KINDS = {"air": 4.0, "cobblestone": 1.0, "log": 0.3, "planks": 2.0, "stone": 1.0, "wool": 0.5}
CHIMNEY_KINDS = {"air": 5.0, "cobblestone": 1.0, "stone": 1.0, "stonebrick": 1.0}


def _kinds(named: dict[str, float], num_kinds: int) -> list[float]:
    """Weights by kind of block, from weights by name."""
    return [named.get(name, 0.0) for name in NAMES[:num_kinds]]


def _sizes(size: int) -> list[float]:
    """Weights of the widths that fit a world `size` wide; the middle ones are the likeliest."""
    return [1.0 + min(i, size - 5 - i) for i in range(size - 4)]


def weights(shape: tuple[int, int, int], num_kinds: int) -> dict[str, list[float]]:
    """The table of the prior: for each field of `Plan`, the weight of each of its values 0, 1, 2, ..."""
    size_x, size_y, size_z = shape
    wide = min(size_x, size_z) >= SMALLEST * 2 + 3
    tall = size_y >= 10
    return {
        "width": _sizes(size_x),
        "depth": _sizes(size_z),
        "place_x": [1.0] * (size_x - 4),
        "place_z": [1.0] * (size_z - 4),
        "outline": [3.0, 2.0, 1.0, 1.0, 1.0, 1.0 if wide else 0.0],
        "turn": [1.0] * 4,
        "cut": [1.0, 1.0, 1.0],
        "height": [3.0, 3.0, 1.0],
        "upper": [2.0, 1.0] if tall else [1.0],
        "posts": [9.0, 1.0],
        "roof": [2.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0],
        "side": [1.0] * 4,
        "door": [1.0] * NUM_DOORS,
        "windows": [1.0, 2.0, 3.0, 2.0, 1.0],
        "phase": [1.0, 1.0, 1.0],
        "chimney": [1.0] * NUM_CHIMNEYS,
        "full_floor": [2.0, 1.0],
        "wall_kind": _kinds(WALL_KINDS, num_kinds),
        "corner_kind": _kinds(CORNER_KINDS, num_kinds),
        "plinth_kind": _kinds(PLINTH_KINDS, num_kinds),
        "roof_kind": _kinds(ROOF_KINDS, num_kinds),
        "window_kind": _kinds(WINDOW_KINDS, num_kinds),
        "floor_kind": _kinds(FLOOR_KINDS, num_kinds),
        "chimney_kind": _kinds(CHIMNEY_KINDS, num_kinds),
    }


def _shift(cells: Array, dx: int, dz: int) -> Array:
    """Each cell's neighbour at (x + dx, z + dz). The outer ring, which is never built on, is what comes round."""
    return jnp.roll(cells, (-dx, -dz), (0, 1))


def _erode(cells: Bool[Array, "X Z"]) -> Bool[Array, "X Z"]:
    """The cells whose eight neighbours belong too."""
    row = cells & _shift(cells, 1, 0) & _shift(cells, -1, 0)
    return row & _shift(row, 0, 1) & _shift(row, 0, -1)


def _dilate(cells: Bool[Array, "X Z"]) -> Bool[Array, "X Z"]:
    """The cells that belong or have one of eight neighbours that does."""
    row = cells | _shift(cells, 1, 0) | _shift(cells, -1, 0)
    return row | _shift(row, 0, 1) | _shift(row, 0, -1)


def _up(cells: Shaped[Array, "X Z"]) -> Shaped[Array, "X 1 Z"]:
    """The same for every height."""
    return cells[:, None, :]


def _put(blocks: House, where: Bool[Array, "X Y Z"], kind: Int[Array, ""]) -> House:
    """The world with blocks of one kind where `where` is true."""
    return jnp.where(where, kind.astype(jnp.int8), blocks)


def _either(kind: Int[Array, ""], fallback: Int[Array, ""]) -> Int[Array, ""]:
    """The kind, or `fallback` if it is none."""
    return jnp.where(kind == AIR, fallback, kind)


def _nth(cells: Bool[Array, "X Z"], place: Int[Array, ""], num_places: int) -> Bool[Array, "X Z"]:
    """The one cell that lies `place` of `num_places` of the way through `cells`."""
    order = jnp.cumsum(cells.reshape(-1), dtype=jnp.int32).reshape(cells.shape)
    return cells & (order == 1 + place * order[-1, -1] // num_places)


class Ground(NamedTuple):
    """The plan seen from above: which cells are walls, room and corners, and each cell's place within the house."""

    footprint: Bool[Array, "X Z"]
    room: Bool[Array, "X Z"]
    corner: Bool[Array, "X Z"]
    straight: Bool[Array, "X Z"]
    outer: Bool[Array, "X Z"]
    """Walls with the outside at a side: all but the posts in inward corners."""
    u: Int[Array, "X Z"]
    v: Int[Array, "X Z"]
    along: Int[Array, "X Z"]
    """Distance from the side that `turn` puts first."""


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
    missing = jnp.zeros_like(box)
    for where, is_cut in zip([low_a & low_b, high_a & low_b, low_a & high_b, high_a & high_b], corners, strict=True):
        missing |= where & is_cut
    gap = jnp.clip(cut, 0, jnp.maximum(m - 2 * SMALLEST, 0))
    middle = (a >= (m - gap) // 2) & (a < (m - gap) // 2 + gap)
    footprint = box & ~missing & ~(middle & high_b & notch)

    room = _erode(footprint)
    edge_x = footprint & ~(_shift(footprint, 1, 0) & _shift(footprint, -1, 0))
    edge_z = footprint & ~(_shift(footprint, 0, 1) & _shift(footprint, 0, -1))
    straight = edge_x ^ edge_z
    return Ground(footprint, room, footprint & ~room & ~straight, straight, edge_x | edge_z, u, v, b)


def _roof_rise(plan: Plan, ground: Ground) -> Int[Array, "X Z"]:
    """How far the roof would rise above the walls at each cell, given all the room in the world."""
    w, d = plan.width + SMALLEST, plan.depth + SMALLEST
    flat = jnp.zeros_like(ground.u)
    along_x = jnp.minimum(ground.v, d - 1 - ground.v)
    along_z = jnp.minimum(ground.u, w - 1 - ground.u)
    ring, hip = ground.room, flat
    for _ in range(max(ground.u.shape) // 2):
        ring, hip = _erode(ring), hip + ring.astype(jnp.int32)
    return jnp.stack([flat] * 4 + [along_x, along_z, hip, ground.along // 2])[plan.roof]


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
        first, rest = jax.random.split(key)
        plan = self.draw_plan(first)
        if self.split == "all":
            return plan

        def again(carry: tuple[Plan, Key[Array, ""]]) -> tuple[Plan, Key[Array, ""]]:
            now, later = jax.random.split(carry[1])
            return self.draw_plan(now), later

        return jax.lax.while_loop(lambda carry: ~self.in_split(carry[0]), again, (plan, rest))[0]

    def sample(self, key: Key[Array, ""]) -> House:
        """Draw a house of this split."""
        return self.build(self.sample_plan(key))

    def in_split(self, plan: Plan) -> Bool[Array, ""]:
        """Whether the plan's house belongs to this split. Only such plans may be hypotheses of it."""
        if self.split == "all":
            return jnp.ones((), bool)
        return is_test(self.build(plan)) == (self.split == "test")

    def build(self, plan: Plan) -> House:
        """The whole world as it should be. Any combination of values can be built."""
        size_y = self.shape[1]
        y = jnp.arange(size_y)[None, :, None]
        ground = _ground(plan, self.shape)
        wall = ground.footprint & ~ground.room
        outward = jnp.stack([_shift(ground.footprint, dx, dz) for dx, dz in ((1, 0), (-1, 0), (0, 1), (0, -1))])
        inward = jnp.stack([_shift(ground.room, dx, dz) for dx, dz in ((-1, 0), (1, 0), (0, -1), (0, 1))])
        door = _nth(ground.straight & ~outward[plan.side] & inward[plan.side], plan.door, NUM_DOORS)

        # Heights: the ground floor's ceiling, and the roof's foot, top and underside at each cell.
        upper, posts = plan.upper == 1, plan.posts == 1
        ceiling = jnp.where(upper, jnp.minimum(plan.height + 4, size_y - 5), jnp.minimum(plan.height + 4, size_y - 2))
        foot = ceiling + jnp.where(upper, 3, 0)
        top = jnp.minimum(foot + _roof_rise(plan, ground), size_y - 2)
        gone = jnp.where(ground.footprint, top, size_y)
        lowest = jnp.minimum(gone, jnp.minimum(_shift(gone, 1, 0), _shift(gone, -1, 0)))
        lowest = jnp.minimum(lowest, jnp.minimum(_shift(lowest, 0, 1), _shift(lowest, 0, -1)))
        underside = jnp.where(plan.roof == HIP, lowest, top)

        blocks = jnp.broadcast_to(empty_column(size_y)[None, :, None], self.shape)
        floor = jnp.where(plan.full_floor == 1, ground.footprint, ground.room)
        blocks = _put(blocks, _up(floor) & (y == 1), _either(plan.floor_kind, jnp.int32(DIRT)))
        hole = _nth(ground.room, jnp.int32(NUM_DOORS - 1), NUM_DOORS)
        blocks = _put(
            blocks, _up(ground.room & ~hole) & (y == ceiling) & upper, _either(plan.floor_kind, plan.wall_kind)
        )

        # Walls, from the ground up to the roof: on a gable's ends too. With posts they begin at the ceiling.
        walled = _up(wall) & (y >= 2) & (y < _up(top)) & (_up(ground.corner) | ~posts | (y >= ceiling))
        blocks = _put(blocks, walled, plan.wall_kind)
        blocks = _put(blocks, walled & (y == 2), _either(plan.plinth_kind, plan.wall_kind))
        blocks = _put(blocks, walled & _up(ground.corner) & (y < foot), _either(plan.corner_kind, plan.wall_kind))
        step = jnp.array([self.shape[0] + self.shape[2], 3, 2, 2, 1])[plan.windows]
        beat = ((ground.u + ground.v + plan.phase) % step == 0) & (plan.windows > 0)
        tall = (plan.windows == 3) & (plan.window_kind != AIR) & (y == 4) & (ceiling > 4)
        row = (y == 3) | tall | (upper & (y == ceiling + 2))
        blocks = _put(blocks, walled & _up(ground.straight & beat) & row, plan.window_kind)
        blocks = _put(blocks, _up(door) & ((y == 2) | (y == 3)), jnp.int32(AIR))

        inner = jnp.zeros_like(wall).at[1:-1, 1:-1].set(True)
        cover = ground.footprint | (_dilate(ground.footprint) & inner & (plan.roof == EAVES))
        underside, top = jnp.where(ground.footprint, underside, foot), jnp.where(ground.footprint, top, foot)
        blocks = _put(blocks, _up(cover) & (y >= _up(underside)) & (y <= _up(top)), plan.roof_kind)
        rim = ground.outer & ((plan.roof == RIM) | ((plan.roof == BATTLEMENTS) & ((ground.u + ground.v) % 2 == 0)))
        blocks = _put(blocks, _up(rim) & (y == foot + 1) & (y <= size_y - 2), plan.wall_kind)

        stack = _nth(ground.straight & ~door, plan.chimney, NUM_CHIMNEYS) & has_chimney(plan)
        ridge = jnp.max(jnp.where(ground.footprint, top, 0))
        return _put(blocks, _up(stack) & (y >= 2) & (y <= jnp.minimum(ridge + 1, size_y - 2)), plan.chimney_kind)

    def describe(self, plan: Plan) -> str:
        """One line for people. It needs a plan of numbers, not one that is being traced."""
        p = Plan(*(int(value) for value in plan))
        kind = "pavilion" if p.posts and not p.upper else "house on posts" if p.posts else "house"
        storeys = "two-storey " if p.upper else ""
        article = "an" if p.outline == 1 and not storeys else "a"
        parts = [f"{ROOFS[p.roof]} of {NAMES[p.roof_kind]}", WINDOWS[p.windows]]
        if has_chimney(p):
            parts.append(f"a chimney of {NAMES[p.chimney_kind]}")
        if p.floor_kind:
            parts.append(f"a floor of {NAMES[p.floor_kind]}")
        size = f"{p.width + SMALLEST} by {p.depth + SMALLEST}"
        what = f"{article} {storeys}{OUTLINES[p.outline]} {kind} of {NAMES[p.wall_kind]}, {size}"
        return f"{what}, with {', '.join(parts[:-1])} and {parts[-1]}"


def has_chimney(plan: Plan) -> Bool[Array, ""] | bool:
    """Whether a chimney is built: one needs a wall to lean on, and eaves would shut it in."""
    return (plan.chimney_kind != AIR) & (plan.posts == 0) & (plan.roof != EAVES)


def mix(old: Plan, fresh: Plan, keep: Bool[Array, " F"]) -> Plan:
    """The fields of `old` where `keep` is true, in the order of `Plan`, and those of `fresh` elsewhere."""
    return Plan(*(jnp.where(k, o, f) for k, o, f in zip(keep, old, fresh, strict=True)))


def empty_column(size_y: int) -> Int8[Array, " Y"]:
    """A column of the empty world: bedrock, dirt, air."""
    return jnp.full((size_y,), AIR, jnp.int8).at[:2].set(jnp.array([BEDROCK, DIRT], jnp.int8))


def is_test(house: House) -> Bool[Array, ""]:
    """Whether a house is for testing: a hash of its outline from above, its height and its main kind of block.

    The outline is moved to the corner first, so the answer does not depend on where the house stands.
    """
    above = house[:, 2:, :]
    solid = above != AIR
    outline = solid.any(axis=1)
    outline = jnp.roll(outline, (-jnp.argmax(outline.any(axis=1)), -jnp.argmax(outline.any(axis=0))), (0, 1))
    height = solid.any(axis=(0, 2)).sum(dtype=jnp.uint32)
    counts = (above[None] == jnp.arange(1, len(NAMES), dtype=jnp.int8)[:, None, None, None]).sum(axis=(1, 2, 3))
    main = jnp.argmax(counts).astype(jnp.uint32)
    cells = _scramble(jnp.arange(1, 1 + math.prod(outline.shape), dtype=jnp.uint32)).reshape(outline.shape)
    outline_hash = jnp.where(outline, cells, jnp.uint32(0)).sum(dtype=jnp.uint32)
    return _scramble(outline_hash ^ _scramble(height * jnp.uint32(16) + main)) % jnp.uint32(NUM_SPLITS) == 0


def _scramble(bits: UInt32[Array, "*N"]) -> UInt32[Array, "*N"]:
    """Spread every bit over the word (the finaliser of MurmurHash3, Appleby 2011)."""
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)

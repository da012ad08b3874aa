"""What numbers make a house, and which are likely? The plan, the table of its prior, and a plan in words.

A plan's fields are drawn independently, so a belief over houses can redraw some of them and keep the rest.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from tacit.games.building.blocks import AIR, NAMES

OUTLINES = ("rectangular", "L-shaped", "T-shaped", "cross-shaped", "Z-shaped", "U-shaped")
ROOFS = ("a flat roof", "a flat roof with eaves", "a flat roof with a rim", "battlements", "a gable roof along x",
         "a gable roof along z", "a hip roof", "a lean-to roof")  # fmt: skip
NO_WINDOWS, FEW_WINDOWS, SOME_WINDOWS, TALL_WINDOWS, BAND = range(5)
WINDOWS = ("no windows", "few windows", "some windows", "tall windows", "a band of windows")
FLAT, EAVES, RIM, BATTLEMENTS, GABLE_X, GABLE_Z, HIP, LEAN_TO = range(8)
SMALLEST = 3
"""The least width and depth of a house: two walls and a room between them."""
NUM_DOORS, NUM_CHIMNEYS = 3, 4
"""How many places along a wall are told apart."""


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


def has_chimney(plan: Plan) -> Bool[Array, ""]:
    """Whether a chimney is built: one needs a wall to lean on, and eaves would shut it in."""
    return (plan.chimney_kind != AIR) & (plan.posts == 0) & (plan.roof != EAVES)


def mix(old: Plan, fresh: Plan, keep: Bool[Array, " F"]) -> Plan:
    """The fields of `old` where `keep` is true, in the order of `Plan`, and those of `fresh` elsewhere."""
    return Plan(*(jnp.where(k, o, f) for k, o, f in zip(keep, old, fresh, strict=True)))


def describe(plan: Plan) -> str:
    """One line for people. It needs a plan of numbers, not one that is being traced."""
    outline, roof, windows = int(plan.outline), int(plan.roof), int(plan.windows)
    upper, posts = bool(plan.upper), bool(plan.posts)
    kind = "house" if not posts else "house on posts" if upper else "pavilion"
    what = f"{'two-storey ' if upper else ''}{OUTLINES[outline]} {kind} of {NAMES[int(plan.wall_kind)]}"
    parts = [f"{ROOFS[roof]} of {NAMES[int(plan.roof_kind)]}"]
    if upper or not posts:
        parts.append(WINDOWS[windows])
    if has_chimney(plan):
        parts.append(f"a chimney of {NAMES[int(plan.chimney_kind)]}")
    if plan.floor_kind != AIR:
        parts.append(f"a floor of {NAMES[int(plan.floor_kind)]}")
    article = "an" if what.startswith("L") else "a"
    size = f"{int(plan.width) + SMALLEST} by {int(plan.depth) + SMALLEST}"
    return f"{article} {what}, {size}, with {', '.join(parts)}"

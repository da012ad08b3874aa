"""What does a network of goals learn from, and how is a lesson told in other words?

A moment is what could be seen, what the goal was, and what the human did. It means the same in a world that is mirrored
or turned, and in one whose materials have other names.
"""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int8, Key, UInt8

# Axes of planes: ... X Y Z
_X, _Z = -3, -1
UNIT = 64.0
"""Planes of numbers are kept in bytes, in steps of 1 / UNIT, from 0 to 4."""
_AS_IT_IS = (0, 1, 2, 3, 4, 5)
_SWAPPED = (4, 5, 2, 3, 0, 1)
"""The six directions are +x, -x, +y, -y, +z, -z; y is up."""


Told = TypeVar("Told")
"""A record of arrays, or of such records, whose fields are called as those of a `Moment`."""


class Moment(NamedTuple):
    """A lesson. Of the human's action exactly one entry of `place`, `remove`, `move` and `rest` is true."""

    cells: UInt8[Array, "B P X Y Z"]
    kinds: Int8[Array, "B Q X Y Z"]
    traces: Float[Array, "B M R"]
    heading: Float[Array, "B 6 D"]
    scalars: Float[Array, "B S"]
    goal: Int8[Array, "B X Y Z"]
    may_place: Bool[Array, "B X Y Z"]
    may_remove: Bool[Array, "B X Y Z"]
    may_move: Bool[Array, "B 6"]
    place: Bool[Array, "B X Y Z"]
    remove: Bool[Array, "B X Y Z"]
    move: Bool[Array, "B 6"]
    rest: Bool[Array, " B"]


def packed(planes: Float[Array, "*S"]) -> UInt8[Array, "*S"]:
    """Planes of numbers in bytes."""
    return jnp.clip(jnp.round(UNIT * planes), 0.0, 255.0).astype(jnp.uint8)


def unpacked(planes: UInt8[Array, "*S"]) -> Float[Array, "*S"]:
    """Bytes as the numbers that they stand for."""
    return planes.astype(jnp.float32) / UNIT


PLACED = ("cells", "kinds", "goal", "may_place", "may_remove", "place", "remove", "believed")
"""The fields that have a place in the world."""
DIRECTED = ("heading", "may_move", "move")
"""The fields that have a direction."""


def turned(lessons: Told, mirror_x: bool, mirror_z: bool, swap: bool) -> Told:
    """The same lessons in a world seen from elsewhere; `swap` exchanges x and z and needs a square world."""
    order = _SWAPPED if swap else _AS_IT_IS
    order = (order[1], order[0], *order[2:]) if mirror_x else order
    order = (*order[:4], order[5], order[4]) if mirror_z else order

    def place(planes: Array) -> Array:
        planes = jnp.swapaxes(planes, _X, _Z) if swap else planes
        planes = jnp.flip(planes, _X) if mirror_x else planes
        return jnp.flip(planes, _Z) if mirror_z else planes

    def change(path: tuple[Any, ...], leaf: Array) -> Array:
        name = path[-1].name
        return place(leaf) if name in PLACED else leaf[:, jnp.array(order)] if name in DIRECTED else leaf

    return jax.tree_util.tree_map_with_path(change, lessons)


def every_way(lessons: Told) -> Told:
    """Each eighth of the batch in one of the eight symmetries that keep up and down.

    In a world that is not square there are four, each told in two of the eighths.
    """
    leaves = jax.tree_util.tree_leaves_with_path(lessons)
    square = all(leaf.shape[_X] == leaf.shape[_Z] for path, leaf in leaves if path[-1].name in PLACED)
    size = len(leaves[0][1]) // 8
    parts = []
    for number in range(8):
        part = jax.tree.map(lambda leaf, at=number * size: leaf[at : at + size], lessons)
        parts.append(turned(part, bool(number & 1), bool(number & 2), square and bool(number & 4)))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def renamed(moments: Moment, names: Int[Array, "B M"]) -> Moment:
    """The same moments with kind k called names[k]."""

    def told(kinds: Int8[Array, "*S"]) -> Int8[Array, "*S"]:
        found = jnp.take_along_axis(names, kinds.reshape(len(names), -1).astype(names.dtype), axis=1)
        return found.reshape(kinds.shape).astype(kinds.dtype)

    traces = jnp.take_along_axis(moments.traces, jnp.argsort(names, -1)[:, :, None], axis=1)
    return moments._replace(kinds=told(moments.kinds), traces=traces, goal=told(moments.goal))


def other_names(
    batch: int, num_kinds: int, first_material: int, share: float, key: Key[Array, ""]
) -> Int[Array, "B M"]:
    """Random names for the materials, the kinds from `first_material` on, in this `share` of the batch."""
    chance_key, order_key = jax.random.split(key)
    kinds = jnp.broadcast_to(jnp.arange(num_kinds, dtype=jnp.int32), (batch, num_kinds))
    shuffled = jax.random.permutation(order_key, kinds[:, first_material:], axis=1, independent=True)
    mixed = jnp.concatenate([kinds[:, :first_material], shuffled], 1)
    return jnp.where(jax.random.uniform(chance_key, (batch, 1)) < share, mixed, kinds)

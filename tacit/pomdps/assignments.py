"""What does a list of assignments say, where a coordinate may be "all of them" and later ones override earlier ones?

Assignments with the same coordinates left open form a layer, in which the last to name a place holds. What holds at a
place is the latest of what its layers say. So nothing needs to be filled in: a reward may depend on four coordinates,
and zeros written over everything cost nothing.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

ALL = -1
"""The coordinate that stands for all of them."""

LARGEST = 20_000_000
"""The most places that are listed one by one."""


class Assignments(NamedTuple):
    """`values[m]` is written at `places[m]`, whose coordinates may be ALL; `orders` says which were written later."""

    places: Int[np.ndarray, "M D"]
    values: Float[np.ndarray, " M"]
    orders: Int[np.ndarray, " M"]


class Layer(NamedTuple):
    """Assignments that name the same `axes`: sorted places (as one number each), and what was last written there."""

    axes: tuple[int, ...]
    keys: Int[np.ndarray, " K"]
    values: Float[np.ndarray, " K"]
    orders: Int[np.ndarray, " K"]


def layers(written: Assignments, sizes: tuple[int, ...]) -> list[Layer]:
    """Sort assignments into layers; `sizes` are those of the axes."""
    found = []
    named = (written.places != ALL) @ (1 << np.arange(len(sizes)))
    for pattern in np.unique(named):
        axes = tuple(axis for axis in range(len(sizes)) if pattern >> axis & 1)
        members = np.flatnonzero(named == pattern)
        keys = _keys(written.places[members], axes, sizes)
        found.append(_last(axes, keys, written.values[members], written.orders[members]))
    return found


def look_up(
    written: list[Layer], sizes: tuple[int, ...], places: Int[np.ndarray, "Q D"]
) -> tuple[Float[np.ndarray, " Q"], Int[np.ndarray, " Q"]]:
    """What holds at each place and when that was written; 0 and -1 where nothing was."""
    values, orders = np.zeros(len(places)), np.full(len(places), -1, np.int64)
    for layer in written:
        keys = _keys(places, layer.axes, sizes)
        near = np.minimum(np.searchsorted(layer.keys, keys), len(layer.keys) - 1)
        later = (layer.keys[near] == keys) & (layer.orders[near] > orders)
        values[later], orders[later] = layer.values[near][later], layer.orders[near][later]
    return values, orders


def settle(written: Assignments, sizes: tuple[int, ...]) -> tuple[Int[np.ndarray, "P D"], Float[np.ndarray, " P"]]:
    """Every place that ends up other than zero, in order, and its value; ValueError where that is too many to list."""
    every = tuple(range(len(sizes)))
    erased, listed, count = [], [], 0
    for layer in layers(written, sizes):
        if len(layer.axes) == len(sizes):
            listed.append((layer.keys, layer.values, layer.orders))
            continue
        zero = layer.values == 0
        if zero.any():
            erased.append(_select(layer, zero))
        if zero.all():
            continue
        kept = _select(layer, ~zero)
        opened = [axis for axis in range(len(sizes)) if axis not in layer.axes]
        repeats = int(np.prod([sizes[axis] for axis in opened], dtype=object))
        count += repeats * len(kept.keys)
        if count > LARGEST:
            raise ValueError(f"{count} probabilities other than zero are more than the {LARGEST} that can be held")
        around = np.zeros((len(kept.keys), len(sizes)), np.int64)
        around[:, layer.axes] = _coordinates(kept.keys, layer.axes, sizes)
        within = np.zeros((repeats, len(sizes)), np.int64)
        within[:, opened] = _coordinates(np.arange(repeats), tuple(opened), sizes)
        keys = (_keys(around, every, sizes)[:, None] + _keys(within, every, sizes)).ravel()
        listed.append((keys, np.repeat(kept.values, repeats), np.repeat(kept.orders, repeats)))
    if not listed:
        return np.zeros((0, len(sizes)), np.int64), np.zeros(0)
    last = _last(every, *(np.concatenate(parts) for parts in zip(*listed, strict=True)))
    places = _coordinates(last.keys, every, sizes)
    held = (last.values != 0) & (look_up(erased, sizes, places)[1] < last.orders)
    return places[held], last.values[held]


def _keys(places: Int[np.ndarray, "M D"], axes: tuple[int, ...], sizes: tuple[int, ...]) -> Int[np.ndarray, " M"]:
    """The coordinates along `axes` as one number."""
    keys = np.zeros(len(places), np.int64)
    for axis in axes:
        keys = keys * sizes[axis] + places[:, axis]
    return keys


def _coordinates(keys: Int[np.ndarray, " M"], axes: tuple[int, ...], sizes: tuple[int, ...]) -> Int[np.ndarray, "M D"]:
    """What `_keys` made one number of."""
    places = np.zeros((len(keys), len(axes)), np.int64)
    for column in reversed(range(len(axes))):
        keys, places[:, column] = np.divmod(keys, sizes[axes[column]])
    return places


def _last(
    axes: tuple[int, ...],
    keys: Int[np.ndarray, " M"],
    values: Float[np.ndarray, " M"],
    orders: Int[np.ndarray, " M"],
) -> Layer:
    """Of what has the same key, the one written last."""
    sequence = np.lexsort((orders, keys))
    ends = np.append(np.diff(keys[sequence]) != 0, True) if len(keys) else np.zeros(0, bool)
    chosen = sequence[ends]
    return Layer(axes, keys[chosen], values[chosen], orders[chosen])


def _select(layer: Layer, chosen: np.ndarray) -> Layer:
    """A part of a layer."""
    return Layer(layer.axes, layer.keys[chosen], layer.values[chosen], layer.orders[chosen])

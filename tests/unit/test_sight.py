"""Cubes around a head in their place in the world, and what blocks sight there, cell by cell in Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.games.building.blocks import AIR
from tacit.games.building.game import ABSENT
from tacit.games.building.sight import Sight, in_place

RNG = np.random.default_rng()
SHAPE = (5, 6, 4)
SIGHT = Sight(SHAPE, 2.5)


def slowly(cube: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Cell by cell."""
    placed, half = np.zeros(SHAPE, cube.dtype), len(cube) // 2
    for cell in np.ndindex(SHAPE):
        at = np.array(cell) - centre + half
        if (at >= 0).all() and (at < len(cube)).all():
            placed[cell] = cube[tuple(at)]
    return placed


def test_a_cube_is_put_in_its_place() -> None:
    """Wherever the head is: in a corner, above the top, or nowhere near."""
    place = jax.jit(jax.vmap(in_place, (0, 0, None)), static_argnums=2)
    cubes = RNG.integers(1, 4096, (24, 5, 5, 5)).astype(np.uint16)
    centres = np.stack([RNG.integers(-1, size + 2, 24) for size in SHAPE], -1)
    centres[0], centres[1] = np.add(ABSENT, (0, 1, 0)), (SHAPE[0] - 1, SHAPE[1], 0)
    found = place(jnp.asarray(cubes), jnp.asarray(centres, jnp.int32), SHAPE)
    assert not np.asarray(found[0]).any()
    for row, cube, centre in zip(np.asarray(found), cubes, centres, strict=True):
        np.testing.assert_array_equal(row, slowly(cube, centre))
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(
            found[2:], np.stack([slowly(c, d + 1) for c, d in zip(cubes, centres, strict=True)])[2:]
        )


def test_what_is_around_the_head_is_blocks_and_the_other_body() -> None:
    """Of the cells that are in the world or above it; the last bit stands for no cell and is always set."""
    around = jax.jit(jax.vmap(SIGHT.around))
    blocks = np.where(RNG.random((12, *SHAPE)) < 0.3, 3, AIR).astype(np.int8)
    feet, other = (np.stack([RNG.integers(0, size, 12) for size in SHAPE], -1) for _ in range(2))
    found = np.asarray(around(jnp.asarray(blocks), jnp.asarray(feet, jnp.int32), jnp.asarray(other, jnp.int32)))
    bits = (found[:, :, None] >> np.arange(32, dtype=np.uint32)) & 1
    assert bits.reshape(12, -1)[:, -1].all()
    checked = 0
    for lane, offsets in zip(range(12), [np.asarray(SIGHT.cells).T] * 12, strict=True):
        for offset, bit in list(zip(offsets, bits[lane].reshape(-1), strict=True))[:-32]:
            x, y, z = cell = feet[lane] + (0, 1, 0) + offset
            if not (0 <= x < SHAPE[0] and 0 <= y <= SHAPE[1] and 0 <= z < SHAPE[2]):
                continue
            block = y < SHAPE[1] and blocks[lane, x, y, z] != AIR
            body = any((cell == other[lane] + (0, up, 0)).all() for up in (0, 1))
            assert bool(bit) == (block or body)
            checked += 1
    assert checked > 100

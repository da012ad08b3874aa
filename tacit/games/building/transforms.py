"""How does a house that people built become one that fits the game? The steps of MBAG, in its order, on NumPy arrays.

Laidlaw et al. 2025, arXiv 2504.07091, as their public code has it: keep the largest part, crop, shrink to at most half
the size without walling up doors, place at random, surround with dirt. Each step raises ValueError when the house is
not to be used; the message says what the house is or has, to follow the words "the house".

Arrays hold kinds of block, with axes x, y (up), z.
"""

import functools
import math

import numpy as np
from jaxtyping import Bool, Int16, Int32
from scipy import ndimage

from tacit.games.building.blocks import AIR, DIRT

AUTO, PATH = 255, 254
"""Marks beside the kinds: a cell to be filled like those around it, and a cell where people walk."""
SMALLEST = 4
LARGEST_FACTOR, LARGEST_RATIO = 2.0, 1.5
"""How much a house may be shrunk, and how much more along y than along x and z, or less."""
SPARSE = 0.1
FACES_AND_EDGES = ndimage.generate_binary_structure(3, 2)
"""The 18 neighbours that share a face or an edge: what counts as connected."""
FACES = ndimage.generate_binary_structure(3, 1)

Blocks = Int16[np.ndarray, "X Y Z"]
Resized = Int16[np.ndarray, "X2 Y2 Z2"]
Sizes = tuple[int, int, int]


def fit(blocks: Blocks, limits: Sizes, rng: np.random.Generator) -> Resized:
    """All the steps: a house of exactly the size `limits`, ground layer included."""
    blocks = crop_sparse_bottom(crop_air(largest_part(blocks)))
    if min(blocks.shape) < SMALLEST:
        raise ValueError(f"is {_by(blocks.shape)} cells, and the least is {_by((SMALLEST,) * 3)}.")
    blocks = surround(place(shrink(blocks, limits), limits, rng))
    if not stands(blocks):
        raise ValueError("has parts that hang in the air.")
    return blocks


def _by(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


def fill_auto(blocks: Blocks) -> Blocks:
    """Give each `AUTO` cell the commonest kind of its 26 neighbours, in C order; the largest of equals, else air."""
    padded = np.pad(blocks, 1)
    for x, y, z in np.argwhere(padded == AUTO):
        around = padded[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2]
        counts = np.bincount(around[(around != AIR) & (around != AUTO)], minlength=1)
        padded[x, y, z] = len(counts) - 1 - np.argmax(counts[::-1]) if counts.any() else AIR
    return padded[1:-1, 1:-1, 1:-1]


def components(cells: Bool[np.ndarray, "*N"], neighbours: Bool[np.ndarray, "*K"]) -> Int32[np.ndarray, "*N"]:
    """Number the connected parts from 1; the rest is 0."""
    labels = np.zeros(cells.shape, np.int32)
    ndimage.label(cells, neighbours, output=labels)
    return labels


def largest_part(blocks: Blocks) -> Blocks:
    """Keep the largest connected part. Whatever touches the ground is one part, for the ground connects it."""
    solid = np.pad(blocks != AIR, ((0, 0), (1, 0), (0, 0)), constant_values=True)
    labels = components(solid, FACES_AND_EDGES)[:, 1:]
    counts = np.bincount(labels.ravel())
    counts[0] = 0
    if not counts.any():
        raise ValueError("has no blocks.")
    return np.where(labels == np.argmax(counts), blocks, AIR).astype(np.int16)


def crop_air(blocks: Blocks) -> Resized:
    """Take off the layers of air on all six sides."""
    filled = np.argwhere(blocks != AIR)
    (x0, y0, z0), (x1, y1, z1) = filled.min(0), filled.max(0) + 1
    return blocks[x0:x1, y0:y1, z0:z1]


def crop_sparse_bottom(blocks: Blocks) -> Resized:
    """Take off the bottom layers if all are sparse and the next is not: flower beds, posts, a path to the door."""
    dense = (blocks != AIR).mean(axis=(0, 2)) >= SPARSE
    return blocks[:, np.argmax(dense) :] if dense.any() else blocks


def place(blocks: Blocks, limits: Sizes, rng: np.random.Generator) -> Resized:
    """Put the house at a random place on the ground of a box of the size `limits`."""
    size_x, size_y, size_z = blocks.shape
    x, z = rng.integers(limits[0] - size_x + 1), rng.integers(limits[2] - size_z + 1)
    box = np.full(limits, AIR, np.int16)
    box[x : x + size_x, :size_y, z : z + size_z] = blocks
    return box


def surround(blocks: Blocks) -> Blocks:
    """Fill the air of the lowest layer with dirt."""
    ground = np.where(blocks[:, :1] == AIR, DIRT, blocks[:, :1])
    return np.concatenate([ground, blocks[:, 1:]], axis=1, dtype=np.int16)


def stands(blocks: Blocks) -> bool:
    """Whether every block is connected to the lowest layer, over faces or edges."""
    labels = components(blocks != AIR, FACES_AND_EDGES)
    return bool(np.isin(labels[labels > 0], labels[:, 0]).all())


def shrink(blocks: Blocks, limits: Sizes) -> Resized:
    """Make a house fit into `limits`: stretch it to twice the size that fits, then halve, so that no wall is lost.

    Where people could walk before, they can walk after.
    """
    sizes = blocks.shape
    if any(size > LARGEST_FACTOR * limit for size, limit in zip(sizes, limits, strict=True)):
        largest = _by(tuple(int(LARGEST_FACTOR * limit) for limit in limits))
        raise ValueError(f"is {_by(sizes)} cells, and the most that can be shrunk is {largest}.")
    if all(size <= limit for size, limit in zip(sizes, limits, strict=True)):
        return blocks
    blocks = np.where(find_paths(blocks), PATH, blocks).astype(np.int16)
    halvings = math.ceil(math.log2(max(size / limit for size, limit in zip(sizes, limits, strict=True))))
    blocks = stretch(blocks, stretch_factors(sizes, limits, 2**halvings))
    while any(size > limit for size, limit in zip(blocks.shape, limits, strict=True)):
        blocks = halve(blocks)
    return carve_paths(blocks)


def stretch_factors(sizes: tuple[int, ...], limits: Sizes, times: int) -> tuple[float, float, float]:
    """Factors that bring a house to `times` the limits: equal along x and z, along y at most 1.5 times more or less."""
    x, y, z = (min(1.0, limit / size) * times for size, limit in zip(sizes, limits, strict=True))
    y = min(y, min(x, z) * LARGEST_RATIO)
    flat = min(x, z, y * LARGEST_RATIO)
    return flat, y, flat


def stretch(blocks: Blocks, factors: tuple[float, float, float]) -> Resized:
    """Interpolate linearly between the cells of each kind; each new cell takes the kind that has most of it."""
    kinds = np.unique(blocks)
    shares = [np.asarray(ndimage.zoom((blocks == kind).astype(float), factors, order=1)) for kind in kinds]
    return kinds[np.argmax(np.stack(shares), axis=0)].astype(np.int16)


def halve(blocks: Blocks) -> Resized:
    """Pool cubes of 2 x 2 x 2: a path if there is one, else the commonest kind but air, the largest of equals."""
    padded = np.pad(blocks, [(0, size % 2) for size in blocks.shape])
    x, y, z = (size // 2 for size in padded.shape)
    cubes = padded.reshape(x, 2, y, 2, z, 2).transpose(0, 2, 4, 1, 3, 5).reshape(x, y, z, 8)
    counts = (cubes[..., None] == np.arange(AUTO)).sum(axis=3)
    counts[..., AIR] = 0
    commonest = counts.shape[-1] - 1 - np.argmax(counts[..., ::-1], axis=-1)
    commonest = np.where(counts.any(axis=-1), commonest, AIR)
    return np.where(counts[..., PATH] > 0, PATH, commonest).astype(np.int16)


def find_paths(blocks: Blocks) -> Bool[np.ndarray, "X Y Z"]:
    """The cells where people walk in from outside, thinned to lines: doors, stairs, corridors.

    A cell can be walked on if it and the one above are air, and it is at most a jump above solid ground.
    """
    margin = 2
    air = np.pad(blocks == AIR, ((margin,) * 2, (0, 2), (margin,) * 2), constant_values=True)
    roomy = air[:, :-1] & air[:, 1:]
    walkable = np.zeros_like(air)
    walkable[:, 1:-1] = ~air[:, :-2] & roomy[:, 1:]
    walkable[:, 2:-1] |= ~air[:, :-3] & air[:, 1:-2] & roomy[:, 2:]
    walkable[:, :3] = roomy[:, :3]
    labels = components(walkable, FACES)
    paths = thin((labels == labels[0, 1, 0])[:, :-2])
    return paths[margin:-margin, :, margin:-margin]


def thin(paths: Bool[np.ndarray, "X Y Z"]) -> Bool[np.ndarray, "X Y Z"]:
    """Take cells off the sides of paths, from the top down, as long as no cell's surroundings fall apart."""
    paths = paths.copy()
    while True:
        before = paths.copy()
        flanked = (
            paths | np.pad(paths, ((0, 0), (0, 1), (0, 0)))[:, 1:] | np.pad(paths, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        )
        around = flanked[:-2, :, 1:-1] & flanked[2:, :, 1:-1] & flanked[1:-1, :, :-2] & flanked[1:-1, :, 2:]
        border = np.argwhere(np.pad(paths[1:-1, :, 1:-1] & ~around, ((1, 1), (0, 0), (1, 1))))
        for x, y, z in border[np.argsort(-border[:, 1], kind="stable")]:
            cube = paths[x - 1 : x + 2, max(0, y - 1) : y + 2, z - 1 : z + 2]
            rest = cube.copy()
            rest[1, min(y, 1), 1] = False
            if rest.sum() > 1 and num_parts(rest.any(axis=1).tobytes()) == num_parts(cube.any(axis=1).tobytes()):
                paths[x, y, z] = False
        if (paths == before).all():
            return paths


@functools.cache
def num_parts(square: bytes) -> int:
    """How many connected parts a 3 x 3 picture has, given as the bytes of a boolean array."""
    return int(components(np.frombuffer(square, bool).reshape(3, 3), FACES[1]).max())


def carve_paths(blocks: Blocks) -> Blocks:
    """Turn marks of paths back into air two high, or three at a step, with something below to walk on."""
    blocks = blocks.copy()
    _, height, _ = blocks.shape
    low = blocks[:, 0] == PATH
    blocks[:, 0][low] = AIR
    blocks[:, 1][low] = PATH
    marked = np.pad(blocks == PATH, 1)
    beside = marked[:-2, :, 1:-1] | marked[2:, :, 1:-1] | marked[1:-1, :, :-2] | marked[1:-1, :, 2:]
    beside = beside[:, 1:]  # beside[x, y, z] is about the neighbours at height y
    cells = np.argwhere(blocks == PATH)
    for x, y, z in cells[np.argsort(cells[:, 1], kind="stable")]:
        if blocks[x, y - 1, z] == AIR:
            blocks[x, y - 1, z] = AUTO
        top = y + 3 if y + 2 < height and beside[x, y + 1, z] else y + 2
        blocks[x, y:top, z] = AIR
    return fill_auto(blocks)

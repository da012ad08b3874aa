"""Which houses have people really built? Loads the houses of 3D-Craft (Chen et al. 2019) as goals of the building game.

A house is a folder with `schematic.npy`: bytes of shape (y, x, z, 2), Minecraft's block id and data value. Ids are
turned into our kinds as MBAG's public code does (Laidlaw et al. 2025, arXiv 2504.07091), then the house is fitted into
the world by `transforms`. One house that MBAG refuses is taken here: one that holds a known block in an odd state.
"""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int8, Int16, Key, UInt8

from tacit.games.building.blocks import AIR, BEDROCK, DIRT, NAMES
from tacit.games.building.game import House
from tacit.games.building.transforms import AUTO, Resized, Sizes, fill_auto, fit

UNKNOWN = -1
IDS = {
    "air": "0 6 8 10 26-28 30-32 37-40 46 50 54-55 59 63-66 68-72 76-78 81 83 92-93 96 101 103-107 115-118 127 130-132 "
    "138 140-149 151 154 157 167 171 175 183-187 193-200 207 213 219-222 225-234",
    "dirt": "2-3 12 18 88 110 161 165 214",
    "cobblestone": "4 13 23-24 29 33 48 61 67 82 120-121 128 139 158 179-182 206 218",
    "glass": "20 95 102 160",
    "log": "17 162",
    "planks": "5 25 47 53 58 84-85 125-126 134-136 163-164 188-192",
    "stone": "1 7 14-16 21-22 41-42 49 56-57 73 79-80 87 129 133 152-153 155-156 159 172-174 216 235-250",
    "stonebrick": "45 98 108-109 112-114 168 201-205 215",
    "wool": "19 35 170 251-252",
    "auto": "86 89 91 123 169",
}
"""Minecraft's block ids by our kind; lamps and pumpkins, `auto`, become what is around them."""
STATES = {
    43: "stone cobblestone planks cobblestone stonebrick stonebrick stonebrick stone",
    44: "stone cobblestone planks planks cobblestone stonebrick stonebrick stone",
    97: "stone cobblestone stonebrick stonebrick stonebrick stonebrick stonebrick stonebrick",
}
"""Blocks whose kind depends on the three low bits of the data value: slabs, and stone with something living in it."""


def _table() -> Int16[np.ndarray, "256 16"]:
    """Our kind for each block id and data value."""
    numbers = {name: kind for kind, name in enumerate(NAMES)} | {"auto": AUTO}
    table = np.full((256, 16), UNKNOWN, np.int16)
    for name, ranges in IDS.items():
        for part in ranges.split():
            first, _, last = part.partition("-")
            table[int(first) : int(last or first) + 1] = numbers[name]
    for block, names in STATES.items():
        table[block] = [numbers[name] for name in names.split()] * 2
    return table


KINDS = _table()


def read_schematic(path: Path) -> UInt8[np.ndarray, "Y X Z 2"]:
    """Read a `schematic.npy`. Raises ValueError when it is not one."""
    if not path.is_file():
        raise ValueError(f"There is no file {path}; a house of 3D-Craft is a folder with a schematic.npy.")
    try:
        schematic = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a NumPy array: {error}") from error
    if not isinstance(schematic, np.ndarray) or schematic.dtype != np.uint8:
        raise ValueError(f"{path} does not hold an array of uint8; a schematic.npy does.")
    if schematic.ndim != 4 or schematic.shape[3] != 2 or schematic.size == 0:
        raise ValueError(f"{path} has the shape {schematic.shape}; a schematic.npy has (y, x, z, 2).")
    return schematic


def to_kinds(schematic: UInt8[np.ndarray, "Y X Z 2"]) -> Resized:
    """Turn Minecraft's blocks into our kinds, axes into x, y, z. Raises ValueError when there is an unknown block."""
    ids, data = np.moveaxis(schematic.transpose(1, 0, 2, 3), 3, 0)
    blocks = KINDS[ids, data & 15]
    # MBAG means to strip air here, but its test is inverted: it strips a layer of every side that has no air at all.
    # Air is cropped later, so only that matters: a house on a full plot loses the plot. Only known blocks are solid.
    full = (blocks != AIR) & (blocks != UNKNOWN)
    open_layers = [np.flatnonzero(~full.all(axis=others)) for others in [(1, 2), (0, 2), (0, 1)]]
    if all(layers.size for layers in open_layers):
        inner = tuple(slice(layers[0], layers[-1] + 1) for layers in open_layers)
        ids, blocks = ids[inner], blocks[inner]
    if (blocks == UNKNOWN).any():
        raise ValueError(f"holds blocks that have no kind in this game: Minecraft's {_listed(ids[blocks == UNKNOWN])}.")
    return fill_auto(blocks)


def _listed(ids: np.ndarray) -> str:
    return "id " + ", ".join(map(str, np.unique(ids)))


def load_house(
    path: Path, shape: Sizes, rng: np.random.Generator, num_kinds: int = len(NAMES)
) -> Int8[np.ndarray, "X Y Z"]:
    """Load one house as the whole world as it should be, placed at random. Raises ValueError when it does not fit."""
    schematic = read_schematic(path)
    try:
        size_x, size_y, size_z = shape
        blocks = fit(to_kinds(schematic), (size_x - 2, size_y - 2, size_z - 2), rng)
        if blocks.max() >= num_kinds:
            raise ValueError(f"is made of {NAMES[blocks.max()]}, which is not among this game's {num_kinds} kinds.")
    except ValueError as error:
        raise ValueError(f"The house {path} {error}") from error
    world = np.full(shape, AIR, np.int8)
    world[:, 0], world[:, 1] = BEDROCK, DIRT
    world[1:-1, 1:-1, 1:-1] = blocks
    return world


class CraftAssistHouses(eqx.Module):
    """Houses that people built, drawn with equal chances: a source of goals for the building game."""

    houses: Int8[Array, "N X Y Z"]
    rejected: tuple[str, ...] = eqx.field(static=True)
    """Why each of the other houses of the folder was left out, a sentence each."""

    def __init__(self, folder: Path, shape: Sizes, num_kinds: int = len(NAMES), seed: int = 0):
        paths = sorted(folder.glob("*/schematic.npy"))
        if not paths:
            raise ValueError(f"{folder} holds no houses: there is no folder in it with a schematic.npy.")
        rng = np.random.default_rng(seed)
        houses, rejected = [], []
        for path in paths:
            try:
                houses.append(load_house(path, shape, rng, num_kinds))
            except ValueError as error:
                rejected.append(str(error))
        if not houses:
            raise ValueError(f"None of the {len(paths)} houses in {folder} can be used. {rejected[0]}")
        self.houses = jnp.asarray(np.stack(houses))
        self.rejected = tuple(rejected)

    def sample(self, key: Key[Array, ""]) -> House:
        """Draw a house."""
        return self.houses[jax.random.randint(key, (), 0, self.houses.shape[0])]

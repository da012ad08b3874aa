"""Do built houses load as MBAG loads them? Each step on cases worked by hand, or against another way to compute it."""

import itertools
import json
from collections import Counter
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

from tacit.games.building import transforms
from tacit.games.building.blocks import NAMES
from tacit.games.building.craftassist import KINDS, UNKNOWN, CraftAssistHouses, load_house, read_schematic, to_kinds
from tacit.games.building.transforms import AUTO, PATH

SHARED = Path(__file__).parents[3] / "shared" / "data" / "craftassist"
needs_data = pytest.mark.skipif(not SHARED.exists(), reason="../shared/data/craftassist is not there")
OAK, STONE, GRASS, GLASS, BRICK = 5, 1, 2, 20, 98
PLANKS = NAMES.index("planks")


def rng() -> np.random.Generator:
    return np.random.default_rng()


def layers(*pictures: str) -> np.ndarray:
    """Blocks from pictures of the layers from the bottom up; rows are x, columns z, a dot is air."""
    kinds = [[[0 if c == "." else int(c) for c in row] for row in picture.split()] for picture in pictures]
    return np.array(kinds, np.int16).transpose(1, 0, 2)


def box(x: int, y: int, z: int, block: int = OAK) -> np.ndarray:
    """A schematic of a hollow house with a door two high in the middle of its low-x wall."""
    schematic = np.zeros((y, x, z, 2), np.uint8)
    schematic[..., 0] = block
    schematic[1:-1, 1:-1, 1:-1, 0] = 0
    schematic[1:3, 0, z // 2, 0] = 0
    return schematic


def plot(house: np.ndarray, margin: int = 2) -> np.ndarray:
    """The house with air around."""
    return np.pad(house, ((0, margin), (margin, margin), (margin, margin), (0, 0)))


def save(folder: Path, schematic: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    np.save(folder / "schematic.npy", schematic)
    return folder / "schematic.npy"


@needs_data
def test_kinds_are_those_of_the_public_maps() -> None:
    names = json.loads((SHARED / "craftassist_block_map.json").read_text())
    limited = json.loads((SHARED / "limited_block_map.json").read_text())
    numbers = {name: kind for kind, name in enumerate(NAMES)} | {"auto": AUTO, "": UNKNOWN}
    for entry, name in names.items():
        block, data = map(int, entry.split(":"))
        assert KINDS[block, data] == (0 if name is None else numbers[limited[name[0]]]), entry
    listed = {int(entry.split(":")[0]) for entry in names}
    assert {block for block in range(256) if (KINDS[block] != UNKNOWN).any()} == listed


@pytest.mark.parametrize(
    ("block", "data", "name"), [(5, 2, "planks"), (44, 11, "planks"), (43, 4, "stonebrick"), (35, 15, "wool")]
)
def test_some_kinds(block: int, data: int, name: str) -> None:
    assert NAMES[KINDS[block, data]] == name


def test_axes_are_turned_and_full_layers_stripped() -> None:
    """The ground, without air, is taken off; the air above is not: the crop comes later."""
    schematic = np.zeros((3, 4, 5, 2), np.uint8)
    schematic[0, ..., 0] = GRASS
    schematic[1, 2, 3, 0] = OAK
    blocks = to_kinds(schematic)
    assert blocks.shape == (4, 2, 5)
    assert np.argwhere(blocks).tolist() == [[2, 0, 3]]
    assert blocks[2, 0, 3] == PLANKS


def test_a_solid_house_is_not_stripped() -> None:
    assert (to_kinds(np.full((4, 4, 4, 2), (OAK, 0), np.uint8)) == PLANKS).all()


def test_lamps_become_what_is_around_them() -> None:
    blocks = layers("662 600 000", "600 .00 000")
    blocks[1, 0, 1] = AUTO
    counts = Counter(blocks[blocks > 0].tolist())
    assert counts == {6: 4, 2: 1, AUTO: 1}
    assert transforms.fill_auto(blocks)[1, 0, 1] == 6
    tie = layers("6.7")
    tie[0, 0, 1] = AUTO
    assert transforms.fill_auto(tie).tolist() == [[[6, 7, 7]]]
    alone = np.full((1, 1, 1), AUTO, np.int16)
    assert transforms.fill_auto(alone).tolist() == [[[0]]]


def test_a_lamp_in_a_wall_becomes_wall(tmp_path: Path) -> None:
    house = box(6, 5, 5)
    house[3, 2, 0, 0] = 89
    assert set(np.unique(load_house(save(tmp_path / "a", plot(house)), (11, 10, 10), rng()))) == {0, 1, 2, PLANKS}


def test_the_largest_part_is_kept() -> None:
    """Two walls touch only through the ground and count as one; what hangs by a corner alone is another part."""
    blocks = layers("5...6 5...6", "5.... .....", "...77 .....", "..... ..777")
    kept = transforms.largest_part(blocks)
    assert (kept[:, :2] == blocks[:, :2]).all(), "five on the ground, and five above that hang together by edges"
    assert not kept[:, 2:].any()
    bigger = blocks.copy()
    bigger[0, 3, 2] = 7
    kept = transforms.largest_part(bigger)
    assert (kept[:, 2:] == bigger[:, 2:]).all()
    assert not kept[:, :2].any()
    with pytest.raises(ValueError, match="has no blocks"):
        transforms.largest_part(np.zeros((3, 3, 3), np.int16))


def test_crops() -> None:
    blocks = np.zeros((6, 7, 8), np.int16)
    blocks[1, 2, 3] = blocks[4, 4, 3] = 5
    assert transforms.crop_air(blocks).shape == (4, 3, 1)
    house = np.full((4, 5, 4), 6, np.int16)
    house[:, :2] = 0
    house[0, :2, 0] = 6
    assert transforms.crop_sparse_bottom(house).shape == (4, 3, 4), "one cell in sixteen is sparse"
    house[1, 0, :2] = 6
    assert transforms.crop_sparse_bottom(house).shape == (4, 5, 4), "three in sixteen are not"


def test_factors() -> None:
    assert transforms.stretch_factors((18, 8, 8), (9, 8, 8), 2) == (1.0, 1.5, 1.0)
    assert transforms.stretch_factors((9, 16, 8), (9, 8, 8), 2) == (1.5, 1.0, 1.5)
    assert transforms.stretch_factors((12, 8, 10), (9, 8, 8), 2) == (1.5, 2.0, 1.5)


def test_stretch_is_linear_interpolation() -> None:
    blocks = rng().choice(np.array([0, 0, 3, 6], np.int16), (4, 3, 5))
    got = transforms.stretch(blocks, (1.5, 2.0, 1.25))
    assert got.shape == (6, 6, 6)
    shares = []
    for kind in (0, 3, 6):
        share = (blocks == kind).astype(float)
        for axis in range(3):
            old, new = share.shape[axis], got.shape[axis]
            where = np.linspace(0, old - 1, new)
            share = np.apply_along_axis(
                lambda line, where=where, old=old: np.interp(where, range(old), line), axis, share
            )
        shares.append(share)
    best = np.sort(shares, axis=0)
    clear = best[-1] - best[-2] > 1e-6
    assert clear.any()
    assert (got == np.array([0, 3, 6])[np.argmax(shares, axis=0)])[clear].all()


def test_halve_takes_the_commonest_kind_of_each_cube() -> None:
    blocks = rng().choice(np.array([0, 0, 2, 5, 6, PATH], np.int16), (5, 4, 7), p=[0.4, 0.2, 0.15, 0.1, 0.1, 0.05])
    got = transforms.halve(blocks)
    assert got.shape == (3, 2, 4)
    for x, y, z in itertools.product(range(3), range(2), range(4)):
        cube = blocks[2 * x : 2 * x + 2, 2 * y : 2 * y + 2, 2 * z : 2 * z + 2]
        counts = Counter(cube[cube > 0].tolist())
        expected = PATH if PATH in counts else max(counts, key=lambda kind: (counts[kind], kind), default=0)
        assert got[x, y, z] == expected


def test_parts_of_a_picture() -> None:
    for bits in itertools.product([False, True], repeat=9):
        cells = {divmod(i, 3) for i, bit in enumerate(bits) if bit}
        parts = 0
        while cells:
            parts, stack = parts + 1, [cells.pop()]
            while stack:
                i, j = stack.pop()
                near = {(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)} & cells
                cells -= near
                stack.extend(near)
        assert transforms.num_parts(np.array(bits).reshape(3, 3).tobytes()) == parts


def test_a_path_leads_through_the_door_and_nowhere_else() -> None:
    blocks = np.asarray(KINDS)[box(7, 6, 7)[..., 0], 0].transpose(1, 0, 2)
    paths = transforms.find_paths(blocks)
    assert paths[0, 1, 3], "the path takes the door's lower cell"
    assert not paths[0, :, [0, 1, 2, 4, 5, 6]].any()
    assert not (paths & (blocks > 0)).any()
    inside = paths[1:-1, :, 1:-1]
    assert inside.any()
    assert inside.any(axis=1).sum() < 25, "a line, not the whole floor"
    closed = blocks.copy()
    closed[0, 1, 3] = PLANKS
    closed[0, 2, 3] = PLANKS
    assert not transforms.find_paths(closed)[1:-1, :4, 1:-1].any(), "a closed house has no paths in it"


def test_thinning_leaves_a_line() -> None:
    """A corridor two wide between open ends becomes one wide, and stays whole."""
    paths = np.zeros((12, 2, 6), bool)
    paths[:, 0, 2:4] = True
    thinned = transforms.thin(paths)
    assert (thinned[1:-1].sum(axis=(1, 2)) == 1).all()
    assert transforms.components(thinned[:, 0], transforms.FACES[1]).max() == 1


def test_paths_are_carved_two_high_with_a_floor() -> None:
    """A path at x = 0 and 1, then a step up at x = 2: there the ceiling over x = 1 must be three high."""
    blocks = np.full((4, 5, 1), 6, np.int16)
    blocks[0:2, 1, 0] = PATH
    blocks[2, 2, 0] = PATH
    blocks[2, 1, 0] = 0
    carved = transforms.carve_paths(blocks)[:, :, 0]
    assert carved.tolist() == [[6, 0, 0, 6, 6], [6, 0, 0, 0, 6], [6, 6, 0, 0, 6], [6, 6, 6, 6, 6]]
    low = np.full((2, 4, 1), 6, np.int16)
    low[0, 0, 0] = PATH
    assert transforms.carve_paths(low)[0, :, 0].tolist() == [6, 0, 0, 6], "never into the ground, which is filled again"


def test_houses_are_placed_at_random_on_dirt() -> None:
    blocks = np.full((2, 2, 3), 6, np.int16)
    blocks[0, 0, 0] = 0
    source, places = rng(), set()
    for _ in range(200):
        placed = transforms.place(blocks, (4, 3, 5), source)
        x, y, z = np.argwhere(placed).min(axis=0)
        assert y == 0
        places.add((int(x), int(z)))
        assert (placed[x : x + 2, :2, z : z + 3] == blocks).all()
    assert places == set(itertools.product(range(3), range(3)))
    ground = transforms.surround(placed)
    assert (ground[:, 0] == np.where(placed[:, 0] == 0, 2, placed[:, 0])).all()
    assert (ground[:, 1:] == placed[:, 1:]).all()


def test_houses_must_stand() -> None:
    by_an_edge, by_a_corner = layers("22 22", "3. ..", ".3 .."), layers("22 22", "3. ..", ".. .3")
    assert transforms.stands(by_an_edge)
    assert not transforms.stands(by_a_corner)


def reach(world: np.ndarray) -> set[tuple[int, int, int]]:
    """Where the feet of a body two high can get to, from a corner of the world."""
    seen, stack = set(), [(0, 2, 0)]
    while stack:
        x, y, z = cell = stack.pop()
        inside = 0 <= x < world.shape[0] and 0 <= y < world.shape[1] and 0 <= z < world.shape[2]
        if cell in seen or not inside or world[x, y : y + 2, z].any():
            continue
        seen.add(cell)
        stack += [(x + 1, y, z), (x - 1, y, z), (x, y + 1, z), (x, y - 1, z), (x, y, z + 1), (x, y, z - 1)]
    return seen


@pytest.mark.parametrize("shape", [(11, 10, 10), (8, 8, 8)])
@pytest.mark.parametrize("sizes", [(6, 5, 5), (12, 6, 11)])
def test_a_house_with_a_door_can_still_be_entered(
    tmp_path: Path, shape: tuple[int, int, int], sizes: tuple[int, int, int]
) -> None:
    world = load_house(save(tmp_path / "a", plot(box(*sizes))), shape, rng())
    assert world.shape == shape
    assert world.dtype == np.int8
    empty = np.zeros(shape, np.int8)
    empty[:, 0], empty[:, 1] = 1, 2
    differs = world != empty
    differs[1:-1, 1:-1, 1:-1] = False
    assert not differs.any()
    assert set(np.unique(world)) == {0, 1, 2, PLANKS}
    roofed = {(x, y, z) for x, y, z in reach(world) if y == 2 and world[x, y + 2 :, z].any()}
    assert len(roofed) > 3


def test_small_houses_are_taken_as_they_are(tmp_path: Path) -> None:
    house = box(6, 5, 5)
    world = load_house(save(tmp_path / "a", plot(house)), (11, 10, 10), rng())
    expected = np.asarray(KINDS)[house[..., 0], 0].transpose(1, 0, 2)
    (x, _, z), (x1, y1, z1) = np.argwhere(world == PLANKS).min(axis=0), np.argwhere(world == PLANKS).max(axis=0) + 1
    assert (x1 - x, y1, z1 - z) == (6, 6, 5)
    assert (world[x:x1, 1:y1, z:z1] == expected).all()


def floating() -> np.ndarray:
    """A house whose upper half keeps its hold only by corners."""
    schematic = np.zeros((6, 6, 6, 2), np.uint8)
    schematic[:3, :3, :3, 0] = OAK
    schematic[3:, 3:, 3:, 0] = OAK
    return schematic


@pytest.mark.parametrize(
    ("schematic", "sentence"),
    [
        (plot(box(4, 3, 5)), "is 4 x 3 x 5 cells, and the least is 4 x 4 x 4"),
        (plot(box(19, 6, 8)), "is 19 x 6 x 8 cells, and the most that can be shrunk is 18 x 16 x 16"),
        (plot(box(6, 6, 6, block=99)), "no kind in this game: Minecraft's id 99"),
        (plot(floating()), "the least is 4 x 4 x 4"),
        (np.zeros((5, 5, 5, 2), np.uint8), "has no blocks"),
    ],
)
def test_houses_that_cannot_be_used_say_why(tmp_path: Path, schematic: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^The house .*{sentence}"):
        load_house(save(tmp_path / "a", schematic), (11, 10, 10), rng())


def test_kinds_that_the_game_lacks_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a", plot(box(6, 5, 5, block=BRICK)))
    load_house(path, (8, 8, 8), rng(), num_kinds=9)
    with pytest.raises(ValueError, match="is made of stonebrick, which is not among this game's 8 kinds"):
        load_house(path, (8, 8, 8), rng(), num_kinds=8)


def test_files_that_are_no_houses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no file"):
        read_schematic(tmp_path / "schematic.npy")
    (tmp_path / "schematic.npy").write_text("not an array")
    with pytest.raises(ValueError, match="cannot be read as a NumPy array"):
        read_schematic(tmp_path / "schematic.npy")
    np.save(tmp_path / "schematic.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read as a NumPy array"):
        read_schematic(tmp_path / "schematic.npy")
    for wrong, sentence in [
        (np.zeros((3, 3, 3, 2)), "uint8"),
        (np.zeros((3, 3, 3), np.uint8), "has the shape"),
        (np.zeros((0, 3, 3, 2), np.uint8), "has the shape"),
    ]:
        np.save(tmp_path / "schematic.npy", wrong)
        with pytest.raises(ValueError, match=sentence):
            read_schematic(tmp_path / "schematic.npy")


def test_a_folder_of_houses(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no houses"):
        CraftAssistHouses(tmp_path, (11, 10, 10))
    save(tmp_path / "bad", plot(box(3, 3, 3)))
    with pytest.raises(ValueError, match=r"None of the 1 houses in .* The house .* is 3 x 3 x 3 cells"):
        CraftAssistHouses(tmp_path, (11, 10, 10))
    save(tmp_path / "brick", plot(box(6, 5, 6, block=BRICK)))
    save(tmp_path / "oak", plot(box(7, 6, 6)))
    source = CraftAssistHouses(tmp_path, (11, 10, 10))
    assert source.houses.shape == (2, 11, 10, 10)
    assert len(source.rejected) == 1
    keys = jax.random.split(jax.random.key(np.random.default_rng().integers(2**31)), 400)
    drawn = np.asarray(eqx.filter_jit(lambda source, keys: jax.vmap(source.sample)(keys))(source, keys))
    is_oak = (drawn == PLANKS).any(axis=(1, 2, 3))
    assert 140 < is_oak.sum() < 260
    assert (drawn[is_oak] == np.asarray(source.houses[1])).all()
    assert (drawn[~is_oak] == np.asarray(source.houses[0])).all()


@needs_data
def test_the_real_house() -> None:
    """A house of stone bricks and stained glass, 13 x 6 x 14, with an open door and a paved way to it."""
    world = load_house(SHARED / "house_1" / "schematic.npy", (11, 10, 10), rng())
    counts = np.bincount(world.ravel(), minlength=10)
    assert counts[NAMES.index("stonebrick")] > 60
    assert counts[NAMES.index("glass")] >= 4
    assert any(y == 2 and world[x, y + 2 :, z].any() for x, y, z in reach(world)), "one can go in"
    with pytest.raises(ValueError, match="is 13 x 6 x 14 cells"):
        load_house(SHARED / "house_1" / "schematic.npy", (8, 8, 8), rng())

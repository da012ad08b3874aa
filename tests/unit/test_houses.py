"""Are generated houses sound: do they stand, can they be built and entered, are train and test apart?

The checks are NumPy and plain Python, written apart from the generator. Plans are drawn twice: from the prior, and with
every field uniform over its values, so that rare combinations are met too.
"""

from collections import deque
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.games.building.houses import HouseGenerator, is_test
from tacit.games.building.plans import EAVES, HIP, NUM_FIELDS, Plan, describe, mix, weights

SIZES = [((8, 8, 8), 8), ((11, 10, 10), 10)]
NEIGHBOURS = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]


class Drawn(NamedTuple):
    generator: HouseGenerator
    """Of the test split, which draws nothing here: it tells plans apart."""
    empty: np.ndarray
    plans: Plan
    houses: np.ndarray
    wild: np.ndarray
    """Houses whose plans are uniform over the values of each field."""


@eqx.filter_jit
def draw_plans(generator: HouseGenerator, keys: jax.Array) -> Plan:
    return jax.vmap(generator.sample_plan)(keys)


@eqx.filter_jit
def build(generator: HouseGenerator, plans: Plan) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The houses, which plans belong to the split, and which houses are for testing, by their blocks alone."""
    houses = jax.vmap(generator.build)(plans)
    return houses, jax.vmap(generator.in_split)(plans), jax.vmap(is_test)(houses)


def fresh_keys(num: int = 4000) -> jax.Array:
    return jax.random.split(jax.random.key(np.random.default_rng().integers(2**31)), num)


@pytest.fixture(scope="module", params=SIZES, ids=["small", "paper"])
def drawn(request: pytest.FixtureRequest) -> Drawn:
    shape, num_kinds = request.param
    generator, everything = HouseGenerator(shape, num_kinds, "test"), HouseGenerator(shape, num_kinds, "all")
    level = jnp.where(jnp.isfinite(everything.log_prior), 0.0, -jnp.inf)
    plans = draw_plans(everything, fresh_keys())
    wild = draw_plans(eqx.tree_at(lambda g: g.log_prior, everything, level), fresh_keys())
    empty = np.zeros(shape, np.int8)
    empty[:, 0], empty[:, 1] = 1, 2
    houses = [np.asarray(build(generator, some)[0]) for some in (plans, wild)]
    return Drawn(generator, empty, plans, houses[0], houses[1])


def edits(houses: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Places and breaks from the empty world."""
    return np.where(houses == empty, 0, np.where((houses > 0) & (empty > 0), 2, 1)).sum((1, 2, 3))


def shifted(cells: np.ndarray, step: tuple[int, int, int]) -> np.ndarray:
    """The value at each cell's neighbour; false outside. Works on a batch of worlds."""
    padded = np.pad(cells, [(0, 0), (1, 1), (1, 1), (1, 1)])
    _, x, y, z = cells.shape
    dx, dy, dz = step
    return padded[:, 1 + dx : 1 + dx + x, 1 + dy : 1 + dy + y, 1 + dz : 1 + dz + z]


def flood(start: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """All cells that can be reached from `start` through `allowed`, stepping between neighbours."""
    reached = start & allowed
    while True:
        grown = reached.copy()
        for step in NEIGHBOURS:
            grown |= shifted(reached, step)
        grown &= allowed
        if (grown == reached).all():
            return reached
        reached = grown


def visited(blocks: np.ndarray) -> np.ndarray:
    """The cells that some body, feet or head, can come to occupy, starting in the corner of the world."""
    air = blocks == 0
    above = np.concatenate([air[:, :, 1:], np.ones_like(air[:, :, :1])], axis=2)
    feet = air & above
    start = np.zeros_like(air)
    start[:, 0, 2, 0] = True
    feet = flood(start, feet)
    heads = np.concatenate([np.zeros_like(feet[:, :, :1]), feet[:, :, :-1]], axis=2)
    return feet | heads


def test_flood_agrees_with_a_queue() -> None:
    rng = np.random.default_rng()
    allowed = rng.random((1, 5, 6, 4)) < 0.6
    start = np.zeros_like(allowed)
    start[0, 0, 2, 0] = allowed[0, 0, 2, 0] = True
    seen, queue = {(0, 2, 0)}, deque([(0, 2, 0)])
    while queue:
        cell = queue.popleft()
        for step in NEIGHBOURS:
            there = tuple(c + s for c, s in zip(cell, step, strict=True))
            if (
                all(0 <= c < n for c, n in zip(there, (5, 6, 4), strict=True))
                and there not in seen
                and allowed[0][there]
            ):
                seen.add(there)
                queue.append(there)
    assert {tuple(map(int, c)) for c in np.argwhere(flood(start, allowed)[0])} == seen


@pytest.mark.parametrize("source", ["houses", "wild"])
def test_houses_keep_inside_and_stand_and_can_be_entered(drawn: Drawn, source: str) -> None:
    houses = drawn.houses if source == "houses" else drawn.wild
    differs = houses != drawn.empty
    assert differs.any((1, 2, 3)).all()
    border = differs.copy()
    border[:, 1:-1, 1:-1, 1:-1] = False
    assert not border.any(), "the outer ring, the bedrock and the top layer stay as they are"
    assert houses.min() == 0
    assert houses.max() < drawn.generator.num_kinds
    assert ((houses == 1) == (drawn.empty == 1)).all(), "bedrock is only at the bottom"
    assert (houses[:, :, 1] >= 2).all(), "the ground has no holes"

    solid = houses > 0
    ground = np.zeros_like(solid)
    ground[:, :, 0] = True
    assert (flood(ground, solid) == solid).all(), "nothing floats"

    free = visited(houses)
    near = free.copy()
    for step in NEIGHBOURS:
        near |= shifted(free, step)
    assert (near | solid)[:, :, 2:].all(), "every gap is within reach"
    unreachable = ~near & solid
    assert not unreachable[:, :, 2:].any(), "every block above the ground can be reached"
    holes = ~solid & ~free
    for step in NEIGHBOURS:
        assert not (holes & shifted(holes, step) & (step[1] != 0)).any(), "only single windows are too small for a body"


@pytest.mark.parametrize("source", ["houses", "wild"])
def test_houses_can_be_built_layer_by_layer(drawn: Drawn, source: str) -> None:
    houses = drawn.houses if source == "houses" else drawn.wild
    solid = houses > 0
    for y in range(2, houses.shape[2] - 1):
        below = solid.copy()
        below[:, :, y:] = False
        layer = solid & (np.arange(houses.shape[2])[:, None] == y)
        rests = layer & shifted(below, (0, -1, 0))
        assert (flood(rests, layer) == layer).all(), f"every block of layer {y} has a neighbour to be placed against"


@pytest.mark.parametrize("source", ["houses", "wild"])
def test_houses_have_rooms(drawn: Drawn, source: str) -> None:
    """There is a place under a roof where a body fits and that a walk at ground level reaches."""
    houses = drawn.houses if source == "houses" else drawn.wild
    free = visited(houses)
    roofed = np.cumsum((houses > 0)[:, :, ::-1], axis=2)[:, :, ::-1] > 0
    room = free & roofed
    assert (room[:, :, 2] & room[:, :, 3]).any((1, 2)).all()


def test_sizes_vary_more_than_tenfold(drawn: Drawn) -> None:
    everything = HouseGenerator(drawn.generator.shape, drawn.generator.num_kinds, "all")
    more = [np.asarray(build(drawn.generator, draw_plans(everything, fresh_keys()))[0]) for _ in range(4)]
    cost = edits(np.concatenate([drawn.houses, *more]), drawn.empty)
    assert cost.max() >= 10 * cost.min()
    if drawn.generator.shape == (8, 8, 8):
        assert 58 < cost.mean() < 72


def test_draws_follow_the_table(drawn: Drawn) -> None:
    table = weights(drawn.generator.shape, drawn.generator.num_kinds)
    for field, values in drawn.plans._asdict().items():
        expected = np.array(table[field]) / sum(table[field])
        counts = np.bincount(np.asarray(values), minlength=len(expected))
        assert len(counts) == len(expected), field
        error = np.abs(counts / 4000 - expected)
        assert (error <= 5 * np.sqrt(expected * (1 - expected) / 4000) + 1e-9).all(), field


def canonical(house: np.ndarray) -> bytes:
    """The house moved to the corner, as bytes: equal for houses that coincide up to a translation."""
    empty = np.zeros_like(house)
    empty[:, 0], empty[:, 1] = 1, 2
    x, _, z = np.nonzero(house != empty)
    part = house[x.min() : x.max() + 1, 1:, z.min() : z.max() + 1]
    return np.array(part.shape, np.int64).tobytes() + part.tobytes()


def test_equal_houses_are_in_the_same_split(drawn: Drawn) -> None:
    """Few materials and many plans, so that many houses coincide up to a translation."""
    plain = {"wall_kind": 6, "corner_kind": 0, "plinth_kind": 0, "window_kind": 0, "floor_kind": 0, "windows": 0}
    plain |= {"side": 0, "door": 1, "height": 0, "chimney_kind": 0}
    plans = drawn.plans._replace(**{field: jnp.full(4000, value, jnp.int32) for field, value in plain.items()})
    plans = plans._replace(roof_kind=6 + plans.roof_kind % 2)
    houses, by_plan, by_blocks = map(np.asarray, build(drawn.generator, plans))
    assert (by_plan == by_blocks).all(), "the rule can be read off the blocks"
    verdicts: dict[bytes, set[bool]] = {}
    for house, testing in zip(houses, by_plan, strict=True):
        verdicts.setdefault(canonical(house), set()).add(bool(testing))
    assert len(verdicts) < 3900
    assert all(len(verdict) == 1 for verdict in verdicts.values())


def test_train_and_test_houses_never_coincide(drawn: Drawn) -> None:
    shape, num_kinds = drawn.generator.shape, drawn.generator.num_kinds
    houses, by_plan, by_blocks = map(np.asarray, build(drawn.generator, drawn.plans))
    assert (by_plan == by_blocks).all(), "the rule can be read off the blocks"
    assert 0.1 < by_plan.mean() < 0.3
    found = {split: {canonical(house) for house in houses[by_plan == (split == "test")]} for split in ("train", "test")}
    if shape == (8, 8, 8):
        for split, seen in found.items():
            houses, _, testing = build(
                drawn.generator, draw_plans(HouseGenerator(shape, num_kinds, split), fresh_keys())
            )
            assert (np.asarray(testing) == (split == "test")).all()
            seen |= {canonical(house) for house in np.asarray(houses)}
    assert not found["train"] & found["test"]


def test_the_split_does_not_depend_on_the_place(drawn: Drawn) -> None:
    # Eaves are left out: beside the world's edge they are cut off, which makes it another house.
    plans = drawn.plans._replace(roof=jnp.where(drawn.plans.roof == EAVES, HIP, drawn.plans.roof))
    roll = jax.random.permutation(jax.random.key(np.random.default_rng().integers(2**31)), 4000)
    moved = plans._replace(place_x=plans.place_x[roll], place_z=plans.place_z[roll])
    here, there = np.asarray(build(drawn.generator, plans)[1]), np.asarray(build(drawn.generator, moved)[1])
    assert (here == there).all()
    reroofed = plans._replace(roof_kind=jnp.where(plans.roof_kind == 6, 7, 6))
    assert (here != np.asarray(build(drawn.generator, reroofed)[1])).mean() > 0.1, "but it does depend on the roof"


def test_mix_keeps_some_fields_and_redraws_the_rest(drawn: Drawn) -> None:
    old = Plan(*(jnp.int32(i) for i in range(NUM_FIELDS)))
    fresh = Plan(*(jnp.int32(100 + i) for i in range(NUM_FIELDS)))
    keep = np.random.default_rng().random(NUM_FIELDS) < 0.5
    mixed = [int(value) for value in mix(old, fresh, jnp.asarray(keep))]
    assert mixed == [i if kept else 100 + i for i, kept in enumerate(keep)]


def test_a_hand_drawn_house() -> None:
    """A 3 by 4 hut of planks with corners of log, a flat roof of stone and a door in the middle of its -x wall."""
    generator = HouseGenerator((8, 8, 8), 8, "all")
    chosen = {"depth": 1, "side": 1, "wall_kind": 6, "corner_kind": 5, "roof_kind": 7, "floor_kind": 3}
    plan = Plan(*(jnp.int32(chosen.get(field, 0)) for field in Plan._fields))
    pictures = {1: ("....", ".33.", "...."), 2: ("5665", "6..6", "5665"), 3: ("5665", "6..6", "5665"), 4: ("7777",) * 3}
    expected = np.zeros((8, 8, 8), np.int8)
    expected[:, 0], expected[:, 1] = 1, 2
    for y, rows in pictures.items():
        for x, row in enumerate(rows):
            for z, letter in enumerate(row):
                if letter != ".":
                    expected[1 + x, y, 1 + z] = int(letter)
    expected[1, 2:4, 2] = 0
    house = np.asarray(build(generator, jax.tree.map(lambda value: value[None], plan))[0][0])
    assert (house == expected).all(), np.argwhere(house != expected)
    assert describe(plan).startswith("a rectangular house of planks, 3 by 4, with a flat roof of stone")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (((5, 8, 8), 8, "train"), "at least 6 x 8 x 6"),
        (((8, 8, 8), 11, "train"), "from 8 to 10 kinds"),
        (((8, 8, 8), 8, "dev"), "no split 'dev'"),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        HouseGenerator(*arguments)

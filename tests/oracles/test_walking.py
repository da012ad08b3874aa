"""Distance fields against a breadth-first and a Dijkstra search written in plain Python."""

import heapq
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.games.building import walking
from tacit.games.building.actions import DIRECTIONS

SHAPE = (6, 5, 4)
REACH = 2.5


@jax.jit
def fields(blocks, feet, other):
    ways = walking.walk(walking.walk_cost(blocks, other), feet)
    digs = walking.walk(walking.dig_cost(blocks, other), feet)
    return (
        walking.standable(blocks, other),
        ways,
        digs,
        walking.within_reach(ways, REACH),
        walking.in_sight(ways, blocks, other),
    )


def random_world(seed=None):
    seed = np.random.default_rng().integers(10**6) if seed is None else seed
    print(f"seed {seed}")  # shown when a test fails
    rng = np.random.default_rng(seed)
    blocks = rng.choice([0, 2, 3], size=SHAPE, p=[0.75, 0.15, 0.1]).astype(np.int8)
    blocks[:, 0] = 1
    places = [c for c in np.ndindex(SHAPE) if all(blocks_at(blocks, c, up) == 0 for up in (0, 1))]
    feet, other = (np.array(places[i]) for i in rng.choice(len(places), 2, replace=False))
    if seed % 3 == 0:
        other = np.full(3, -10)  # nobody there
    return blocks, feet.astype(np.int32), other.astype(np.int32)


def blocks_at(blocks, cell, up=0):
    x, y, z = cell
    return 0 if y + up >= SHAPE[1] else int(blocks[x, y + up, z])


def enter_cost(blocks, other, cell, dig):
    if tuple(cell[::2]) == tuple(other[::2]) and abs(int(cell[1]) - int(other[1])) <= 1:
        return None
    held = [blocks_at(blocks, cell, up) for up in (0, 1)]
    if 1 in held or (not dig and any(held)):
        return None
    return 1 + walking.DIG * sum(kind != 0 for kind in held)


def dijkstra(blocks, feet, other, dig, start=None):
    begin = tuple(int(v) for v in feet) if start is None else start
    distance, queue = {begin: 0}, [(0, begin)]
    while queue:
        so_far, cell = heapq.heappop(queue)
        if so_far > distance[cell]:
            continue
        for step in DIRECTIONS:
            new = tuple(a + b for a, b in zip(cell, step, strict=True))
            if not all(0 <= v < size for v, size in zip(new, SHAPE, strict=True)):
                continue
            price = enter_cost(blocks, other, new, dig)
            if price is not None and so_far + price < distance.get(new, 1 << 30):
                distance[new] = so_far + price
                heapq.heappush(queue, (distance[new], new))
    return distance


@pytest.mark.parametrize("world", range(4))
def test_distances_and_first_moves(world):
    del world
    blocks, feet, other = random_world()
    stand, ways, digs, _, _ = fields(blocks, feet, other)
    for cell in np.ndindex(SHAPE):
        assert bool(stand[cell]) == (enter_cost(blocks, other, cell, False) is not None)
    for found, dig in ((ways, False), (digs, True)):
        exact = dijkstra(blocks, feet, other, dig)
        assert all(int(found.distance[cell]) == steps for cell, steps in exact.items())
        far = np.asarray(found.distance) >= walking.UNREACHABLE
        assert {tuple(c) for c in np.argwhere(~far)} == set(exact)
        # The first move lies on a cheapest way: from its end the rest costs what is left.
        for move, step in enumerate(DIRECTIONS):
            new = tuple(int(a) + b for a, b in zip(feet, step, strict=True))
            mine = [cell for cell in exact if int(found.move[cell]) == move]
            if mine:
                rest = dijkstra(blocks, feet, other, dig, start=new)
                price = enter_cost(blocks, other, new, dig)
                assert all(price + rest[cell] == exact[cell] for cell in mine)
        assert int(found.move[tuple(feet)]) == walking.STAY


@pytest.mark.parametrize("world", range(5))
def test_approaches(world):
    del world
    blocks, feet, other = random_world()
    _, ways, _, hope, sure = fields(blocks, feet, other)
    steps = dijkstra(blocks, feet, other, False)
    for target in np.ndindex(SHAPE):
        within, sighted = [], []
        for cell, distance in steps.items():
            gap = np.array(target) - np.array(cell)
            if tuple(gap) in {(0, 0, 0), (0, 1, 0)}:
                continue
            if gap[0] ** 2 + (gap[1] - 1) ** 2 + gap[2] ** 2 <= REACH**2:
                within.append((distance, int(ways.move[cell])))
            flat = abs(gap[0]) + abs(gap[2])
            above = (target[0], target[1] + 1, target[2])
            covered = above in {tuple(other), (other[0], other[1] + 1, other[2])} and above[1] < SHAPE[1]
            hidden = blocks_at(blocks, target) == 0 and (blocks_at(blocks, target, 1) != 0 or covered)
            if (flat == 0 and gap[1] in (2, -1)) or (flat == 1 and (gap[1] == 1 or (gap[1] == 0 and not hidden))):
                sighted.append((distance, int(ways.move[cell])))
        for found, exact in ((hope, within), (sure, sighted)):
            if exact:
                assert (int(found.distance[target]), int(found.move[target])) == min(exact)
            else:
                assert int(found.distance[target]) >= walking.UNREACHABLE


def test_batches_as_one():
    worlds = [random_world(seed) for seed in range(5)]
    batch = [jnp.stack([jnp.asarray(world[i]) for world in worlds]) for i in range(3)]
    together = jax.vmap(fields)(*batch)
    for i, world in enumerate(worlds):
        alone = fields(*world)
        for one, all_ in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_array_equal(one, all_[i])


def test_shift_is_a_translation():
    grid = jnp.arange(24).reshape(2, 3, 4)
    for offset in itertools.product((-2, -1, 0, 1, 2), repeat=3):
        moved = np.asarray(walking.shift(grid, offset, -1))
        for cell in np.ndindex(grid.shape):
            origin = tuple(c - o for c, o in zip(cell, offset, strict=True))
            inside = all(0 <= v < size for v, size in zip(origin, grid.shape, strict=True))
            assert moved[cell] == (int(grid[origin]) if inside else -1)

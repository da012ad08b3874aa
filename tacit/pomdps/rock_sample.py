"""RockSample(n, k): a rover on an n by n grid checks k rocks from afar and samples those that look good.

Smith and Simmons 2004, "Heuristic search value iteration for POMDPs", section 5. States: the rover's cell (x from the
west, y from the south) and which rocks are good, n² 2ᵏ of them, and one more for having left by the east edge.
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from tacit.arrays import Pomdp, pomdp

MAPS = {
    (4, 4): ((3, 1), (2, 1), (1, 3), (1, 0)),
    (5, 5): ((2, 4), (0, 4), (3, 3), (2, 2), (4, 1)),
    (5, 7): ((1, 0), (2, 1), (1, 2), (2, 2), (4, 2), (0, 3), (3, 4)),
    (7, 8): ((2, 0), (0, 1), (3, 1), (6, 3), (2, 4), (3, 4), (5, 5), (1, 6)),
    (11, 11): ((0, 3), (0, 7), (1, 8), (2, 4), (3, 3), (3, 8), (4, 3), (5, 8), (6, 1), (9, 3), (9, 9)),
}
"""The rocks (x, y) of the published instances, as the solvers that report values for them have it."""

SHORT_SIGHTED, FAR_SIGHTED = 4.0, 20.0
"""Distances at which the sensor has lost half: of the published 4x4 and 5x5 instances with k = n, and of all others.

With 20 throughout the values of RockSample(4, 4) and (5, 5) would be 19.0 and above 20.3; published are 18.0 and 19.2.
"""

GOOD, BAD, EXIT = 10.0, -10.0, 10.0
"""What sampling a good rock, sampling a bad one and leaving pay."""

MOST_STATES = 1_000_000

NONE, SEEN_GOOD, SEEN_BAD = range(3)


def make(
    n: int = 4,
    k: int = 4,
    rocks: Sequence[tuple[int, int]] | None = None,
    half_distance: float | None = None,
    discount: float = 0.95,
    seed: int = 0,
) -> Pomdp:
    """The rover starts in the middle of the west edge and every rock is good with probability 1/2.

    A check from distance d is right with probability (1 + 2^(-d / half_distance)) / 2; by default as
    published. A good rock turns bad when sampled. Rocks lie at `rocks`, else as in MAPS, else at random by `seed`.
    """
    if n < 1 or not 0 <= k <= n * n:
        raise ValueError(f"RockSample({n}, {k}) does not exist: {k} rocks do not fit on {n} x {n} cells.")
    if n * n << k >= MOST_STATES:
        raise ValueError(f"RockSample({n}, {k}) has {(n * n << k) + 1} states; at most {MOST_STATES} can be held.")
    half_distance = sensor_range(n, k, rocks, half_distance)
    places = np.array(rock_cells(n, k, rocks, seed), np.int64).reshape(k, 2)
    worlds = 1 << k
    count = n * n * worlds + 1
    cell, world = np.divmod(np.arange(count - 1), worlds)
    x, y = cell % n, cell // n
    end = count - 1
    moves, rewards = [], np.zeros((count, 5 + k))
    for action, (right, up) in enumerate(((0, 1), (0, -1), (1, 0), (-1, 0))):
        to = np.clip(y + up, 0, n - 1) * n + np.clip(x + right, 0, n - 1)
        moves.append(np.where(x + right == n, end, to * worlds + world))
        rewards[:end, action] = EXIT * (x + right == n)
    rock = np.full(n * n, k)
    rock[places[:, 1] * n + places[:, 0]] = np.arange(k)
    here = rock[cell]
    good = (world >> here & 1).astype(bool)
    moves.append(np.arange(end) - np.where(good, 1 << here, 0))
    rewards[:end, 4] = np.where(here < k, np.where(good, GOOD, BAD), 0.0)
    transitions = [_certain(np.append(to, end), count) for to in moves] + [_certain(np.arange(count), count)] * k
    nothing = _certain(np.full(count, NONE), 3)
    observations = [nothing] * 5
    for index, (rock_x, rock_y) in enumerate(places):
        distance = np.hypot(x - rock_x, y - rock_y)
        right = 0.5 * (1.0 + 2.0 ** (-distance / half_distance))
        seen = np.where(world >> index & 1, right, 1.0 - right)
        sight = np.zeros((count, 3))
        sight[:end, SEEN_GOOD], sight[:end, SEEN_BAD], sight[end, NONE] = seen, 1.0 - seen, 1.0
        observations.append(sparse.csr_array(sight))
    initial = np.zeros(count)
    initial[n // 2 * n * worlds :][:worlds] = 1.0 / worlds
    return pomdp(
        transitions,
        observations,
        rewards,
        initial,
        discount,
        state_names=_state_names(n, k),
        action_names=("north", "south", "east", "west", "sample", *(f"check-{index}" for index in range(k))),
        observation_names=("none", "good", "bad"),
    )


def sensor_range(n: int, k: int, rocks: Sequence[tuple[int, int]] | None, half_distance: float | None) -> float:
    """The distance at which the sensor has lost half: as given, or as published."""
    if half_distance is None:
        return SHORT_SIGHTED if rocks is None and (n, k) in ((4, 4), (5, 5)) else FAR_SIGHTED
    if not half_distance > 0:
        raise ValueError(f"half_distance is {half_distance}; it must be above 0.")
    return half_distance


def rock_cells(n: int, k: int, rocks: Sequence[tuple[int, int]] | None, seed: int) -> Sequence[tuple[int, int]]:
    """Where the rocks lie."""
    if rocks is None and (n, k) in MAPS:
        return MAPS[n, k]
    if rocks is None:
        cells = np.random.default_rng(seed).permutation(n * n)[:k]
        return [(int(cell % n), int(cell // n)) for cell in cells]
    if len(rocks) != k or len(set(rocks)) != k:
        raise ValueError(f"rocks lists {len(set(rocks))} different cells; there are {k} rocks.")
    for index, (x, y) in enumerate(rocks):
        if not (0 <= x < n and 0 <= y < n):
            raise ValueError(f"rocks[{index}] is {(x, y)}; coordinates go from 0 to {n - 1}.")
    return rocks


def _certain(to: np.ndarray, columns: int) -> sparse.csr_array:
    """The matrix in which row i leads to to[i]."""
    return sparse.csr_array((np.ones(len(to)), to, np.arange(len(to) + 1)), shape=(len(to), columns))


def _state_names(n: int, k: int) -> list[str]:
    """x, y and a letter for each rock: g for good and b for bad."""
    worlds = ["".join("bg"[world >> index & 1] for index in range(k)) for world in range(1 << k)]
    return [f"x{x}y{y}{'-' * bool(k)}{world}" for y in range(n) for x in range(n) for world in worlds] + ["left"]

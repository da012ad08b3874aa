"""The 4x3 maze with one good and one bad corner, of which only the walls to the left and right are felt.

Parr and Russell 1995, section 5; a file of Cassandra's collection (4x3.95).
"""

import numpy as np

from tacit.arrays import Pomdp, pomdp

CELLS = ((0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3))
"""Rows from the top and columns of the states; (1, 1) is a wall."""

GOOD, BAD = 3, 6
"""The states that pay and from which every action leads anywhere else."""

MOVES = {"n": (-1, 0), "s": (1, 0), "e": (0, 1), "w": (0, -1)}
SIGHTS = ("left", "right", "neither", "both", "good", "bad")


def make(step: float = -0.04, good: float = 1.0, bad: float = -1.0, discount: float = 0.95) -> Pomdp:
    """A move goes where it should with probability 0.8 and to either side with 0.1; `step` is what other cells pay."""
    place = {cell: index for index, cell in enumerate(CELLS)}
    count = len(CELLS)
    others = np.ones(count)
    others[[GOOD, BAD]] = 0.0
    others /= others.sum()
    slides = np.zeros((len(MOVES), count, count))
    for slide, (down, right) in zip(slides, MOVES.values(), strict=True):
        for (row, column), state in place.items():
            slide[state, place.get((row + down, column + right), state)] = 1.0
    sides = np.array([slides[2:].sum(0)] * 2 + [slides[:2].sum(0)] * 2)
    transitions = 0.8 * slides + 0.1 * sides
    transitions[:, [GOOD, BAD]] = others
    sights = np.zeros((count, len(SIGHTS)))
    for (row, column), state in place.items():
        walls = ((row, column - 1) not in place, (row, column + 1) not in place)
        felt = {(True, False): "left", (False, True): "right", (False, False): "neither", (True, True): "both"}[walls]
        sights[state, SIGHTS.index({GOOD: "good", BAD: "bad"}.get(state, felt))] = 1.0
    rewards = np.full((count, len(MOVES)), step)
    rewards[GOOD], rewards[BAD] = good, bad
    return pomdp(
        transitions,
        np.stack([sights] * len(MOVES)),
        rewards,
        others,
        discount,
        action_names=tuple(MOVES),
        observation_names=SIGHTS,
    )

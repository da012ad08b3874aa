"""Two boxes, two items, and only the human sees which box holds which: how is a hidden state known from what people do?

Each turn either player may open a box and gets what is in it: the item that the human wants is worth 1, the other one
costs 1, and opening costs the human an effort. The boxes refill, and sometimes the items change places, which the human
sees and the assistant does not. The assistant sees what is in the box that it opened. So where the human reaches tells
of theta and of the place together, and what the assistant finds tells of the place alone.
"""

import itertools

import numpy as np

from tacit.games.tabular import TabularGame

PASS, LEFT, RIGHT = 0, 1, 2
"""Both players' actions: pass, or open a box."""

RED, BLUE = 0, 1
"""The items; theta is the one that the human wants."""

NOTHING = 0
"""What the assistant found last turn: nothing, or 1 + the item."""

STATES = tuple(itertools.product((RED, BLUE), (NOTHING, 1 + RED, 1 + BLUE)))
"""A state is the item in the left box and what the assistant found last turn."""


def make(swap: float = 0.1, effort: float = 0.25, horizon: int = 3) -> TabularGame:
    """The game in which the items change places with probability `swap` after every turn."""
    transitions = np.zeros((len(STATES), 3, 3, len(STATES)))
    rewards = np.zeros((2, len(STATES), 3, 3))
    for (state, (left, _)), human, assistant in itertools.product(enumerate(STATES), range(3), range(3)):
        inside = {LEFT: left, RIGHT: 1 - left}
        found = NOTHING if assistant == PASS else 1 + inside[assistant]
        transitions[state, human, assistant, STATES.index((left, found))] += 1.0 - swap
        transitions[state, human, assistant, STATES.index((1 - left, found))] += swap
        for theta, opened in itertools.product((RED, BLUE), (human, assistant)):
            if opened != PASS:
                rewards[theta, state, human, assistant] += 1.0 if inside[opened] == theta else -1.0
        rewards[:, state, human, assistant] -= effort * (human != PASS)
    start = np.array([0.5 * (found == NOTHING) for _, found in STATES])
    sees = [np.arange(len(STATES)), [found for _, found in STATES]]
    return TabularGame(transitions, rewards, prior=[0.5, 0.5], initial=start, horizon=horizon, sees=sees)

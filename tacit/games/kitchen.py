"""The worm in the apple: ask how to throw a wormy apple away, or wait to see whether there is a worm at all?

The assistant fetches an apple and bakes a pie. One apple in five has a worm and must first go to the compost or to the
trash; the human minds which (theta), and says so when asked. Asking costs a little, so it is worth asking only once
there is a worm: "relevance-aware active learning" in Shah et al. 2020, "Benefits of Assistance over Reward Learning".

A round is two turns: the assistant acts or asks, then the human answers or is quiet. A turn's discount is the square
root of the round's, so that what is earned r rounds from now weighs discount^r.
"""

import itertools

import numpy as np

from tacit.arrays import check_clock
from tacit.games.tabular import TabularGame

START, CLEAN, WORMY, COMPOSTED, TRASHED, PIE = range(6)
"""Places on the way to the pie."""

TO_ACT, QUIET, ASKED = range(3)
"""Whose turn it is: the assistant's; the human's, with nothing to say; the human's, who was asked."""

STATES = (*itertools.product((START, CLEAN, WORMY, COMPOSTED, TRASHED), (TO_ACT, QUIET, ASKED)), (PIE, QUIET))
"""A state is a place and whose turn it is. With the pie the game is over."""

PASS, GET_APPLE, TO_COMPOST, TO_TRASH, MAKE_PIE, QUERY = range(6)
"""The assistant's actions."""

NOTHING, COMPOST, TRASH = range(3)
"""The human's actions: say nothing, or where a wormy apple should go. Theta 0 wants compost, theta 1 trash."""

ACTION_NAMES = ("pass", "get-apple", "to-compost", "to-trash", "make-pie", "query")
ANSWER_NAMES = ("nothing", "compost", "trash")
STATE_NAMES = tuple(
    "pie"
    if place == PIE
    else ("start", "clean", "wormy", "composted", "trashed")[place] + ("", "-quiet", "-asked")[phase]
    for place, phase in STATES
)
"""For people to read."""

QUESTIONS = (QUERY,)
"""Which of the assistant's actions ask."""

PIE_WORTH, WRONG_BIN = 2.0, -2.0
"""What the human gets from a pie and from the wrong bin."""

MOVES = {
    (START, GET_APPLE): ((CLEAN, 0.8), (WORMY, 0.2)),
    (WORMY, TO_COMPOST): ((COMPOSTED, 1.0),),
    (WORMY, TO_TRASH): ((TRASHED, 1.0),),
    **{(place, MAKE_PIE): ((PIE, 1.0),) for place in (CLEAN, COMPOSTED, TRASHED)},
}
"""Where the assistant's action leads from a place, and how likely; it can do nothing else there but ask."""


def make(discount: float = 0.99, rounds: int = 4, query_cost: float = 0.1) -> TabularGame:
    """The kitchen with a `discount` and a horizon counted in rounds."""
    check_clock(rounds, discount)
    transitions = np.zeros((len(STATES), 3, 6, len(STATES)))
    rewards = np.zeros((2, len(STATES), 3, 6))
    legal = np.zeros((len(STATES), 6), bool)
    legal[:, PASS] = True
    for state, (place, phase) in enumerate(STATES):
        if phase != TO_ACT:
            over = place == PIE
            transitions[state, :, :, state if over else STATES.index((place, TO_ACT))] = 1.0
            continue
        legal[state, QUERY] = True
        transitions[state, :, QUERY, STATES.index((place, ASKED))] = 1.0
        rewards[:, state, :, QUERY] = -query_cost
        for action in range(QUERY):
            legal[state, action] |= (place, action) in MOVES
            for following, chance in MOVES.get((place, action), ((place, 1.0),)):
                transitions[state, :, action, STATES.index((following, QUIET))] = chance
                rewards[:, state, :, action] += PIE_WORTH * (following == PIE)
    wormy = STATES.index((WORMY, TO_ACT))
    rewards[COMPOST - 1, wormy, :, TO_TRASH] = rewards[TRASH - 1, wormy, :, TO_COMPOST] = WRONG_BIN
    return TabularGame(
        transitions,
        rewards,
        prior=[0.5, 0.5],
        initial=np.eye(len(STATES))[STATES.index((START, TO_ACT))],
        horizon=2 * rounds,
        discount=discount**0.5,
        legal_human=[[True, phase == ASKED, phase == ASKED] for _, phase in STATES],
        legal_assistant=legal,
        terminal=[place == PIE for place, _ in STATES],
    )

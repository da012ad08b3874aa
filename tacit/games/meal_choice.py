"""Apple pie or blueberry pie? Ask somebody who comes home later, and make the dough while waiting.

The assistant makes dough of flour, bakes one of two pies and serves it; the human wants one of them (theta; mostly
apple) and says which when asked, but is away for the first rounds. A question to an empty house costs as much and
nobody answers: "plans conditional on future feedback" in Shah et al. 2020, "Benefits of Assistance over Reward
Learning".

A round is two turns: the assistant acts or asks, then the human answers or is quiet. A turn's discount is the square
root of the round's, so that what is earned r rounds from now weighs discount^r.
"""

import itertools

import numpy as np

from tacit.arrays import check_clock
from tacit.games.tabular import TabularGame

FLOUR, DOUGH, APPLE_PIE, BLUEBERRY_PIE, SERVED = range(5)
"""What is on the table."""

TO_ACT, QUIET, ASKED = range(3)
"""Whose turn it is: the assistant's; the human's, with nothing to say; the human's, who is home and was asked."""

PASS, MAKE_DOUGH, BAKE_APPLE, BAKE_BLUEBERRY, SERVE, QUERY = range(6)
"""The assistant's actions."""

NOTHING, APPLE, BLUEBERRY = range(3)
"""The human's actions: say nothing, or which pie it should be. Theta 0 wants apple, theta 1 blueberry."""

ACTION_NAMES = ("pass", "make-dough", "bake-apple", "bake-blueberry", "serve", "query")
ANSWER_NAMES = ("nothing", "apple", "blueberry")
"""For people to read."""

QUESTIONS = (QUERY,)
"""Which of the assistant's actions ask."""

RIGHT_PIE, WRONG_PIE = 2.0, -1.0
"""What the human gets from a pie that is served."""

MOVES = {
    (FLOUR, MAKE_DOUGH): DOUGH,
    (DOUGH, BAKE_APPLE): APPLE_PIE,
    (DOUGH, BAKE_BLUEBERRY): BLUEBERRY_PIE,
    (APPLE_PIE, SERVE): SERVED,
    (BLUEBERRY_PIE, SERVE): SERVED,
}
"""What the assistant's actions make of what is on the table; it can do nothing else but ask."""


def states(feedback_time: int) -> tuple[tuple[int, int, int], ...]:
    """What is on the table, for how many more rounds the human is away, and whose turn it is. Served, it is over."""
    tables, away = (FLOUR, DOUGH, APPLE_PIE, BLUEBERRY_PIE), range(feedback_time + 1)
    return (
        *itertools.product(tables, away, (TO_ACT, QUIET)),
        *((table, 0, ASKED) for table in tables),
        (SERVED, 0, QUIET),
    )


def state_names(feedback_time: int) -> tuple[str, ...]:
    """The states for people to read: dough-away2 is dough, and the human comes home in two rounds."""
    tables, phases = ("flour", "dough", "apple-pie", "blueberry-pie"), ("", "-quiet", "-asked")
    return tuple(
        "served" if table == SERVED else tables[table] + (f"-away{away}" if away else "") + phases[phase]
        for table, away, phase in states(feedback_time)
    )


def make(
    feedback_time: int = 3, discount: float = 0.99, rounds: int = 6, apple: float = 0.875, query_cost: float = 0.1
) -> TabularGame:
    """The game with a human who answers from round `feedback_time` on, and wants apple with this probability.

    `discount` and the horizon are counted in rounds.
    """
    if feedback_time < 0:
        raise ValueError(f"The feedback time is {feedback_time}; it must be at least 0.")
    check_clock(rounds, discount)
    listed = states(feedback_time)
    number = {state: index for index, state in enumerate(listed)}
    transitions = np.zeros((len(listed), 3, 6, len(listed)))
    rewards = np.zeros((2, len(listed), 3, 6))
    legal = np.zeros((len(listed), 6), bool)
    legal[:, PASS] = True
    for state, (table, away, phase) in enumerate(listed):
        if phase != TO_ACT:
            over = table == SERVED
            transitions[state, :, :, state if over else number[table, max(away - 1, 0), TO_ACT]] = 1.0
            continue
        legal[state, QUERY] = True
        transitions[state, :, QUERY, number[table, away, QUIET if away else ASKED]] = 1.0
        rewards[:, state, :, QUERY] = -query_cost
        for action in range(QUERY):
            legal[state, action] |= (table, action) in MOVES
            following = MOVES.get((table, action), table)
            transitions[state, :, action, number[following, 0 if following == SERVED else away, QUIET]] = 1.0
        if table in (APPLE_PIE, BLUEBERRY_PIE):
            wants_apple, wants_blueberry = (RIGHT_PIE, WRONG_PIE) if table == APPLE_PIE else (WRONG_PIE, RIGHT_PIE)
            rewards[APPLE - 1, state, :, SERVE] = wants_apple
            rewards[BLUEBERRY - 1, state, :, SERVE] = wants_blueberry
    return TabularGame(
        transitions,
        rewards,
        prior=[apple, 1.0 - apple],
        initial=np.eye(len(listed))[number[FLOUR, feedback_time, TO_ACT]],
        horizon=2 * rounds,
        discount=discount**0.5,
        legal_human=[[True, phase == ASKED, phase == ASKED] for _, _, phase in listed],
        legal_assistant=legal,
        terminal=[table == SERVED for table, _, _ in listed],
    )

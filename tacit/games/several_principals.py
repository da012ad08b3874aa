"""Several people, one assistant: each pulls an arm and earns by it, then the assistant pulls one arm for all.

Theta is everybody's utilities: row i says what each arm is worth to person i. The people move as one player whose
action is a profile of pulls, and the shared reward is the sum of what all earn. The bandit apprentice game of Fickinger
et al. 2020, "Multi-Principal Assistance Games", arXiv 2007.09540; who gains by pulling what they do not like best is
asked in `planning.collegiality`.
"""

import itertools

import numpy as np

from tacit.arrays import Numbers, numbers
from tacit.games.tabular import TabularGame

PASS = 0
"""Action 0 passes; the people's action 1 + p is the p-th profile of pulls, the assistant's 1 + k is arm k."""


def profiles(num_people: int, num_arms: int) -> np.ndarray:
    """Every profile of pulls in the order of the people's actions; the last person's pull changes first."""
    return np.array(list(itertools.product(range(num_arms), repeat=num_people)))


def make(
    utilities: Numbers = (((1.0, 0.9, 0.0), (0.0, 0.9, 1.0)), ((1.0, 0.4, 0.0), (1.0, 0.0, 0.4))),
    probabilities: Numbers | None = None,
    num_shown: int = 1,
    num_served: int = 1,
) -> TabularGame:
    """The game in which the people want `utilities[theta]`, T1 = `num_shown` and T2 = `num_served` rounds."""
    values = numbers("utilities", utilities, 3)
    thetas, people, arms = values.shape
    if num_shown < 1 or num_served < 1:
        raise ValueError(
            f"There are {num_shown} rounds to show and {num_served} to serve; there is at least one of each."
        )
    turns = num_shown + num_served
    pulls = profiles(people, arms)
    state = np.arange(turns + 1)
    showing, serving = state < num_shown, (state >= num_shown) & (state < turns)
    rewards = np.zeros((thetas, turns + 1, len(pulls) + 1, arms + 1))
    earned = values[:, np.arange(people), pulls].sum(-1)
    rewards[:, showing, 1:, :] = earned[:, None, :, None]
    rewards[:, serving, :, 1:] = values.sum(1)[:, None, None, :]
    follow = np.minimum(state + 1, turns)
    moves = np.broadcast_to(np.eye(turns + 1)[follow][:, None, None], (turns + 1, len(pulls) + 1, arms + 1, turns + 1))
    return TabularGame(
        transitions=moves,
        rewards=rewards,
        prior=np.full(thetas, 1.0 / thetas) if probabilities is None else probabilities,
        initial=np.eye(turns + 1)[0],
        horizon=turns,
        legal_human=np.column_stack([np.ones(turns + 1), np.repeat(showing[:, None], len(pulls), 1)]),
        legal_assistant=np.column_stack([np.ones(turns + 1), np.repeat(serving[:, None], arms, 1)]),
        terminal=state == turns,
    )

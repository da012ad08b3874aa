"""The off-switch game: act at once, switch yourself off, or wait and let the human decide?

The assistant has a plan that is worth U to the human. It may carry it out (worth U), switch itself off (worth 0) or
wait; a human who is waited for lets the plan go on (U) or presses the switch (0). Only the human knows U.
Hadfield-Menell, Dragan, Abbeel and Russell 2017, "The Off-Switch Game", arXiv 1611.08219.
"""

import numpy as np

from tacit.games.tabular import Numbers, TabularGame

PROPOSED, WAITING, DONE = 0, 1, 2
"""The states."""

ALLOW, PRESS = 0, 1
"""The human's actions: to let it go on is to do nothing."""

WAIT, ACT, SWITCH_OFF = 0, 1, 2
"""The assistant's actions."""


def make(utilities: Numbers = (-1.0, 1.0), probabilities: Numbers | None = None) -> TabularGame:
    """The game in which U is `utilities[theta]`, with equal odds unless they are given."""
    values = np.asarray(utilities, np.float64)
    prior = np.full(len(values), 1.0 / len(values)) if probabilities is None else np.asarray(probabilities)
    follow = np.zeros((3, 2, 3), int)
    follow[PROPOSED] = [WAITING, DONE, DONE]
    follow[WAITING] = follow[DONE] = DONE
    rewards = np.zeros((len(values), 3, 2, 3))
    rewards[:, PROPOSED, :, ACT] = values[:, None]
    rewards[:, WAITING, ALLOW, :] = values[:, None]
    return TabularGame(
        transitions=np.eye(3)[follow],
        rewards=rewards,
        prior=prior,
        initial=np.eye(3)[PROPOSED],
        horizon=2,
        legal_human=[[True, state == WAITING] for state in range(3)],
        legal_assistant=[[True, state == PROPOSED, state == PROPOSED] for state in range(3)],
        terminal=np.arange(3) == DONE,
    )

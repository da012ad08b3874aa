"""Paperclips and staples: the human makes two things, then the assistant makes ninety. What does the human make?

Theta is what a paperclip is worth, from 0 to 1; a staple is worth 1 - theta. The human makes two clips, two staples or
one of each; the assistant, who saw it, makes ninety of one kind or fifty of each. Making what one likes best tells less
than it could: Hadfield-Menell et al. 2016, "Cooperative Inverse Reinforcement Learning", arXiv 1606.03137, section 4.
"""

import numpy as np

from tacit.games.tabular import TabularGame

BALANCED, CLIPS, STAPLES = 0, 1, 2
"""Both players' actions. To do nothing in particular is to make some of each."""

START, DONE = 0, 4
"""The first state and the last; state 1 + h is when the human has done h."""

HUMAN_MAKES = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
ASSISTANT_MAKES = np.array([[50.0, 50.0], [90.0, 0.0], [0.0, 90.0]])
"""How many clips and staples each action makes."""


def worths(num_thetas: int) -> np.ndarray:
    """What a clip and a staple are worth for each theta: the middles of equal parts of [0, 1]."""
    clip = (np.arange(num_thetas) + 0.5) / num_thetas
    return np.stack([clip, 1.0 - clip], -1)


def make(num_thetas: int = 21) -> TabularGame:
    """The game with theta even over the middles of `num_thetas` equal parts of [0, 1]."""
    if num_thetas < 1:
        raise ValueError(f"num_thetas is {num_thetas}; there must be at least one theta.")
    follow = np.full((5, 3), DONE)
    follow[START] = 1 + np.arange(3)
    rewards = np.zeros((num_thetas, 5, 3, 3))
    rewards[:, START] = (worths(num_thetas) @ HUMAN_MAKES.T)[:, :, None]
    rewards[:, 1:DONE] = (worths(num_thetas) @ ASSISTANT_MAKES.T)[:, None, None, :]
    passing = np.arange(3) == BALANCED
    return TabularGame(
        transitions=np.broadcast_to(np.eye(5)[follow][:, :, None], (5, 3, 3, 5)),
        rewards=rewards,
        prior=np.full(num_thetas, 1.0 / num_thetas),
        initial=np.eye(5)[START],
        horizon=2,
        legal_human=[np.ones(3, bool) if state == START else passing for state in range(5)],
        legal_assistant=[passing if state in (START, DONE) else np.ones(3, bool) for state in range(5)],
        terminal=np.arange(5) == DONE,
    )

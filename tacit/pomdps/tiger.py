"""A tiger waits behind one of two doors: listen again, or open one?

Kaelbling, Littman and Cassandra 1998, section 5.1.
"""

import numpy as np

from tacit.arrays import Pomdp, pomdp


def make(
    accuracy: float = 0.85,
    listening: float = -1.0,
    tiger: float = -100.0,
    gold: float = 10.0,
    discount: float = 0.95,
) -> Pomdp:
    """Listening tells the side with probability `accuracy`; opening pays `tiger` or `gold`, and a new tiger comes."""
    if not 0.0 <= accuracy <= 1.0:
        raise ValueError(f"The accuracy is {accuracy}; a probability lies between 0 and 1.")
    anew = np.full((2, 2), 0.5)
    heard = np.array([[accuracy, 1.0 - accuracy], [1.0 - accuracy, accuracy]])
    return pomdp(
        transitions=np.stack([np.eye(2), anew, anew]),
        observations=np.stack([heard, anew, anew]),
        rewards=np.array([[listening, tiger, gold], [listening, gold, tiger]]),
        initial=np.array([0.5, 0.5]),
        discount=discount,
        state_names=("tiger-left", "tiger-right"),
        action_names=("listen", "open-left", "open-right"),
        observation_names=("tiger-left", "tiger-right"),
    )

"""A game of your own from arrays: two mugs, one of which you want, and an assistant that watches where you go.

The human walks along a corridor of five places towards tea (left end) or coffee (right end); the assistant may wait or
bring one of the two at any time. Bringing the right one pays 1, the wrong one -1, and ends the game; walking costs 0.1.
"""

import jax
import numpy as np

from tacit.assistants import belief_planner
from tacit.contracts import check_game
from tacit.games.tabular import TabularGame
from tacit.humans import boltzmann
from tacit.play import play, retrace

PLACES, DONE = 5, 5
TEA, COFFEE = 0, 1  # theta
STAY, LEFT, RIGHT = 0, 1, 2  # the human's actions
WAIT, BRING_TEA, BRING_COFFEE = 0, 1, 2  # the assistant's

follows = np.full((PLACES + 1, 3, 3), DONE)
for place in range(PLACES):
    follows[place, :, WAIT] = [place, max(place - 1, 0), min(place + 1, PLACES - 1)]
rewards = np.zeros((2, PLACES + 1, 3, 3))  # [theta, state, human's action, assistant's action]
rewards[:, :PLACES, 1:, :] -= 0.1
rewards[TEA, :PLACES, :, 1:] += [1.0, -1.0]
rewards[COFFEE, :PLACES, :, 1:] += [-1.0, 1.0]
rewards[TEA, 0, :, WAIT] += 0.3  # standing at one's mug is pleasant: it is what the human walks for
rewards[COFFEE, PLACES - 1, :, WAIT] += 0.3

game = TabularGame(
    transitions=np.eye(PLACES + 1)[follows],
    rewards=rewards,
    prior=[0.5, 0.5],
    initial=np.eye(PLACES + 1)[PLACES // 2],
    horizon=4,
    terminal=np.arange(PLACES + 1) == DONE,
)
check_game(game, jax.random.key(0))  # does it keep the contracts? A ValueError says which it breaks

human = boltzmann.make(game, rationality=10.0)
assistant = belief_planner.make(game, human)
episode = play(game, human, assistant, COFFEE, jax.random.key(1))
thoughts = retrace(game, assistant, episode)
for turn in range(int(episode.active.sum())):
    went, brought = episode.actions[turn].tolist()
    print(
        f"turn {turn}: the human {['stays', 'goes left', 'goes right'][went]},",
        f"the assistant {['waits', 'brings tea', 'brings coffee'][brought]}",
        f"(it believed in coffee with probability {thoughts.probabilities[turn, COFFEE]:.2f})",
    )
print(f"reward {float(episode.rewards.sum()):.1f}")
assert episode.actions[episode.active][-1][1] == BRING_COFFEE

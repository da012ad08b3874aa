"""When is it worth letting a human switch you off? The value of waiting, against how rational the human is."""

import math

import jax

from tacit.assistants import belief_planner
from tacit.core import ASSISTANT
from tacit.games import off_switch
from tacit.games.off_switch import ACT, SWITCH_OFF, WAIT
from tacit.humans import boltzmann
from tacit.play import play

game = off_switch.make(utilities=[-1.0, 1.0])  # the assistant's plan is worth -1 or 1 to the human, at equal odds
key = jax.random.key(0)
print("rationality     act  switch off    wait   tanh(rationality / 2) / 2")
for rationality in (0.5, 1.0, 2.0, 8.0):
    human = boltzmann.make(game, rationality)
    assistant = belief_planner.make(game, human)
    sees = game.observe(game.init(key))[ASSISTANT]
    _, memory = assistant.logits(assistant.init(key), sees, key)
    value = assistant.thoughts(memory).values
    closed_form = math.tanh(rationality / 2) / 2
    print(f"{rationality:11g} {value[ACT]:7.3f} {value[SWITCH_OFF]:11.3f} {value[WAIT]:7.3f} {closed_form:12.3f}")
    assert abs(float(value[WAIT]) - closed_form) < 1e-5

theta = game.sample_theta(key)
episode = play(game, human, assistant, theta, key)
print(f"One episode: U = {[-1, 1][int(theta)]}, actions (human, assistant) {episode.actions.tolist()},", end=" ")
print(f"reward {float(episode.rewards.sum()):g}")

"""Watch an assistant work out which house somebody wants, from nothing but what they do.

A simulated person builds a house of the test split; the assistant has only ever drawn houses of the train split.
"""

import equinox as eqx
import jax
import numpy as np

from tacit.assistants import particles
from tacit.games import building_small
from tacit.games.building.game import bare_ground, edit_distance
from tacit.humans import builder
from tacit.play import play, retrace

game, practice = building_small.make("test"), building_small.make("train")
human = builder.make(game)
assistant = particles.make(practice, human)

theta_key, key = jax.random.split(jax.random.key(0))
house = game.sample_theta(theta_key)
episode = eqx.filter_jit(play)(game, human, assistant, house, key)
thoughts = eqx.filter_jit(retrace)(game, assistant, episode)

turns = int(episode.active.sum())
needed = float(edit_distance(bare_ground(game.shape), house))
truth = np.asarray(house)[..., None].astype(int)
sure = np.take_along_axis(np.asarray(thoughts.probabilities), truth[None], axis=-1)[..., 0]
wanted = np.asarray(house) != np.asarray(bare_ground(game.shape))
print(f"The house needs {needed:.0f} edits. Together they took {turns} turns.")
for turn in range(0, turns, max(turns // 8, 1)):
    done = episode.rewards[:turn].sum(0)
    belief = sure[turn][wanted].mean()
    print(
        f"turn {turn:3d}: human {done[0]:3.0f}, assistant {done[1]:3.0f} edits right, belief in the house {belief:.2f}"
    )

"""What is there to see at each moment of an episode of the building game? One plain record for every view of it."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, Int8

from tacit.core import ASSISTANT, HUMAN, Episode, Thoughts
from tacit.games.building.game import House, State, edit_distance

GROUND = 2
"""Layers that are there from the start."""


class Scene(NamedTuple):
    """One moment: the world, the goal, the belief, and what has been done so far.

    The belief is what the assistant thinks of this very world; None if it believes nothing. `gained` is how many of the
    `needed` edits are done, harm taken off; `sureness` how sure the belief is of a block that it expects, on average.
    """

    turn: int
    goal: Int8[np.ndarray, "X Y Z"]
    blocks: Int8[np.ndarray, "X Y Z"]
    touched: Int8[np.ndarray, "X Y Z"]
    feet: Int[np.ndarray, "2 3"]
    needed: float
    gained: float = 0.0
    human_edits: int = 0
    assistant_right: int = 0
    assistant_wrong: int = 0
    belief: Float[np.ndarray, "X Y Z M"] | None = None
    sureness: float | None = None

    @property
    def completed(self) -> float:
        """The share of the needed edits that is done."""
        return self.gained / self.needed if self.needed else 1.0


def opening(goal: House, state: State) -> Scene:
    """The moment before the first turn."""
    needed = float(edit_distance(state.blocks, goal))
    return Scene(0, np.asarray(goal), *_world(state), needed)


def following(scene: Scene, state: State, rewards: Float[np.ndarray, "2"]) -> Scene:
    """The moment after a turn that led to `state`; it keeps the old belief until it is given its own."""
    assistant = float(rewards[ASSISTANT])
    blocks, touched, feet = _world(state)
    return scene._replace(
        turn=scene.turn + 1,
        blocks=blocks,
        touched=touched,
        feet=feet,
        gained=scene.gained + float(rewards.sum()),
        human_edits=scene.human_edits + int(state.edits.cell[HUMAN] >= 0),
        assistant_right=scene.assistant_right + int(assistant > 0),
        assistant_wrong=scene.assistant_wrong + int(assistant < 0),
    )


def believing(scene: Scene, thoughts: Thoughts) -> Scene:
    """The scene with what the assistant thought of it: None, or a record with `probabilities` [X, Y, Z, M]."""
    if thoughts is None:
        return scene
    belief = np.asarray(thoughts.probabilities)
    return scene._replace(belief=belief, sureness=sureness(belief))


def scenes(episode: Episode, thoughts: Thoughts) -> list[Scene]:
    """Every moment of an episode, from the first world to the last; `thoughts` as `play.retrace` gives them."""
    states, thoughts = jax.tree.map(np.asarray, (episode.states, thoughts))
    rewards = np.asarray(episode.rewards)
    told = [opening(episode.theta, jax.tree.map(lambda leaf: leaf[0], episode.states))]
    for turn in range(int(episode.active.sum())):
        told[-1] = believing(told[-1], jax.tree.map(lambda leaf, turn=turn: leaf[turn], thoughts))
        after = jax.tree.map(lambda leaf, turn=turn: leaf[turn + 1], states)
        told.append(following(told[-1], after, rewards[turn]))
    return told


def _world(state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.asarray(state.blocks), np.asarray(state.touched), np.asarray(state.feet)


def sureness(belief: Float[np.ndarray, "X Y Z M"]) -> float:
    """Σ_c s_c·max_m b_c(m) / Σ_c s_c over the cells above ground; s_c is the probability of a block there."""
    blocks = belief[:, GROUND:, :, 1:]
    expected = blocks.sum(-1)
    return float((expected * blocks.max(-1)).sum() / max(float(expected.sum()), 1e-9))


def few(all_scenes: list[Scene], most: int) -> list[Scene]:
    """At most `most` of the scenes, evenly spread, the first and the last among them."""
    picked = np.unique(np.linspace(0, len(all_scenes) - 1, max(2, most)).round().astype(int))
    return [all_scenes[index] for index in picked.tolist()]

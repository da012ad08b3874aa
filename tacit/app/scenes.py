"""What is there to see at each moment of an episode of the building game? One plain record for every view of it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from tacit.core import ASSISTANT, HUMAN, Episode, Thoughts
from tacit.games.building.blocks import AIR
from tacit.games.building.game import State, edit_distance


class Story(NamedTuple):
    """An episode of T turns as NumPy arrays: T + 1 worlds, what both players did, what the assistant believed.

    `beliefs` are what it believed when it saw the world of the same index, and last once more at the end; they are None
    for an assistant that believes nothing.
    """

    goal: Int8[np.ndarray, "X Y Z"]
    blocks: Int8[np.ndarray, "T+1 X Y Z"]
    touched: Int8[np.ndarray, "T+1 X Y Z"]
    feet: Int[np.ndarray, "T+1 2 3"]
    edited: Bool[np.ndarray, "T+1 2"]
    rewards: Float[np.ndarray, "T 2"]
    beliefs: Float[np.ndarray, "T+1 X Y Z M"] | None


class Scene(NamedTuple):
    """One moment: the world, the goal, the belief, and what has been done so far.

    `completed` is the share of the edits that the goal needs which is done; `sureness` is how sure the belief is of the
    kind of a block that it expects, on average, None without a belief.
    """

    turn: int
    goal: Int8[np.ndarray, "X Y Z"]
    blocks: Int8[np.ndarray, "X Y Z"]
    touched: Int8[np.ndarray, "X Y Z"]
    feet: Int[np.ndarray, "2 3"]
    belief: Float[np.ndarray, "X Y Z M"] | None
    completed: float
    human_edits: int
    assistant_right: int
    assistant_wrong: int
    sureness: float | None


def story(episode: Episode, thoughts: Thoughts) -> Story:
    """The active part of an episode; `thoughts` are None or have `probabilities` [T, X, Y, Z, M]."""
    num_turns = int(episode.active.sum())
    states: State = jax.tree.map(lambda leaf: leaf[: num_turns + 1], episode.states)
    beliefs = None
    if thoughts is not None and num_turns:
        acted_on = np.asarray(thoughts.probabilities[:num_turns])
        beliefs = np.concatenate([acted_on, acted_on[-1:]])
    return Story(
        np.asarray(episode.theta),
        np.asarray(states.blocks),
        np.asarray(states.touched),
        np.asarray(states.feet),
        np.asarray(states.edits.cell) >= 0,
        np.asarray(episode.rewards[:num_turns]),
        beliefs,
    )


def scenes(told: Story) -> list[Scene]:
    """Every moment of a story, from the first world to the last."""
    needed = max(1.0, float(edit_distance(jnp.asarray(told.blocks[0]), jnp.asarray(told.goal))))
    before = np.zeros((1, 2))
    gained = np.cumsum(np.concatenate([before, told.rewards]), 0)
    right = np.cumsum(np.concatenate([before, told.rewards > 0]), 0)[:, ASSISTANT]
    wrong = np.cumsum(np.concatenate([before, told.rewards < 0]), 0)[:, ASSISTANT]
    human = np.cumsum(told.edited[:, HUMAN])
    return [
        Scene(
            turn,
            told.goal,
            told.blocks[turn],
            told.touched[turn],
            told.feet[turn],
            None if told.beliefs is None else told.beliefs[turn],
            float(gained[turn].sum()) / needed,
            int(human[turn]),
            int(right[turn]),
            int(wrong[turn]),
            None if told.beliefs is None else sureness(told.beliefs[turn], told.blocks[0]),
        )
        for turn in range(len(told.blocks))
    ]


def sureness(belief: Float[np.ndarray, "X Y Z M"], ground: Int8[np.ndarray, "X Y Z"]) -> float:
    """Σ_c s_c·max_m b_c(m) / Σ_c s_c over the cells that began as air; s_c is the probability of a block there."""
    above = belief[ground == AIR][:, 1:]
    expected = above.sum(-1)
    return float((expected * above.max(-1)).sum() / max(float(expected.sum()), 1e-9))


def few(all_scenes: list[Scene], most: int) -> list[Scene]:
    """At most `most` of the scenes, evenly spread, the first and the last among them."""
    picked = np.unique(np.linspace(0, len(all_scenes) - 1, max(2, most)).round().astype(int))
    return [all_scenes[index] for index in picked.tolist()]

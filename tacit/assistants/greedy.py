"""Helps with a learned belief: a network reads the history, a greedy hand acts on what each cell probably should be.

The belief is one categorical per cell, from a network trained on episodes of simulated people (`tacit train`). What a
person says about single cells moves it exactly (`tell`).
"""

from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from tacit.beliefs.voxels import VoxelBelief
from tacit.core import ASSISTANT, HUMAN, Assistant, Game, Human
from tacit.games.building import history
from tacit.games.building.actions import EditLogits
from tacit.games.building.blocks import AIR
from tacit.games.building.game import BuildingGame, Observation, building_game
from tacit.games.building.hand import hand
from tacit.games.building.history import History
from tacit.learning.networks import Heads, Sizes, VoxelNetwork
from tacit.storage import about_weights, load_weights, shipped

SLIP = 0.05
"""How likely a person is to break a block of the assistant's that was right, beside one that was wrong."""


class Skill(eqx.Module):
    """What training leaves: the network, and the least expected gain of an edit that was best on training houses."""

    network: VoxelNetwork
    threshold: Float[Array, ""]


class Knowledge(NamedTuple):
    """What the assistant carries from turn to turn."""

    belief: VoxelBelief
    history: History
    last: Observation
    heads: Heads


class Thoughts(NamedTuple):
    """The probability of each kind at each cell."""

    probabilities: Float[Array, "X Y Z M"]


class Greedy(Assistant):
    """The learned belief with a greedy hand."""

    game: BuildingGame
    skill: Skill

    def init(self, key: Key[Array, ""]) -> Knowledge:
        """Nothing seen yet."""
        network = self.skill.network
        first = self.game.observe(self.game.init(key))[ASSISTANT]
        nothing = history.begin(self.game.shape, self.game.num_kinds)
        heads = network(*history.view(nothing, first))
        return Knowledge(VoxelBelief(heads.goal, jnp.zeros_like(heads.goal)), nothing, first, heads)

    def logits(self, memory: Knowledge, observation: Observation, key: Key[Array, ""]) -> tuple[EditLogits, Knowledge]:
        """Read the history anew, then act on the belief."""
        del key
        memory = self.read(memory, observation)
        return hand(observation, memory.belief.probabilities, self.skill.threshold, ASSISTANT), memory

    def read(self, memory: Knowledge, observation: Observation) -> Knowledge:
        """What is known after this observation."""
        seen = self.follow(memory, observation)
        heads = self.skill.network(*history.view(seen, observation))
        belief = VoxelBelief(heads.goal, memory.belief.evidence).update(self.not_that(memory.last, observation))
        return Knowledge(belief, seen, observation, heads)

    def follow(self, memory: Knowledge, observation: Observation) -> History:
        """The history up to this observation."""
        seen = history.watch(memory.history, memory.last, observation)
        return jax.tree.map(lambda new, old: jnp.where(observation.time > 0, new, old), seen, memory.history)

    def not_that(self, before: Observation, after: Observation) -> Float[Array, "X Y Z M"]:
        """What it tells that the human undoes what the assistant did to a cell: it was probably wrong.

        A block of the assistant's that is broken should be of another kind, or not be there; where it took one away,
        the one that is put there should be.
        """
        cell, kind = after.edits.cell[HUMAN], after.edits.after[HUMAN]
        number = jnp.arange(self.game.num_cells, dtype=cell.dtype).reshape(self.game.shape)
        undone = (number == cell) & (before.touched == ASSISTANT + 1)
        broken = jax.nn.one_hot(after.edits.before[HUMAN], self.game.num_kinds)
        others = 1 - jax.nn.one_hot(kind, self.game.num_kinds)
        unlikely = jnp.where(kind == AIR, broken, others)
        return jnp.where(undone[..., None], jnp.log(SLIP) * unlikely[None, None, None], 0.0)

    def tell(self, memory: Knowledge, log_likelihood: Float[Array, "X Y Z M"]) -> Knowledge:
        """The memory after evidence about single cells, which stays until the end of the episode."""
        return memory._replace(belief=memory.belief.update(log_likelihood))

    def thoughts(self, memory: Knowledge) -> Thoughts:
        """What each cell probably should be."""
        return Thoughts(memory.belief.probabilities)


def sizes(game: BuildingGame, width: int, depth: int, embedding: int) -> Sizes:
    """How large a network for this game is, whose planes are those of `history.view`."""

    def first(key: Key[Array, ""]) -> history.View:
        nothing = history.begin(game.shape, game.num_kinds)
        return history.view(nothing, game.observe(game.init(key))[ASSISTANT])

    view = jax.eval_shape(first, jax.random.key(0))
    return Sizes(
        game.shape,
        game.num_kinds,
        num_planes=view.cells.shape[0],
        num_kind_planes=view.kinds.shape[0],
        num_traces=view.traces.shape[-1],
        num_headings=view.heading.shape[-1],
        num_scalars=view.scalars.shape[-1],
        width=width,
        depth=depth,
        embedding=embedding,
    )


def load_skill(game: BuildingGame, path: Path) -> Skill:
    """The skill in a file of weights. Raises ValueError, in one sentence, if it is not one for this game."""
    like = eqx.filter_eval_shape(lambda key: Skill(blank(game, path, key), jnp.zeros(())), jax.random.key(0))
    return load_weights(path, like)


def blank(game: BuildingGame, path: Path, key: Key[Array, ""]) -> VoxelNetwork:
    """A network for this game, as large as the one whose weights are in the file; ValueError if it does not say."""
    chosen = about_weights(path).get("config", {})
    try:
        width, depth, embedding = (int(chosen[name]) for name in ("width", "depth", "embedding"))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no learned belief: train one with tacit train belief-small.") from error
    return VoxelNetwork(sizes(game, width, depth, embedding), jnp.zeros((*game.shape, game.num_kinds)), key)


def make(game: Game, human: Human, weights: Path | None = None) -> Greedy:
    """The assistant with these weights, or with those that come with tacit for a world of this size."""
    del human
    building = building_game(game, "The assistant 'greedy'")
    if weights is None:
        weights = shipped("belief-small")
    return Greedy(building, load_skill(building, weights))

"""Looks ahead: a tree search through what it could do and what the person would probably do, learning on the way.

AssistanceZero (Laidlaw et al. 2025, arXiv 2504.07091). Every node of the tree holds a world, the history that led to it
and what would then be believed: the network reads the imagined history just as it reads the real one. So a node says

    who the person is taken to be     P(h | node), the human head, its kinds by the belief
    what the assistant might do       P(a | node) ∝ exp(κ · what the greedy hand sees in a, by the belief + policy head)
    what is to be hoped for           V(node), the value head
    what a step earns                 E[s(after) - s(before)] by the belief, the person's part by the belief after it

The search itself is `planning.tree_search`. Its model knows no house and is never told that one is finished.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.assistants import greedy
from tacit.assistants.greedy import Greedy, Knowledge, Thoughts
from tacit.assistants.greedy import Skill as Reader
from tacit.core import ASSISTANT, HUMAN, Assistant, Game, Human
from tacit.games.building import actions as factored
from tacit.games.building import history
from tacit.games.building.actions import EditLogits, certain
from tacit.games.building.blocks import FIRST_PLACEABLE
from tacit.games.building.game import BuildingGame, Observation, State, building_game
from tacit.games.building.hand import earned, gains, worth
from tacit.games.building.history import History
from tacit.learning.networks import Counsel, CounselNetwork
from tacit.planning.tree_policies import Gumbel, TreePolicy
from tacit.planning.tree_search import Config, Leaf, Search, SearchModel, prune, search
from tacit.storage import about_weights, load_weights, shipped

SHARPNESS = 6.0
"""κ: logits of the prior per block that an action is worth."""
EAGERNESS = 0.3
"""How much more, in blocks, whatever the greedy hand would do at all is worth trying than resting."""
NUM_CANDIDATES = 16
"""Actions that a node considers."""
PLAYING = Config(num_simulations=16, max_depth=8)
"""How much is searched before an action, in training too. With as many simulations as candidates each is tried once: it
looks a turn ahead, and what follows that is the value head's word."""
EXPLORING = Gumbel(least_spread=3.0)
"""How training searches. The value of a single simulation is off by some three blocks."""
SURELY = dataclasses.replace(EXPLORING, scale=0.0)
"""How it searches at play, without noise."""


class Skill(eqx.Module):
    """What training leaves: the network, and how much an edit has to promise to be as likely as resting."""

    network: CounselNetwork
    threshold: Float[Array, ""]


class Node(NamedTuple):
    """All that the search keeps of an imagined moment."""

    seen: Observation
    history: History
    evidence: Float[Array, "X Y Z M"]
    """What the person said of single cells before the search."""
    belief: Float[Array, "X Y Z M"]
    """The probability of each kind at each cell."""
    human: Float[Array, " F"]
    """Weights of the person's first choices."""


class Glance(NamedTuple):
    """What comes to mind at a moment, before any search."""

    said: Counsel
    belief: Float[Array, "X Y Z M"]
    prior: Float[Array, " F"]
    """Logits of the first choices without the policy head's part; -inf for what is not legal."""


def everything(past: History) -> History:
    """All that `games.building.history` keeps."""
    return past


class Foresight(SearchModel):
    """The building game with a network in place of what nobody knows: the house and the person."""

    game: BuildingGame
    skill: Skill
    num_candidates: int = eqx.field(static=True, default=NUM_CANDIDATES)
    recall: Callable[[History], History] = eqx.field(static=True, default=everything)
    """What the network is shown of the past."""
    targets: bool = eqx.field(static=True, default=True)
    """Whether a step is worth trying for an edit that it leads to."""
    compressed: bool = eqx.field(static=True, default=True)
    """Whether nodes keep what is said of cells in half precision."""

    def glance(self, seen: Observation, past: History, evidence: Float[Array, "X Y Z M"] | float = 0.0) -> Glance:
        """What the network makes of a moment."""
        said = self.skill.network(*history.view(self.recall(past), seen))
        belief = jax.nn.softmax(said.heads.goal + evidence)
        return Glance(said, belief, self.prior(belief, seen))

    def prior(self, belief: Float[Array, "X Y Z M"], seen: Observation) -> Float[Array, " F"]:
        """What to try first before training, over the first choices."""
        return factored.first_choices(self.promise(belief, seen), seen.legal[ASSISTANT])

    def actions(self, choices: Int[Array, "*K"], belief: Float[Array, "X Y Z M"]) -> Int[Array, "*K"]:
        """The actions that begin with these first choices; a block is of the kind that is likeliest there."""
        cell = jnp.clip(choices - 1, 0, self.game.num_cells - 1)
        rows = belief.reshape(self.game.num_cells, -1)
        kind = jnp.argmax(rows[cell, FIRST_PLACEABLE:], -1).astype(jnp.int32) + FIRST_PLACEABLE
        return factored.chosen(choices, kind, self.game.num_kinds, self.game.num_cells)

    def look(self, seen: Observation, past: History, evidence: Float[Array, "X Y Z M"]) -> Leaf:
        """The node of a moment, its candidates and its value."""
        said, belief, prior = self.glance(seen, past, evidence)
        human = factored.first_choices(foreseen(said, belief), seen.legal[HUMAN])
        choices, logits = prune(prior + advised(said), self.num_candidates)
        precision = jnp.float16 if self.compressed else jnp.float32
        node = Node(seen, past, evidence.astype(precision), belief.astype(precision), factored.weights(human))
        discount = jnp.where(seen.time < self.game.horizon, self.game.discount, 0.0)
        return Leaf(node, self.actions(choices, belief), logits, said.value, discount)

    def promise(self, belief: Float[Array, "X Y Z M"], seen: Observation) -> EditLogits:
        """What to try first before training: what the greedy hand would do; then rest; then edits that promise less."""
        gain, tempting = gains(seen.blocks, belief), worth(seen, belief, self.skill.threshold, ASSISTANT)

        def preference(value: Float[Array, "*S"], gain: Float[Array, "*S"] | float) -> Float[Array, "*S"]:
            return SHARPNESS * jnp.where(value > 0.0, EAGERNESS + value, gain - self.skill.threshold)

        return EditLogits(
            jnp.zeros(()),
            preference(tempting.place, gain.place).reshape(-1),
            belief.reshape(self.game.num_cells, -1),
            preference(tempting.remove, gain.remove).reshape(-1),
            preference(tempting.move if self.targets else jnp.zeros_like(tempting.move), 0.0),
        )

    def human(self, embedding: Node, key: Key[Array, ""]) -> Int[Array, ""]:
        """Draw what the person does: what and where, then of which kind by the belief about the cell."""
        uniforms = jax.random.uniform(key, (2,))
        choice = factored.draw(embedding.human, uniforms[0])
        cell = jnp.clip(choice - 1, 0, self.game.num_cells - 1)
        kinds = embedding.belief.reshape(self.game.num_cells, -1)[cell, FIRST_PLACEABLE:].astype(jnp.float32)
        kind = factored.draw(kinds, uniforms[1]) + FIRST_PLACEABLE
        return factored.chosen(choice, kind, self.game.num_kinds, self.game.num_cells)

    def expand(self, embedding: Node, action: Int[Array, ""], human: Int[Array, ""]) -> Leaf:
        """The game's own turn, and what would be read from it."""
        before = embedding.seen
        state = self.game.step(State(*before[:-1]), jnp.stack([human, action]), jax.random.key(0))
        after = self.game.observe(state)[ASSISTANT]
        past = history.watch(embedding.history, before, after)
        return self.look(after, past, embedding.evidence.astype(jnp.float32))

    def reward(self, belief: Node, before: Node, after: Node) -> Float[Array, "2"]:
        """What each player's edit earns by what is believed."""
        del before
        rows = belief.belief.astype(jnp.float32).reshape(self.game.num_cells, -1)
        return earned(after.seen.edits, rows)


def advised(said: Counsel) -> Float[Array, " F"]:
    """The policy head's part of the prior, in the order of first choices."""
    return jnp.concatenate([said.rest[None], said.place.reshape(-1), said.remove.reshape(-1), said.move])


def foreseen(said: Counsel, belief: Float[Array, "X Y Z M"]) -> EditLogits:
    """What the person probably does next."""
    heads = said.heads
    kinds = jnp.log(jnp.maximum(belief, 1e-9)).reshape(-1, belief.shape[-1])
    return EditLogits(heads.rest, heads.place.reshape(-1), kinds, heads.remove.reshape(-1), heads.move)


class AssistanceZero(Assistant):
    """The learned belief with a search ahead."""

    foresight: Foresight
    policy: TreePolicy
    config: Config = eqx.field(static=True)

    @property
    def reader(self) -> Greedy:
        """Who reads the history."""
        skill = self.foresight.skill
        return Greedy(self.foresight.game, Reader(skill.network.voxels, skill.threshold))

    def init(self, key: Key[Array, ""]) -> Knowledge:
        """Nothing seen yet."""
        return self.reader.init(key)

    def logits(self, memory: Knowledge, observation: Observation, key: Key[Array, ""]) -> tuple[EditLogits, Knowledge]:
        """Read the history anew, search from there, and do what the search ends on."""
        memory = self.reader.read(memory, observation)
        action, game = self.consider(memory, key).action[0], self.foresight.game
        return certain(action, game.num_kinds, game.num_cells), memory

    def consider(self, memory: Knowledge, key: Key[Array, ""]) -> Search:
        """What the search finds, with one row: from what is known now."""
        root = self.foresight.look(memory.last, memory.history, memory.belief.evidence)
        return search(self.foresight, jax.tree.map(lambda leaf: leaf[None], root), self.policy, self.config, key)

    def tell(self, memory: Knowledge, log_likelihood: Float[Array, "X Y Z M"]) -> Knowledge:
        """The memory after evidence about single cells, which stays until the end of the episode."""
        return self.reader.tell(memory, log_likelihood)

    def thoughts(self, memory: Knowledge) -> Thoughts:
        """What each cell probably should be."""
        return self.reader.thoughts(memory)


def untrained(game: BuildingGame) -> Skill:
    """What training starts from: the learned belief that comes with tacit; policy and value heads say 0."""
    reader = greedy.load_skill(game, shipped("belief-small"))
    return Skill(CounselNetwork(reader.network, jax.random.key(0)), reader.threshold)


def load_skill(game: BuildingGame, path: Path) -> Skill:
    """The skill in a file of weights. Raises StorageError, in one sentence, for one of something else."""
    # What began with nothing says how large it is; what went on from the learned belief is as large as that one.
    sized = path if "width" in about_weights(path).get("config", {}) else shipped("belief-small")

    def like(key: Key[Array, ""]) -> Skill:
        return Skill(CounselNetwork(greedy.blank(game, sized, key), key), jnp.zeros(()))

    return load_weights(path, eqx.filter_eval_shape(like, jax.random.key(0)))


def make(game: Game, human: Human, weights: Path | None = None) -> AssistanceZero:
    """The assistant with these weights, or with those that come with tacit for a world of this size."""
    del human
    building = building_game(game, "The assistant 'assistancezero'")
    skill = load_skill(building, shipped("assistancezero-small") if weights is None else weights)
    return AssistanceZero(Foresight(building, skill), SURELY, PLAYING)

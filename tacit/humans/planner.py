"""A person who knows the house and always goes for the best next edit: what would someone without habits do?

The hand says what the best edit is worth that each action does or leads to, a share h(a) of a whole one; this person
has no other taste. An edit is followed by others, in all worth W, and a turn is worth the discount γ of the one before:

    Q(a) = W · h(a) for what does or leads to an edit,   Q(pass) = γ · V with V = max_a Q(a),
    Q(a) = γ · V for a step that keeps it in reach,      Q(a) = γ² · V for one that leads nowhere,
    Q(a) = γ · V - 1 for an edit that harms

    π(a) ∝ exp(rationality · Q(a)) over all that is legal

The planning human of Laidlaw et al. 2025, arXiv 2504.07091, in closed form: theirs learns its Q and its policy.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.core import HUMAN, Game, Human
from tacit.games.building.actions import DIRECTIONS, EditLogits
from tacit.games.building.blocks import AIR, FIRST_PLACEABLE
from tacit.games.building.game import House, Observation, building_game
from tacit.games.building.hand import DEFER, HASTE, values
from tacit.games.building.sight import head, inside

WORTH = 7.0
"""W, in edits: what follows an edit and the edit itself, at one in two turns: 1 + γ² + γ⁴ + … for γ = `HASTE`."""
RATIONALITY = 10.0
"""Chosen on training houses: more of it hardly saves a turn."""


class Prospects(NamedTuple):
    """What actions do or lead to: W · h of each, and which edits are no mistake."""

    best: Float[Array, ""]
    """The most that any of them leads to: what a turn is worth to who does that."""
    place: Float[Array, " N"]
    remove: Float[Array, " N"]
    move: Float[Array, "6"]
    kept: Float[Array, "6"]
    """The best edit that is in reach after each move as well as before."""
    right: Bool[Array, "N M"]
    """The kind that belongs in the cell."""
    stands: Bool[Array, " N"]
    """Whether the cell is as it should be."""


class ActionValues(NamedTuple):
    """Q of every action, factored as `EditLogits` are; what is not legal has a number too."""

    rest: Float[Array, ""]
    place: Float[Array, "N M"]
    remove: Float[Array, " N"]
    move: Float[Array, "6"]


def watch(passages: Int[Array, "X Y Z"], theta: House, observation: Observation) -> Int[Array, "X Y Z"]:
    """When the human opened each passage, a cell that held what it should: turns from 1, or 0 where there is none."""
    edit, blocks = observation.edits.cell[HUMAN], observation.blocks
    here = (jnp.arange(blocks.size, dtype=edit.dtype) == edit).reshape(blocks.shape)
    opened = here & (observation.edits.before[HUMAN] == theta)
    return jnp.where((blocks == AIR) & (theta != AIR), jnp.where(opened, observation.time, passages), 0)


def kept(value: Float[Array, " N"], observation: Observation, reach: float) -> Float[Array, "6"]:
    """The best of the values that are within reach after each move, and not within the body."""
    shape = observation.blocks.shape
    cells = jnp.stack(jnp.unravel_index(jnp.arange(value.size, dtype=jnp.int32), shape), -1)
    feet = observation.feet[HUMAN][None] + jnp.array(DIRECTIONS, jnp.int32)

    def best(feet: Int[Array, "3"]) -> Float[Array, ""]:
        away = jnp.square(cells - head(feet)[None]).sum(-1)
        return jnp.where((away <= int(reach**2)) & ~inside(cells, feet), value, 0.0).max()

    return jax.vmap(best)(feet)


def prospects(
    theta: House, passages: Int[Array, "X Y Z"], observation: Observation, num_kinds: int, reach: float
) -> Prospects:
    """What the human's actions lead to, for someone who wants this house."""
    opened = passages > 0
    oldest = jnp.where(opened, passages, jnp.iinfo(passages.dtype).max).min()
    urgency = jnp.where(opened, jnp.where(passages == oldest, DEFER, 0.0), 1.0)
    table = values(observation, jax.nn.one_hot(theta, num_kinds, dtype=jnp.float32), 0.0, HUMAN, urgency, 0.0)
    legal, goal, blocks = observation.legal[HUMAN], theta.reshape(-1), observation.blocks.reshape(-1)
    place, remove = table.place.reshape(-1), table.remove.reshape(-1)
    at_hand = jnp.maximum(jnp.where(legal.place, place, 0.0), jnp.where(legal.remove, remove, 0.0))
    best = jnp.maximum(at_hand.max(), jnp.where(legal.move, table.move, 0.0).max())
    # Passages are closed last, and once that is all there is to do it is worth as much as other edits.
    worth = jnp.where(best <= DEFER, WORTH / DEFER, WORTH)
    return Prospects(
        worth * best,
        worth * place,
        worth * remove,
        worth * table.move,
        worth * kept(at_hand, observation, reach),
        (jnp.arange(num_kinds, dtype=goal.dtype)[None] == goal[:, None]) & (goal != AIR)[:, None],
        blocks == goal,
    )


def action_values(ahead: Prospects, value: Float[Array, ""]) -> ActionValues:
    """Q of each action in edits, where a turn in which nothing has been done is worth this `value`."""
    nothing, astray, harm = HASTE * value, HASTE**2 * value, HASTE * value - 1.0
    step = jnp.maximum(ahead.move, HASTE * jnp.minimum(ahead.kept, value))
    return ActionValues(
        rest=nothing,
        place=jnp.where(ahead.right, jnp.maximum(ahead.place, astray)[:, None], harm),
        remove=jnp.maximum(ahead.remove, jnp.where(ahead.stands, harm, astray)),
        move=jnp.maximum(step, astray),
    )


def reweigh(prior: EditLogits, gains: ActionValues) -> EditLogits:
    """The preferences prior(a) · exp gains(a). The joint over cells and kinds is exact."""
    never = (prior.place == -jnp.inf)[:, None]
    log_kind = jax.nn.log_softmax(jnp.where(never, 0.0, prior.kind[:, FIRST_PLACEABLE:]))
    joint = log_kind + gains.place[:, FIRST_PLACEABLE:]
    return EditLogits(
        rest=prior.rest + gains.rest,
        place=prior.place + jax.nn.logsumexp(joint, axis=1),
        kind=jnp.pad(joint, ((0, 0), (FIRST_PLACEABLE, 0))),
        remove=prior.remove + gains.remove,
        move=prior.move + gains.move,
    )


class Planner(Human):
    """Someone who knows the house and plans, without habits. The memory is when they opened each passage."""

    even: EditLogits
    """The same for every action: each kind in each cell is one."""
    shape: tuple[int, int, int] = eqx.field(static=True)
    reach: float = eqx.field(static=True)
    rationality: float | Float[Array, ""] = RATIONALITY
    """Nats for each edit that an action is worth more."""

    def init(self, key: Key[Array, ""]) -> Int[Array, "X Y Z"]:
        """No passages."""
        del key
        return jnp.zeros(self.shape, jnp.int32)

    def logits(
        self, theta: House, memory: Int[Array, "X Y Z"], observation: Observation, key: Key[Array, ""]
    ) -> tuple[EditLogits, Int[Array, "X Y Z"]]:
        """The exact probability of every action, up to a factor."""
        del key
        passages = watch(memory, theta, observation)
        ahead = prospects(theta, passages, observation, self.even.kind.shape[1], self.reach)
        gains = action_values(ahead, ahead.best)
        return reweigh(self.even, jax.tree.map(lambda value: self.rationality * value, gains)), passages


def make(game: Game, rationality: float | Float[Array, ""] = RATIONALITY) -> Planner:
    """The planning human of this game's houses."""
    building = building_game(game, "The human 'planner'")
    one_kind = building.indifferent(HUMAN)
    num_kinds = building.num_kinds - FIRST_PLACEABLE
    even = one_kind._replace(place=one_kind.place + math.log(num_kinds))
    return Planner(even, building.shape, building.reach, rationality)

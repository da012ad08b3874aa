"""A person who knows the house and builds it: what to edit next, how to get there, and how sure that is to be seen.

Each turn the person weighs every useful edit: a missing block that can be placed, a wrong one to be broken. An edit
that is offered now is done; another is walked to. The choice is Boltzmann with the weights of a `Persona`, and what
comes out is the exact probability of every action, summed over the edits that it could be meant for:

    P(edit c) = act · p(c) if c is offered now,   P(move m) = act · Σ p(c) over all c whose way begins with m

Only the weights p(c) depend on the house. Ways, reach and what is offered are found once for all houses, so that the
likelihood of hundreds of houses costs little more than that of one.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int8, Key

from tacit.core import ASSISTANT, HUMAN, Game, Human
from tacit.games.building import walking
from tacit.games.building.actions import DIRECTIONS, MOVE, PASS, EditLegal, EditLogits, decode
from tacit.games.building.blocks import AIR, DIRT, FIRST_PLACEABLE
from tacit.games.building.game import House, Observation, building_game
from tacit.humans.persona import Persona, draw_persona, eagerness

T = TypeVar("T")

DIG_PENALTY, MOST_DIGS = 30.0, 6
"""Off an edit's utility for each block to be broken on the way: what can be walked to comes first."""
SCAFFOLD_PENALTY = 600.0
"""Off for a block that does not belong but lets a hanging one be placed."""
HOLE_PENALTY, HOLE_STEP = 1000.0, 300.0
"""Off for refilling a passage that the person dug, and more for each that was dug before it. So passages come last, or
one would be closed before it was used; and among them the oldest comes first, which the others may lead to."""
LAST_RESORT = 500.0
"""Off by as much are only the passages and scaffolds."""
FLOOR = 1e-30
"""Least probability that is written as a logit."""


class Notes(NamedTuple):
    """What the person remembers of the world, all of it public: no house, no random choice."""

    hidden: Bool[Array, "X Y Z"]
    """Was within reach but not offered, and has not been offered since: walk to where sight is sure."""
    dug: Int8[Array, "X Y Z"]
    """The kind of a block that the person broke next to their body, while the cell stays empty; else air."""
    turn: Int[Array, "X Y Z"]
    """In which order these were dug, from 1; 0 elsewhere."""
    last_cell: Int[Array, "3"]
    """The person's last edit; meaningless while `last_kind` is air."""
    last_kind: Int8[Array, ""]
    """The last kind that was placed or broken."""


class Memory(NamedTuple):
    """Who the person is, and what they remember."""

    persona: Persona
    notes: Notes


class Scene(NamedTuple):
    """What one observation says, whatever the house is."""

    moves: Float[Array, "X Y Z"]
    """How many moves away each cell is, in a way that digs as little as possible."""
    digs: Float[Array, "X Y Z"]
    """How many blocks have to be broken on the way."""
    first: Float[Array, "N 6"]
    """1 for each cell's first move, else 0."""
    open: Bool[Array, "X Y Z"]
    """Whether there is a way at all, and the assistant's body is not in the cell."""
    far: Float[Array, "X Y Z"]
    """Distance from the last edit."""
    supports: Int[Array, "X Y Z"]
    """How many neighbours are solid."""
    bars: Bool[Array, "6 N"]
    """The blocks in the way of each move that can be broken now."""
    dug: Int8[Array, "X Y Z"]
    """The kind that the person dug out of each cell, else air."""
    wait: Float[Array, "X Y Z"]
    """Off for refilling it."""
    last_kind: Int8[Array, ""]
    """The kind of the last edit, air before the first."""
    onward: Float[Array, "6"]
    """1 for the direction of the last move, if the last action was one."""
    sights: Float[Array, "N 3"]
    """The direction in which each cell lies from the head, of length 1."""
    passed: Bool[Array, ""]
    """Whether the person passed last."""


def look(observation: Observation, notes: Notes, reach: float, num_kinds: int) -> tuple[Scene, Notes]:
    """Find every way, once for all houses, and bring the notes up to date."""
    blocks, feet, other = observation.blocks, observation.feet[HUMAN], observation.feet[ASSISTANT]
    shape, legal = blocks.shape, observation.legal[HUMAN]
    solid = blocks != AIR
    supports = functools.reduce(jnp.add, (walking.shift(solid, d, False).astype(jnp.int32) for d in DIRECTIONS))
    ahead = jnp.stack([walking.body_cells(feet + jnp.array(d, feet.dtype), shape) for d in DIRECTIONS])

    edit = observation.edits.cell[HUMAN]
    here = (jnp.arange(blocks.size, dtype=edit.dtype) == edit).reshape(shape)
    before, after = observation.edits.before[HUMAN], observation.edits.after[HUMAN]
    cell = jnp.stack(jnp.unravel_index(jnp.maximum(edit, 0), shape)).astype(jnp.int32)
    last_cell = jnp.where(edit >= 0, cell, notes.last_cell)
    last_kind = jnp.where(edit < 0, notes.last_kind, jnp.where(after == AIR, before, after))
    digging = here & (after == AIR) & ahead.any(0)
    dug = jnp.where(solid, jnp.int8(AIR), jnp.where(digging, before, notes.dug))
    turn = jnp.where(solid, 0, jnp.where(digging, notes.turn.max() + 1, notes.turn))
    last = decode(observation.last_actions[HUMAN], num_kinds, blocks.size)

    ways = walking.walk(walking.dig_cost(blocks, other), feet)
    hope, sure = walking.within_reach(ways, reach), walking.in_sight(ways, blocks, other)
    offered = (legal.place | legal.remove).reshape(shape)
    hidden = (notes.hidden | ((hope.distance == 0) & (solid | (supports > 0)))) & ~offered
    distance = jnp.where(hidden, sure.distance, hope.distance)
    axes = (jnp.arange(size, dtype=jnp.int32) - at for size, at in zip(shape, last_cell, strict=True))
    x, y, z = (jnp.square(gap).astype(jnp.float32) for gap in axes)
    head = (feet + jnp.array((0, 1, 0), feet.dtype)).astype(jnp.float32)
    gaps = jnp.stack(jnp.unravel_index(jnp.arange(blocks.size), shape), -1).astype(jnp.float32) - head[None]
    far = jnp.sqrt(x[:, None, None] + y[None, :, None] + z[None, None, :])
    scene = Scene(
        moves=(distance % walking.DIG).astype(jnp.float32),
        digs=jnp.minimum(distance // walking.DIG, MOST_DIGS).astype(jnp.float32),
        first=jax.nn.one_hot(jnp.where(hidden, sure.move, hope.move).reshape(-1), len(DIRECTIONS), dtype=jnp.float32),
        open=(distance < walking.UNREACHABLE) & ~walking.body_cells(other, shape),
        far=jnp.where(last_kind == AIR, 0.0, far),
        supports=supports,
        bars=ahead.reshape(len(DIRECTIONS), -1) & legal.remove[None],
        dug=dug,
        wait=HOLE_PENALTY + HOLE_STEP * turn.astype(jnp.float32),
        last_kind=last_kind,
        onward=((last.what == MOVE) & (jnp.arange(len(DIRECTIONS)) == last.direction)).astype(jnp.float32),
        sights=gaps / jnp.maximum(jnp.sqrt(jnp.square(gaps).sum(-1, keepdims=True)), 1.0),
        passed=last.what == PASS,
    )
    return scene, Notes(hidden, dug, turn, last_cell, last_kind)


def once(work: Callable[[], T], time: Int[Array, ""]) -> T:
    """The result of `work`, stored before it is used.

    XLA would merge the work with its uses and repeat it for every house of a batch; it does not see through a loop
    whose number of rounds it cannot know, here one.
    """
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(work))
    again = (time >= 0, empty)
    return jax.lax.while_loop(lambda carry: carry[0], lambda _: (jnp.zeros((), bool), work()), again)[1]


class Plan(NamedTuple):
    """What the person could do for one house."""

    utility: Float[Array, "X Y Z"]
    """In nats, -inf where there is nothing useful to do."""
    kind: Int8[Array, "X Y Z"]
    """What is to be placed in each empty cell."""


def plan(theta: House, persona: Persona, blocks: Int8[Array, "X Y Z"], scene: Scene) -> Plan:
    """How much the person would like to edit each cell next."""
    empty = blocks == AIR
    missing, wrong = empty & (theta != AIR), ~empty & (blocks != theta)
    hanging = missing & (scene.supports == 0)
    # A scaffold stays while it is all that a missing block can be placed against; a hanging one asks for a scaffold.
    needs = jnp.where(missing & (scene.supports <= 1), jnp.int8(2) - scene.supports.astype(jnp.int8), jnp.int8(0))
    asked = functools.reduce(jnp.bitwise_or, (walking.shift(needs, direction, 0) for direction in DIRECTIONS))
    wrong &= (asked & 1 == 0) | ((theta != AIR) & (scene.supports > 0))
    scaffold = empty & (theta == AIR) & (scene.supports > 0) & (asked & 2 > 0)
    hole = missing & (scene.dug == theta)
    kind = jnp.where(missing, theta, jnp.int8(DIRT))
    layer = jnp.arange(blocks.shape[1], dtype=jnp.float32)[None, :, None]
    utility = (
        -persona.layer * layer
        - persona.walk * scene.moves
        - persona.near * scene.far
        - DIG_PENALTY * scene.digs
        + jnp.where(wrong, persona.repair, 0.0)
        + jnp.where(missing & (kind == scene.last_kind), persona.same, 0.0)
        - jnp.where(hole, scene.wait, 0.0)
        - jnp.where(scaffold, SCAFFOLD_PENALTY, 0.0)
    )
    useful = ((missing & ~hanging) | wrong | scaffold) & scene.open
    return Plan(jnp.where(useful, utility, -jnp.inf), kind)


def uniform(legal: Bool[Array, " N"]) -> Float[Array, " N"]:
    """The same probability for each that is legal; 0 where none is."""
    return legal.astype(jnp.float32) / jnp.maximum(legal.sum(), 1).astype(jnp.float32)


def log(probability: Float[Array, "*N"]) -> Float[Array, "*N"]:
    """The logarithm, never -inf."""
    return jnp.log(jnp.maximum(probability, FLOOR))


def decide(wish: Plan, persona: Persona, scene: Scene, legal: EditLegal, speed: float, num_kinds: int) -> EditLogits:
    """The exact probability of every action, as logits, for someone with these wishes."""
    utility, goal = wish.utility.reshape(-1), wish.kind.reshape(-1)
    best = utility.max()
    weight = jnp.exp(utility - jnp.where(best > -jnp.inf, best, 0.0))
    choice = weight / jnp.maximum(weight.sum(), FLOOR)
    handy = (utility > -LAST_RESORT) & (legal.place | legal.remove)
    whim = jnp.where(handy.any(), persona.whim, 0.0)
    choice = choice * (1.0 - whim) + whim * uniform(handy)

    act = jnp.where(best > -jnp.inf, eagerness(persona, scene.passed, speed), 0.0)
    purpose, astray = act * (1.0 - persona.stray), act * persona.stray

    place, remove = jnp.where(legal.place, choice, 0.0), jnp.where(legal.remove, choice, 0.0)
    later = jnp.where(legal.place | legal.remove, 0.0, choice)
    way = jnp.matmul(later, scene.first, precision="highest")
    dig = jnp.matmul(jnp.where(legal.move, 0.0, way), jax.vmap(uniform)(scene.bars), precision="highest")
    goal_way = jnp.matmul(choice, scene.sights, precision="highest")
    drift = persona.drift * jnp.stack([goal_way, -goal_way], -1).reshape(-1)
    pull = jnp.where(legal.move, jnp.exp(persona.keep * scene.onward + drift), 0.0)
    slipped = persona.slip * place.sum() * uniform(legal.place)
    kept = (1.0 - persona.slip) * place

    place = purpose * (kept + slipped)
    remove = purpose * ((1.0 - persona.slip) * remove + persona.slip * remove.sum() * uniform(legal.remove) + dig)
    move = purpose * jnp.where(legal.move, way, 0.0) + astray * pull / jnp.maximum(pull.sum(), FLOOR)
    rest = jnp.maximum(1.0 - place.sum() - remove.sum() - move.sum(), 0.0)

    others = num_kinds - FIRST_PLACEABLE - 1
    any_kind = slipped / (others + 1)
    meant = log(kept * (1.0 - persona.mistake if others else 1.0) + any_kind)
    unmeant = log(kept * persona.mistake / max(others, 1) + any_kind)
    kinds = jnp.arange(num_kinds, dtype=jnp.int8)
    kind = jnp.where(kinds[None] == goal[:, None], meant[:, None], unmeant[:, None])
    return EditLogits(log(rest), log(place), kind, log(remove), log(move))


class Builder(Human):
    """A scripted person who knows the house. Alone they finish it."""

    shape: tuple[int, int, int] = eqx.field(static=True)
    num_kinds: int = eqx.field(static=True)
    reach: float = eqx.field(static=True)
    speed: float = eqx.field(static=True, default=1.0)
    """How many times as often as the persona they act (at most every turn)."""

    def init(self, key: Key[Array, ""]) -> Memory:
        """Draw a person."""
        notes = Notes(
            jnp.zeros(self.shape, bool),
            jnp.zeros(self.shape, jnp.int8),
            jnp.zeros(self.shape, jnp.int32),
            jnp.zeros((3,), jnp.int32),
            jnp.zeros((), jnp.int8),
        )
        return Memory(draw_persona(key), notes)

    def logits(
        self, theta: House, memory: Memory, observation: Observation, key: Key[Array, ""]
    ) -> tuple[EditLogits, Memory]:
        """The exact probability of every action, as logits."""
        del key

        def see() -> tuple[Scene, Notes, EditLegal]:
            return *look(observation, memory.notes, self.reach, self.num_kinds), observation.legal[HUMAN]

        scene, notes, legal = once(see, observation.time)
        persona = memory.persona
        wish = plan(theta, persona, observation.blocks, scene)
        return decide(wish, persona, scene, legal, self.speed, self.num_kinds), Memory(persona, notes)


def make(game: Game, speed: float = 1.0) -> Builder:
    """The builder of this game's houses, acting `speed` times as often as real people."""
    building = building_game(game, "The builder")
    return Builder(building.shape, building.num_kinds, building.reach, speed)

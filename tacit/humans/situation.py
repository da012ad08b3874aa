"""What does a person weigh before they act? One turn of building as numbers about each thing that they could do.

Everything is told from where the person stands and what they did last: offsets from the head, layers above the lowest
one that is unfinished, distances from the last edit, whether a kind is the right one or the one placed last. So a
world that is moved aside, made larger, or built of renamed materials looks the same. Offsets are measured in reaches,
and counts by how much is within reach, so that a person with short arms looks like any other.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tacit.core import ASSISTANT, HUMAN
from tacit.games.building import walking
from tacit.games.building.actions import DIRECTIONS, EditLegal, decode
from tacit.games.building.blocks import AIR
from tacit.games.building.game import ABSENT, House, Observation
from tacit.humans.builder import Plan, Scene, log, look, once
from tacit.humans.past import SORTS, Past, remember
from tacit.humans.wishes import Wishes, wishes


class Numbers(NamedTuple):
    """How many features there are of a moment, a cell, a move, and a kind in a cell."""

    moment: int
    cell: int
    move: int
    kind: int


NUM_FEATURES = Numbers(moment=46, cell=36, move=26, kind=5)
REACH = 4.5
"""That of the recorded people, in whose terms everything is told."""
NEAR = 3.0
"""What they have right before them."""


class Situation(NamedTuple):
    """One turn."""

    moment: Float[Array, " D"]
    habit: Float[Array, "6"]
    """How often each sort of action followed one like the last."""
    like: Int[Array, ""]
    """The sort of the last action."""
    cells: Float[Array, "N C"]
    """About an edit in each cell."""
    moves: Float[Array, "6 E"]
    """About a move in each direction."""
    kinds: Float[Array, "N M K"]
    """About each kind in each cell."""
    legal: EditLegal
    wanted: Bool[Array, " N"]
    """Whether a block placed in the cell, or the one there broken, would serve the house."""


class Site(NamedTuple):
    """What the features are made from."""

    goal: House
    observation: Observation
    scene: Scene
    past: Past
    legal: EditLegal
    plan: Plan
    wishes: Wishes
    gaps: Float[Array, "N 3"]
    """Each cell as seen from the head."""
    missing: Bool[Array, "X Y Z"]
    wrong: Bool[Array, "X Y Z"]
    last: Float[Array, "3"]
    """The last edit as seen from the head; zero before the first."""
    present: Bool[Array, ""]
    """Whether there is a partner."""
    partner: Float[Array, "3"]
    """The partner's head as seen from the own; zero if there is none."""
    reach: float

    @property
    def offered(self) -> Bool[Array, " N"]:
        """Where an edit is offered."""
        return self.legal.place | self.legal.remove

    @property
    def scale(self) -> float:
        """What turns cells into those of the recorded people."""
        return REACH / self.reach


def situation(
    goal: House, past: Past, observation: Observation, reach: float, num_kinds: int
) -> tuple[Situation, Past]:
    """One turn in numbers, and the past with the turn before in it."""

    def see() -> tuple[Scene, Past, EditLegal]:
        scene, notes = look(observation, past.notes, reach, num_kinds)
        return scene, past._replace(notes=notes), observation.legal[HUMAN]

    scene, seen, legal = once(see, observation.time)
    done = decode(observation.last_actions[HUMAN], num_kinds, observation.blocks.size)
    past = remember(past, observation, seen.notes, goal, done)
    site = survey(goal, observation, scene, past, legal, reach)
    found = Situation(
        of_moment(site),
        past.follows[past.last],
        past.last,
        of_cells(site),
        of_moves(site),
        of_kinds(site, num_kinds),
        legal,
        (site.missing | site.wrong).reshape(-1),
    )
    return found, past


def survey(goal: House, observation: Observation, scene: Scene, past: Past, legal: EditLegal, reach: float) -> Site:
    """Find what is to be done, where it is, and what each taste would do."""
    blocks, feet = observation.blocks, observation.feet.astype(jnp.float32)
    head = feet[HUMAN] + jnp.array((0.0, 1.0, 0.0))
    gaps = cells_of(goal).astype(jnp.float32) - head[None]
    found, first = wishes(goal, blocks, scene, legal, gaps, reach)
    present = (observation.feet[ASSISTANT] != jnp.array(ABSENT, jnp.int32)).any()
    return Site(
        goal,
        observation,
        scene,
        past,
        legal,
        first,
        found,
        gaps,
        (blocks == AIR) & (goal != AIR),
        (blocks != AIR) & (blocks != goal),
        jnp.where(scene.last_kind != AIR, past.notes.last_cell.astype(jnp.float32) - head, 0.0),
        present,
        jnp.where(present, feet[ASSISTANT] - feet[HUMAN], 0.0),
        reach,
    )


def of_moment(site: Site) -> Float[Array, " D"]:
    """What speaks for each sort of action."""
    past, scene, seen, found = site.past, site.scene, site.observation, site.wishes
    missing, wrong = (site.missing.reshape(-1), site.wrong.reshape(-1))
    fill, mend = missing & site.legal.place, wrong & site.legal.remove
    near = lengths(site.gaps) * site.scale <= NEAR
    later = (missing | wrong) & ~site.offered
    same = fill & ((site.goal == scene.last_kind).reshape(-1))
    crowd = site.scale * site.scale
    choice = jnp.exp(found.log_edit)
    to_place, to_break = jnp.where(site.legal.place, choice, 0.0), jnp.where(site.legal.remove, choice, 0.0)
    body = walking.body_cells(seen.feet[HUMAN], site.missing.shape) & site.missing
    numbers = [
        *(
            size(crowd * group.sum().astype(jnp.float32))
            for group in (fill, mend, (fill | mend) & near, later & near, same)
        ),
        *(share(group, offered) for group, offered in ((fill, site.legal.place), (mend, site.legal.remove))),
        *(group.any().astype(jnp.float32) for group in (fill, mend, same, (fill | mend) & near)),
        body.any().astype(jnp.float32),
        seen.effective[HUMAN].astype(jnp.float32),
        site.present.astype(jnp.float32),
        (seen.edits.cell[ASSISTANT] >= 0).astype(jnp.float32),
        within(site.scale * lengths(site.partner), 0.0, 6.0),
        within(site.scale * lengths(site.last), 0.0, 8.0),
        within(site.scale * site.last[1], -5.0, 5.0),
        lengths(jnp.matmul(past.heading, jnp.array(DIRECTIONS, jnp.float32))),
    ]
    parts = [
        jnp.stack(numbers),
        to_place.sum(-1),
        to_break.sum(-1),
        jnp.maximum(to_place, to_break).max(-1),
        jnp.exp(found.log_dig).sum(-1),
        found.pull.max(-1),
        jax.nn.one_hot(past.last, SORTS),
        jax.nn.one_hot(past.before, SORTS),
    ]
    return jnp.concatenate(parts)


def of_cells(site: Site) -> Float[Array, "N C"]:
    """What speaks for placing a block in each cell, or for breaking the one that is there."""
    blocks, goal, scene, past = site.observation.blocks, site.goal, site.scene, site.past
    cells, had = cells_of(goal), scene.last_kind != AIR
    layer = cells[:, 1]
    lined = (cells == (past.notes.last_cell + past.line)[None]).all(-1) & (past.line != 0).any()
    far = jnp.where(had, scene.far, 9.0)
    heading = jnp.matmul(past.heading, jnp.array(DIRECTIONS, jnp.float32))
    alike = [walking.shift(goal, d, 0) == goal for d in DIRECTIONS]
    rows = [walking.shift(site.missing, d, False) & same for d, same in zip(DIRECTIONS, alike, strict=True)]
    held = [walking.shift(blocks, d, 0) == goal for d in DIRECTIONS]
    grids = [
        goal == AIR,
        site.missing & (scene.dug == goal),
        (blocks == AIR) & (goal == AIR) & (site.plan.utility > -jnp.inf),
        site.missing & (goal == scene.last_kind),
        *(far <= limit for limit in (0.0, 1.0, 1.5, 2.3)),
        within(far, 0.0, 9.0),
        *around(blocks != AIR),
        *around(site.missing),
        *around(site.wrong),
        jnp.where(site.missing, total(rows), 0.0) / 3.0,
        jnp.where(goal != AIR, total(held), 0.0) / 3.0,
    ]
    vectors = [
        *(within(one, -15.0, 0.0, 5.0) for one in site.wishes.log_edit),
        within(site.wishes.log_dig[0], -15.0, 0.0, 5.0),
        within(layer - past.lowest, -3.0, 8.0),
        layer == past.lowest,
        jnp.where(had, within(layer - past.notes.last_cell[1], -4.0, 4.0), 0.0),
        within(site.scale * site.gaps[:, 1], -5.0, 5.0),
        within(site.scale * lengths(site.gaps * jnp.array(((1.0, 0.0, 1.0),))), 0.0, 6.0),
        within(site.scale * lengths(site.gaps), 0.0, 6.0),
        jnp.matmul(scene.sights, heading),
        lined,
        jnp.where(site.present, within(lengths(site.gaps - site.partner[None]), 0.0, 6.0), 0.0),
        *(jnp.full(layer.shape, trace) for trace in past.taste / jnp.array((3.0, 3.0, 1.0))),
    ]
    return jnp.stack([one.reshape(-1).astype(jnp.float32) for one in (*grids, *vectors)], -1)


def of_moves(site: Site) -> Float[Array, "6 E"]:
    """What speaks for a move in each direction."""
    past, found, scene = site.past, site.wishes, site.scene
    steps = jnp.array(DIRECTIONS, jnp.float32)
    up = steps[:, 1]
    feet = site.observation.feet[HUMAN]
    bodies = [walking.body_cells(feet + jnp.array(d, feet.dtype), site.missing.shape) for d in DIRECTIONS]
    covers = jnp.stack([(body & site.missing).sum().astype(jnp.float32) for body in bodies])
    square = jnp.square(site.gaps).sum(-1)[None] - 2.0 * jnp.matmul(steps, site.gaps.T, precision="highest") + 1.0
    useful = (site.missing | site.wrong).reshape(-1)
    there = ((square * site.scale**2 <= NEAR**2) & useful[None]).sum(-1).astype(jnp.float32) * site.scale**2
    vertical = past.heading[2] + past.heading[3]
    height = within(site.scale * (feet[1] - past.lowest).astype(jnp.float32), -2.0, 8.0)
    columns = [
        jnp.maximum(up, 0.0),
        jnp.maximum(-up, 0.0),
        scene.onward,
        opposite(scene.onward),
        past.heading,
        opposite(past.heading),
        (1.0 - jnp.abs(up)) * (past.heading.sum() - vertical),
        jnp.full(up.shape, vertical),
        covers,
        size(there),
        there / jnp.maximum(there.mean(), 1.0) - 1.0,
        within(site.scale * jnp.matmul(steps, site.last), -6.0, 6.0),
        within(site.scale * jnp.matmul(steps, site.partner), -4.0, 4.0),
        *(within(log(one), -9.0, 0.0) for one in found.way),
        *found.pull,
        *found.reaches,
        up * height,
        jnp.full(up.shape, height),
        jnp.full(up.shape, 1.0) - found.way.sum(-1).mean(),
        jnp.abs(up) * found.way.sum(-1).mean(),
    ]
    return jnp.stack(columns, -1)


def of_kinds(site: Site, num_kinds: int) -> Float[Array, "N M K"]:
    """What speaks for each kind of block in each cell."""
    kinds = jnp.arange(num_kinds, dtype=jnp.int8)
    goal, blocks = site.goal.reshape(-1, 1), site.observation.blocks
    right = (goal == kinds[None]) & (goal != AIR)
    last = jnp.broadcast_to(kinds == site.scene.last_kind, right.shape)
    open_ = jnp.broadcast_to((site.missing.reshape(-1, 1) & right).any(0), right.shape)
    beside = [walking.shift(blocks, d, 0).reshape(-1, 1) == kinds[None] for d in DIRECTIONS]
    columns = [right, last, last & (goal == AIR), open_, jnp.where(goal == AIR, total(beside), 0.0) / 3.0]
    return jnp.stack([column.astype(jnp.float32) for column in columns], -1)


def cells_of(goal: House) -> Int[Array, "N 3"]:
    """Where each cell is."""
    return jnp.stack(jnp.unravel_index(jnp.arange(goal.size), goal.shape), -1).astype(jnp.int32)


def around(grid: Bool[Array, "X Y Z"]) -> list[Float[Array, "X Y Z"]]:
    """Whether `grid` holds in the cell below and above, and in what share of the four beside."""
    beside = [walking.shift(grid, d, False) for d in DIRECTIONS if d[1] == 0]
    below, above = (walking.shift(grid, (0, y, 0), False).astype(jnp.float32) for y in (1, -1))
    return [below, above, total(beside) / 4.0]


def total(grids: list[Bool[Array, "*S"]]) -> Float[Array, "*S"]:
    """In how many of the grids each cell holds."""
    return functools.reduce(jnp.add, [grid.astype(jnp.float32) for grid in grids])


def lengths(offsets: Float[Array, "*S 3"]) -> Float[Array, "*S"]:
    """How long each is."""
    return jnp.sqrt(jnp.square(offsets).sum(-1))


def opposite(values: Float[Array, "6"]) -> Float[Array, "6"]:
    """What holds in the opposite directions."""
    return values.reshape(3, 2)[:, ::-1].reshape(-1)


def within(value: Array, least: float, most: float, unit: float = 3.0) -> Float[Array, "*S"]:
    """A number cut off at both ends, in units."""
    return jnp.clip(value.astype(jnp.float32), least, most) / unit


def size(value: Array) -> Float[Array, "*S"]:
    """A count, of which great ones are much alike."""
    return jnp.log1p(value.astype(jnp.float32))


def share(part: Bool[Array, " N"], whole: Bool[Array, " N"]) -> Float[Array, ""]:
    """How much of the whole is part; 0 of nothing."""
    return count(part) / jnp.maximum(count(whole), 1.0)


def count(group: Bool[Array, " N"]) -> Float[Array, ""]:
    """How many there are."""
    return group.sum().astype(jnp.float32)

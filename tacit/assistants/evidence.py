"""What does one thing that the human did say of each cell of the house, when the other cells are only believed?

The builder's choice probability is a ratio of sums over cells, P(a | θ) = Σ_c A_c(θ_c) / Σ_c w_c(θ_c), where w is the
weight of the edit that cell c needs if it should be of kind θ_c, and A the part of it that would lead to action a. With
the other cells replaced by their expectation under the present belief q, that gives a likelihood of each kind of each
cell; their logarithms add up over turns. So what the human passed over counts, not only what they built.
(Assumed-density filtering with one factor a cell: Minka 2001, "Expectation propagation".)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Int8

from tacit.core import HUMAN
from tacit.games.building import actions
from tacit.games.building.actions import BREAK, DIRECTIONS, MOVE, PLACE
from tacit.games.building.blocks import AIR, DIRT
from tacit.games.building.game import Observation
from tacit.humans import builder
from tacit.humans.builder import Persona, Scene

UNEXPLAINED = 0.02
"""How often a person does what the builder's rule does not foresee. Even then they edit what the house needs."""
SPREAD = 0.05
"""Probability of each of the actions that then make sense."""
SLIP = 0.01
"""Probability that a block is put or broken where the house does not need it."""
SMALLEST = 1e-20
"""Least sum of weights; the weights' scale is such that the greatest is 1."""


class Reading(NamedTuple):
    """What a turn says: of each cell's kind, and of each candidate for who the person is."""

    cells: Float[Array, "N M"]
    people: Float[Array, " K"]


def kind_weights(persona: Persona, blocks: Int8[Array, "X Y Z"], scene: Scene, num_kinds: int) -> Float[Array, "N M"]:
    """The weight w of what each cell needs if it should be of each kind; 0 where nothing is needed or can be done."""
    empty = (blocks == AIR)[..., None]
    kinds = jnp.arange(num_kinds, dtype=jnp.int8)[None, None, None]
    plain = persona._replace(same=jnp.zeros(()))
    undug = scene._replace(dug=jnp.zeros_like(scene.dug))
    # Two houses ask for every edit there is: one that lacks all the blocks, one in which all that stands is wrong.
    lacking = builder.plan(jnp.where(blocks == AIR, jnp.int8(DIRT), blocks), plain, blocks, undug).utility
    standing = builder.plan(jnp.full_like(blocks, AIR), plain, blocks, undug).utility
    utility = jnp.where(empty, lacking[..., None], standing[..., None])
    utility += jnp.where(empty & (kinds == scene.last_kind), persona.same, 0.0)
    utility -= jnp.where(empty & (kinds == scene.dug[..., None]), builder.HOLE_PENALTY, 0.0)
    needed = (kinds != blocks[..., None]) & (utility > -jnp.inf)
    utility = jnp.where(needed, utility, -jnp.inf).reshape(-1, num_kinds)
    return jnp.exp(utility - jnp.maximum(utility.max(), -1e9))


def leads_to(
    persona: Persona, observation: Observation, scene: Scene, action: Int[Array, ""], num_kinds: int
) -> Float[Array, "N M"]:
    """P(action | the edit meant is at this cell, which should be of this kind)."""
    num_cells = observation.blocks.size
    legal = observation.legal[HUMAN]
    what, cell, kind, direction = actions.decode(action, num_kinds, num_cells)
    there = jnp.arange(num_cells, dtype=jnp.int32) == cell
    spare = max(num_kinds - DIRT - 1, 1)
    right = jnp.arange(num_kinds, dtype=jnp.int32) == kind
    chance = jnp.where(right, 1.0 - persona.mistake, persona.mistake / spare)
    placed = jnp.where(there[:, None], chance[None], 0.0)
    later = ~(legal.place | legal.remove)
    way = jnp.where(later, scene.first[:, direction], 0.0)
    barred = scene.bars & ~legal.move[:, None]
    dug = barred[:, cell].astype(jnp.float32) / jnp.maximum(barred.sum(1), 1).astype(jnp.float32)
    broken = there.astype(jnp.float32) + jnp.where(later, scene.first @ dug, 0.0)
    along = jnp.select([what == BREAK, what == MOVE], [broken, way], 0.0)
    return jnp.where(what == PLACE, placed, along[:, None])


def share(
    probabilities: Float[Array, "N M"], weight: Float[Array, "N M"], leads: Float[Array, "N M"]
) -> tuple[Float[Array, "N M"], Float[Array, ""]]:
    """Σ_c w_c · leads_c / Σ_c w_c: given the kind of each cell in turn, and given none."""
    part = weight * leads
    total, hits = ((probabilities * table).sum(1) for table in (weight, part))
    others, other_hits = (jnp.maximum(x.sum() - x, 0.0) for x in (total, hits))
    cells = (other_hits[:, None] + part) / jnp.maximum(others[:, None] + weight, SMALLEST)
    return cells, hits.sum() / jnp.maximum(total.sum(), SMALLEST)


def read(
    people: Persona,
    log_weights: Float[Array, " K"],
    observation: Observation,
    scene: Scene,
    action: Int[Array, ""],
    probabilities: Float[Array, "N M"],
) -> Reading:
    """Log-likelihoods of what the human did on `observation`. Passing says nothing; nor does what nobody needs."""
    num_kinds = probabilities.shape[-1]

    what, cell, _, _ = actions.decode(action, num_kinds, len(probabilities))
    offered = observation.legal[HUMAN].place | observation.legal[HUMAN].remove
    same_edit = jnp.where(what == PLACE, observation.legal[HUMAN].place, observation.legal[HUMAN].remove)
    options = jnp.where(what == PLACE, max(num_kinds - DIRT, 1), 1)
    edits = (what == PLACE) | (what == BREAK)
    there = jnp.arange(len(probabilities), dtype=jnp.int32) == cell

    def one(persona: Persona) -> tuple[Float[Array, "N M"], Float[Array, ""]]:
        weight = kind_weights(persona, observation.blocks, scene, num_kinds)
        leads = leads_to(persona, observation, scene, action, num_kinds)
        handy = jnp.where(offered[:, None] & (weight > 0), 1.0, 0.0)
        cells, chance = share(probabilities, weight, leads)
        at_whim, whim_chance = share(probabilities, handy, leads)
        cells += persona.whim * (at_whim - cells)
        chance += persona.whim * (whim_chance - chance)
        # A slip lands anywhere on offer, a stray move goes anywhere, whatever the house.
        at_hand = (probabilities * weight).sum(1)
        hands_on = jnp.where(same_edit, at_hand, 0.0).sum() / jnp.maximum(at_hand.sum(), SMALLEST)
        slips = persona.slip * hands_on / (jnp.maximum(same_edit.sum(), 1) * options).astype(jnp.float32)
        by_chance = jnp.where(edits, slips, persona.stray / len(DIRECTIONS))
        kept = jnp.where(edits, 1.0 - persona.slip, 1.0 - persona.stray)
        cells, chance = kept * cells + by_chance, kept * chance + by_chance
        # Whatever else made the person choose an edit, it tells of the edited cell.
        meant = jnp.where(edits, (1.0 - SLIP) * leads + SLIP, 1.0)
        likely = (probabilities[cell] * meant[cell]).sum()
        odd = SPREAD * jnp.where(there[:, None] & edits, meant, jnp.where(edits, likely, 1.0))
        return cells + UNEXPLAINED * (odd - cells), chance + UNEXPLAINED * (SPREAD - chance)

    cells, chance = jax.vmap(one)(people)
    mixed = jnp.tensordot(jax.nn.softmax(log_weights), cells, axes=1)
    acted = action != 0
    return Reading(jnp.where(acted, jnp.log(mixed), 0.0), jnp.where(acted, jnp.log(chance), 0.0))

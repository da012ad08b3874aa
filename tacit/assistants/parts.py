"""Which houses of the generator fit what is known of each cell? Plans are moved, with their materials summed out.

A plan is a shape and a material for each part of the house. Which part each cell belongs to follows from the shape
alone, so for a given shape the materials' posterior is a small table and is drawn from exactly (Gibbs), while the shape
moves by Metropolis-Hastings on the likelihood with all the materials summed out (Rao-Blackwell).

The prior has a plan's properties independent, whatever the generator's split: which combinations were held out for
testing is nothing that houses seen so far could teach, and to believe it would be to believe that an unseen house is
none of those.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int8, Key

from tacit.games.building.blocks import AIR, DIRT
from tacit.games.building.game import House
from tacit.games.building.houses import HouseGenerator
from tacit.games.building.plans import Plan, mix

WALL, CORNER, PLINTH, ROOF, WINDOW, FLOOR, CHIMNEY, CEILING = range(3, 11)
NUM_PARTS = 11
"""Parts 0 to 2 are what their numbers say as kinds: air, bedrock, dirt."""
CODES = {
    "wall_kind": WALL,
    "corner_kind": CORNER,
    "plinth_kind": PLINTH,
    "roof_kind": ROOF,
    "window_kind": WINDOW,
    "floor_kind": FLOOR,
    "chimney_kind": CHIMNEY,
}
IF_ANY = ("window_kind", "chimney_kind")
"""Whether there is such a material at all belongs to the shape."""
IS_SHAPE = tuple(not name.endswith("_kind") or name in IF_ANY for name in Plan._fields)
"""Which fields make the shape."""
RATES = (0.02, 0.1, 0.3, 1.0)
"""How large a share of the shape is redrawn in a move, besides one field that always is; one of these at random."""


class Particle(NamedTuple):
    """A hypothesis: a plan, the part that each cell belongs to, and the likelihood with its materials summed out."""

    plan: Plan
    parts: Int8[Array, "X Y Z"]
    log_evidence: Float[Array, ""]

    @property
    def house(self) -> House:
        """The plan's house."""
        return materials(self.plan)[self.parts]


def lay_out(generator: HouseGenerator, plan: Plan) -> Int8[Array, "X Y Z"]:
    """The part that each cell belongs to: the house that the generator builds from parts' numbers for materials."""
    codes = {name: jnp.int32(code) for name, code in CODES.items()}
    window, chimney = (
        jnp.where(kind == AIR, AIR, code) for kind, code in ((plan.window_kind, WINDOW), (plan.chimney_kind, CHIMNEY))
    )
    parts = generator.build(plan._replace(**codes)._replace(window_kind=window, chimney_kind=chimney))
    upstairs = (jnp.arange(parts.shape[1]) > 1)[None, :, None]
    return jnp.where((parts == FLOOR) & upstairs, jnp.int8(CEILING), parts)


def materials(plan: Plan) -> Int8[Array, " P"]:
    """The kind of each part."""

    def either(kind: Int[Array, ""], fallback: Int[Array, ""] | int) -> Int[Array, ""]:
        return jnp.where(kind == AIR, fallback, kind)

    kinds = [
        0,
        1,
        2,
        plan.wall_kind,
        either(plan.corner_kind, plan.wall_kind),
        either(plan.plinth_kind, plan.wall_kind),
    ]
    kinds += [plan.roof_kind, plan.window_kind, either(plan.floor_kind, DIRT), plan.chimney_kind]
    kinds += [either(plan.floor_kind, plan.wall_kind)]
    return jnp.stack([jnp.asarray(kind, jnp.int8) for kind in kinds])


class Choice(NamedTuple):
    """Log-weights of the materials, given the shape. Those that may follow the wall have a row for each wall."""

    wall: Float[Array, " M"]
    corner: Float[Array, "M M"]
    plinth: Float[Array, "M M"]
    floor: Float[Array, "M M"]
    roof: Float[Array, " M"]
    window: Float[Array, " M"]
    chimney: Float[Array, " M"]


def weigh(generator: HouseGenerator, plan: Plan, scores: Float[Array, "P M"]) -> Choice:
    """Prior times likelihood, from the evidence for each kind summed over each part's cells."""
    num_kinds = scores.shape[1]
    prior = {
        name: row[:num_kinds] for name, row in zip(Plan._fields, generator.log_prior, strict=True) if name in CODES
    }
    none = jnp.arange(num_kinds) == AIR

    def following(name: str, own: Float[Array, " M"], as_wall: Float[Array, " M"]) -> Float[Array, "M M"]:
        """Rows are the wall's kind, columns the part's, of which 0 is "none of its own"."""
        return prior[name][None] + jnp.where(none[None], as_wall[:, None], own[None])

    def if_any(name: str, present: Bool[Array, ""], own: Float[Array, " M"]) -> Float[Array, " M"]:
        """The shape says whether there is one, so 0 is either certain or impossible."""
        return jax.nn.log_softmax(jnp.where(none == present, -jnp.inf, prior[name])) + jnp.where(none, 0.0, own)

    return Choice(
        prior["wall_kind"] + scores[WALL],
        following("corner_kind", scores[CORNER], scores[CORNER]),
        following("plinth_kind", scores[PLINTH], scores[PLINTH]),
        following("floor_kind", scores[FLOOR] + scores[CEILING], scores[FLOOR, DIRT] + scores[CEILING]),
        prior["roof_kind"] + scores[ROOF],
        if_any("window_kind", plan.window_kind != AIR, scores[WINDOW]),
        if_any("chimney_kind", plan.chimney_kind != AIR, scores[CHIMNEY]),
    )


def draw_materials(choice: Choice, plan: Plan, key: Key[Array, ""]) -> tuple[Plan, Float[Array, ""]]:
    """The plan with materials drawn anew, and the log-evidence log Σ_materials P · L."""
    marginal = [jax.nn.logsumexp(table, axis=1) for table in (choice.corner, choice.plinth, choice.floor)]
    wall_weights = choice.wall + marginal[0] + marginal[1] + marginal[2]
    noise = jax.random.gumbel(key, (len(CODES), choice.wall.shape[0]))
    wall = jnp.argmax(wall_weights + noise[0])
    rows = [choice.corner[wall], choice.plinth[wall], choice.floor[wall], choice.roof, choice.window, choice.chimney]
    corner, plinth, floor, roof, window, chimney = (
        jnp.argmax(row + bump).astype(jnp.int32) for row, bump in zip(rows, noise[1:], strict=True)
    )
    drawn = plan._replace(
        wall_kind=wall.astype(jnp.int32),
        corner_kind=corner,
        plinth_kind=plinth,
        floor_kind=floor,
        roof_kind=roof,
        window_kind=window,
        chimney_kind=chimney,
    )
    free = jnp.stack([jax.nn.logsumexp(row) for row in (wall_weights, choice.roof, choice.window, choice.chimney)])
    return drawn, free.sum()


def fit(
    generator: HouseGenerator,
    plan: Plan,
    parts: Int8[Array, "X Y Z"],
    evidence: Float[Array, "N M"],
    key: Key[Array, ""],
) -> Particle:
    """The particle of this shape with materials drawn from what is known."""
    member = (parts.reshape(1, -1) == jnp.arange(NUM_PARTS, dtype=jnp.int8)[:, None]).astype(jnp.float32)
    scores = member @ evidence
    choice = weigh(generator, plan, scores)
    drawn, free = draw_materials(choice, plan, key)
    return Particle(drawn, parts, free + scores[0, 0] + scores[1, 1] + scores[2, 2])


def move(generator: HouseGenerator, particle: Particle, evidence: Float[Array, "N M"], key: Key[Array, ""]) -> Particle:
    """Redraw some of the shape from the prior, and the materials with it; accept by Metropolis-Hastings."""
    chance_key, fresh_key, fit_key = jax.random.split(key, 3)
    shape = jnp.array(IS_SHAPE)
    # All in one draw, which compiles faster: which field, which others, at what rate, and whether to accept.
    chances = jax.random.uniform(chance_key, (4, shape.size))
    one = jnp.where(shape, chances[0], -1.0)
    rate = jnp.array(RATES)[(chances[2, 0] * len(RATES)).astype(jnp.int32)]
    redraw = shape & ((one == one.max()) | (chances[1] < rate))
    plan = mix(particle.plan, generator.draw_plan(fresh_key), ~redraw)
    other = fit(generator, plan, lay_out(generator, plan), evidence, fit_key)
    ratio = other.log_evidence - particle.log_evidence
    accept = jnp.log(chances[3, 0]) < ratio
    return jax.tree.map(lambda new, old: jnp.where(accept, new, old), other, particle)

"""What does it tell that a person likes one of two houses better, or only its roof, walls, colours or shape?

A choice between two outcomes (`feedback.comparison`). What a house is worth to someone who wants another is how much of
its plan is the same, whichever cells it fills: people see a gable roof of planks, not its place. Sizes that differ by
one count half. So worth is linear in one indicator for each field of `Plan` and each value that the field can take.
"""

from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from tacit.games.building.plans import NUM_FIELDS, Plan

Aspect = Literal["house", "roof", "walls", "colours", "shape"]
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
RATIONALITY = 1.5
"""In nats for what weighs 1: by that alone a person errs once in five."""

WEIGHTS = {
    "width": 0.7, "depth": 0.7, "height": 0.7, "upper": 1.0, "outline": 1.0, "cut": 0.3, "posts": 1.0,
    "roof": 1.5, "windows": 1.0, "side": 0.3, "full_floor": 0.1,
    "wall_kind": 2.0, "corner_kind": 0.7, "plinth_kind": 0.7, "roof_kind": 1.5, "window_kind": 0.7, "floor_kind": 0.3,
    "chimney_kind": 1.0,
}  # fmt: skip
"""How much people look at each field; at those that are not here they do not look at all."""
SIZES = ("width", "depth", "height")
SHAPE = ("width", "depth", "height", "upper", "outline", "cut", "posts", "roof")
LOOKED_AT: dict[Aspect, tuple[str, ...]] = {
    "house": tuple(WEIGHTS),
    "roof": ("roof", "roof_kind", "chimney_kind"),
    "walls": ("wall_kind", "corner_kind", "plinth_kind", "windows", "window_kind", "posts"),
    "colours": tuple(field for field in WEIGHTS if field.endswith("_kind")),
    "shape": SHAPE,
}


def num_indicators(num_values: int) -> int:
    """How many there are if no field takes more than this many values."""
    return NUM_FIELDS * num_values


def indicators(plan: Plan, num_values: int) -> Float[Array, " F"]:
    """1 for each field's own value, 0 for all others."""
    return jax.nn.one_hot(jnp.stack(plan), num_values, dtype=jnp.float32).reshape(-1)


def worth(plan: Plan, aspect: Aspect, num_values: int) -> Float[Array, " F"]:
    """What each indicator of θ makes this house, or this aspect of it, worth: Σ_f weight_f · likeness(θ_f, plan_f)."""
    seen = LOOKED_AT[aspect]
    weights = jnp.array([WEIGHTS[field] if field in seen else 0.0 for field in Plan._fields])
    values = jnp.arange(num_values, dtype=jnp.int32)
    apart = jnp.abs(values[None] - jnp.stack(plan)[:, None]).astype(jnp.float32)
    ordered = jnp.array([field in SIZES for field in Plan._fields])
    alike = jnp.where(ordered[:, None], jnp.maximum(1.0 - apart / 2.0, 0.0), jnp.where(apart == 0.0, 1.0, 0.0))
    return (weights[:, None] * alike).reshape(-1)


@eqx.filter_jit
def worth_of_pair(plans: Plan, aspect: Aspect, num_values: int) -> Float[Array, "2 F"]:
    """The same of both houses of a pair."""
    return jax.vmap(lambda plan: worth(plan, aspect, num_values))(plans)


def differ(worths: Float[Array, "2 F"]) -> bool:
    """Whether there is anything to choose; if not, an answer would tell nothing."""
    return bool((worths[0] != worths[1]).any())

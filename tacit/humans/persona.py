"""What sort of builder is a person? Tastes in nats, chances, and the real people that they were fitted to."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key


class Persona(NamedTuple):
    """How one person builds. Utilities are in nats, per cell or per move, so that they fit a world of any size."""

    layer: Float[Array, ""]
    """Off for each layer up: strong in those who build layer by layer."""
    walk: Float[Array, ""]
    """Off for each move on the way: strong in those who take the nearest first."""
    near: Float[Array, ""]
    """Off for each cell of distance from the last edit: strong in those who finish a part before the next."""
    same: Float[Array, ""]
    """For the kind that was placed last."""
    repair: Float[Array, ""]
    """For breaking a wrong block."""
    pause: Float[Array, ""]
    """Probability of passing after a turn in which the person acted."""
    linger: Float[Array, ""]
    """Probability of passing again after a pass."""
    stray: Float[Array, ""]
    """Probability that an action is a move that no edit needs: for a better view, or none of our business."""
    keep: Float[Array, ""]
    """For straying on in the direction of the last move."""
    drift: Float[Array, ""]
    """For straying towards what they are after."""
    whim: Float[Array, ""]
    """Probability that any useful edit that is offered will do."""
    slip: Float[Array, ""]
    """Probability that an edit lands on any cell that is offered, with any kind."""
    mistake: Float[Array, ""]
    """Probability that a placed block is of a wrong kind."""


CHANCES = ("pause", "linger", "stray", "whim", "slip", "mistake")
"""The fields of `Persona` that are probabilities; the others are utilities."""

# Fitted by `tacit study builders --tier small` to the solo recordings of MBAG's participants 3, 4 and 7, in the order
# of Persona's fields, with two changes that make episodes shorter. Straying, fitted at 0.67, 0.63 and 0.48, is halved:
# people stray to see better, the builder at random and so in vain. (Of what it does beside passing, in a world of
# their size, 51 % are then moves; of what they did, 63 %.) And participant 4, who passes 73 % of the turns (pause 0.60,
# linger 0.78), pauses here like the others.
PEOPLE = (
    (3.10, 0.55, 2.16, 1.60, 3.62, 0.111, 0.602, 0.33, 0.82, 0.41, 0.095, 0.017, 0.004),
    (0.95, 0.93, 1.52, 2.15, 3.01, 0.105, 0.550, 0.31, 1.45, 0.46, 0.093, 0.118, 0.027),
    (0.83, 0.44, 2.26, 2.65, 4.16, 0.098, 0.500, 0.24, 1.15, 0.63, 0.047, 0.011, 0.009),
)
"""Real people: one builds layer by layer, one errs a lot, one finishes a part before the next."""
SPREAD = 0.25
"""How much people differ from these: the standard deviation of log utilities and of the logits of probabilities."""


def draw_persona(key: Key[Array, ""]) -> Persona:
    """Someone like one of the real people."""
    who_key, how_key = jax.random.split(key)
    who = jax.random.randint(who_key, (), 0, len(PEOPLE))
    likeness = SPREAD * jax.random.normal(how_key, (len(Persona._fields),))
    middle = jnp.array(PEOPLE, jnp.float32)[who]
    is_chance = jnp.array([name in CHANCES for name in Persona._fields])
    odds = jnp.where(is_chance, middle, 0.5)
    chance = jax.nn.sigmoid(jax.scipy.special.logit(odds) + likeness)
    return Persona(*jnp.where(is_chance, chance, middle * jnp.exp(likeness)))


def eagerness(persona: Persona, passed: Bool[Array, ""], speed: float) -> Float[Array, ""]:
    """Probability of acting this turn; in the long run `speed` times as often as at speed 1, at most always."""
    onward = jnp.minimum(speed * (1.0 - persona.pause), 1.0)
    share = speed * (1.0 - persona.linger) / (1.0 - persona.linger + persona.pause)
    # In the long run the share of acting turns is resume / (resume + 1 - onward).
    possible = (share < 1.0) & (onward < 1.0)
    resume = jnp.where(possible, share * (1.0 - onward) / jnp.where(possible, 1.0 - share, 1.0), 1.0)
    return jnp.where(passed, jnp.minimum(resume, 1.0), onward)

"""What would somebody of a given taste do next, who neither rests, errs nor strays?

The scripted builder's weighing, for a few tastes that nobody was fitted to. It knows the ways, what is in sight and
what each edit is good for; a person who is learned from recordings need not learn that again.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int8

from tacit.games.building.actions import DIRECTIONS, EditLegal
from tacit.games.building.game import House
from tacit.humans.builder import Plan, Scene, log, plan
from tacit.humans.persona import Persona

TASTES = ((3.0, 1.0, 0.5, 1.0, 2.0), (1.0, 0.5, 2.0, 2.0, 3.0), (0.5, 2.0, 0.2, 0.5, 1.0))
"""Layer by layer, part by part, nearest first: the utilities of a `Persona` up to `repair`."""


class Wishes(NamedTuple):
    """What each taste would do: K tastes."""

    log_edit: Float[Array, "K N"]
    """Log-probability that this edit is the one they are after, offered now or not."""
    log_dig: Float[Array, "K N"]
    """The same of breaking a block to get on."""
    way: Float[Array, "K 6"]
    """Probability of setting out in each direction."""
    pull: Float[Array, "K 6"]
    """How far in each direction lies what they are after, as the mean of vectors of length 1."""
    reaches: Float[Array, "K 6"]
    """By how much each move makes it likelier that what they are after is within reach."""


def personas() -> Persona:
    """The tastes, with a leading axis."""
    rows = np.array([(*taste, *[0.0] * (len(Persona._fields) - len(taste))) for taste in TASTES], np.float32)
    return Persona(*jnp.asarray(rows.T))


def wishes(
    goal: House,
    blocks: Int8[Array, "X Y Z"],
    scene: Scene,
    legal: EditLegal,
    gaps: Float[Array, "N 3"],
    reach: float,
) -> tuple[Wishes, Plan]:
    """What all tastes would do, `gaps` being the cells as seen from the head; and the plan of the first."""
    plans = jax.vmap(plan, (None, 0, None, None))(goal, personas(), blocks, scene)
    utility = plans.utility.reshape(len(TASTES), -1)
    nothing = (utility == -jnp.inf).all(-1, keepdims=True)
    choice = jnp.where(utility > -jnp.inf, jax.nn.softmax(jnp.where(nothing, 0.0, utility), axis=-1), 0.0)
    later = jnp.where((legal.place | legal.remove)[None], 0.0, choice)
    way = jnp.matmul(later, scene.first, precision="highest")
    bars = scene.bars.astype(jnp.float32)
    share = bars / jnp.maximum(bars.sum(-1, keepdims=True), 1.0)
    dig = jnp.matmul(jnp.where(legal.move[None], 0.0, way), share, precision="highest")
    mean = jnp.matmul(choice, scene.sights, precision="highest")
    pull = jnp.stack([mean, -mean], -1).reshape(len(TASTES), -1)
    far, steps = jnp.square(gaps).sum(-1), jnp.array(DIRECTIONS, jnp.float32)
    after = far[:, None] - 2.0 * jnp.matmul(gaps, steps.T, precision="highest") + 1.0
    gain = (after <= reach * reach).astype(jnp.float32) - (far <= reach * reach).astype(jnp.float32)[:, None]
    found = Wishes(log(choice), log(dig), way, pull, jnp.matmul(choice, gain, precision="highest"))
    return found, jax.tree.map(lambda leaf: leaf[0], plans)

"""How does a network learn what people are after? From moments of episodes whose goal is known afterwards.

    loss = mean over cells of -log q(x, θ_x) - weight · log P(what the human did)

Both heads learn from the same features.
"""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from tacit.learning.lessons import Losses as Fit
from tacit.learning.lessons import Schedule, Task
from tacit.learning.moments import Moment, every_way, other_names, renamed, unpacked
from tacit.learning.networks import Heads, Sizes, VoxelNetwork


@dataclasses.dataclass(frozen=True)
class Config(Schedule):
    """What is chosen beforehand. A moment is learned from about once: new ones are cheap, and reuse overfits."""

    width: int = 128
    """Channels of the network, and below how many pairs of blocks it has."""
    depth: int = 2
    embedding: int = 24
    action_weight: float = 0.02
    """Weight of the human's next action beside a cell of the goal, in nats."""
    renamed: float = 0.1
    """Share of the moments whose materials get other names."""
    first_material: int = 3


NARROW = Config(width=64, depth=1)
"""Half the channels and half the blocks: a network that is cheaper to ask."""


class Losses(NamedTuple):
    """Mean negative log-likelihoods in nats: of cells where nothing stands and where something does, of actions."""

    air: Float[Array, ""]
    occupied: Float[Array, ""]
    action: Float[Array, ""]
    total: Float[Array, ""]


def losses(network: VoxelNetwork, moments: Moment, action_weight: float) -> Losses:
    """How badly the heads fit the moments, over the cells that can differ between goals."""
    return fit(network(*seen(moments)), moments, action_weight)


def fit(heads: Heads, moments: Moment, action_weight: float) -> Losses:
    """The losses of what the heads said."""
    inside = (slice(None), *[slice(1, -1)] * 3)
    log_goal = jax.nn.log_softmax(heads.goal[inside])
    goal = moments.goal[inside].astype(jnp.int32)
    nll = -jnp.take_along_axis(log_goal, goal[..., None], axis=-1)[..., 0]
    stands = (moments.kinds[:, 0][inside] != 0).astype(jnp.float32)
    action = action_nll(heads, moments).mean()
    return Losses(
        (nll * (1.0 - stands)).sum() / (1.0 - stands).sum(),
        (nll * stands).sum() / jnp.maximum(stands.sum(), 1.0),
        action,
        nll.mean() + action_weight * action,
    )


def seen(moments: Moment) -> tuple[Array, ...]:
    """What a network is shown of some moments."""
    numbers = (leaf.astype(jnp.float32) for leaf in (moments.traces, moments.heading, moments.scalars))
    return unpacked(moments.cells), moments.kinds, *numbers


def action_nll(heads: Heads, moments: Moment) -> Float[Array, " B"]:
    """-log P(what the human did) among what was offered to them; of which kind a block was, the goal says."""
    count = len(moments.rest)
    logits = [heads.place.reshape(count, -1), heads.remove.reshape(count, -1), heads.move, heads.rest[:, None]]
    every = jnp.ones((count, 1), bool)
    legal = [moments.may_place.reshape(count, -1), moments.may_remove.reshape(count, -1), moments.may_move, every]
    done = [moments.place.reshape(count, -1), moments.remove.reshape(count, -1), moments.move, moments.rest[:, None]]
    chances = jax.nn.log_softmax(jnp.where(jnp.concatenate(legal, 1), jnp.concatenate(logits, 1), -1e9))
    return -jnp.where(jnp.concatenate(done, 1), chances, 0.0).sum(1)


class Goals(Task):
    """To tell from a moment what the goal is and what the human does next."""

    config: Config = eqx.field(static=True)
    sizes: Sizes = eqx.field(static=True)
    prior: Float[Array, "X Y Z M"]

    def begin(self, key: Key[Array, ""]) -> VoxelNetwork:
        """A network that knows the prior."""
        return VoxelNetwork(self.sizes, self.prior, key)

    def losses(self, network: VoxelNetwork, lessons: Moment) -> Losses:
        """Of goals and actions."""
        return losses(network, lessons, self.config.action_weight)

    def compared(self, fit: Fit) -> Float[Array, ""]:
        """All of it: houses and people are as they are, whatever the network said of them."""
        return fit.total

    def reword(self, lessons: Moment, key: Key[Array, ""]) -> Moment:
        """Each moment in one of the eight symmetries, some with other names for the materials."""
        size, config = len(lessons.rest), self.config
        names = other_names(size, self.sizes.num_kinds, config.first_material, config.renamed, key)
        return renamed(every_way(lessons), names)

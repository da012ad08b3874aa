"""How does a policy learn from what it tried, without a search? Proximal policy optimisation with auxiliary losses.

With ρ = p(a) / p_then(a) for the first choice a that was tried, A its advantage, G = A + V_then, q the belief and θ the
house that was wanted (Schulman et al. 2017, arXiv 1707.06347, equation 7; the auxiliary losses, on the goal and on the
kinds of blocks to be placed, of Laidlaw et al. 2025, arXiv 2504.07091, section 5):

    L = -mean min(ρ A, clip(ρ, 1 - ε, 1 + ε) A) + λ_value · (V - G)² - λ_entropy · H(p)
        + λ_goal · mean_x -log q(x, θ_x) + λ_block · mean_x -log q(x, θ_x | a block)

The last mean is over the cells that could be filled then and are to be filled: of which kind a block is that the policy
places, the belief says, so this is the loss of that choice.

What was tried was tried in the world as it was: a policy may answer otherwise in one that is mirrored or bears other
names. So only the auxiliary losses are of the lesson in other words.
"""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from tacit.learning.counsel import Lesson, flat, log_probs, reworded
from tacit.learning.goals import fit, seen
from tacit.learning.lessons import Losses as Fit
from tacit.learning.lessons import Schedule, Task
from tacit.learning.networks import Counsel, CounselNetwork


class Tried(NamedTuple):
    """A turn and how it turned out. Of the lesson's `improved` the first choice that was made is 1, the rest 0."""

    lesson: Lesson
    log_prob: Float[Array, " B"]
    """log p_then(a)."""
    advantage: Float[Array, " B"]
    told: Lesson | None = None
    """The lesson in other words, for the auxiliary losses; None: as it was."""


class Losses(NamedTuple):
    """The terms before they are weighed, and their weighed sum."""

    policy: Float[Array, ""]
    value: Float[Array, ""]
    entropy: Float[Array, ""]
    air: Float[Array, ""]
    """The goal's, of cells where nothing stands, in nats; below, where something does."""
    occupied: Float[Array, ""]
    block: Float[Array, ""]
    total: Float[Array, ""]


@dataclasses.dataclass(frozen=True)
class Config(Schedule):
    """The weights of the losses beside the schedule; only the last round's lessons are of the policy as it is."""

    num_kept: int = 1
    clip_ratio: float = 0.2
    """ε."""
    value: float = 0.01
    """λ_value; the others follow in the order of the equation."""
    entropy: float = 0.01
    goal: float = 3.0
    block: float = 0.3
    trace: float = 0.95
    """λ of the advantages."""
    own: float = 1.0
    """How much of the reward is for the assistant's own edits alone; the rest is for both players' together.

    The paper's "reward engineering" is 1: what the person earns is noise to somebody who tries things out.
    """
    renamed: float = 0.1
    """Share of the lessons whose materials get other names."""
    first_material: int = 3
    first_placeable: int = 2


def losses(network: CounselNetwork, tried: Tried, config: Config) -> Losses:
    """All terms, as means over the lessons."""
    lessons = tried.lesson
    said: Counsel = network(*seen(lessons.moment))
    log_p = log_probs(said, lessons)
    policy = clipped(taken(log_p, lessons) - tried.log_prob, tried.advantage, config.clip_ratio)
    # What is not legal has no part in it; chosen before the product, or its gradient would be 0 · ∞.
    possible = jnp.where(log_p > -jnp.inf, log_p, 0.0)
    entropy = -(jnp.exp(possible) * possible).sum(-1).mean()
    value = jnp.square(said.value - lessons.value).mean()
    told, heads = lessons, said.heads
    if tried.told is not None:
        told, heads = tried.told, network.voxels(*seen(tried.told.moment))
    goal = fit(heads, told.moment, action_weight=0.0)
    block = block_nll(heads.goal, told, config.first_placeable)
    total = policy + config.value * value - config.entropy * entropy + config.goal * goal.total + config.block * block
    return Losses(policy, value, entropy, goal.air, goal.occupied, block, total)


def taken(log_p: Float[Array, "B F"], lessons: Lesson) -> Float[Array, " B"]:
    """Log p(a) of the first choice that was made."""
    return jnp.where(flat(lessons.improved) > 0.0, log_p, 0.0).sum(-1)


def clipped(log_ratio: Float[Array, " B"], advantage: Float[Array, " B"], clip_ratio: float) -> Float[Array, ""]:
    """-mean min(ρ A, clip(ρ, 1 - ε, 1 + ε) A)."""
    ratio = jnp.exp(log_ratio)
    held = jnp.clip(ratio, 1.0 - clip_ratio, 1.0 + clip_ratio)
    return -jnp.minimum(ratio * advantage, held * advantage).mean()


def block_nll(goal: Float[Array, "B X Y Z M"], lessons: Lesson, first_placeable: int) -> Float[Array, ""]:
    """The mean of -log q(x, θ_x | a block) over the cells that could be filled then and are to be filled."""
    wanted = lessons.moment.goal.astype(jnp.int32)
    counts = ((lessons.prior.place > -jnp.inf) & (wanted >= first_placeable)).astype(jnp.float32)
    log_q = jax.nn.log_softmax(goal[..., first_placeable:])
    row = jnp.maximum(wanted - first_placeable, 0)[..., None]
    return -(counts * jnp.take_along_axis(log_q, row, -1)[..., 0]).sum() / jnp.maximum(counts.sum(), 1.0)


class Trying(Task):
    """To do more of what turned out better than was hoped for, and to say what the goal is."""

    config: Config = eqx.field(static=True)
    start: CounselNetwork
    num_kinds: int = eqx.field(static=True)

    def begin(self, key: Key[Array, ""]) -> CounselNetwork:
        """The network to start from."""
        del key
        return self.start

    def losses(self, network: CounselNetwork, lessons: Tried) -> Losses:
        """All terms."""
        return losses(network, lessons, self.config)

    def compared(self, fit: Fit) -> None:
        """Nothing: the newest network chose what was tried, and its values are part of the advantages."""
        del fit

    def reword(self, lessons: Tried, key: Key[Array, ""]) -> Tried:
        """What was tried, and beside it the lessons in other words."""
        config = self.config
        told = reworded(lessons.lesson, self.num_kinds, config.first_material, config.renamed, key)
        return lessons._replace(told=told)

"""How does a network learn from its own searches? AssistanceZero's five losses, each with its weight.

A lesson is a moment of an episode in which the assistant searched before it acted. With π the policy that the search
ended on, G the return of what really followed, θ the house that was wanted, a_H what the human did and q_then what was
believed when it was played (Laidlaw et al. 2025, arXiv 2504.07091, section 4):

    L = λ_policy · -Σ_a π(a) log p(a) + λ_value · (V - G)² + λ_goal · mean_x -log q(x, θ_x)
        + λ_before · mean_x KL(q_then(x) ‖ q(x)) + λ_human · -log P(a_H)

The fourth term keeps the belief from following the last few houses.
"""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from tacit.learning.goals import fit, seen
from tacit.learning.lessons import Losses as Fit
from tacit.learning.lessons import Schedule, Task
from tacit.learning.moments import Moment, every_way, other_names, renamed
from tacit.learning.networks import Counsel, CounselNetwork

FULL = 255.0
"""Probabilities are kept in bytes, in steps of 1 / FULL."""


class Choices(NamedTuple):
    """A number for each first choice; -inf, or 0 for probabilities, where there was none."""

    place: Float[Array, "B X Y Z"]
    remove: Float[Array, "B X Y Z"]
    move: Float[Array, "B 6"]
    rest: Float[Array, " B"]


class Lesson(NamedTuple):
    """A moment, what the search made of it, and what came of that."""

    moment: Moment
    prior: Choices
    """Logits that the search started from, without the network's part; -inf for what it did not consider."""
    improved: Choices
    """π, the probabilities that it ended on."""
    believed: UInt8[Array, "B M X Y Z"]
    """q_then, in bytes."""
    value: Float[Array, " B"]
    """G, the λ-return: discounted rewards that really followed, and what was hoped for where the round ended."""


class Losses(NamedTuple):
    """The terms before they are weighed, and their weighed sum."""

    policy: Float[Array, ""]
    value: Float[Array, ""]
    air: Float[Array, ""]
    """The goal's, of cells where nothing stands, in nats; below, where something does."""
    occupied: Float[Array, ""]
    before: Float[Array, ""]
    human: Float[Array, ""]
    total: Float[Array, ""]


@dataclasses.dataclass(frozen=True)
class Config(Schedule):
    """The weights of the losses beside the schedule."""

    policy: float = 1.0
    """λ_policy; the others follow in the order of the equation."""
    value: float = 0.01
    goal: float = 3.0
    before: float = 3.0
    human: float = 0.06
    renamed: float = 0.1
    """Share of the lessons whose materials get other names."""
    first_material: int = 3


def losses(network: CounselNetwork, lessons: Lesson, config: Config) -> Losses:
    """All terms, as means over the lessons."""
    said: Counsel = network(*seen(lessons.moment))
    told = fit(said.heads, lessons.moment, action_weight=0.0)
    policy = cross_entropy(said, lessons).mean()
    value = jnp.square(said.value - lessons.value).mean()
    before = divergence(lessons.believed, said.heads.goal).mean()
    total = config.policy * policy + config.value * value + config.goal * told.total
    total += config.before * before + config.human * told.action
    return Losses(policy, value, told.air, told.occupied, before, told.action, total)


def cross_entropy(said: Counsel, lessons: Lesson) -> Float[Array, " B"]:
    """-Σ_a π(a) log p(a), p over what the search considered."""
    improved = flat(lessons.improved).astype(jnp.float32)
    return -jnp.where(improved > 0.0, improved * log_probs(said, lessons), 0.0).sum(-1)


def log_probs(said: Counsel, lessons: Lesson) -> Float[Array, "B F"]:
    """Log p of every first choice, -inf for what was not legal or not considered."""
    own = Choices(said.place, said.remove, said.move, said.rest)
    logits = jax.tree.map(lambda prior, own: prior.astype(jnp.float32) + own, lessons.prior, own)
    return jax.nn.log_softmax(flat(logits))


def flat(choices: Choices) -> Float[Array, "B F"]:
    """All first choices in a row: place, remove, move, rest."""
    return jnp.concatenate([leaf.reshape(len(choices.rest), -1) for leaf in choices], -1)


def divergence(believed: UInt8[Array, "B M X Y Z"], goal: Float[Array, "B X Y Z M"]) -> Float[Array, " B"]:
    """The mean over the cells that can differ between goals of KL(q_then(x) ‖ q(x)) in nats."""
    inside = (slice(None), *[slice(1, -1)] * 3)
    then = jnp.moveaxis(believed.astype(jnp.float32), 1, -1)[inside] / FULL
    then = then / then.sum(-1, keepdims=True)
    ratio = jnp.log(jnp.maximum(then, 1e-9)) - jax.nn.log_softmax(goal[inside])
    return jnp.where(then > 0.0, then * ratio, 0.0).sum(-1).mean((1, 2, 3))


class Advice(Task):
    """To say what the searches would end on, what follows, what the goal is and what the human does."""

    config: Config = eqx.field(static=True)
    start: CounselNetwork
    num_kinds: int = eqx.field(static=True)

    def begin(self, key: Key[Array, ""]) -> CounselNetwork:
        """The network to start from."""
        del key
        return self.start

    def losses(self, network: CounselNetwork, lessons: Lesson) -> Losses:
        """All five terms."""
        return losses(network, lessons, self.config)

    def compared(self, fit: Fit) -> None:
        """Nothing: the newest made the policies, values and beliefs to be like; the rest says little of how it acts."""
        del fit

    def reword(self, lessons: Lesson, key: Key[Array, ""]) -> Lesson:
        """Each lesson in other words."""
        return reworded(lessons, self.num_kinds, self.config.first_material, self.config.renamed, key)


def reworded(lessons: Lesson, num_kinds: int, first_material: int, share: float, key: Key[Array, ""]) -> Lesson:
    """Each lesson in one of the eight symmetries, this share of them with other names for the materials."""
    lessons = every_way(lessons)
    names = other_names(len(lessons.value), num_kinds, first_material, share, key)
    order = jnp.argsort(names, -1)[:, :, None, None, None]
    believed = jnp.take_along_axis(lessons.believed, order, axis=1)
    return lessons._replace(moment=renamed(lessons.moment, names), believed=believed)

"""How does one learn to choose as somebody chose? Small networks that score options, fitted to recorded choices.

A turn is a choice in steps: first of what sort (to wait, to place, to move, ...), then of one option of that sort from
a list, and so on. Each list has one small network, shared by all of its options, so that it fits lists of any length
and any order. What a person usually does weighs in by counting: somebody who idles a lot is taken to idle on.

    P(sort) ∝ exp(f(moment)) · habit(sort) / usual(sort),   P(option) ∝ exp(g(option))

Behaviour cloning: Pomerleau 1989, "ALVINN".
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.learning.training import Trainer


class Moments(NamedTuple):
    """The first step of each turn, one row a turn. R rows, S sorts, L ways in which moments are alike."""

    features: Float[Array, "R D"]
    habit: Float[Array, "R S"]
    """How often the person did what, before, in moments like this."""
    like: Int[Array, " R"]
    """Which moments this is like, an index below L."""
    possible: Bool[Array, "R S"]
    chosen: Int[Array, " R"]
    episode: Int[Array, " R"]
    """From which episode the row is; a row of none (-1) counts nothing."""


class Choices(NamedTuple):
    """A later step, from lists of at most K options, one row for each time it was taken."""

    features: Float[Array, "R K D"]
    possible: Bool[Array, "R K"]
    chosen: Int[Array, " R"]
    episode: Int[Array, " R"]


class Demonstrations(NamedTuple):
    """What was chosen in some episodes."""

    moments: Moments
    lists: tuple[Choices, ...]


class Sizes(NamedTuple):
    """How many features a moment has, sorts there are, and features the options of each list have."""

    moment: int
    sorts: int
    lists: tuple[int, ...]
    alike: int = 4
    """Ways in which moments are alike."""


def sizes(demonstrations: Demonstrations) -> Sizes:
    """Those of the demonstrations."""
    moments, lists = demonstrations
    return Sizes(moments.features.shape[-1], moments.habit.shape[-1], tuple(one.features.shape[-1] for one in lists))


class Scorer(eqx.Module):
    """A network with one hidden layer beside a linear one, on features brought to one scale."""

    centre: Float[Array, " D"]
    spread: Float[Array, " D"]
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear
    direct: eqx.nn.Linear

    def __init__(self, num_features: int, num_scores: int, width: int, key: Key[Array, ""]):
        """Scores are 0 for everything at first."""
        self.centre, self.spread = jnp.zeros(num_features), jnp.ones(num_features)
        self.hidden = eqx.nn.Linear(num_features, width, key=key)
        out = eqx.nn.Linear(width, num_scores, key=key)
        direct = eqx.nn.Linear(num_features, num_scores, use_bias=False, key=key)
        self.out = jax.tree.map(jnp.zeros_like, out)
        self.direct = jax.tree.map(jnp.zeros_like, direct)

    def __call__(self, features: Float[Array, " D"]) -> Float[Array, " O"]:
        """Scores of one moment, or of one option."""
        scaled = jnp.clip((features - self.centre) / self.spread, -6.0, 6.0)
        return self.direct(scaled) + self.out(jnp.tanh(self.hidden(scaled)))


class Chooser(eqx.Module):
    """Someone who chooses: logits of sorts, and of the options of each list."""

    first: Scorer
    lists: tuple[Scorer, ...]
    usual: Float[Array, "L S"]
    """How often people do what in moments that are alike, as frequencies."""
    inertia: Float[Array, ""]
    """Logarithm of how many turns the usual counts for, beside what was seen of the person."""
    trust: Float[Array, ""]
    """How much a habit weighs."""

    def sorts(
        self, features: Float[Array, " D"], habit: Float[Array, " S"], like: Int[Array, ""]
    ) -> Float[Array, " S"]:
        """Logits of the sorts."""
        usual, count = jax.lax.stop_gradient(self.usual)[like], jnp.exp(self.inertia)
        own = (habit + count * usual) / (habit.sum() + count)
        return self.first(features) + self.trust * (jnp.log(own) - jnp.log(usual))

    def options(self, number: int, features: Float[Array, "K D"]) -> Float[Array, " K"]:
        """Logits of the options of one of the lists."""
        return jax.vmap(self.lists[number])(features)[:, 0]


def log_choice(logits: Float[Array, " K"], possible: Bool[Array, " K"]) -> Float[Array, " K"]:
    """Log-probabilities of the options, -inf for those that are not possible; 0 is the sum where none is."""
    return jax.nn.log_softmax(jnp.where(possible, logits, -jnp.inf))


@dataclasses.dataclass(frozen=True)
class Config:
    """How a clone is trained. A round goes through all demonstrations once."""

    width: int = 24
    num_rounds: int = 60
    patience: int = 12
    """Rounds without a better held-out score after which training stops."""
    num_batches: int = 16
    learning_rate: float = 3e-3
    decay: float = 3e-2
    """Weight decay, in the units of AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101)."""


class Scores(NamedTuple):
    """Log-probability of what was chosen, row by row, step by step."""

    moments: Float[Array, " R"]
    lists: tuple[Float[Array, " _"], ...]


def score(chooser: Chooser, demonstrations: Demonstrations) -> Scores:
    """How likely the recorded choices are for this chooser."""
    moments = demonstrations.moments
    logits = jax.vmap(chooser.sorts)(moments.features, moments.habit, moments.like)
    found = jnp.take_along_axis(jax.vmap(log_choice)(logits, moments.possible), moments.chosen[:, None], 1)[:, 0]
    lists = []
    for number, choices in enumerate(demonstrations.lists):
        scores = jax.vmap(chooser.options, (None, 0))(number, choices.features)
        log_prob = jax.vmap(log_choice)(scores, choices.possible)
        lists.append(jnp.take_along_axis(log_prob, choices.chosen[:, None], 1)[:, 0])
    return Scores(found, tuple(lists))


def total(values: Float[Array, " R"], episode: Int[Array, " R"], weights: Float[Array, " E"]) -> Float[Array, ""]:
    """The sum over the rows of the episodes that count."""
    weight = jnp.where(episode >= 0, weights[jnp.maximum(episode, 0)], 0.0)
    return jnp.where(weight > 0, weight * values, 0.0).sum()


def cross_entropy(chooser: Chooser, demonstrations: Demonstrations, weights: Float[Array, " E"]) -> Float[Array, ""]:
    """Nats per turn, over the episodes that count."""
    found = score(chooser, demonstrations)
    moments = demonstrations.moments
    whole = total(found.moments, moments.episode, weights)
    for values, choices in zip(found.lists, demonstrations.lists, strict=True):
        whole += total(values, choices.episode, weights)
    return -whole / jnp.maximum(total(jnp.ones_like(found.moments), moments.episode, weights), 1.0)


class Progress(NamedTuple):
    """The state of a training: where it is, and the best so far by the held-out episodes."""

    chooser: Chooser
    optimiser: optax.OptState
    best: Chooser
    held_out: Float[Array, ""]
    """Of the best, in nats per turn."""
    stale: Int[Array, ""]
    """Rounds since then."""
    key: Key[Array, ""]


class Cloning(Trainer):
    """Fits a chooser to the episodes that have a weight in `training` and stops by those in `held_out`."""

    demonstrations: Demonstrations
    training: Float[Array, " E"]
    held_out: Float[Array, " E"]
    config: Config = eqx.field(static=True)

    @property
    def num_rounds(self) -> int:
        """As configured."""
        return self.config.num_rounds

    def init(self, key: Key[Array, ""]) -> Progress:
        """A chooser that finds everything alike, but knows what is usual."""
        make_key, next_key = jax.random.split(key)
        chooser = blank(sizes(self.demonstrations), self.config.width, make_key)
        chooser = calibrated(chooser, self.demonstrations, self.training)
        optimiser = self.optimiser().init(eqx.filter(chooser, free(chooser)))
        infinite = jnp.asarray(jnp.inf, jnp.float32)
        return Progress(chooser, optimiser, chooser, infinite, jnp.zeros((), jnp.int32), next_key)

    def advance(self, state: Progress) -> tuple[Progress, Mapping[str, Any]]:
        """Go through the demonstrations once, in random order."""
        return go_through(self, state)

    def done(self, state: Progress) -> bool:
        """Whether the held-out episodes have not been explained better for a while."""
        return bool(state.stale >= self.config.patience)

    def release(self, state: Progress) -> tuple[Chooser, Mapping[str, Any]]:
        """The best chooser."""
        return state.best, {"held_out_nats_per_action": float(state.held_out)}

    def optimiser(self) -> optax.GradientTransformation:
        """AdamW, slowing down over the rounds."""
        steps = self.config.num_rounds * self.config.num_batches
        rate = optax.cosine_decay_schedule(self.config.learning_rate, steps, alpha=0.1)
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=self.config.decay))


def blank(sizes: Sizes, width: int, key: Key[Array, ""]) -> Chooser:
    """A chooser that finds everything alike."""
    first_key, *keys = jax.random.split(key, 1 + len(sizes.lists))
    lists = tuple(Scorer(size, 1, width, key) for size, key in zip(sizes.lists, keys, strict=True))
    usual = jnp.full((sizes.alike, sizes.sorts), 1.0 / sizes.sorts)
    return Chooser(
        Scorer(sizes.moment, sizes.sorts, width, first_key), lists, usual, jnp.asarray(2.0), jnp.asarray(1.0)
    )


def calibrated(chooser: Chooser, demonstrations: Demonstrations, weights: Float[Array, " E"]) -> Chooser:
    """The chooser with the scales of the features, and the usual frequencies, of the episodes that count."""
    moments = demonstrations.moments
    counted = jnp.where(moments.episode >= 0, weights[jnp.maximum(moments.episode, 0)], 0.0)
    scorers = [rescaled(chooser.first, moments.features, counted)]
    for scorer, choices in zip(chooser.lists, demonstrations.lists, strict=True):
        weight = jnp.where(choices.episode >= 0, weights[jnp.maximum(choices.episode, 0)], 0.0)
        shared = (choices.possible * weight[:, None]).reshape(-1)
        scorers.append(rescaled(scorer, choices.features.reshape(len(shared), -1), shared))
    chosen = jax.nn.one_hot(moments.chosen, chooser.usual.shape[1]) * counted[:, None]
    counts = 1.0 + jax.ops.segment_sum(chosen, moments.like, num_segments=len(chooser.usual))
    usual = counts / counts.sum(-1, keepdims=True)
    return eqx.tree_at(lambda c: (c.first, c.lists, c.usual), chooser, (scorers[0], tuple(scorers[1:]), usual))


def rescaled(scorer: Scorer, features: Float[Array, "R D"], weights: Float[Array, " R"]) -> Scorer:
    """The scorer with the mean and the standard deviation of these features as their scale."""
    share = (weights / jnp.maximum(weights.sum(), 1e-9))[:, None]
    centre = (share * features).sum(0)
    spread = jnp.sqrt((share * jnp.square(features - centre[None])).sum(0))
    spread = jnp.where(spread > 1e-3, spread, 1.0)
    return eqx.tree_at(lambda s: (s.centre, s.spread), scorer, (centre, spread))


def free(chooser: Chooser) -> Any:
    """Which leaves are fitted."""
    fitted = jax.tree.map(eqx.is_inexact_array, chooser)
    kept = lambda c: [c.usual, *(leaf for one in (c.first, *c.lists) for leaf in (one.centre, one.spread))]  # noqa: E731
    return eqx.tree_at(kept, fitted, replace_fn=lambda _: False)


def shuffled(rows: Any, num_batches: int, key: Key[Array, ""]) -> Any:
    """The rows in random order, in batches of one size, with some of them twice where they do not fit."""
    count = len(jax.tree.leaves(rows)[0])
    size = -(-count // num_batches)
    order = jax.random.permutation(key, count)[jnp.arange(num_batches * size) % count].reshape(num_batches, size)
    return jax.tree.map(lambda leaf: leaf[order], rows)


@eqx.filter_jit
def go_through(trainer: Cloning, state: Progress) -> tuple[Progress, dict[str, Array]]:
    """One round."""
    config, every = trainer.config, trainer.demonstrations
    next_key, *keys = jax.random.split(state.key, 2 + len(every.lists))
    moments = shuffled(every.moments, config.num_batches, keys[0])
    lists = tuple(shuffled(one, config.num_batches, key) for one, key in zip(every.lists, keys[1:], strict=True))
    turns = total(jnp.ones_like(every.moments.features[:, 0]), every.moments.episode, trainer.training)
    optimiser = trainer.optimiser()
    fitted, kept = eqx.partition(state.chooser, free(state.chooser))

    def loss(fitted: Chooser, batch: Demonstrations) -> Float[Array, ""]:
        found = score(eqx.combine(fitted, kept), batch)
        whole = total(found.moments, batch.moments.episode, trainer.training)
        for values, choices in zip(found.lists, batch.lists, strict=True):
            whole += total(values, choices.episode, trainer.training)
        return -whole * config.num_batches / jnp.maximum(turns, 1.0)

    def step(carry: tuple[Any, Any], batch: Demonstrations) -> tuple[tuple[Any, Any], Float[Array, ""]]:
        fitted, memory = carry
        value, slope = jax.value_and_grad(loss)(fitted, batch)
        change, memory = optimiser.update(slope, memory, fitted)
        return (optax.apply_updates(fitted, change), memory), value

    (fitted, memory), losses = jax.lax.scan(step, (fitted, state.optimiser), Demonstrations(moments, lists))
    chooser = eqx.combine(fitted, kept)
    held_out = cross_entropy(chooser, every, trainer.held_out)
    better = held_out < state.held_out
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), chooser, state.best)
    stale = jnp.where(better, 0, state.stale + 1)
    numbers = {"training": losses.mean(), "held_out": held_out}
    return Progress(chooser, memory, best, jnp.minimum(held_out, state.held_out), stale, next_key), numbers


def stack(parts: Sequence[Choices]) -> Choices:
    """Choices from several episodes in one, their lists filled up to the same length."""
    longest = max(part.features.shape[1] for part in parts)

    def filled(part: Choices) -> Choices:
        pad = longest - part.features.shape[1]
        features = np.pad(part.features, ((0, 0), (0, pad), (0, 0)))
        return part._replace(features=features, possible=np.pad(part.possible, ((0, 0), (0, pad))))

    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *map(filled, parts))

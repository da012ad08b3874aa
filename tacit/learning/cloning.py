"""How does one learn to choose as somebody chose? Small networks that score options, fitted to recorded choices.

A turn is a choice in steps: first of what sort (to wait, to place, to move, ...), then of one option of that sort from
a list, and so on. Each list has one small network, shared by all of its options, so that it fits lists of any length
and any order. What a person usually does weighs in by counting: somebody who idles a lot is taken to idle on.

    P(sort) ∝ exp f(moment) · habit(sort) / usual(sort),   P(option) ∝ exp g(option)

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

LIMIT = 6.0
"""Standard deviations from the mean at which a feature is cut off."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How a clone is trained. A round goes through all demonstrations once."""

    num_rounds: int = 40
    patience: int = 10
    """Rounds without a better held-out score after which training stops."""
    num_batches: int = 16
    learning_rate: float = 5e-3
    decay: float = 0.1
    """Weight decay, in the units of AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101)."""


class Moments(NamedTuple):
    """The first step of each turn, one row a turn: R rows, S sorts."""

    features: Float[Array, "R D"]
    habit: Float[Array, "R S"]
    """How often the person did what before, in moments like this."""
    like: Int[Array, " R"]
    """Which moments this is like: an index."""
    possible: Bool[Array, "R S"]
    chosen: Int[Array, " R"]
    episode: Int[Array, " R"]
    """From which episode the row is."""


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
    """How large a chooser is."""

    moment: int
    """Features of a moment."""
    sorts: int
    alike: int
    """Ways in which moments can be alike."""
    width: int
    """Hidden units for the sorts."""
    options: tuple[tuple[int, int], ...]
    """Features of an option, and hidden units, of each network for options."""
    lists: tuple[int, ...]
    """Which of these networks each list goes to: lists of the same things share one."""


class Scorer(eqx.Module):
    """A network with one hidden layer beside a linear one, on features brought to one scale."""

    centre: Float[Array, " D"]
    spread: Float[Array, " D"]
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear
    direct: eqx.nn.Linear

    def __init__(self, num_features: int, num_scores: int, width: int, key: Key[Array, ""]):
        """Scores are 0 for everything at first."""
        hidden_key, out_key, direct_key = jax.random.split(key, 3)
        self.centre, self.spread = jnp.zeros(num_features), jnp.ones(num_features)
        self.hidden = eqx.nn.Linear(num_features, width, key=hidden_key)
        out = eqx.nn.Linear(width, num_scores, key=out_key)
        direct = eqx.nn.Linear(num_features, num_scores, use_bias=False, key=direct_key)
        self.out = jax.tree.map(jnp.zeros_like, out)
        self.direct = jax.tree.map(jnp.zeros_like, direct)

    def __call__(self, features: Float[Array, " D"]) -> Float[Array, " O"]:
        """Scores of a moment, or of an option."""
        scaled = jnp.clip((features - self.centre) / self.spread, -LIMIT, LIMIT)
        return self.direct(scaled) + self.out(jnp.tanh(self.hidden(scaled)))


class Chooser(eqx.Module):
    """Someone who chooses: logits of sorts, and of the options of each list."""

    first: Scorer
    others: tuple[Scorer, ...]
    usual: Float[Array, "L S"]
    """How often people do what in moments that are alike, as frequencies."""
    typical: Float[Array, "L S"]
    """The same of the person in the middle."""
    inertia: Float[Array, ""]
    """Logarithm of how many turns the usual counts for, beside what was seen of the person."""
    lists: tuple[int, ...] = eqx.field(static=True)
    """Which of `others` each list goes to."""

    def sorts(
        self, features: Float[Array, " D"], habit: Float[Array, " S"], like: Int[Array, ""]
    ) -> Float[Array, " S"]:
        """Logits of the sorts."""
        usual, count = jax.lax.stop_gradient(self.usual)[like], jnp.exp(self.inertia)
        own = (habit + count * usual) / (habit.sum() + count)
        return self.first(features) + jnp.log(own) - jnp.log(usual)

    def options(self, number: int, features: Float[Array, "K D"]) -> Float[Array, " K"]:
        """Logits of the options of one of the lists."""
        return jax.vmap(self.others[self.lists[number]])(features)[:, 0]


def blank(sizes: Sizes, key: Key[Array, ""]) -> Chooser:
    """A chooser that finds everything alike."""
    first_key, *keys = jax.random.split(key, 1 + len(sizes.options))
    first = Scorer(sizes.moment, sizes.sorts, sizes.width, first_key)
    others = tuple(Scorer(size, 1, width, key) for (size, width), key in zip(sizes.options, keys, strict=True))
    even = jnp.full((sizes.alike, sizes.sorts), 1.0 / sizes.sorts)
    return Chooser(first, others, even, even, jnp.float32(2.0), sizes.lists)


def log_choice(logits: Float[Array, " K"], possible: Bool[Array, " K"]) -> Float[Array, " K"]:
    """Log-probabilities of the options, log softmax over those that are possible; -inf for the others."""
    largest = jnp.where(possible.any(), jnp.where(possible, logits, -jnp.inf).max(), 0.0)
    weights = jnp.where(possible, jnp.exp(logits - largest), 0.0)
    return jnp.where(possible, logits - largest - jnp.log(jnp.maximum(weights.sum(), 1e-30)), -jnp.inf)


class Scores(NamedTuple):
    """Log-probability of what was chosen, row by row, step by step."""

    moments: Float[Array, " R"]
    lists: tuple[Float[Array, " _"], ...]


def score(chooser: Chooser, demonstrations: Demonstrations) -> Scores:
    """How likely the recorded choices are for this chooser."""
    moments = demonstrations.moments
    logits = jax.vmap(chooser.sorts)(moments.features, moments.habit, moments.like)
    found = [pick(jax.vmap(log_choice)(logits, moments.possible), moments.chosen)]
    for number, choices in enumerate(demonstrations.lists):
        scores = jax.vmap(chooser.options, (None, 0))(number, choices.features)
        found.append(pick(jax.vmap(log_choice)(scores, choices.possible), choices.chosen))
    return Scores(found[0], tuple(found[1:]))


def pick(log_probs: Float[Array, "R K"], chosen: Int[Array, " R"]) -> Float[Array, " R"]:
    """Row by row, the entry of what was chosen."""
    return jnp.take_along_axis(log_probs, chosen[:, None], 1)[:, 0]


def total(values: Float[Array, " R"], episode: Int[Array, " R"], weights: Float[Array, " E"]) -> Float[Array, ""]:
    """The sum over rows by the weights of their episodes."""
    weight = weights[episode]
    return jnp.where(weight > 0, weight * values, 0.0).sum()


def cross_entropy(chooser: Chooser, demonstrations: Demonstrations, weights: Float[Array, " E"]) -> Float[Array, " W"]:
    """Nats per turn, over episodes by their weights, for each of the W networks; they add up."""
    moments, scores = demonstrations.moments, score(chooser, demonstrations)
    turns = total(jnp.ones_like(scores.moments), moments.episode, weights)
    found = [total(scores.moments, moments.episode, weights), *(jnp.float32(0.0) for _ in chooser.others)]
    for network, values, choices in zip(chooser.lists, scores.lists, demonstrations.lists, strict=True):
        found[1 + network] += total(values, choices.episode, weights)
    return -jnp.stack(found) / jnp.maximum(turns, 1.0)


class Progress(NamedTuple):
    """The state of a training: where it is, and each network at its best by the held-out episodes."""

    chooser: Chooser
    optimiser: optax.OptState
    best: Chooser
    held_out: Float[Array, " W"]
    """Of each at its best, in nats per turn."""
    stale: Int[Array, ""]
    """Rounds since any of them got better."""
    key: Key[Array, ""]


class Cloning(Trainer):
    """Fits a chooser to the episodes that have a weight in `training`, and stops by those in `held_out`."""

    config: Config = eqx.field(static=True)
    sizes: Sizes = eqx.field(static=True)
    demonstrations: Demonstrations
    training: Float[Array, " E"]
    held_out: Float[Array, " E"]

    @property
    def num_rounds(self) -> int:
        """As configured."""
        return self.config.num_rounds

    def init(self, key: Key[Array, ""]) -> Progress:
        """A chooser that finds everything alike, but knows what is usual."""
        make_key, next_key = jax.random.split(key)
        chooser = calibrated(blank(self.sizes, make_key), self.demonstrations, self.training)
        optimiser = self.optimiser().init(eqx.filter(chooser, fitted(chooser)))
        worst = jnp.full((1 + len(self.sizes.options),), jnp.inf, jnp.float32)
        return Progress(chooser, optimiser, chooser, worst, jnp.int32(0), next_key)

    def advance(self, state: Progress) -> tuple[Progress, Mapping[str, Any]]:
        """Go through the demonstrations once, in random order."""
        return go_through(self, state)

    def done(self, state: Progress) -> bool:
        """Whether nothing in the held-out episodes has been explained better for a while."""
        return bool(state.stale >= self.config.patience)

    def release(self, state: Progress) -> tuple[Chooser, Mapping[str, Any]]:
        """The best chooser."""
        actions = int((self.training[self.demonstrations.moments.episode] > 0).sum())
        return state.best, {"held_out_nats_per_action": float(state.held_out.sum()), "training_actions": actions}

    def optimiser(self) -> optax.GradientTransformation:
        """AdamW, slowing down over the rounds."""
        steps = self.config.num_rounds * self.config.num_batches
        rate = optax.cosine_decay_schedule(self.config.learning_rate, steps, alpha=0.1)
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=self.config.decay))


@eqx.filter_jit
def calibrated(chooser: Chooser, demonstrations: Demonstrations, weights: Float[Array, " E"]) -> Chooser:
    """The chooser with the scales of the features, and the usual frequencies, of the episodes by their weights."""
    moments, lists = demonstrations
    first = rescaled(chooser.first, [(moments.features, weights[moments.episode])])
    others = []
    for number, scorer in enumerate(chooser.others):
        mine = [choices for choices, network in zip(lists, chooser.lists, strict=True) if network == number]
        shares = [jnp.where(one.possible, weights[one.episode][:, None], 0.0) for one in mine]
        others.append(rescaled(scorer, [(one.features, share) for one, share in zip(mine, shares, strict=True)]))
    usual, typical = frequencies(moments, weights, chooser.usual.shape[0])
    found = (first, tuple(others), usual, typical)
    return eqx.tree_at(lambda c: (c.first, c.others, c.usual, c.typical), chooser, found)


def rescaled(scorer: Scorer, groups: Sequence[tuple[Float[Array, "..."], Float[Array, "..."]]]) -> Scorer:
    """The scorer with the weighted mean and standard deviation of features as their scale, over all the groups."""
    flat = [(features.reshape(weight.size, -1), weight.reshape(-1)) for features, weight in groups]
    counted = jnp.maximum(sum(weight.sum() for _, weight in flat), 1e-9)
    centre = sum((weight @ features for features, weight in flat), jnp.zeros_like(scorer.centre)) / counted
    squares = (weight @ jnp.square(features - centre[None]) for features, weight in flat)
    spread = jnp.sqrt(sum(squares, jnp.zeros_like(centre)) / counted)
    return eqx.tree_at(lambda s: (s.centre, s.spread), scorer, (centre, jnp.where(spread > 1e-3, spread, 1.0)))


def frequencies(
    moments: Moments, weights: Float[Array, " E"], num_alike: int
) -> tuple[Float[Array, "L S"], Float[Array, "L S"]]:
    """How often people do what in moments that are alike: all together, and the episode in the middle."""
    chosen = jax.nn.one_hot(moments.chosen, moments.habit.shape[1])
    group = moments.episode * num_alike + moments.like
    counts = jax.ops.segment_sum(chosen, group, num_segments=len(weights) * num_alike)
    counts = counts.reshape(len(weights), num_alike, -1)
    usual = 1.0 + (counts * weights[:, None, None]).sum(0)
    usual = usual / usual.sum(-1, keepdims=True)
    own = (counts + usual[None]) / (counts.sum(-1, keepdims=True) + 1.0)
    middle = jnp.nanmedian(jnp.where(weights[:, None, None] > 0, own, jnp.nan), axis=0)
    return usual, middle / middle.sum(-1, keepdims=True)


def fitted(chooser: Chooser) -> Any:
    """Which leaves are fitted; the others are counted beforehand."""

    def counted(chooser: Chooser) -> list[Any]:
        scales = [scale for one in (chooser.first, *chooser.others) for scale in (one.centre, one.spread)]
        return [chooser.usual, chooser.typical, *scales]

    return eqx.tree_at(counted, jax.tree.map(eqx.is_inexact_array, chooser), replace_fn=lambda _: False)


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
    turns = jnp.maximum(total(jnp.ones_like(every.moments.habit[:, 0]), every.moments.episode, trainer.training), 1.0)
    optimiser, free = trainer.optimiser(), fitted(state.chooser)
    parts, kept = eqx.partition(state.chooser, free)

    def loss(parts: Chooser, batch: Demonstrations) -> Float[Array, ""]:
        here = jnp.maximum(
            total(jnp.ones_like(batch.moments.habit[:, 0]), batch.moments.episode, trainer.training), 1.0
        )
        return (
            cross_entropy(eqx.combine(parts, kept), batch, trainer.training).sum() * here * config.num_batches / turns
        )

    def step(carry: tuple[Any, Any], batch: Demonstrations) -> tuple[tuple[Any, Any], Float[Array, ""]]:
        parts, memory = carry
        value, slope = jax.value_and_grad(loss)(parts, batch)
        with jax.numpy_dtype_promotion("standard"):
            change, memory = optimiser.update(slope, memory, parts)
        return (optax.apply_updates(parts, change), memory), value

    (parts, memory), losses = jax.lax.scan(step, (parts, state.optimiser), Demonstrations(moments, lists))
    chooser = eqx.combine(parts, kept)
    held_out = cross_entropy(chooser, every, trainer.held_out)
    better = held_out < state.held_out
    best = keep(chooser, state.best, better)
    stale = jnp.where(better.any(), 0, state.stale + 1)
    numbers = {"training_nats": losses.mean(), "held_out_nats": held_out.sum()}
    return Progress(chooser, memory, best, jnp.minimum(held_out, state.held_out), stale, next_key), numbers


def keep(new: Chooser, old: Chooser, better: Bool[Array, " W"]) -> Chooser:
    """The old chooser with those networks of the new one that are better."""

    def one(now: Any, then: Any, take: Bool[Array, ""]) -> Any:
        return jax.tree.map(lambda after, before: jnp.where(take, after, before), now, then)

    others = [one(*pair, better[1 + i]) for i, pair in enumerate(zip(new.others, old.others, strict=True))]
    whole = one(new, old, better[0])
    return eqx.tree_at(lambda c: c.others, whole, tuple(others))


def stack(parts: Sequence[Choices], length: int = 0) -> Choices:
    """Choices from several episodes in one, their lists filled up to the longest, or to a greater `length`."""
    longest = max(length, *(part.features.shape[1] for part in parts))

    def filled(part: Choices) -> Choices:
        pad = longest - part.features.shape[1]
        features = np.pad(part.features, ((0, 0), (0, pad), (0, 0)))
        return part._replace(features=features, possible=np.pad(part.possible, ((0, 0), (0, pad))))

    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *map(filled, parts))

"""How does a network learn what people are after? From moments of episodes whose goal is known afterwards.

Each round plays on in many worlds at once, with the network as it is now helping in most of them, and learns from what
happened there: so it meets the situations that its own help brings about (DAgger: Ross, Gordon and Bagnell 2011). What
follows one another in an episode is alike, so updates draw from the moments of many rounds, in any order. The first
worlds are set aside: their houses are never learned from, and say when to stop.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jaxtyping import Array, Float, Int, Key

from tacit.learning.moments import Moment, every_way, other_names, renamed, unpacked
from tacit.learning.networks import Heads, Sizes, VoxelNetwork
from tacit.learning.training import Trainer

FADE = 0.7
"""Weight of the rounds before in the comparison of two networks."""

Worlds = Any
"""Episodes that are under way; which arrays, the source says."""


class Source(eqx.Module):
    """Where moments come from."""

    num_moments: eqx.AbstractVar[int]
    """How many moments `collect` takes from each world."""

    @abc.abstractmethod
    def begin(self, num_worlds: int, key: Key[Array, ""]) -> Worlds:
        """Episodes under way, with a leading axis of worlds."""

    @abc.abstractmethod
    def collect(self, worlds: Worlds, network: VoxelNetwork, key: Key[Array, ""]) -> tuple[Worlds, Moment]:
        """Play on, with the network's help, and return moments with the axes worlds and time."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What is chosen beforehand."""

    width: int = 96
    """Channels of the network, and below how many blocks it has."""
    depth: int = 4
    embedding: int = 24
    num_rounds: int = 46
    num_updates: int = 60
    """Updates a round. A moment is then learned from about once: new ones are cheap, and reuse overfits."""
    num_kept: int = 8
    """Rounds whose moments are learned from; older ones are dropped."""
    num_worlds: int = 1024
    num_held_out: int = 64
    """Of these, how many are for validation alone."""
    batch: int = 128
    """A multiple of 8."""
    learning_rate: float = 0.03
    warm_up: int = 50
    """Updates until the learning rate is reached; it then falls to nothing along a cosine."""
    clip: float = 1.0
    action_weight: float = 0.02
    """Weight of the human's next action beside a cell of the goal, in nats."""
    renamed: float = 0.1
    """Share of the moments whose materials get other names."""
    first_material: int = 3
    patience: int = 15
    """Rounds after which training stops if the network has become no better on the held-out worlds."""
    num_threads: int = 2
    """Groups of worlds that play side by side."""


class GoalState(NamedTuple):
    """All of a training that changes."""

    network: VoxelNetwork
    optimiser: Any
    worlds: tuple[Worlds, ...]
    """One entry a thread."""
    lessons: Moment
    """The moments that are kept, round after round in a row; the oldest is replaced first."""
    rounds: Int[Array, ""]
    """How many rounds have been played."""
    best: VoxelNetwork
    ahead: Float[Array, ""]
    """How much better the network is than the best so far, on the same held-out moments, averaged over some rounds."""
    waited: Int[Array, ""]
    key: Key[Array, ""]


class Losses(NamedTuple):
    """Mean negative log-likelihoods in nats: of cells where nothing stands and where something does, of actions."""

    air: Float[Array, ""]
    occupied: Float[Array, ""]
    action: Float[Array, ""]
    total: Float[Array, ""]


def losses(network: VoxelNetwork, moments: Moment, action_weight: float) -> Losses:
    """How badly the heads fit the moments, over the cells that can differ between goals."""
    traces, heading, scalars = (leaf.astype(jnp.float32) for leaf in (moments.traces, moments.heading, moments.scalars))
    heads: Heads = network(unpacked(moments.cells), moments.kinds, traces, heading, scalars)
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


def action_nll(heads: Heads, moments: Moment) -> Float[Array, " B"]:
    """-log P(what the human did) among what was offered to them; of which kind a block was, the goal says."""
    count = len(moments.rest)
    logits = [heads.place.reshape(count, -1), heads.remove.reshape(count, -1), heads.move, heads.rest[:, None]]
    every = jnp.ones((count, 1), bool)
    legal = [moments.may_place.reshape(count, -1), moments.may_remove.reshape(count, -1), moments.may_move, every]
    done = [moments.place.reshape(count, -1), moments.remove.reshape(count, -1), moments.move, moments.rest[:, None]]
    chances = jax.nn.log_softmax(jnp.where(jnp.concatenate(legal, 1), jnp.concatenate(logits, 1), -1e9))
    return -jnp.where(jnp.concatenate(done, 1), chances, 0.0).sum(1)


class GoalTrainer(Trainer):
    """Trains a `VoxelNetwork` on moments of a source."""

    config: Config = eqx.field(static=True)
    source: Source
    sizes: Sizes = eqx.field(static=True)
    prior: Float[Array, "X Y Z M"]
    finish: Callable[[VoxelNetwork], tuple[eqx.Module, Mapping[str, Any]]]
    """Makes of the best network what is to be kept, and tells figures of it."""

    @property
    def num_rounds(self) -> int:
        """The config's."""
        return self.config.num_rounds

    @property
    def num_lessons(self) -> int:
        """Moments of a round to learn from."""
        return (self.config.num_worlds - self.config.num_held_out) * self.source.num_moments

    def init(self, key: Key[Array, ""]) -> GoalState:
        """A network that knows the prior, and fresh worlds."""
        key, network_key, *world_keys = jax.random.split(key, 2 + self.config.num_threads)
        network = VoxelNetwork(self.sizes, self.prior, network_key)
        each = self.config.num_worlds // self.config.num_threads
        worlds = tuple(self.source.begin(each, world_key) for world_key in world_keys)
        with jax.numpy_dtype_promotion("standard"):
            optimiser = make_optimiser(self.config).init(eqx.filter(network, eqx.is_array))
        one = eqx.filter_eval_shape(self.source.collect, worlds[0], network, key)[1]
        room = self.config.num_kept * self.num_lessons
        lessons = jax.tree.map(lambda leaf: jnp.zeros((room, *leaf.shape[2:]), leaf.dtype), one)
        return GoalState(network, optimiser, worlds, lessons, jnp.int32(0), network, jnp.float32(0), jnp.int32(0), key)

    def advance(self, state: GoalState) -> tuple[GoalState, Mapping[str, Any]]:
        """Play on, see how good the network is on the held-out worlds, then learn from the others."""
        key, learn_key, *play_keys = jax.random.split(state.key, 2 + self.config.num_threads)
        with ThreadPoolExecutor(self.config.num_threads) as pool:
            collect = functools.partial(_collect, self.source, state.network)
            found = list(pool.map(collect, state.worlds, play_keys))
        worlds = tuple(one for one, _ in found)
        moments = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(some for _, some in found))
        held_out, new = self.parts(moments)
        lessons = _keep(state.lessons, new, state.rounds % self.config.num_kept)
        rounds = state.rounds + 1

        measured = _measure(state.network, held_out, self.config.action_weight)
        gained = _measure(state.best, held_out, self.config.action_weight).total - measured.total
        ahead = FADE * state.ahead + (1.0 - FADE) * gained
        better = ahead > 0
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state.network, state.best)
        ahead, waited = jnp.where(better, 0.0, ahead), jnp.where(better, 0, state.waited + 1)

        num_kept = min(int(rounds), self.config.num_kept) * self.num_lessons
        network, optimiser, fit = self.learn(state.network, state.optimiser, lessons, num_kept, learn_key)
        numbers = {f"held_out_{name}": value for name, value in measured._asdict().items()} | fit._asdict()
        return GoalState(network, optimiser, worlds, lessons, rounds, best, ahead, waited, key), numbers

    def parts(self, moments: Moment) -> tuple[Moment, Moment]:
        """The moments of the held-out worlds and those of the others, each in a row."""
        first = self.config.num_held_out
        chosen = (
            jax.tree.map(lambda leaf, rows=rows: leaf[rows], moments) for rows in (slice(first), slice(first, None))
        )
        held_out, lessons = (jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), some) for some in chosen)
        return held_out, lessons

    def learn(
        self, network: VoxelNetwork, optimiser: Any, lessons: Moment, num_kept: int, key: Key[Array, ""]
    ) -> tuple[VoxelNetwork, Any, Losses]:
        """All the updates of a round, on the first `num_kept` lessons drawn at random, and their mean losses."""
        row_key, name_key = jax.random.split(key)
        rows = jax.random.randint(row_key, (self.config.num_updates, self.config.batch), 0, num_kept)
        fits = []
        for some, one_key in zip(rows, jax.random.split(name_key, len(rows)), strict=True):
            batch = jax.tree.map(lambda leaf, some=some: leaf[some], lessons)
            network, optimiser, fit = _update(self.config, network, optimiser, batch, one_key)
            fits.append(fit)
        return network, optimiser, jax.tree.map(lambda *values: jnp.stack(values).mean(), *fits)

    def done(self, state: GoalState) -> bool:
        """Whether the held-out worlds have long seen nothing better."""
        return bool(state.waited >= self.config.patience)

    def release(self, state: GoalState) -> tuple[eqx.Module, Mapping[str, Any]]:
        """The network that did best on the held-out worlds, finished."""
        return self.finish(state.best)


def make_optimiser(config: Config) -> optax.GradientTransformation:
    """Muon on a cosine schedule, with gradients clipped.

    Steps of matrices are made orthogonal (Jordan et al. 2024), which learns in half the time that Adam takes here; what
    is no matrix is left to Adam, at a tenth of the rate.
    """
    rate, steps = config.learning_rate, config.num_updates * config.num_rounds
    schedule, gently = (
        optax.warmup_cosine_decay_schedule(0.0, peak, config.warm_up, steps, 0.01 * peak) for peak in (rate, 0.1 * rate)
    )
    muon = optax.contrib.muon(schedule, adam_learning_rate=gently)
    return optax.chain(optax.clip_by_global_norm(config.clip), muon)


@eqx.filter_jit
def _collect(source: Source, network: VoxelNetwork, worlds: Worlds, key: Key[Array, ""]) -> tuple[Worlds, Moment]:
    return source.collect(worlds, network, key)


@eqx.filter_jit
def _keep(lessons: Moment, new: Moment, place: Int[Array, ""]) -> Moment:
    """The lessons with the new ones in this place, counted in rounds."""
    return jax.tree.map(
        lambda every, some: jax.lax.dynamic_update_slice_in_dim(every, some, place * len(some), 0), lessons, new
    )


@eqx.filter_jit
def _measure(network: VoxelNetwork, moments: Moment, action_weight: float) -> Losses:
    return losses(network, moments, action_weight)


@eqx.filter_jit
def _update(
    config: Config, network: VoxelNetwork, optimiser: Any, batch: Moment, key: Key[Array, ""]
) -> tuple[VoxelNetwork, Any, Losses]:
    """One step of the optimiser on the batch, told in other words."""
    names = other_names(config.batch, network.sizes.num_kinds, config.first_material, config.renamed, key)
    batch = renamed(every_way(batch), names)

    def loss(network: VoxelNetwork) -> tuple[Float[Array, ""], Losses]:
        fit = losses(network, batch, config.action_weight)
        return fit.total, fit

    (_, fit), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(network)
    with jax.numpy_dtype_promotion("standard"):
        updates, optimiser = make_optimiser(config).update(gradient, optimiser, eqx.filter(network, eqx.is_array))
    return eqx.apply_updates(network, updates), optimiser, fit

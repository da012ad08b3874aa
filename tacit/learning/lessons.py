"""How does a network learn from episodes that go on while it learns? Round by round, from the lessons of many rounds.

Each round plays on in many worlds at once, with the network as it is now helping in most of them, and learns from what
happened there: so it meets the situations that its own help brings about (DAgger: Ross, Gordon and Bagnell 2011). What
follows one another in an episode is alike, so updates draw from the lessons of many rounds, in any order. The first
worlds are set aside: their episodes are never learned from, and say which network is the best and when to stop, where
networks can be compared at all. Worlds, lessons and batches are shared out among all devices (`learning.devices`).
"""

import abc
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Int, Key

from tacit.learning.devices import COPIES, ROWS, here, mesh, on_each, placed
from tacit.learning.training import Trainer

FADE = 0.7
"""Weight of the rounds before in the comparison of two networks."""

Network = Any
"""A Module; which, the task says."""
Worlds = Any
"""Episodes that are under way; which arrays, the source says."""
Lessons = Any
"""A NamedTuple of arrays, one row a lesson; which, the task says."""


@runtime_checkable
class Losses(Protocol):
    """A NamedTuple of mean losses, by name."""

    @property
    def total(self) -> Float[Array, ""]:
        """What is to become small."""
        ...

    def _asdict(self) -> dict[str, Any]: ...


class Source(eqx.Module):
    """Where lessons come from."""

    num_moments: eqx.AbstractVar[int]
    """How many lessons `collect` takes from each world."""

    @abc.abstractmethod
    def begin(self, num_worlds: int, key: Key[Array, ""]) -> Worlds:
        """Episodes under way, with a leading axis of worlds."""

    @abc.abstractmethod
    def collect(self, worlds: Worlds, network: Network, key: Key[Array, ""]) -> tuple[Worlds, Lessons]:
        """Play on, with the network's help, and return lessons with the axes worlds and time."""


class Task(eqx.Module):
    """What is to be learned from a lesson."""

    @abc.abstractmethod
    def begin(self, key: Key[Array, ""]) -> Network:
        """The network that knows nothing yet."""

    @abc.abstractmethod
    def losses(self, network: Network, lessons: Lessons) -> Losses:
        """How badly the network fits some lessons."""

    @abc.abstractmethod
    def compared(self, fit: Losses) -> Float[Array, ""] | None:
        """What of the losses says which of two networks is the better one, the less the better.

        Lessons are those of the newer network. Where it had a hand in what they ask for, the other one is asked to be
        like it, and would always lose: if so, None, and the newest network counts as the best.
        """

    @abc.abstractmethod
    def reword(self, lessons: Lessons, key: Key[Array, ""]) -> Lessons:
        """The same lessons in other words, where there are such."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How much is played and learned, and how fast."""

    num_rounds: int = 40
    num_updates: int = 120
    """Updates a round."""
    num_kept: int = 8
    """Rounds whose lessons are learned from; older ones are dropped."""
    num_worlds: int = 1024
    num_held_out: int = 64
    """Of these, how many are for validation alone."""
    batch: int = 64
    """A multiple of 8."""
    learning_rate: float = 0.015
    warm_up: int = 50
    """Updates until the learning rate is reached; it then falls to nothing along a cosine."""
    clip: float = 1.0
    patience: int = 15
    """Rounds after which training stops if the network has become no better on the held-out worlds, where that can be
    said."""
    num_threads: int = 2
    """Groups of worlds that play side by side, each on dice of its own; more where devices cannot share so many."""


class Learning(NamedTuple):
    """All of a training that changes."""

    network: Network
    optimiser: Any
    worlds: Worlds
    """Group after group."""
    lessons: Lessons
    """Those that are kept, with the axes lesson and round; the oldest round is replaced first."""
    rounds: Int[Array, ""]
    """How many rounds have been played."""
    best: Network
    """The best network so far."""
    ahead: Float[Array, ""]
    """How much better the network is than the best so far, on the same held-out lessons, averaged over some rounds."""
    waited: Int[Array, ""]
    key: Key[Array, ""]


class LessonTrainer(Trainer):
    """Trains a network at a task on the lessons of a source."""

    config: Schedule = eqx.field(static=True)
    source: Source
    task: Task
    finish: Callable[[Any], tuple[eqx.Module, Mapping[str, Any]]]
    """Makes of the best network what is to be kept, and tells figures of it."""

    @property
    def num_rounds(self) -> int:
        """The config's."""
        return self.config.num_rounds

    @property
    def num_lessons(self) -> int:
        """Lessons of a round to learn from."""
        return (self.config.num_worlds - self.config.num_held_out) * self.source.num_moments

    @property
    def num_groups(self) -> int:
        """Groups of worlds. Raises ValueError where worlds, lessons or batches cannot be shared out evenly."""
        devices, config = len(jax.devices()), self.config
        groups = math.lcm(config.num_threads, devices)
        for what, number, parts in (
            ("num_worlds", config.num_worlds, groups),
            ("the lessons of a round", self.num_lessons, devices),
            ("batch", config.batch, devices),
        ):
            if number % parts:
                raise ValueError(
                    f"{number} ({what}) cannot be shared out evenly in {parts}: give a multiple of {parts}, or "
                    "show JAX fewer devices (CUDA_VISIBLE_DEVICES)."
                )
        return groups

    def init(self, key: Key[Array, ""]) -> Learning:
        """A network that knows nothing yet, and fresh worlds."""
        key, network_key, *world_keys = jax.random.split(key, 2 + self.num_groups)
        network = self.task.begin(network_key)
        each = self.config.num_worlds // self.num_groups
        groups = [self.source.begin(each, world_key) for world_key in world_keys]
        with jax.numpy_dtype_promotion("standard"):
            optimiser = make_optimiser(self.config).init(eqx.filter(network, eqx.is_array))
        one = eqx.filter_eval_shape(self.source.collect, groups[0], network, key)[1]
        room = (self.num_lessons, self.config.num_kept)
        lessons = jax.tree.map(lambda leaf: jnp.zeros((*room, *leaf.shape[2:]), leaf.dtype), one)
        worlds = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *groups)
        nothing, none = jnp.float32(0), jnp.int32(0)
        return spread(Learning(network, optimiser, worlds, lessons, none, network, nothing, none, key))

    def advance(self, state: Learning) -> tuple[Learning, Mapping[str, Any]]:
        """Play on, see how good the network is on the held-out worlds, then learn from the others."""
        state = spread(state)
        key, learn_key, play_key = _keys(state.key, self.num_groups)
        worlds, every = self.play(state.network, state.worlds, play_key)
        held_out, new = _parts(every, self.config.num_held_out)
        lessons = _keep(state.lessons, new, state.rounds % self.config.num_kept)
        rounds = state.rounds + 1

        state, measured = self.choose(state, held_out)
        num_kept = min(int(rounds), self.config.num_kept) * self.num_lessons
        network, optimiser, fit = self.learn(state.network, state.optimiser, lessons, num_kept, learn_key)
        numbers = {f"held_out_{name}": value for name, value in measured._asdict().items()} | fit._asdict()
        best, ahead, waited = state.best, state.ahead, state.waited
        return Learning(network, optimiser, worlds, lessons, rounds, best, ahead, waited, key), numbers

    def choose(self, state: Learning, held_out: Lessons) -> tuple[Learning, Losses]:
        """The state whose best network is the better one of its two, and the losses of the newest on these lessons."""
        measured = _measure(self.task, state.network, held_out)
        now, before = (self.task.compared(fit) for fit in (measured, _measure(self.task, state.best, held_out)))
        if now is None or before is None:
            return state._replace(best=state.network), measured
        ahead = FADE * state.ahead + (1.0 - FADE) * (before - now)
        better = ahead > 0
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state.network, state.best)
        ahead, waited = jnp.where(better, 0.0, ahead), jnp.where(better, 0, state.waited + 1)
        return state._replace(best=best, ahead=ahead, waited=waited), measured

    def play(self, network: Network, worlds: Worlds, keys: Key[Array, " G"]) -> tuple[Worlds, Lessons]:
        """Play on in all worlds: every device in its own, group by group, a thread for each."""
        num_threads = self.num_groups // len(jax.devices())
        groups = _split(worlds, keys, num_threads)
        with ThreadPoolExecutor(num_threads) as pool:
            found = list(pool.map(lambda group: _collect(self.source, network, *group), groups))
        return _merge(found)

    def learn(
        self, network: Network, optimiser: Any, lessons: Lessons, num_kept: int, key: Key[Array, ""]
    ) -> tuple[Any, Any, Losses]:
        """All the updates of a round, on the first `num_kept` lessons drawn at random, and their mean losses."""
        row_key, word_key = jax.random.split(key)
        rows = jax.random.randint(row_key, (self.config.num_updates, self.config.batch), 0, num_kept)
        fits = []
        for some, one_key in zip(rows, jax.random.split(word_key, len(rows)), strict=True):
            network, optimiser, fit = _update(self.config, self.task, network, optimiser, lessons, some, one_key)
            fits.append(fit)
        return network, optimiser, jax.tree.map(lambda *values: jnp.stack(values).mean(), *fits)

    def done(self, state: Learning) -> bool:
        """Whether the held-out worlds have long seen nothing better."""
        return bool(state.waited >= self.config.patience)

    def release(self, state: Learning) -> tuple[eqx.Module, Mapping[str, Any]]:
        """The best network, finished. What the last updates made of it is tried once more before."""
        state = spread(state)
        _, _, play_key = _keys(state.key, self.num_groups)
        _, every = self.play(state.network, state.worlds, play_key)
        held_out, _ = _parts(every, self.config.num_held_out)
        return self.finish(here(self.choose(state, held_out)[0].best))


def make_optimiser(config: Schedule) -> optax.GradientTransformation:
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


def spread(state: Learning) -> Learning:
    """A state, which may come from a file, on all devices."""
    rows = state._replace(worlds=placed(state.worlds, ROWS), lessons=placed(state.lessons, ROWS))
    others = placed(state._replace(worlds=None, lessons=None), COPIES)
    return others._replace(worlds=rows.worlds, lessons=rows.lessons)


@eqx.filter_jit
def _keys(key: Key[Array, ""], num_groups: int) -> tuple[Key[Array, ""], Key[Array, ""], Key[Array, " G"]]:
    """For the next round, to learn with, and one a group to play with."""
    keys = jax.random.split(key, 2 + num_groups)
    return keys[0], keys[1], keys[2:]


@eqx.filter_jit
def _split(worlds: Worlds, keys: Key[Array, " G"], num: int) -> list[tuple[Worlds, Key[Array, " D"]]]:
    """The device's groups, one after another."""

    def groups(_: None, worlds: Worlds, keys: Key[Array, " T"]) -> list[tuple[Worlds, Key[Array, " D"]]]:
        def group(leaf: Array, number: int) -> Array:
            each = len(leaf) // num
            return leaf[number * each : (number + 1) * each]

        return [jax.tree.map(functools.partial(group, number=number), (worlds, keys)) for number in range(num)]

    return on_each(groups, None, worlds, keys)


@eqx.filter_jit
def _merge(groups: list[Any]) -> Any:
    """The inverse of `_split`."""

    def merge(_: None, groups: list[Any]) -> Any:
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *groups)

    return on_each(merge, None, groups)


@eqx.filter_jit
def _collect(source: Source, network: Network, worlds: Worlds, keys: Key[Array, " D"]) -> tuple[Worlds, Lessons]:
    """Every device plays on in one of its groups."""

    def collect(copies: tuple[Source, Network], worlds: Worlds, keys: Key[Array, "1"]) -> tuple[Worlds, Lessons]:
        source, network = copies
        return source.collect(worlds, network, keys[0])

    return on_each(collect, (source, network), worlds, keys)


@eqx.filter_jit
def _parts(every: Lessons, num_held_out: int) -> tuple[Lessons, Lessons]:
    """The lessons of the held-out worlds and those of the others, each in a row."""

    def rows(leaf: Array, part: slice) -> Array:
        return leaf[part].reshape(-1, *leaf.shape[2:])

    first, others = slice(num_held_out), slice(num_held_out, None)
    held_out, lessons = (jax.tree.map(functools.partial(rows, part=part), every) for part in (first, others))
    return held_out, lessons


@eqx.filter_jit
def _keep(lessons: Lessons, new: Lessons, place: Int[Array, ""]) -> Lessons:
    """The lessons with the new ones in the place of a round."""
    kept = jax.tree.map(lambda every, some: jax.lax.dynamic_update_index_in_dim(every, some, place, 1), lessons, new)
    return jax.lax.with_sharding_constraint(kept, NamedSharding(mesh(), ROWS))


@eqx.filter_jit
def _measure(task: Task, network: Network, lessons: Lessons) -> Any:
    return task.losses(network, lessons)


@eqx.filter_jit
def _update(
    config: Schedule,
    task: Task,
    network: Network,
    optimiser: Any,
    lessons: Lessons,
    rows: Int[Array, " B"],
    key: Key[Array, ""],
) -> tuple[Any, Any, Any]:
    """One step of the optimiser on these rows of the lessons, counted round after round, told in other words."""
    num_lessons = len(jax.tree.leaves(lessons)[0])
    batch = jax.tree.map(lambda leaf: leaf[rows % num_lessons, rows // num_lessons], lessons)
    batch = task.reword(jax.lax.with_sharding_constraint(batch, NamedSharding(mesh(), ROWS)), key)

    def loss(network: Network) -> tuple[Float[Array, ""], Losses]:
        fit = task.losses(network, batch)
        return fit.total, fit

    (_, fit), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(network)
    with jax.numpy_dtype_promotion("standard"):
        updates, optimiser = make_optimiser(config).update(gradient, optimiser, eqx.filter(network, eqx.is_array))
    return eqx.apply_updates(network, updates), optimiser, fit

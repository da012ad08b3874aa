"""A training so small that processes can be started for it: y = W x, from worlds of which some go on for longer."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.learning.lessons import LessonTrainer, Schedule, Source, Task

SCHEDULE = Schedule(
    num_rounds=3,
    num_updates=4,
    num_kept=2,
    num_worlds=16,
    num_held_out=4,
    batch=8,
    learning_rate=0.05,
    warm_up=2,
)


class World(NamedTuple):
    key: Key[Array, " B"]
    steps: Int[Array, " B"]


class Pairs(NamedTuple):
    x: Float[Array, "*B 4"]
    y: Float[Array, "*B 3"]


class Losses(NamedTuple):
    error: Float[Array, ""]
    total: Float[Array, ""]


class Line(eqx.Module):
    weight: Float[Array, "3 4"]
    name: str = eqx.field(static=True, default="line")


class Walks(Source):
    """x is where a walk ends that the network pushes on; how long it is differs from world to world."""

    truth: Float[Array, "3 4"]
    num_moments: int = 2

    def begin(self, num_worlds: int, key: Key[Array, ""]) -> World:
        return World(jax.random.split(key, num_worlds), jnp.arange(num_worlds, dtype=jnp.int32))

    def collect(self, worlds: World, network: Line, key: Key[Array, ""]) -> tuple[World, Pairs]:
        def one(world: World, key: Key[Array, ""]) -> tuple[World, Pairs]:
            def walk(start: Key[Array, ""]) -> Array:
                def on(way: tuple[Array, Array]) -> tuple[Array, Array]:
                    push = 0.1 * network.weight.sum(0)
                    return way[0] + 1, way[1] + push + jax.random.normal(jax.random.fold_in(start, way[0]), (4,))

                longest = world.steps % 3 + 1
                return jax.lax.while_loop(lambda way: way[0] < longest, on, (jnp.int32(0), jnp.zeros(4)))[1]

            xs = jax.vmap(walk)(jax.random.split(jax.random.fold_in(world.key, world.steps), self.num_moments))
            noise = 0.01 * jax.random.normal(key, (self.num_moments, 3))
            return world._replace(steps=world.steps + 1), Pairs(xs, xs @ self.truth.T + noise)

        return jax.vmap(one)(worlds, jax.random.split(key, len(worlds.steps)))


class Fit(Task):
    truth: Float[Array, "3 4"]

    def begin(self, key: Key[Array, ""]) -> Line:
        return Line(jax.random.normal(key, (3, 4)))

    def losses(self, network: Line, lessons: Pairs) -> Losses:
        error = jnp.square(lessons.x @ network.weight.T - lessons.y).mean()
        return Losses(jnp.square(network.weight - self.truth).mean(), error)

    def compared(self, fit: Losses) -> Float[Array, ""]:
        return fit.total

    def reword(self, lessons: Pairs, key: Key[Array, ""]) -> Pairs:
        sign = jnp.where(jax.random.bernoulli(key, 0.5, (len(lessons.x), 1)), 1.0, -1.0)
        return Pairs(sign * lessons.x, sign * lessons.y)


def trainer(config: Schedule = SCHEDULE, seed: int = 0) -> LessonTrainer:
    truth = jax.random.normal(jax.random.key(seed), (3, 4))
    return LessonTrainer(config, Walks(truth), Fit(truth), lambda network: (network, {}))

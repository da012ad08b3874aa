"""A training so small that processes can be started for it: y = W x, from worlds of which some go on for longer.

Run as a program it trains, alone or as one of several processes, and prints the numbers of every round.
"""

import argparse
import json
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.learning.devices import whole
from tacit.learning.lessons import LessonTrainer, Schedule, Source, Task
from tacit.storage import load_checkpoint, save_checkpoint

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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--others", help="the coordinator, how many processes there are and which this is")
    parser.add_argument("--save", help="where the first process writes the state after two rounds")
    parser.add_argument("--resume", help="a file to go on from, after two rounds")
    chosen = parser.parse_args()
    if chosen.others:
        coordinator, number, which = chosen.others.split(",")
        jax.distributed.initialize(coordinator, int(number), int(which))
    teacher = trainer(seed=chosen.seed)
    state, rounds = teacher.init(jax.random.key(chosen.seed)), []
    if chosen.resume:
        state = load_checkpoint(chosen.resume, state)
    for number in range(2 if chosen.resume else 0, teacher.num_rounds):
        state, numbers = teacher.advance(state)
        rounds.append({name: float(value) for name, value in numbers.items()})
        if chosen.save and number == 1:
            kept = whole(state)
            if jax.process_index() == 0:
                save_checkpoint(chosen.save, kept, {})
    network, _ = teacher.release(state)
    print(json.dumps({"devices": len(jax.devices()), "rounds": rounds, "weight": network.weight.tolist()}))


if __name__ == "__main__":
    main()

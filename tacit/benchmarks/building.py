"""How many turns a second does the building game play? Both players choose evenly among all that is possible.

Every turn draws both players' full masks of reach and line of sight, samples an action from each, and plays them. The
worlds of a batch are divided among as many threads as there are processors. The baseline, measured in the same run, is
the game's NumPy twin, which plays one world at a time; it belongs to the tests, and without it there is no ratio.
"""

import importlib.util
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from tacit.core import ASSISTANT, HUMAN
from tacit.games import building_paper, building_small
from tacit.games.building.game import BuildingGame, State

TWIN = Path(__file__).parents[2] / "tests" / "oracles" / "numpy_building.py"
BATCHES = (1, 64, 256, 1024)
NUM_TURNS = 4096
"""Turns to time at once, over all worlds."""
NUM_TWIN_TURNS = 50
NUM_REPEATS = 5
"""The best of these counts: other programs can only slow us down."""


def even_turn(game: BuildingGame, state: State, key: Key[Array, ""]) -> State:
    """One turn in which both players choose evenly."""
    human_key, assistant_key, step_key = jax.random.split(key, 3)
    legal = game.legal(state)
    human = game.sample(game.indifferent(HUMAN), legal[HUMAN], human_key)
    assistant = game.sample(game.indifferent(ASSISTANT), legal[ASSISTANT], assistant_key)
    return game.step(state, jnp.stack([human, assistant]), step_key)


@eqx.filter_jit
def play(game: BuildingGame, batch: int, num_turns: int, key: Key[Array, ""]) -> State:
    """Play `num_turns` turns in `batch` new worlds."""

    def turn(states: State, key: Key[Array, ""]) -> tuple[State, None]:
        return jax.vmap(even_turn, (None, 0, 0))(game, states, jax.random.split(key, batch)), None

    states = jax.vmap(game.init)(jax.random.split(key, batch))
    return jax.lax.scan(turn, states, jax.random.split(key, num_turns))[0]


def fastest(work: Callable[[int], Any], num_threads: int) -> float:
    """Seconds that `work(0)`, `work(1)`, ... take side by side, the best of NUM_REPEATS, after one call to warm up."""
    work(0)
    best = float("inf")
    for _ in range(NUM_REPEATS):
        threads = [threading.Thread(target=work, args=(index,)) for index in range(num_threads)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        best = min(best, time.perf_counter() - start)
    return best


def ours(game: BuildingGame, batch: int) -> float:
    """Turns a second with `batch` worlds."""
    num_threads = min(os.cpu_count() or 1, batch)
    share = batch // num_threads
    num_turns = max(NUM_TURNS // batch, 8)
    keys = jax.random.split(jax.random.key(0), num_threads)
    seconds = fastest(lambda index: jax.block_until_ready(play(game, share, num_turns, keys[index])), num_threads)
    return num_threads * share * num_turns / seconds


def twins(game: BuildingGame, reach: float) -> float | None:
    """Turns a second of the NumPy twin, one world on one processor; None if it is not here."""
    spec = importlib.util.spec_from_file_location("numpy_building", TWIN) if TWIN.exists() else None
    if spec is None or spec.loader is None:
        return None
    twin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(twin)

    def work(_: int) -> None:
        rng = np.random.default_rng(0)
        world = twin.start(game.shape)
        for _ in range(NUM_TWIN_TURNS):
            world = twin.random_turn(*world[:3], game.num_kinds, reach, rng)

    return NUM_TWIN_TURNS / fastest(work, 1)


def make() -> list[dict[str, Any]]:
    """Time both sizes at each batch size."""
    rows = []
    for name, module in (("building-small", building_small), ("building-paper", building_paper)):
        game = module.make()
        baseline = twins(game, module.REACH)
        for batch in BATCHES:
            value = ours(game, batch)
            rows.append(
                {
                    "name": f"{name}, batch {batch}" if baseline else f"{name}, batch {batch} (no {TWIN.name} here)",
                    "value": round(value),
                    "unit": "turns/s",
                    "baseline": baseline and round(baseline),
                    "ratio": baseline and round(value / baseline, 1),
                }
            )
    return rows

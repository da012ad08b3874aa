"""How fast are problems solved whose beliefs are too large to list, and what does one more theta cost?

POMCP: simulations a second of many searches side by side on all processors, against one search of pomdp-py and one of
our own slow twin in Python and NumPy, all with the same model, depth and simulations for each search. The kitchen and
ChefWorld are POMDPs by a fixed human. Then ChefWorld exactly: the generalised backup, against the coordinator's. Each
measurement is made in a process of its own, so that its peak of memory is its own too.
"""

import concurrent.futures
import importlib
import importlib.util
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tacit.arrays import Pomdp
from tacit.benchmarks import generative
from tacit.core import Simulator
from tacit.games import chef_world, kitchen
from tacit.humans import answering
from tacit.planning import (
    assistance,
    best_response,
    cirl,
    cirl_pomcp,
    generalised_bellman,
    particle_filter,
    pomcp,
    sweeps,
)
from tacit.planning.tabular_simulator import TabularSimulator
from tacit.pomdps import tiger
from tacit.pomdps.rock_sample_simulator import RockSampleSimulator

TWIN = Path(__file__).parents[2] / "tests" / "oracles" / "numpy_pomcp.py"
BATCH = 256
"""Searches side by side."""
NUM_SIMULATIONS = 1000
"""Of each search, whosever it is."""
EPSILON = 0.01
NUM_REPEATS = 5
"""The best of these counts: other programs can only slow us down."""

RECIPES = ((2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 2), (3, 0, 1), (1, 3, 2))
"""Three ingredients; ChefWorld is played for three turns."""
COUNTS = list(range(2, len(RECIPES) + 1))
MOST_COORDINATED = 4
"""The coordinator is given so many recipes at most; it takes ten times as long for one more."""


class Case(NamedTuple):
    """A problem as we simulate it and as the others do, and the constant of the upper confidence bound."""

    simulator: Simulator
    model: generative.Generative
    exploration: float


class Speed(NamedTuple):
    """Simulations a second, and megabytes that memory grew by at its peak."""

    rate: float
    megabytes: float


def tabular(problem: Pomdp, exploration: float, horizon: int | None = None) -> Case:
    """A POMDP by arrays."""
    return Case(TabularSimulator(problem, horizon), generative.tabular(problem), exploration)


def chefs(count: int) -> Case:
    """ChefWorld with so many recipes and a human who cooks as if the assistant knew which."""
    arrays = chef_world.make(RECIPES[:count], 3).arrays
    turns = [turn for turn, _ in chef_world.pots(3, 3)] + [2]
    literal = best_response.literal_human(arrays)[turns, :, np.arange(len(turns))].swapaxes(0, 1)
    return tabular(assistance.reduce(arrays, literal), 1.0, arrays.horizon)


def asked() -> Case:
    """The kitchen and a human who says where a wormy apple goes."""
    arrays = kitchen.make().arrays
    return tabular(assistance.reduce(arrays, answering.policy(arrays)), 4.0, arrays.horizon)


CASES: dict[str, Callable[[], Case]] = {
    "tiger": lambda: tabular(tiger.make(), 110.0),
    "rock-sample 4x4, 4 rocks": lambda: Case(RockSampleSimulator(4, 4), generative.rocks(4, 4), 20.0),
    "rock-sample 7x7, 8 rocks": lambda: Case(RockSampleSimulator(7, 8), generative.rocks(7, 8), 20.0),
    "kitchen": asked,
    **{f"chef-world, {count} recipes": lambda count=count: chefs(count) for count in COUNTS},
}


def fastest(work: Callable[[], Any], repeats: int = NUM_REPEATS) -> float:
    """Seconds that `work()` takes at best, after one call to warm up."""
    work()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def peak() -> float:
    """Megabytes of memory that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def ours(name: str, batch: int) -> Speed:
    """`batch` searches from the problem's own start."""
    before, case = peak(), CASES[name]()
    keys = jax.random.split(jax.random.key(0), batch)
    particles = jax.vmap(lambda key: particle_filter.begin(case.simulator, 1024, key))(keys)
    config = pomcp.Config(case.exploration, NUM_SIMULATIONS, EPSILON)
    seconds = fastest(lambda: jax.block_until_ready(pomcp.side_by_side(case.simulator, particles, config, keys)))
    return Speed(batch * NUM_SIMULATIONS / seconds, peak() - before)


def pairs(count: int, batch: int) -> Speed:
    """`batch` searches for human and assistant together, ChefWorld with so many recipes; on one processor."""
    before, game = peak(), cirl_pomcp.PublicGame(chef_world.make(RECIPES[:count], 3).arrays)
    keys, state = jax.random.split(jax.random.key(0), batch), jnp.zeros(batch, jnp.int32)
    belief, config = jnp.tile(game.prior, (batch, 1)), cirl_pomcp.Config(1.0, NUM_SIMULATIONS)
    seconds = fastest(lambda: jax.block_until_ready(cirl_pomcp.search(game, state, belief, config, keys)))
    return Speed(batch * NUM_SIMULATIONS / seconds, peak() - before)


def depth(case: Case) -> int:
    """Turns of a simulation."""
    return pomcp.depth(case.simulator.horizon, case.simulator.discount, EPSILON)


def pomdp_py(name: str) -> Speed | None:
    """One search of pomdp-py; None where it is not installed."""
    if importlib.util.find_spec("pomdp_py") is None:
        return None
    before, case, library = peak(), CASES[name](), importlib.import_module("pomdp_py")
    num_observations = case.simulator.num_observations
    search = generative.pomdp_py_search(
        library, case.model, case.simulator.discount, case.exploration, depth(case), num_observations
    )
    return Speed(NUM_SIMULATIONS / fastest(lambda: search(NUM_SIMULATIONS)), peak() - before)


def twin(name: str) -> Speed | None:
    """One search of the slow twin; None where it is not here."""
    spec = importlib.util.spec_from_file_location("numpy_pomcp", TWIN) if TWIN.exists() else None
    if spec is None or spec.loader is None:
        return None
    slow = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = slow
    spec.loader.exec_module(slow)
    before, case = peak(), CASES[name]()
    model = slow.Model(
        lambda state, action, rng: case.model.step(state, action), case.model.num_actions, case.simulator.discount
    )
    states, rng = [case.model.start() for _ in range(1024)], np.random.default_rng(0)
    seconds = fastest(lambda: slow.search(model, states, case.exploration, NUM_SIMULATIONS, depth(case), rng), 2)
    return Speed(NUM_SIMULATIONS / seconds, peak() - before)


def exact(count: int) -> float:
    """Seconds for the optimal pair of ChefWorld with so many recipes, by the generalised backup."""
    arrays = chef_world.make(RECIPES[:count], 3).arrays
    return fastest(lambda: cirl.optimal_pair(arrays), 3)


def coordinated(count: int) -> float:
    """Seconds for the same by the coordinator's backup, plans being dropped in the same way."""
    arrays = chef_world.make(RECIPES[:count], 3).arrays
    keep = generalised_bellman.keep_best_at(generalised_bellman.restrictions(arrays.prior))
    join = generalised_bellman.coordinated_answer

    def back(turn: int, state: int, following: Sequence[np.ndarray]) -> sweeps.Plans:
        del turn
        return generalised_bellman.backup(arrays, state, following, join, keep, keep)

    return fastest(lambda: sweeps.finite(arrays, back), 1)


def apart(work: Callable[..., Any], *args: Any) -> Any:
    """What `work(*args)` returns in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(work, *args).result()


def row(name: str, unit: str, value: float, baseline: float | None, ratio: float | None) -> dict[str, Any]:
    """A row of the table, rounded to what can be told apart."""
    return {
        "name": name,
        "value": float(f"{value:.3g}"),
        "unit": unit,
        "baseline": None if baseline is None else float(f"{baseline:.3g}"),
        "ratio": None if ratio is None else float(f"{ratio:.3g}"),
    }


def searched(name: str) -> list[dict[str, Any]]:
    """The rows of one problem."""
    many, one, theirs, slow = apart(ours, name, BATCH), apart(ours, name, 1), apart(pomdp_py, name), apart(twin, name)
    rows = []
    for speed, who, missing in ((theirs, "pomdp-py", "not installed"), (slow, "NumPy twin", "not here")):
        lacks = "" if speed else f" ({missing})"
        for mine, label in ((many, f"{BATCH} searches"), (one, "1 search")):
            rate = speed and speed.rate
            rows.append(
                row(f"{name}: {label} / {who}{lacks}", "simulations/s", mine.rate, rate, rate and mine.rate / rate)
            )
    for mine, label in ((many, f"{BATCH} searches"), (one, "1 search")):
        held = theirs and theirs.megabytes
        rows.append(
            row(f"{name}: {label}, memory / pomdp-py", "MB", mine.megabytes, held, held and mine.megabytes / held)
        )
    return rows


def make() -> list[dict[str, Any]]:
    """Time every problem; some minutes."""
    rows = [each for name in CASES for each in searched(name)]
    for count in COUNTS:
        speed = apart(pairs, count, BATCH)
        name = f"chef-world, {count} recipes: {BATCH} searches for both players"
        rows.append(row(name, "simulations/s", speed.rate, None, None))
        rows.append(row(f"{name}, memory", "MB", speed.megabytes, None, None))
    for count in COUNTS:
        seconds, tried = apart(exact, count), count <= MOST_COORDINATED
        other = apart(coordinated, count) if tried else None
        name = f"chef-world, {count} recipes: exact / coordinator{'' if tried else ' (too large for it)'}"
        rows.append(row(name, "s", seconds, other, other and other / seconds))
    return rows


def draw(figure: Any) -> None:
    """What one more theta costs: exact backups of both kinds, and a search's share of many side by side."""
    axes, beside = figure.subplots(), f", one of {BATCH} at once"
    few = [count for count in COUNTS if count <= MOST_COORDINATED]
    one = [NUM_SIMULATIONS / apart(ours, f"chef-world, {count} recipes", BATCH).rate for count in COUNTS]
    both = [NUM_SIMULATIONS / apart(pairs, count, BATCH).rate for count in COUNTS]
    axes.semilogy(few, [apart(coordinated, count) for count in few], marker="o", label="exact, coordinator")
    axes.semilogy(COUNTS, [apart(exact, count) for count in COUNTS], marker="o", label="exact, generalised backup")
    axes.semilogy(COUNTS, both, marker="o", label=f"POMCP for both players, {NUM_SIMULATIONS} simulations{beside}")
    axes.semilogy(COUNTS, one, marker="o", label=f"POMCP, human fixed, {NUM_SIMULATIONS} simulations{beside}")
    axes.set_xlabel("recipes, |Θ|")
    axes.set_ylabel("time (s)")
    axes.set_xticks(COUNTS)
    axes.legend()

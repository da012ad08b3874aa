"""What the slow planners of the benchmark simulate: the same problems in plain Python, as their users write them.

A model's step(state, action) gives the next state, the number of what is seen, the reward and whether all is over.
Lists and tuples, one random number where one is needed: nothing that would make Python slower than it is.
"""

import bisect
import itertools
import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from tacit.arrays import Pomdp
from tacit.pomdps import rock_sample


class Generative(NamedTuple):
    """A problem to simulate: how to draw a start, how to step, and how many actions there are."""

    start: Callable[[], Any]
    step: Callable[[Any, int], tuple[Any, int, float, bool]]
    num_actions: int


def tabular(problem: Pomdp) -> Generative:
    """A POMDP by arrays: a state is a number, a row is a list of places with the sums of their chances."""
    moves = [_rows(matrix, len(problem.initial)) for matrix in problem.transitions]
    sights = [_rows(matrix, len(problem.initial)) for matrix in problem.observations]
    rewards = problem.rewards.tolist()
    stays = np.stack([matrix.diagonal() for matrix in problem.transitions]) > 1.0 - 1e-12
    ends = (np.all(stays, axis=0) & ~np.any(problem.rewards, axis=1)).tolist()
    firsts, bounds = _rows(sparse.csr_array(problem.initial[None]), 1)[0]

    def start() -> int:
        return firsts[bisect.bisect(bounds, random.random())]

    def step(state: int, action: int) -> tuple[int, int, float, bool]:
        places, sums = moves[action][state]
        following = places[bisect.bisect(sums, random.random())] if sums else places[0]
        places, sums = sights[action][following]
        seen = places[bisect.bisect(sums, random.random())] if sums else places[0]
        return following, seen, rewards[state][action], ends[following]

    return Generative(start, step, problem.rewards.shape[1])


def rocks(n: int, k: int) -> Generative:
    """RockSample(n, k): a state is x, y and a tuple of which rocks are good; x = n has left."""
    cells = rock_sample.rock_cells(n, k, None, 0)
    half = rock_sample.sensor_range(n, k, None, None)
    at = {tuple(cell): index for index, cell in enumerate(cells)}
    right = [
        {place: 0.5 + 0.5 * 2.0 ** (-math.dist(place, cell) / half) for place in itertools.product(range(n), repeat=2)}
        for cell in cells
    ]
    ways = ((0, 1), (0, -1), (1, 0), (-1, 0))

    def start() -> tuple:
        return 0, n // 2, tuple(random.random() < 0.5 for _ in range(k))

    def step(state: tuple, action: int) -> tuple[tuple, int, float, bool]:
        x, y, good = state
        if x == n:
            return state, rock_sample.NONE, 0.0, True
        if action > 4:
            seen = good[action - 5] == (random.random() < right[action - 5][x, y])
            return state, rock_sample.SEEN_GOOD if seen else rock_sample.SEEN_BAD, 0.0, False
        if action < 4:
            x, y = max(x + ways[action][0], 0), min(max(y + ways[action][1], 0), n - 1)
            return (x, y, good), rock_sample.NONE, rock_sample.EXIT if x == n else 0.0, x == n
        rock = at.get((x, y))
        if rock is None:
            return state, rock_sample.NONE, 0.0, False
        if good[rock]:
            return (x, y, (*good[:rock], False, *good[rock + 1 :])), rock_sample.NONE, rock_sample.GOOD, False
        return state, rock_sample.NONE, rock_sample.BAD, False

    return Generative(start, step, 5 + k)


def pomdp_py_search(
    library: Any, model: Generative, discount: float, exploration: float, depth: int, num_observations: int
) -> Callable[[int], Any]:
    """A function that makes so many simulations with pomdp-py's POMCP, from 1024 particles."""

    class Held:
        def __init__(self, value: Any):
            self.value = value

        def __hash__(self) -> int:
            return hash(self.value)

        def __eq__(self, other: Any) -> bool:
            return self.value == other.value

        def __deepcopy__(self, memo: dict) -> "Held":
            # Never changed, so that the particles that each search copies cost it nothing.
            return self

    class State(Held, library.State):
        pass

    class Action(Held, library.Action):
        pass

    class Observation(Held, library.Observation):
        pass

    actions = [Action(number) for number in range(model.num_actions)]
    observations = [Observation(number) for number in range(num_observations)]

    class World(library.BlackboxModel):
        def sample(self, state: Any, action: Any) -> tuple[Any, Any, float, int]:
            before = state.value
            after, seen, reward, _ = model.step(before, action.value)
            return state if after is before else State(after), observations[seen], reward, 1

    class Even(library.RolloutPolicy):
        def sample(self, state: Any) -> Any:
            return random.choice(actions)

        def rollout(self, state: Any, history: Any = None) -> Any:
            return random.choice(actions)

        def get_all_actions(self, state: Any = None, history: Any = None) -> list:
            return actions

    policy = Even()
    particles = [State(model.start()) for _ in range(1024)]

    def search(num_simulations: int) -> Any:
        agent = library.Agent(library.Particles(particles), policy, blackbox_model=World())
        planner = library.POMCP(
            max_depth=depth,
            discount_factor=discount,
            num_sims=num_simulations,
            exploration_const=exploration,
            rollout_policy=policy,
        )
        planner.plan(agent)
        return agent.tree

    return search


def _rows(matrix: sparse.csr_array, count: int) -> list[tuple[list[int], list[float]]]:
    """Of each row the places that can be, and the sums of their chances but for the last; no sums if one is certain."""
    rows, columns, chances = sparse.find(matrix)
    found = []
    for row in range(count):
        here = rows == row
        found.append((columns[here].tolist(), np.cumsum(chances[here])[:-1].tolist()))
    return found

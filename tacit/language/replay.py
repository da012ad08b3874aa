"""How does a critic remember tricks that the policy has given up? A pool of old contests, mixed with those of now.

Half of what the critic learns from is fresh, half is drawn from the pool (Cai and Provilkov 2025, arXiv 2511.21667).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tacit.language.game import Contest


class Pool(NamedTuple):
    """Contests of earlier rounds, oldest first; beyond `capacity` the oldest are dropped."""

    contests: tuple[Contest, ...] = ()
    capacity: int = 4096

    def add(self, fresh: Sequence[Contest]) -> "Pool":
        """The pool with `fresh` contests behind the old ones."""
        if self.capacity < 0:
            raise ValueError(f"A pool cannot hold {self.capacity} contests; give it a capacity of 0 or more.")
        contests = (*self.contests, *fresh)
        return Pool(contests[max(len(contests) - self.capacity, 0) :], self.capacity)


def mix(pool: Pool, fresh: Sequence[Contest], size: int, share: float, rng: np.random.Generator) -> list[Contest]:
    """`size` contests, the part `share` of them drawn from the pool, rounded down, the others from `fresh`.

    Nothing is drawn twice. While the pool is too small, fresh ones stand in; `fresh` must have at least `size`.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"The replayed share is {share}, but a share lies between 0 and 1.")
    if not 0 <= size <= len(fresh):
        raise ValueError(f"{size} contests cannot be drawn from {len(fresh)} fresh ones.")
    num_old = min(int(share * size), len(pool.contests))
    old = rng.choice(len(pool.contests), num_old, replace=False) if num_old else []
    new = rng.choice(len(fresh), size - num_old, replace=False)
    return [*(fresh[index] for index in new), *(pool.contests[index] for index in old)]

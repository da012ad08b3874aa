"""What is a problem in a .pomdp file worth? Exactly where that is quick, else between two bounds."""

import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from tacit.arrays import Pomdp
from tacit.planning import point_based, reachable
from tacit.pomdps.reader import read

QUICK_TURNS = 500
"""The longest horizon that is tried exactly."""

QUICK_NUMBERS = 1_000_000
"""The most numbers that the reachable beliefs of a turn may take for that; this is a matter of seconds."""

MOST_NUMBERS = 200_000_000
"""The most numbers that the bounds of all turns may take to start with."""


class Answer(NamedTuple):
    """The value of the start belief, as rewards, lies between `lower` and `upper`; `seconds` went into solving."""

    lower: float
    upper: float
    seconds: float

    def json(self) -> dict[str, float]:
        """As `tacit solve --json` prints it."""
        return {"lower": self.lower, "upper": self.upper, "gap": self.upper - self.lower, "seconds": self.seconds}


def solve(
    pomdp: Pomdp, horizon: int | None, seconds: float, gap: float, report: point_based.Report | None = None
) -> Answer:
    """The value of the start belief: exact where few beliefs can be reached, else bounds, within the time."""
    started = time.perf_counter()
    if pomdp.discount == 0.0:
        horizon = 1
    if horizon is not None and horizon <= QUICK_TURNS:
        try:
            value = reachable.solve(pomdp, horizon, QUICK_NUMBERS).value
        except ValueError:  # Too many beliefs.
            pass
        else:
            return Answer(value, value, time.perf_counter() - started)
    if horizon is not None and horizon * pomdp.rewards.size > MOST_NUMBERS:
        raise ValueError(
            f"Bounds for {horizon} turns, {pomdp.rewards.shape[0]} states and {pomdp.rewards.shape[1]} actions take "
            f"more than {MOST_NUMBERS} numbers; give a shorter horizon, or none."
        )
    left = seconds - (time.perf_counter() - started)
    found = point_based.bounds(pomdp, horizon, max(left, 0.0), gap, report)
    # Bounds that meet can cross by a rounding error.
    return Answer(found.lower, max(found.lower, found.upper), time.perf_counter() - started)


def run(path: Path, horizon: int | None, seconds: float, gap: float) -> tuple[Pomdp, Answer]:
    """Read a file and solve it, telling on standard error how far that is."""
    with Console(stderr=True).status(f"reading {path}") as status:
        pomdp = read(path)
        if horizon is None and pomdp.discount == 1.0:
            raise ValueError(f"{path} has the discount 1, so that its value for ever may be infinite; give --horizon.")
        status.update("solving")
        return pomdp, solve(
            pomdp,
            horizon,
            seconds,
            gap,
            lambda passed, lower, upper: status.update(
                f"{passed:.0f} of at most {seconds:g} seconds: between {lower:.6g} and {upper:.6g}"
            ),
        )

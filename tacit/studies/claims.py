"""What does a study say, and did it hold? A claim is a measured number beside the one that was expected."""

import ast
import importlib
import importlib.util
import itertools
import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tacit.members import Member

TIERS = ("tiny", "small", "full")
"""Under a minute, minutes on two cores, a GPU."""


class Claim(NamedTuple):
    """One checked number. `tolerance` is how far `measured` may be off; `source` is where `expected` comes from."""

    name: str
    measured: float
    expected: float
    tolerance: float
    passed: bool
    source: str


def near(name: str, measured: float, expected: float, tolerance: float, source: str) -> Claim:
    """Claim that `measured` is within `tolerance` of `expected`."""
    return Claim(name, float(measured), float(expected), tolerance, bool(abs(measured - expected) <= tolerance), source)


def at_least(name: str, measured: float, bound: float, source: str) -> Claim:
    """Claim that `measured` reaches `bound`."""
    return Claim(name, float(measured), float(bound), 0.0, bool(measured >= bound), source)


def above(name: str, measured: float, bound: float, source: str) -> Claim:
    """Claim that `measured` is more than `bound`."""
    return Claim(name, float(measured), float(bound), 0.0, bool(measured > bound), source)


def at_most(name: str, measured: float, bound: float, source: str) -> Claim:
    """Claim that `measured` stays within `bound`."""
    return Claim(name, float(measured), float(bound), 0.0, bool(measured <= bound), source)


class Place(NamedTuple):
    """For a study that takes long: the folder where it keeps what it has done, and a language model of one's own."""

    out: Path
    model: Path | None


Tell = Callable[[str, int, int, dict[str, float]], None]
"""What a long study tells on the way: what is going on, how many rounds of how many are done, the latest numbers."""


def silent(what: str, num_done: int, num_rounds: int, numbers: dict[str, float]) -> None:
    """Nobody is told."""


class LackingError(Exception):
    """A study cannot run at this tier; the message says what it lacks."""


class Report(NamedTuple):
    """The outcome of one study; `skipped` says why it did not run, or is None."""

    study: str
    skipped: str | None
    claims: list[Claim]

    def json(self) -> dict:
        """The keys of `tacit study --json`; what came out as no number, which JSON has no word for, is null."""
        rows = [claim._asdict() for claim in self.claims]
        numbers = [{**row, "measured": row["measured"] if math.isfinite(row["measured"]) else None} for row in rows]
        return {**self._asdict(), "claims": numbers}


def run(study: Member, tier: str, data: Path | None, place: Place | None = None, tell: Tell = silent) -> Report:
    """Run a study's `make(tier, data)`, or say what it lacks.

    Above tiny, a study that defines `make_at(tier, place, tell)` is run by that: it takes long, and goes on in `place`
    where it was stopped. If no place is given it is the folder runs/study-NAME-TIER.
    """
    reason = lacking(study, data)
    if reason is not None:
        return Report(study.name, reason, [])
    module = study.load()
    make_at = vars(module).get("make_at")
    if tier == "tiny" or make_at is None:
        return Report(study.name, None, module.make(tier, data))
    try:
        return Report(study.name, None, make_at(tier, place or default_place(study.name, tier), tell))
    except LackingError as error:
        return Report(study.name, str(error), [])


def default_place(name: str, tier: str) -> Place:
    """Where a study keeps what it has done if nobody says."""
    return Place(Path("runs") / f"study-{name}-{tier}", None)


def run_all(studies: Sequence[Member], tier: str, data: Path | None) -> Iterator[Report]:
    """Run many studies, as many at once as there are processors, each in a process of its own; in the order given."""
    # Spawned, since a process that has started JAX cannot be forked.
    workers = min(os.cpu_count() or 1, len(studies))
    if workers == 1:
        yield from (run(study, tier, data) for study in studies)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(run, studies, itertools.repeat(tier), itertools.repeat(data))


def lacking(study: Member, data: Path | None) -> str | None:
    """What of a study's `NEEDS` is missing, found without importing the study.

    A need is "data" (recordings given with --data) or the name of a package.
    """
    spec = importlib.util.find_spec(study.module)
    assert spec is not None
    assert spec.origin is not None
    needs: tuple[str, ...] = ()
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["NEEDS"]:
            needs = ast.literal_eval(node.value)
    for need in needs:
        if need == "data" and data is None:
            return "it needs recordings of people: pass --data PATH (the README says where they are published)"
        if need != "data" and importlib.util.find_spec(need) is None:
            return f"it needs the package {need}, which is not installed"
    return None

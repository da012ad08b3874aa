"""What does a study say, and did it hold? A claim is a measured number beside the one that was expected."""

import ast
import importlib
import importlib.util
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
    return Claim(name, measured, expected, tolerance, abs(measured - expected) <= tolerance, source)


def at_least(name: str, measured: float, bound: float, source: str) -> Claim:
    """Claim that `measured` reaches `bound`."""
    return Claim(name, measured, bound, 0.0, measured >= bound, source)


class Report(NamedTuple):
    """The outcome of one study; `skipped` says why it did not run, or is None."""

    study: str
    skipped: str | None
    claims: list[Claim]

    def json(self) -> dict:
        """The keys of `tacit study --json`."""
        return {**self._asdict(), "claims": [claim._asdict() for claim in self.claims]}


def run(study: Member, tier: str, data: Path | None) -> Report:
    """Run a study's `make(tier, data)`, or say what it lacks."""
    reason = lacking(study, data)
    if reason is not None:
        return Report(study.name, reason, [])
    return Report(study.name, None, study.load().make(tier, data))


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

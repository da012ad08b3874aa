"""How are studies done on many machines? Each as a task of its own on a Ray cluster, or its rows and seeds one by one.

A study that can be taken apart defines, beside `make(tier, data)` which does all of it here,

    parts(tier)              what there is to do, by row and seed: a list of anything that can be sent
    measure(part)            does one of these, anywhere
    conclude(tier, found)    makes claims of what came of them, in the order of the parts
"""

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tacit.members import Member
from tacit.studies.claims import Report, lacking, run

Job = TypeVar("Job")
Found = TypeVar("Found")


def check_ray() -> None:
    """Raise ValueError, with how to mend it, if Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ValueError("--workers ray needs Ray: install tacit with its extra, tacit[ray].")


def load_ray() -> Any:
    """Ray, whose processes run in this environment also where `uv run` started this one.

    Ray would have each of them make the project's environment anew, without its extras, and wait for ever.
    """
    check_ray()
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    return importlib.import_module("ray")


def spread(work: Callable[[Job], Found], jobs: Sequence[Job]) -> Iterator[Found]:
    """What `work` makes of each job, in the order given, all of them being done at once as far as there are processors.

    Where the environment has RAY_ADDRESS it is done on that cluster, else on a cluster of this machine alone.
    """
    ray = load_ray()
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, logging_level="error")
    try:
        remote = ray.remote(work)
        for task in [remote.remote(job) for job in jobs]:
            yield ray.get(task)
    finally:
        if started:
            ray.shutdown()


def run_all(studies: Sequence[Member], tier: str, data: Path | None) -> Iterator[Report]:
    """Run many studies, or many parts of few, wherever the cluster has room; reports come in the order given."""
    check_ray()
    jobs = [(study, tier, data, part) for study in studies for part in _parts(study, tier, data)]
    found = spread(_work, jobs)
    for study in studies:
        parts = _parts(study, tier, data)
        some = [next(found) for _ in parts]
        whole = parts == [None]
        yield some[0] if whole else Report(study.name, None, study.load().conclude(tier, some))


def _parts(study: Member, tier: str, data: Path | None) -> list[Any]:
    """The study's own, or None alone for all of it, which may also turn out not to be possible here."""
    if lacking(study, data) is not None:
        return [None]
    parts = vars(study.load()).get("parts")
    return [None] if parts is None else list(parts(tier))


def _work(job: tuple[Member, str, Path | None, Any]) -> Any:
    """The report of a whole study, or what came of a part."""
    study, tier, data, part = job
    return run(study, tier, data) if part is None else study.load().measure(part)

"""Rows and seeds fanned out over a local Ray cluster say what they say one after another in this process."""

import importlib.util
import time

import numpy as np
import pytest

from tacit.app.cli import main
from tacit.members import Member
from tacit.studies import claims, fleet

RNG = np.random.default_rng()
STUDY = Member("rows-and-seeds", "tests.studies.rows_and_seeds", "")
HERE = importlib.util.find_spec("ray") is not None
wants_ray = pytest.mark.skipif(not HERE, reason="Ray is not installed (extra ray): nothing can be fanned out over it")


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two processors on this machine."""
    ray = fleet.load_ray()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


@wants_ray
@pytest.mark.slow
def test_parts_done_anywhere_are_as_parts_done_here(cluster) -> None:
    (report,) = fleet.run_all([STUDY], "tiny", None)
    here = claims.run(STUDY, "tiny", None).claims
    assert report.study == "rows-and-seeds"
    assert [claim.name for claim in report.claims] == [claim.name for claim in here]
    assert [claim.measured for claim in report.claims[:-1]] == [claim.measured for claim in here[:-1]]
    assert (report.claims[-1].measured, here[-1].measured) == (1.0, 0.0), "the parts were done in other processes"
    assert cluster.is_initialized(), "who started the cluster stops it"


@wants_ray
@pytest.mark.slow
def test_answers_come_in_the_order_of_the_jobs(cluster) -> None:
    """Whoever is done first."""
    values = RNG.integers(1000, size=6).tolist()

    def late(job: tuple[int, int]) -> int:
        number, value = job
        time.sleep(0.3 * (number % 2 == 0))
        return value + 1

    assert list(fleet.spread(late, list(enumerate(values)))) == [value + 1 for value in values]


@wants_ray
@pytest.mark.slow
def test_what_fails_elsewhere_fails_here(cluster) -> None:
    def refuse(job: int) -> int:
        raise ValueError(f"job {job} cannot be done")

    with pytest.raises(ValueError, match="job 7 cannot be done"):
        list(fleet.spread(refuse, [7]))


def test_without_ray_it_is_refused_in_a_sentence(monkeypatch, capsys) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else real(name, *rest))
    assert main(["study", "off-switch", "--workers", "ray"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "tacit: --workers ray needs Ray: install tacit with its extra, tacit[ray].\n"

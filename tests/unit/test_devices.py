"""A training is the same on one device, on two of one process, and on two processes; and goes on from either's file."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.learning.devices import COPIES, ROWS, on_each, placed, whole
from tests.unit.line_lessons import SCHEDULE, trainer

RNG = np.random.default_rng()
SEED = str(RNG.integers(1 << 30))
MINUTES = 15
ROOT = Path(__file__).parents[2]
TWO_DEVICES = "--xla_force_host_platform_device_count=2"


def started(what: str, *arguments: str, flags: str = "") -> subprocess.Popen:
    """A process that trains."""
    command = [sys.executable, "-m", "tests.unit.train_apart", what, "--seed", SEED, *arguments]
    flags = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    cache = {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    env = os.environ | cache | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(process: subprocess.Popen) -> dict:
    """What it printed last."""
    out, err = process.communicate(timeout=60 * MINUTES)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes leave their state after two rounds."""
    return tmp_path_factory.mktemp("apart") / "two.safetensors"


@pytest.fixture(scope="module")
def ran(kept: Path) -> dict[str, list[dict]]:
    """The same training: alone, on two devices of a process, by two processes."""
    port = free_port()
    processes = {
        "alone": [started("line")],
        "devices": [started("line", flags=TWO_DEVICES)],
        "processes": [
            started("line", "--others", f"127.0.0.1:{port},2,{which}", "--save", str(kept)) for which in (0, 1)
        ],
    }
    return {name: [told(process) for process in some] for name, some in processes.items()}


def agree(some: dict, others: dict) -> None:
    """The same numbers, but for the order of sums."""
    np.testing.assert_allclose(some["weights"], others["weights"], rtol=1e-4, atol=1e-5)
    for one, other in zip(some["rounds"], others["rounds"], strict=True):
        assert one == pytest.approx(other, rel=2e-5)


@pytest.mark.slow
def test_two_devices_and_two_processes_learn_the_same_as_one(ran: dict[str, list[dict]]) -> None:
    (alone,), (devices,), processes = ran["alone"], ran["devices"], ran["processes"]
    assert [run["devices"] for run in (alone, devices, *processes)] == [1, 2, 2, 2]
    for other in (devices, *processes):
        agree(other, alone)
    # What happened in other worlds would have been noticed.
    rounds = alone["rounds"]
    with pytest.raises(AssertionError):
        agree({**alone, "rounds": [rounds[0], rounds[2], rounds[1]]}, alone)


@pytest.mark.slow
def test_one_process_goes_on_where_two_stopped(ran: dict[str, list[dict]], kept: Path) -> None:
    resumed = told(started("line", "--resume", str(kept)))
    alone = ran["alone"][0]
    agree(resumed, {**alone, "rounds": alone["rounds"][2:]})


@pytest.mark.slow
def test_assistancezero_learns_the_same_on_two_devices() -> None:
    alone, devices = map(told, (started("assistancezero"), started("assistancezero", flags=TWO_DEVICES)))
    assert [run["devices"] for run in (alone, devices)] == [1, 2]
    agree(devices, alone)
    with pytest.raises(AssertionError):
        agree({**alone, "rounds": alone["rounds"][::-1]}, alone)


def test_whole_undoes_placed() -> None:
    """Numbers, keys and what is no array."""
    tree = {"rows": jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32), "keys": jax.random.split(jax.random.key(3), 4)}
    for spec in (ROWS, COPIES):
        back = whole(placed(tree, spec))
        np.testing.assert_array_equal(back["rows"], tree["rows"])
        np.testing.assert_array_equal(jax.random.key_data(back["keys"]), jax.random.key_data(tree["keys"]))
    assert placed((1, "name", None), ROWS) == (1, "name", None)


def test_work_on_each_gets_copies_and_its_rows() -> None:
    rows, copies = jnp.arange(8.0), (jnp.float32(2.0), abs)
    found = on_each(lambda copies, rows: copies[0] * copies[1](rows - 3.0), copies, rows)
    np.testing.assert_array_equal(found, 2 * np.abs(np.arange(8) - 3))


def test_what_cannot_be_shared_out_is_refused() -> None:
    why = r"15 \(num_worlds\) cannot be shared out evenly in 2: give a multiple of 2"
    with pytest.raises(ValueError, match=why):
        trainer(dataclasses.replace(SCHEDULE, num_worlds=15)).init(jax.random.key(0))

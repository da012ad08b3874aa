"""What does a training leave in its folder, and how does that stay whole?

`metrics.jsonl` has one line a round; a model card says in words where weights come from. One process at a time may
train in a folder.
"""

import contextlib
import importlib.util
import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tacit.app.progress import clock
from tacit.storage import Provenance, StorageError, write_atomically

Write = Callable[[int, float, Mapping[str, float]], None]
"""Notes one round: how many are done, the seconds that training has taken, and the numbers of the round."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make `folder` and keep other trainings out of it; the lock goes with the process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} could not be made: {error.strerror or error}.") from error
    if os.name != "posix":
        yield
        return
    import fcntl  # noqa: PLC0415 - only there is it

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network disks have no locks; training works there all the same.
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StorageError(f"Another process is training in {folder}.") from error
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def metrics(path: Path, num_done: int) -> Iterator[Write]:
    """Go on with the lines at `path` after round `num_done`: what a killed run wrote beyond it, or tore, is cut."""
    write_atomically(path, b"".join(_lines(path, num_done)))
    with path.open("ab", buffering=0) as file:

        def write(round_: int, seconds: float, numbers: Mapping[str, float]) -> None:
            line = json.dumps({"round": round_, "seconds": round(seconds, 3), "numbers": numbers}, allow_nan=False)
            try:
                file.write(f"{line}\n".encode())
                # A checkpoint must not outlast the lines of the rounds before it.
                os.fsync(file.fileno())
            except OSError as error:
                raise StorageError(f"{path} could not be written: {error.strerror or error}.") from error

        yield write


def _lines(path: Path, num_done: int) -> Iterator[bytes]:
    """The whole lines at `path` up to round `num_done`."""
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            if line.endswith(b"\n") and json.loads(line)["round"] <= num_done:
                yield line


def check_tensorboard() -> None:
    """Raise ValueError, with how to mend it, if tensorboardX is not installed."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise ValueError("--tensorboard needs tensorboardX: install tacit with its extra, tacit[tensorboard].")


@contextlib.contextmanager
def tensorboard(folder: Path, num_done: int) -> Iterator[Write]:
    """Write event files for TensorBoard into `folder`; what it shows beyond round `num_done` is struck out."""
    check_tensorboard()
    from tensorboardX import SummaryWriter  # noqa: PLC0415 - an extra

    writer = SummaryWriter(str(folder), purge_step=num_done + 1 if num_done else None, flush_secs=10)

    def write(round_: int, seconds: float, numbers: Mapping[str, float]) -> None:
        del seconds
        for name, number in numbers.items():
            writer.add_scalar(name, number, round_)

    with contextlib.closing(writer):
        yield write


def card(about: Mapping[str, Any], description: str, provenance: Provenance, num_processors: int | None) -> str:
    """The model card, in Markdown, of the weights that `about` (as saved with them) is said of."""
    facts = {
        "recipe": f"`{about['name']}`",
        "made by": f"`{about['command']}`",
        "data": "none: all experience was simulated" if about["data"] is None else f"`{about['data']}`",
        "seed": about["seed"],
        "rounds": f"{about['rounds']}{' (stopped early)' if about['rounds'] < about['num_rounds'] else ''}",
        "training time": f"{clock(about['seconds'])} on {provenance.device} ({num_processors} processors)",
        "commit": f"`{about['commit']}`",
        "versions": f"tacit {provenance.tacit}, jax {provenance.jax}",
    }
    figures = {name: f"{value:.4g}" for name, value in about["figures"].items()}
    config = {name: f"`{json.dumps(value)}`" for name, value in about["config"].items()}
    sections = [f"# {about['name']}", inspect.cleandoc(description), _table(("", ""), facts)]
    for title, head, rows in (("Figures", "figure", figures), ("Config", "setting", config)):
        if rows:
            sections += [f"## {title}", _table((head, "value"), rows)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _table(head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    """A table in Markdown of two columns."""
    cells = [head, ("---", "---"), *((name, str(value).replace("|", "\\|")) for name, value in rows.items())]
    return "\n".join(f"| {left} | {right} |" for left, right in cells)

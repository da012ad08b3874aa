"""How is a recipe trained at the command line, so that no kill, crash or Ctrl-C costs more than a minute of it?

A run is a folder: `checkpoint.safetensors` (all that is needed to go on), `metrics.jsonl`, and at the end the weights
with their model card. A run that was resumed ends with the same weights, bit for bit, as one that was not.
"""

import contextlib
import dataclasses
import json
import math
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple

import jax
from rich.console import Console

from tacit.app import runs
from tacit.app.progress import clock, progress
from tacit.core import State
from tacit.learning.training import Trainer, TrainingError, finished, not_a_number, train
from tacit.members import Member
from tacit.storage import (
    StorageError,
    about_checkpoint,
    about_weights,
    load_checkpoint,
    provenance,
    save_checkpoint,
    save_weights,
    write_atomically,
)
from tacit.studies.claims import lacking

FITTING = ("name", "seed", "data", "config")
"""What a resumed run must share with the one before."""


@dataclass(frozen=True)
class Settings:
    """Where a run is kept and what it starts from; `seed` and `data` of a resumed run are its own if not given."""

    out: Path
    resume: bool = False
    seed: int | None = None
    data: Path | None = None
    every: float = 60.0
    tensorboard: bool = False


class Files(NamedTuple):
    """The files of a run."""

    checkpoint: Path
    metrics: Path
    events: Path
    weights: Path
    card: Path


class Run(NamedTuple):
    """A training that can go on: what is said about it (JSON), and how far it is."""

    trainer: Trainer
    about: dict[str, Any]
    num_done: int
    seconds: float
    state: State


def run(recipe: Member, settings: Settings, console: Console) -> dict[str, Any]:
    """Train `recipe`, or go on with it, and write its weights; returns what is said about them.

    Raises ValueError, in one sentence, for a run that exists, does not fit or goes wrong; KeyboardInterrupt after
    Ctrl-C or SIGTERM, when the checkpoint is written.
    """
    files = run_files(settings.out, recipe.name)
    if settings.tensorboard:
        runs.check_tensorboard()
    if not settings.resume:
        check_needs(recipe, settings.data)
    elif not files.checkpoint.exists():
        raise StorageError(f"There is nothing to resume in {settings.out}: it has no {files.checkpoint.name}.")
    with signals(signal.default_int_handler), runs.locked(settings.out):
        module = recipe.load()
        begun = resumed(recipe, module, settings, files) if settings.resume else fresh(recipe, module, settings, files)
        if finished(begun.trainer, begun.state, begun.num_done) and files.card.exists():
            console.print(f"{settings.out} is finished: its weights are {files.weights}.", highlight=False)
            return about_weights(files.weights)
        try:
            ended = advance(begun, settings, files, console)
            console.print("measuring what was learned ...", highlight=False)
            about = release(ended, files, module.__doc__ or "")
        except KeyboardInterrupt:
            console.print(f"Stopped; to go on: {how_to_resume(recipe, settings)}", highlight=False, soft_wrap=True)
            raise
        console.print(f"Trained in {clock(ended.seconds)}: {files.weights} and {files.card}.", highlight=False)
        return about


def run_files(out: Path, name: str) -> Files:
    """Where the files of a run are."""
    weights, card = out / f"{name}.safetensors", out / f"{name}.md"
    return Files(out / "checkpoint.safetensors", out / "metrics.jsonl", out / "tensorboard", weights, card)


def check_needs(recipe: Member, data: Path | None) -> None:
    """Refuse a recipe that lacks something."""
    reason = lacking(recipe, data)
    if reason is not None:
        raise ValueError(f"{recipe.name} cannot be trained yet: {reason}.")


def fresh(recipe: Member, module: ModuleType, settings: Settings, files: Files) -> Run:
    """A run from its start, with a first checkpoint, so that it can be resumed from now on."""
    there = next((file for file in files if file.exists()), None)
    if there is not None:
        raise StorageError(f"There is a run already ({there}): pass --resume to go on with it, or another --out.")
    trainer, seed = module.make(settings.data), settings.seed or 0
    data = None if settings.data is None else str(settings.data)
    about = {
        **described(recipe.name, seed, data, trainer),
        "command": command(recipe, seed, data),
        "commit": provenance().commit,
        "num_rounds": trainer.num_rounds,
    }
    begun = Run(trainer, about, 0, 0.0, trainer.init(jax.random.key(seed)))
    save(begun, files)
    return begun


def resumed(recipe: Member, module: ModuleType, settings: Settings, files: Files) -> Run:
    """A run as its checkpoint has it. Raises StorageError when that is of another recipe, seed, data or config."""
    about = about_checkpoint(files.checkpoint)
    if not {*FITTING, "command", "commit", "num_rounds", "rounds", "seconds"} <= set(about):
        raise StorageError(f"{files.checkpoint} is a checkpoint, but none of tacit train.")
    data = about["data"] if settings.data is None else str(settings.data)
    seed = about["seed"] if settings.seed is None else settings.seed
    check_needs(recipe, None if data is None else Path(data))
    trainer = module.make(None if data is None else Path(data))
    now = described(recipe.name, seed, data, trainer)
    before, after = ({**told, **told["config"]} for told in (about, now))
    for name in (*FITTING[:-1], *sorted(about["config"] | now["config"])):
        if before.get(name) != after.get(name):
            raise StorageError(
                f"{files.checkpoint} was made with {name} {before.get(name)}, not {after.get(name)}: "
                "put that right, or pass another --out and no --resume."
            )
    state = load_checkpoint(files.checkpoint, trainer.init(jax.random.key(seed)))
    if str(about["commit"]).rpartition(", then ")[2] != str(provenance().commit):
        about = {**about, "commit": f"{about['commit']}, then {provenance().commit}"}
    for torn in files.checkpoint.parent.glob(f".{files.checkpoint.name}.*.tmp"):
        torn.unlink(missing_ok=True)  # what a kill in the middle of writing left
    return Run(trainer, about, about["rounds"], about["seconds"], state)


def described(name: str, seed: int, data: str | None, trainer: Trainer) -> dict[str, Any]:
    """What a run and its resumption must agree on."""
    try:
        config = json.loads(json.dumps(dataclasses.asdict(trainer.config), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TrainingError(f"The config of {name} does not fit into JSON: {error}.") from error
    return dict(zip(FITTING, (name, seed, data, config), strict=True))


def command(recipe: Member, seed: int, data: str | None) -> str:
    """The command line that makes this run."""
    return shlex.join(["tacit", "train", recipe.name, "--seed", str(seed), *(["--data", data] if data else [])])


def how_to_resume(recipe: Member, settings: Settings) -> str:
    """The command line that goes on with a run."""
    return shlex.join(["tacit", "train", recipe.name, "--resume", "--out", str(settings.out)])


def save(now: Run, files: Files) -> None:
    """Write the checkpoint. Raises TrainingError, and leaves the last one, when the state holds a NaN."""
    spoilt = not_a_number(now.state)
    if spoilt is not None:
        raise TrainingError(f"Round {now.num_done} went wrong: the state's {spoilt} holds a NaN.")
    save_checkpoint(files.checkpoint, now.state, {**now.about, "rounds": now.num_done, "seconds": now.seconds})


def advance(begun: Run, settings: Settings, files: Files, console: Console) -> Run:
    """Train to the end, with a checkpoint every so often and at the end."""
    start, kept_at, kept, stopping = time.monotonic(), time.monotonic(), begun.num_done, False

    def now(num_done: int, state: State) -> Run:
        return begun._replace(num_done=num_done, state=state, seconds=begun.seconds + time.monotonic() - start)

    def keep(num_done: int, state: State) -> None:
        nonlocal kept_at, kept
        if stopping or time.monotonic() - kept_at >= settings.every:
            save(now(num_done, state), files)
            kept_at, kept = time.monotonic(), num_done
            note_kept(num_done)
        if stopping:
            raise KeyboardInterrupt

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        del number, frame
        if stopping:
            raise KeyboardInterrupt
        stopping = True
        say("stopping after this round")

    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(runs.metrics(files.metrics, begun.num_done))]
        if settings.tensorboard:
            writers.append(stack.enter_context(runs.tensorboard(files.events, begun.num_done)))
        show, note_kept, say = stack.enter_context(
            progress(begun.about["name"], begun.num_done, begun.trainer.num_rounds, console)
        )

        def report(num_done: int, numbers: dict[str, float]) -> None:
            for write in writers:
                write(num_done, now(num_done, None).seconds, numbers)
            show(num_done, numbers)

        stack.enter_context(signals(stop))
        try:
            num_done, state = train(begun.trainer, begun.state, begun.num_done, report, keep)
            ended = now(num_done, state)
            save(ended, files)
        except TrainingError as error:
            raise TrainingError(f"{error} {files.checkpoint} is still that of round {kept}.") from error
    return ended


def release(ended: Run, files: Files, description: str) -> dict[str, Any]:
    """Write the weights and their card; returns what is said about them."""
    module, measured = ended.trainer.release(ended.state)
    figures = {name: float(value) for name, value in measured.items()}
    for name, figure in figures.items():
        if not math.isfinite(figure):
            raise TrainingError(f"No weights were written: the figure {name} is {figure}.")
    about = {**ended.about, "rounds": ended.num_done, "seconds": round(ended.seconds, 3), "figures": figures}
    save_weights(files.weights, module, about)
    write_atomically(files.card, runs.card(about, description, provenance(), os.cpu_count()).encode())
    return about


@contextlib.contextmanager
def signals(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Let `handler` answer Ctrl-C and SIGTERM."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)

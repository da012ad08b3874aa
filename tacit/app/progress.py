"""What does somebody see who waits for a training to end?"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column


class Display(NamedTuple):
    """What can be told to whoever watches: a round is over, it is in the checkpoint, a word about what goes on."""

    show: Callable[[int, dict[str, float]], None]
    note_kept: Callable[[int], None]
    say: Callable[[str], None]


@contextlib.contextmanager
def progress(name: str, num_done: int, num_rounds: int, console: Console) -> Iterator[Display]:
    """A bar with the latest numbers and the time left; where nobody watches, a line at every checkpoint instead."""
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(12),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[times]}", table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[latest]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
    )
    start, times, latest = time.monotonic(), "compiling", ""
    ends: deque[float] = deque(maxlen=32)
    with Progress(*columns, console=console, disable=not console.is_terminal, expand=True) as bar:
        task = bar.add_task(name, total=num_rounds, completed=num_done, times=times, latest=latest)

        def show(num_done: int, numbers: dict[str, float]) -> None:
            nonlocal times, latest
            ends.append(time.monotonic())
            # The first round is mostly compilation and says little about the others.
            each = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else ends[0] - start
            times = f"{clock(ends[-1] - start)} gone, at most {clock(each * (num_rounds - num_done))} left"
            latest = "  ".join(f"{name} {number:.4g}" for name, number in numbers.items())
            bar.update(task, completed=num_done, times=times, latest=latest)

        def note_kept(num_done: int) -> None:
            if not console.is_terminal:
                line = f"round {num_done} of {num_rounds}: {times}: {latest}"
                console.print(line, highlight=False, soft_wrap=True)

        yield Display(show, note_kept, lambda word: bar.update(task, description=word))


def telling(console: Console, every: float = 20.0) -> Callable[[str, int, int, dict[str, float]], None]:
    """Tells what a long study is at: a line when something begins or ends, and now and then between."""
    told: dict[str, float] = {}

    def tell(what: str, num_done: int, num_rounds: int, numbers: dict[str, float]) -> None:
        now = time.monotonic()
        if what not in told or num_done == num_rounds or now - told[what] >= every:
            latest = "  ".join(f"{name} {number:.4g}" for name, number in numbers.items())
            console.print(f"{what}: round {num_done} of {num_rounds}  {latest}", highlight=False, soft_wrap=True)
            told[what] = now

    return tell


def clock(seconds: float) -> str:
    """A length of time for people: 1:02:03, or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

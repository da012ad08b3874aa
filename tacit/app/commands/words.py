"""Flags that many commands have, and how a command answers and refuses."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that help and lists come at once.

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

if TYPE_CHECKING:
    from rich.console import Console

USAGE = 2
"""The exit status of a command that was put wrongly."""


class UsageError(ValueError):
    """The command was put wrongly; the message is one sentence."""


Seed = Annotated[int, arg(help="Chance starts here: the same seed gives the same episodes.")]
File = Annotated[Path | None, arg(metavar="FILE")]
Folder = Annotated[Path | None, arg(metavar="DIR")]
Json = Annotated[bool, arg(name="json", help="Print JSON on standard output and nothing else.")]


def print_json(rows: Any) -> int:
    """Print rows as JSON; returns the exit status 0."""
    print(json.dumps(rows, indent=1, allow_nan=False))
    return 0


def console() -> "Console":
    """Where people read."""
    from rich.console import Console

    return Console()


def check_seed(seed: int) -> None:
    """Refuse what cannot be a seed."""
    if not 0 <= seed < 2**32:
        raise UsageError(f"--seed {seed} is not between 0 and {2**32 - 1}.")


def check_port_number(port: int) -> None:
    """Refuse what cannot be a port."""
    if not 0 < port < 2**16:
        raise UsageError(f"--port {port} is not between 1 and {2**16 - 1}.")


def check_delay(delay: float) -> None:
    """Refuse what cannot be waited for."""
    if not 0 <= delay <= 3600:
        raise UsageError(f"--delay {delay:g} is not a number of seconds between 0 and 3600.")

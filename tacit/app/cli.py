"""The command line: which commands there are, and what the exit status is when one fails."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import FlagCreatePairsOff, subcommand

from tacit.app.commands.learn import Data, List, Train
from tacit.app.commands.measure import Bench, Evaluate, Solve, Study
from tacit.app.commands.people import Play, Recordings, StudyPeople
from tacit.app.commands.watch import Demo, Replay
from tacit.app.commands.words import USAGE, UsageError

INTERRUPTED = 130


Command = (
    Annotated[Demo, subcommand("demo")]
    | Annotated[Play, subcommand("play")]
    | Annotated[Recordings, subcommand("recordings")]
    | Annotated[StudyPeople, subcommand("study-people")]
    | Annotated[List, subcommand("list")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Replay, subcommand("replay")]
    | Annotated[Data, subcommand("data")]
    | Annotated[Solve, subcommand("solve")]
    | Annotated[Study, subcommand("study")]
    | Annotated[Bench, subcommand("bench")]
)


def main(argv: list[str] | None = None) -> int:
    """Run a command line, without the program's name; returns the exit status. Nothing given means the page."""
    words = sys.argv[1:] if argv is None else argv
    try:
        command = tyro.cli(
            Command,  # pyright: ignore[reportArgumentType]
            prog="tacit",
            description="Assistants that work out what you want. Without a command: tacit play.",
            args=words or ["play"],
            config=(FlagCreatePairsOff,),
        )
        status = command.run()
        sys.stdout.flush()
        return status
    except SystemExit as stopped:
        return int(stopped.code or 0)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; what is left of it goes nowhere, or Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, RuntimeError) as error:
        if not isinstance(error, OSError) and not raised_by_tacit(error):
            raise
        return complain(error, USAGE if isinstance(error, UsageError) else 1)


def complain(error: Exception, status: int) -> int:
    """Say what was wrong in one line."""
    print(f"tacit: {str(error).strip().partition(chr(10))[0]}", file=sys.stderr)
    return status


def raised_by_tacit(error: Exception) -> bool:
    """Whether our own code found the fault, so that the message is for users; others' errors keep their traceback."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return Path(frame.f_code.co_filename).is_relative_to(Path(__file__).parent.parent)

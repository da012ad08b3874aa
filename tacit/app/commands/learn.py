"""List what there is, train it, and check the recordings that it learns from."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that help and lists come at once.

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from tyro.conf import Positional, arg

from tacit.app.commands.words import File, Folder, Json, UsageError, check_seed, print_json
from tacit.members import find, members

Kind = Literal["games", "humans", "assistants", "feedback", "studies", "recipes"]


@dataclass(frozen=True)
class List:
    """List what there is: games, humans, assistants, feedback, studies, recipes.

    Example: tacit list assistants
    """

    kind: Positional[Kind | None] = None
    """Only these."""
    json: Json = False

    def run(self) -> int:
        """Print a line for each."""
        rows = [
            {"name": member.name, "kind": kind, "about": member.about}
            for kind in ([self.kind] if self.kind else get_args(Kind))
            for member in members(f"tacit.{kind}")
        ]
        if self.json:
            return print_json(rows)
        width = max([len(row["name"]) for row in rows], default=0)
        for row in rows:
            print(f"{row['kind']:<10}  {row['name']:<{width}}  {row['about']}")
        return 0


@dataclass(frozen=True)
class Train:
    """Train a recipe's weights; no kill or crash costs more than the last minute, and --resume goes on.

    Ctrl-C stops after the round. In the folder are checkpoint.safetensors, metrics.jsonl (a line a round) and, at the
    end, RECIPE.safetensors with its model card RECIPE.md.

    Example: tacit train belief-small --out runs/mine
    """

    recipe: Positional[str]
    """What to train; see tacit list recipes."""
    resume: bool = False
    """Go on with the run in the folder."""
    out: Folder = None
    """The run's folder; runs/RECIPE if not given."""
    seed: Annotated[
        int | None, arg(metavar="INT", help="Chance starts here; if not given, 0 or the resumed run's.")
    ] = None
    data: File = None
    """Recordings of people, for the recipes that need them."""
    every: float = 60.0
    """Seconds from one checkpoint to the next, at most one round more."""
    tensorboard: bool = False
    """Write event files for TensorBoard too (needs the extra `tensorboard`)."""
    json: Json = False

    def run(self) -> int:
        """Train it and say what it came to."""
        if self.seed is not None:
            check_seed(self.seed)
        if not self.every >= 0:
            raise UsageError(f"--every {self.every:g} is no time to wait; give seconds from 0 on.")
        recipe = find("tacit.recipes", self.recipe)
        from rich.console import Console

        from tacit.app import train

        out = Path("runs") / recipe.name if self.out is None else self.out
        settings = train.Settings(out, self.resume, self.seed, self.data, self.every, self.tensorboard)
        about = train.run(recipe, settings, Console(stderr=True))
        if self.json:
            return print_json(about)
        for name, figure in about["figures"].items():
            print(f"{name:<40} {figure:>12.4g}")
        return 0


@dataclass(frozen=True)
class Data:
    """Recordings of people: replay them under our own rules and say how far both agree.

    Example: tacit data check-recordings human_data.zip
    """

    action: Positional[Literal["check-recordings"]]
    """What to do with them."""
    path: Positional[Path]
    """A zip of recordings, a JSON-lines file, or a folder of them."""
    json: Json = False

    def run(self) -> int:
        """Check them; the exit status is 1 if something could not be read."""
        from tacit.games.building.checking import check_recordings

        report = check_recordings(self.path)
        if self.json:
            print_json(report.rows)
        else:
            for row in report.rows:
                print(recording_line(row))
            for note in report.notes:
                print(note)
        for problem in report.problems:
            print(f"tacit: {problem}", file=sys.stderr)
        return 1 if report.problems else 0


def recording_line(row: dict[str, Any]) -> str:
    """One recorded episode in words."""
    return (
        f"episode {row['episode']}, {row['participant']}: {row['transitions']} transitions, "
        f"grid {100 * row['grid_agreement']:.2f} %, moves {100 * row['move_agreement']:.2f} %, "
        f"reward {row['reward_ours']:g} (recorded {row['reward_recorded']:g}), {len(row['refused'])} refused"
    )

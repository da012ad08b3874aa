"""What can be done from the command line? Every command, its flags and its help."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that help and lists come at once.

import json
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, arg, subcommand

from tacit.members import Member, find, members

if TYPE_CHECKING:
    from rich.console import Console

KINDS = ("games", "humans", "assistants", "feedback", "studies", "recipes")
USAGE, INTERRUPTED = 2, 130


class UsageError(ValueError):
    """The command was put wrongly; the message is one sentence."""


Seed = Annotated[int, arg(help="Chance starts here: the same seed gives the same episodes.")]
File = Annotated[Path | None, arg(metavar="FILE")]
Json = Annotated[bool, arg(name="json", help="Print JSON on standard output and nothing else.")]


@dataclass(frozen=True)
class Demo:
    """Watch a simulated person build an unseen house with an assistant's help.

    Example: tacit demo --seed 3 --save house.safetensors
    """

    game: str = "building-small"
    """Which building game; see tacit list games."""
    human: str = "builder"
    """Who builds; see tacit list humans. NAME=FILE for one who was trained, with the weights in FILE."""
    assistant: Annotated[str | None, arg(metavar="STR")] = None
    """Who helps; see tacit list assistants. NAME=FILE as above. The best there is for the game if not given."""
    seed: Seed = 0
    delay: float = 0.08
    """Seconds from one turn to the next, at least."""
    fast: bool = False
    """As fast as it goes: no delay."""
    save: File = None
    """Keep the episode in this file, for tacit replay."""

    def run(self) -> int:
        """Play it."""
        from tacit.app import demo
        from tacit.app.cast import BEST, NOBODY

        check_seed(self.seed)
        check_delay(self.delay)
        delay = 0.0 if self.fast else self.delay
        assistant = self.assistant or BEST.get(self.game, NOBODY)
        demo.run(demo.Settings(self.game, self.human, assistant, self.seed, delay, self.save), console())
        return 0


@dataclass(frozen=True)
class Play:
    """Build a house yourself, in the browser, with an assistant that has to find out what you want.

    Every action is recorded; a session goes on where it was after a crash, under the same address. Ctrl-C ends it.

    Example: tacit play --port 8123 --no-browser
    """

    port: int = 8080
    """Where the page is served."""
    no_browser: bool = False
    """Open no browser; the address is printed anyway."""
    game: str = "building-small"
    """Which building game; see tacit list games."""
    assistant: Annotated[str | None, arg(metavar="STR")] = None
    """Who helps; see tacit list assistants. NAME=FILE for one that was trained. The best for the game if not given."""
    host: str = "127.0.0.1"
    """Other than loopback needs the token that is then printed."""
    record: File = None
    """The file of recordings; ~/.tacit/people.sqlite if not given."""
    picture: File = None
    """Write a picture of the page in the middle of a house as FILE.png instead (needs playwright and Chromium)."""

    def run(self) -> int:
        """Serve it."""
        from functools import partial

        from tacit.app.cast import BEST, NOBODY
        from tacit.app.page import server
        from tacit.app.session_room import players
        from tacit.app.session_store import RECORD

        check_port_number(self.port)
        assistant = self.assistant or BEST.get(self.game, NOBODY)
        if self.picture is not None:
            from tacit.app.page.picture import take

            take(self.picture, self.game, assistant, seed=7)
            print(self.picture)
            return 0
        record = RECORD if self.record is None else self.record
        settings = server.Settings(self.game, assistant, self.host, self.port, not self.no_browser, record)
        server.serve(settings, players, partial(print, flush=True))
        return 0


@dataclass(frozen=True)
class Recordings:
    """What people did at the page of tacit play: list the sessions, export all events, replay one.

    Example: tacit recordings export --out people.csv
    """

    action: Positional[Literal["list", "export", "replay"]]
    """What to do with them."""
    session: Positional[str | None] = None
    """Which one to replay; see tacit recordings list."""
    out: File = None
    """Where to: FILE.csv for an export, FILE.html (one file with a slider), FILE.gif or FILE.png for a replay."""
    record: File = None
    """The file of recordings; ~/.tacit/people.sqlite if not given."""
    json: Json = False

    def run(self) -> int:
        """Do it."""
        from tacit.app import session_recordings
        from tacit.app.replay import KINDS as FILMS
        from tacit.app.session_store import RECORD, open_store
        from tacit.storage import write_atomically

        path = RECORD if self.record is None else self.record
        if not path.exists():
            raise UsageError(f"There are no recordings at {path} yet: tacit play makes some, or give --record FILE.")
        store = open_store(path)
        if self.action == "list":
            rows = session_recordings.rows(store)
            if self.json:
                return print_json(rows)
            for row in rows:
                print("  ".join(str(value) for value in row.values()))
            return 0
        endings = (".csv",) if self.action == "export" else FILMS
        if self.out is None or self.out.suffix.lower() not in endings:
            raise UsageError(
                f"tacit recordings {self.action} needs --out with a file that ends in {', '.join(endings)}."
            )
        if self.action == "export":
            write_atomically(self.out, session_recordings.table(store).encode())
        elif self.session is None:
            raise UsageError("tacit recordings replay needs the name of a session; see tacit recordings list.")
        else:
            write_atomically(self.out, session_recordings.replayed(store, self.session, self.out.suffix.lower()))
        print(f"{self.out}: {self.out.stat().st_size / 1e6:.1f} MB")
        return 0


@dataclass(frozen=True)
class StudyPeople:
    """Serve a study: everyone builds one house with each assistant, in a balanced order, and rates them; or export it.

    Example: tacit study-people serve --blind --record study.sqlite
    """

    action: Positional[Literal["serve", "export"]] = "serve"
    """Serve the page to participants, or write what they did and said."""
    assistants: str = "none,greedy,particles"
    """Whom to compare, separated by commas; none is nobody."""
    blind: bool = False
    """Do not tell participants who helps."""
    game: str = "building-small"
    """Which building game; see tacit list games."""
    port: int = 8080
    """Where the page is served."""
    no_browser: bool = False
    """Open no browser; the address is printed anyway."""
    host: str = "127.0.0.1"
    """Other than loopback needs the token that is then printed."""
    record: File = None
    """The file of recordings; ~/.tacit/people.sqlite if not given."""
    out: File = None
    """Where to export: FILE.csv, or FILE.parquet (needs the extra `parquet`). A row for each house."""
    json: Json = False

    def run(self) -> int:
        """Serve it, or export it."""
        from functools import partial

        from tacit.app import session_study
        from tacit.app.page import server
        from tacit.app.session_room import players
        from tacit.app.session_store import RECORD, open_store

        record = RECORD if self.record is None else self.record
        if self.action == "serve":
            check_port_number(self.port)
            names = tuple(name.strip() for name in self.assistants.split(",") if name.strip())
            if not 1 < len(set(names)) == len(names) <= 10:
                raise UsageError("--assistants wants 2 to 10 names separated by commas, each of them once.")
            for name in names:
                players(self.game, name)
            design = session_study.Design(self.game, names, self.blind)
            browser = not self.no_browser
            settings = server.Settings(self.game, names[-1], self.host, self.port, browser, record, design)
            server.serve(settings, players, partial(print, flush=True))
            return 0
        if not record.exists():
            raise UsageError(f"There are no recordings at {record} yet; give --record FILE.")
        rows = session_study.rows(open_store(record))
        if self.json:
            return print_json([row._asdict() for row in rows])
        if self.out is None or self.out.suffix.lower() not in session_study.KINDS:
            raise UsageError("tacit study-people export needs --out with a file that ends in .csv or .parquet.")
        session_study.export(rows, self.out)
        print(f"{self.out}: {len(rows)} houses of {len({row.participant for row in rows})} participants")
        return 0


@dataclass(frozen=True)
class List:
    """List what there is: games, humans, assistants, feedback, studies, recipes.

    Example: tacit list assistants
    """

    kind: Positional[Literal["games", "humans", "assistants", "feedback", "studies", "recipes"] | None] = None
    """Only these."""
    json: Json = False

    def run(self) -> int:
        """Print a line for each."""
        rows = [
            {"name": member.name, "kind": kind, "about": member.about}
            for kind in ([self.kind] if self.kind else KINDS)
            for member in listed(kind)
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
    out: Annotated[Path | None, arg(metavar="DIR")] = None
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
class Evaluate:
    """Play many unseen goals with each assistant and compare what was achieved, with 95 % intervals.

    Example: tacit evaluate --assistants none,particles,oracle --episodes 32 --json
    """

    game: str = "building-small"
    """Which game; see tacit list games."""
    human: str = "builder"
    """Who knows the goal; see tacit list humans. NAME=FILE for one who was trained, with the weights in FILE."""
    assistants: Annotated[str | None, arg(metavar="STR")] = None
    """Who helps, separated by commas; see tacit list assistants. NAME=FILE as above. All meet the same episodes. If not
    given, nobody, the best there is for the game and the oracle."""
    episodes: int = 32
    """How many, for each assistant."""
    seed: Seed = 0
    plot: File = None
    """Draw the comparison too, as FILE.png, FILE.svg or FILE.pdf (needs the extra `plots`)."""
    json: Json = False

    def run(self) -> int:
        """Play them and print a row for each assistant."""
        from tacit.app.cast import usual

        words = ",".join(usual(self.game)) if self.assistants is None else self.assistants
        names = [name.strip() for name in words.split(",") if name.strip()]
        check_seed(self.seed)
        if self.episodes < 1:
            raise UsageError(f"--episodes {self.episodes} leaves nothing to measure; give at least 1.")
        if not names or len(set(names)) < len(names):
            raise UsageError("--assistants wants names separated by commas, each of them once.")
        for name in names:
            find("tacit.assistants", name.partition("=")[0])
        if self.plot is not None:
            from tacit.evaluation.plots import check_plots

            check_plots(self.plot)
        from rich.console import Console
        from rich.table import Table

        from tacit.app import evaluate

        with Console(stderr=True).status("compiling") as status:
            rows = evaluate.rows(
                self.game,
                self.human,
                names,
                self.episodes,
                self.seed,
                lambda name, finished, turns: status.update(f"{name}: turn {turns}, {finished} episodes finished"),
            )
        if self.plot is not None:
            from tacit.evaluation.plots import plot_rows

            plot_rows(rows, self.plot)
        if self.json:
            return print_json(rows)
        table = Table("assistant", *evaluate.COLUMNS.values(), title=f"{self.episodes} episodes of {self.game}")
        for row in rows:
            table.add_row(row["assistant"], *(evaluate.cell(row[key]) for key in evaluate.COLUMNS))
        console().print(table)
        return 0


@dataclass(frozen=True)
class Replay:
    """See a recorded episode again, in the terminal or as a film, a page or a picture.

    Example: tacit replay house.safetensors --out house.gif
    """

    episode: Positional[Path]
    """A file that tacit demo --save wrote."""
    out: File = None
    """Write FILE.gif, FILE.html (one file with a slider) or FILE.png instead of showing it."""
    turn: Annotated[int | None, arg(metavar="INT")] = None
    """Which moment a picture shows; the last if not given."""
    delay: float = 0.08
    """Seconds from one turn to the next in the terminal."""

    def run(self) -> int:
        """Show it or write it."""
        from tacit.app import replay

        check_delay(self.delay)
        if self.out is not None and self.out.suffix.lower() not in replay.KINDS:
            raise UsageError(f"{self.out} should end in {', '.join(replay.KINDS[:-1])} or {replay.KINDS[-1]}.")
        if self.turn is not None and (self.out is None or self.out.suffix.lower() != ".png"):
            raise UsageError("--turn chooses the moment of a picture: give --out FILE.png with it.")
        replay.run(self.episode, self.out, self.turn, self.delay, console())
        return 0


@dataclass(frozen=True)
class Solve:
    """Find what a POMDP in a file of Cassandra's format is worth from its start: a number where quick, else bounds.

    Costs count as negative rewards, so a file with `values: cost` has a value below zero. Ctrl-C prints the bounds
    found so far.

    Example: tacit solve tiger.pomdp --horizon 10 --json
    """

    file: Positional[Path]
    """The problem."""
    horizon: Annotated[int | None, arg(metavar="INT")] = None
    """How many turns; if not given it goes on for ever, and the file's discount must be below 1."""
    seconds: float = 30.0
    """How long bounds may be improved."""
    gap: float = 1e-6
    """How close the bounds need to be."""
    json: Json = False

    def run(self) -> int:
        """Solve it and print the value."""
        from tacit.app import solve

        if self.horizon is not None and self.horizon < 1:
            raise UsageError(f"--horizon {self.horizon} leaves nothing to do; give at least 1.")
        if not 0 < self.seconds <= 1e9:
            raise UsageError(f"--seconds {self.seconds:g} is no time to spend; give a number above 0.")
        if not self.gap >= 0:
            raise UsageError(f"--gap {self.gap:g} is no distance; give a number from 0 on.")
        pomdp, answer = solve.run(self.file, self.horizon, self.seconds, self.gap)
        if self.json:
            return print_json(answer.json())
        states, actions = pomdp.rewards.shape
        sizes = f"{states} states, {actions} actions, {len(pomdp.observation_names)} observations"
        between = f"from {answer.lower:.10g} to {answer.upper:.10g}"
        value = f"{answer.lower:.10g}" if answer.lower == answer.upper else between
        print(f"{self.file}: {sizes}, discount {pomdp.discount:g}")
        print(f"value of the start: {value} ({answer.seconds:.2f} s)")
        return 0


@dataclass(frozen=True)
class Study:
    """Run a published table or figure and check what it claims; the exit status is 1 if a claim fails.

    Example: tacit study particles --tier small
    """

    name: Positional[str]
    """Which study, see tacit list studies; all for every one."""
    tier: Literal["tiny", "small", "full"] = "tiny"
    """Under a minute, minutes on two cores, or a GPU."""
    data: File = None
    """Recordings of people, for the studies that need them."""
    workers: Literal["processes", "ray"] = "processes"
    """Who does them: processes here, or a Ray cluster (needs the extra `ray`; RAY_ADDRESS says where, if not here)."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """For a study that takes long: its folder, in which it goes on where it stopped; else runs/study-NAME-TIER."""
    model: Annotated[Path | None, arg(metavar="DIR")] = None
    """For raro: a folder with a Hugging Face causal model to play with."""
    plot: File = None
    """Draw the study's picture instead, as FILE.png, FILE.svg or FILE.pdf (needs the extra `plots`)."""
    json: Json = False

    def run(self) -> int:
        """Run them and print each claim."""
        from rich.console import Console

        from tacit.studies import claims

        if self.plot is not None:
            return plot_member(find("tacit.studies", self.name), self.plot)
        if self.workers == "ray":
            from tacit.studies import fleet

            if self.out or self.model:
                raise UsageError("--out and --model are for a study that is done here, not with --workers ray.")
            chosen = listed("studies") if self.name == "all" else [find("tacit.studies", self.name)]
            found = fleet.run_all(chosen, self.tier, self.data)
        elif self.name == "all":
            if self.out or self.model:
                raise UsageError("--out and --model are for one study; name it instead of all.")
            found = claims.run_all(listed("studies"), self.tier, self.data)
        else:
            from tacit.app.progress import telling

            study = find("tacit.studies", self.name)
            if (self.out or self.model) and (self.tier == "tiny" or "make_at" not in vars(study.load())):
                raise UsageError("--out and --model are for a study that takes long, such as raro, above --tier tiny.")
            place = claims.default_place(study.name, self.tier)._replace(model=self.model)
            place = place if self.out is None else place._replace(out=self.out)
            found = [claims.run(study, self.tier, self.data, place, telling(Console(stderr=True)))]
        reports = []
        for report in found:
            reports.append(report)
            if not self.json:
                print(f"{report.study}: {'skipped: ' + report.skipped if report.skipped else ''}")
                for claim in report.claims:
                    sign = "ok    " if claim.passed else "FAILED"
                    print(
                        f"  {sign} {claim.name}: {claim.measured:.4g} (expected {claim.expected:.4g}; {claim.source})"
                    )
        if self.json:
            print_json([report.json() for report in reports])
        return 0 if all(claim.passed for report in reports for claim in report.claims) else 1


@dataclass(frozen=True)
class Bench:
    """Measure how fast something is, as a ratio to a baseline in the same run.

    Example: tacit bench building
    """

    name: Positional[str]
    """Which benchmark: a file of tacit/benchmarks, or serve: twenty scripted people at the page's server."""
    plot: File = None
    """Draw the benchmark's picture instead, as FILE.png, FILE.svg or FILE.pdf (needs the extra `plots`)."""
    json: Json = False

    def run(self) -> int:
        """Run it and print a line for each figure."""
        if self.plot is not None:
            return plot_member(find("tacit.benchmarks", self.name), self.plot)
        rows = served_rows() if self.name == "serve" else find("tacit.benchmarks", self.name).load().make()
        if self.json:
            return print_json(rows)
        for row in rows:
            ratio = "" if row["ratio"] is None else f"  {row['ratio']:.2f} x {row['baseline']}"
            print(f"{row['name']:<40} {row['value']:>12.4g} {row['unit']}{ratio}")
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


def listed(kind: str) -> list[Member]:
    """The members of one of KINDS; none where this installation has no such folder."""
    try:
        return members(f"tacit.{kind}")
    except ValueError:
        return []


def print_json(rows: Any) -> int:
    """Print rows as JSON; returns the exit status 0."""
    print(json.dumps(rows, indent=1, allow_nan=False))
    return 0


def served_rows() -> list[dict[str, Any]]:
    """How the page's server bears twenty people, with the assistant that is shipped."""
    from tacit.app.cast import BEST
    from tacit.app.session_load import rows
    from tacit.app.session_room import players

    return rows(players("building-small", BEST["building-small"]))


def plot_member(member: Member, path: Path) -> int:
    """Write what a study's or a benchmark's `draw(figure)` draws; returns the exit status 0."""
    from tacit.evaluation.plots import plot

    draw = vars(member.load()).get("draw")
    if draw is None:
        raise UsageError(f"{member.name} has no picture; leave out --plot.")
    plot(draw, path)
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

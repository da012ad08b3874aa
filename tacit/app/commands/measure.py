"""Compare assistants, check what was published, find values, and time things."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that help and lists come at once.

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from tacit.app.commands.words import File, Folder, Json, Seed, UsageError, check_seed, console, print_json
from tacit.members import Member, find, members


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
    out: Folder = None
    """For a study that takes long: its folder, in which it goes on where it stopped; else runs/study-NAME-TIER."""
    model: Folder = None
    """For raro: a folder with a Hugging Face causal model to play with."""
    plot: File = None
    """Draw the study's picture instead, as FILE.png, FILE.svg or FILE.pdf (needs the extra `plots`); above --tier tiny
    that of the table as far as it is kept in --out."""
    json: Json = False

    def run(self) -> int:
        """Run them and print each claim."""
        from rich.console import Console

        from tacit.studies import claims

        if self.plot is not None:
            study = find("tacit.studies", self.name)
            if self.tier == "tiny":
                return plot_member(study, self.plot)
            return plot_table(study, self.out or claims.default_place(study.name, self.tier).out, self.plot)
        if self.workers == "ray":
            from tacit.studies import fleet

            if self.out or self.model:
                raise UsageError("--out and --model are for a study that is done here, not with --workers ray.")
            chosen = members("tacit.studies") if self.name == "all" else [find("tacit.studies", self.name)]
            found = fleet.run_all(chosen, self.tier, self.data)
        elif self.name == "all":
            if self.out or self.model:
                raise UsageError("--out and --model are for one study; name it instead of all.")
            found = claims.run_all(members("tacit.studies"), self.tier, self.data)
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


def served_rows() -> list[dict[str, Any]]:
    """How the page's server bears twenty people, with the assistant that is shipped."""
    from tacit.app.cast import BEST
    from tacit.app.session.load import rows
    from tacit.app.session.room import players

    return rows(players("building-small", BEST["building-small"]))


def plot_table(study: Member, out: Path, path: Path) -> int:
    """Write what a study's `draw_table(figure, out)` draws of the table kept in `out`; returns the exit status 0."""
    from tacit.evaluation.plots import plot

    draw_table = vars(study.load()).get("draw_table")
    if draw_table is None:
        raise UsageError(f"{study.name} has no picture of a table; leave out --tier.")
    plot(lambda figure: draw_table(figure, out), path)
    return 0


def plot_member(member: Member, path: Path) -> int:
    """Write what a study's or a benchmark's `draw(figure)` draws; returns the exit status 0."""
    from tacit.evaluation.plots import plot

    draw = vars(member.load()).get("draw")
    if draw is None:
        raise UsageError(f"{member.name} has no picture; leave out --plot.")
    plot(draw, path)
    return 0

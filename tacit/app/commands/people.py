"""Build with an assistant oneself, and study people who do."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that help and lists come at once.

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from tacit.app.commands.words import File, Json, UsageError, check_port_number, print_json


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
        from tacit.app.session.room import players
        from tacit.app.session.store import RECORD

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
        from tacit.app.replay import KINDS as FILMS
        from tacit.app.session import recordings
        from tacit.app.session.store import RECORD, open_store
        from tacit.storage import write_atomically

        path = RECORD if self.record is None else self.record
        if not path.exists():
            raise UsageError(f"There are no recordings at {path} yet: tacit play makes some, or give --record FILE.")
        store = open_store(path)
        if self.action == "list":
            rows = recordings.rows(store)
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
            write_atomically(self.out, recordings.table(store).encode())
        elif self.session is None:
            raise UsageError("tacit recordings replay needs the name of a session; see tacit recordings list.")
        else:
            write_atomically(self.out, recordings.replayed(store, self.session, self.out.suffix.lower()))
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

        from tacit.app.page import server
        from tacit.app.session import study
        from tacit.app.session.room import players
        from tacit.app.session.store import RECORD, open_store

        record = RECORD if self.record is None else self.record
        if self.action == "serve":
            check_port_number(self.port)
            names = tuple(name.strip() for name in self.assistants.split(",") if name.strip())
            if not 1 < len(set(names)) == len(names) <= 10:
                raise UsageError("--assistants wants 2 to 10 names separated by commas, each of them once.")
            for name in names:
                players(self.game, name)
            design = study.Design(self.game, names, self.blind)
            browser = not self.no_browser
            settings = server.Settings(self.game, names[-1], self.host, self.port, browser, record, design)
            server.serve(settings, players, partial(print, flush=True))
            return 0
        if not record.exists():
            raise UsageError(f"There are no recordings at {record} yet; give --record FILE.")
        rows = study.rows(open_store(record))
        if self.json:
            return print_json([row._asdict() for row in rows])
        if self.out is None or self.out.suffix.lower() not in study.KINDS:
            raise UsageError("tacit study-people export needs --out with a file that ends in .csv or .parquet.")
        study.export(rows, self.out)
        print(f"{self.out}: {len(rows)} houses of {len({row.participant for row in rows})} participants")
        return 0

"""Where do sessions live while people play? A room records, keeps the clocks, lets assistants think, tells watchers.

Each session has one task that alone changes it. A message is checked, recorded and acknowledged at once; the task takes
it up when the assistant has thought. Assistants think in threads of their own, so that nobody waits for anybody else's.
"""

import asyncio
import functools
import logging
import secrets
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np

from tacit.app import session as sessions
from tacit.app import session_messages as messages
from tacit.app import session_store as recordings
from tacit.app.cast import building_cast
from tacit.app.session import Session, Wish
from tacit.app.session_messages import Break, Message, MessageError, Place, Step
from tacit.app.session_players import Players, sample_house
from tacit.core import HUMAN
from tacit.games.building.actions import PASS
from tacit.games.building.game import BuildingGame, House, building_game
from tacit.storage import StorageError

UNHURRIED = 100_000
"""Turns that a person may take."""
BURST, PER_SECOND = 60, 20.0
"""How many messages may come at once, and how many a second from then on."""
LEAST_SECONDS = 0.15
"""From one turn to the next while there is something to do, so that steps can be seen."""
THINKERS = 2
MOST_SEATS = 64
"""Sessions that may live here with nobody watching; older ones wait in their recordings."""

Watcher = Callable[[Session], None]
"""Is shown the session after every change. It must return at once."""


class Plan(NamedTuple):
    """What a session is about: names as on the command line, the seed of its chance, and the goal's seed if any."""

    game: str
    assistant: str
    seed: int
    goal: int | None


@dataclass(frozen=True)
class Seat:
    """One session as it lives here. Only its task changes `now`, a list of one."""

    id: str
    players: Players
    now: list[Session]
    events: list[int]
    """One number: how many events are recorded."""
    inbox: deque[Message] = field(default_factory=deque)
    watchers: set[Watcher] = field(default_factory=set)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    allowance: list[float] = field(default_factory=lambda: [float(BURST), time.monotonic()])

    @property
    def session(self) -> Session:
        """As it is now."""
        return self.now[0]

    @property
    def seen(self) -> Session:
        """As it is shown: clicks that were acknowledged wait in it, though the assistant may still be thinking."""
        clicks = (message for message in self.inbox if isinstance(message, Place | Break | Step))
        return self.session._replace(wishes=(*self.session.wishes, *map(Wish, clicks)))


@dataclass(frozen=True)
class Room:
    """All sessions of one server. `seated` makes the players of a plan; they share what is compiled."""

    store: sqlite3.Connection
    seated: Callable[[str, str], Players]
    seats: dict[str, Seat] = field(default_factory=dict)
    opening: dict[str, asyncio.Lock] = field(default_factory=dict)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THINKERS, "thinking"))

    def create(self, plan: Plan) -> str:
        """Record a new session; returns its name, which cannot be guessed."""
        name = secrets.token_urlsafe(18)
        recordings.create(self.store, name, plan._asdict())
        return name

    async def seat(self, name: str) -> Seat:
        """The session of this name, resumed from its recording if it does not live here yet.

        Raises KeyError for a name that there is not.
        """
        async with self.opening.setdefault(name, asyncio.Lock()):
            if name not in self.seats:
                begun = recordings.begun(self.store, name)
                if begun is None:
                    del self.opening[name]
                    raise KeyError(name)
                self._make_room()
                self.seats[name] = await self.in_thread(self._resumed, name, Plan(**begun.about))
        return self.seats[name]

    def _make_room(self) -> None:
        idle = [name for name, seat in self.seats.items() if not seat.watchers]
        for name in idle[: max(0, len(self.seats) - MOST_SEATS)]:
            del self.seats[name], self.opening[name]

    def _resumed(self, name: str, plan: Plan) -> Seat:
        players = self.seated(plan.game, plan.assistant)
        events = recordings.events(self.store, name)
        session = sessions.resume(players, goal(players.game, plan), jax.random.key(plan.seed), events)
        return Seat(name, players, [sessions.thought(players, session)], [len(events)])

    def watch(self, seat: Seat, watcher: Watcher) -> None:
        """Show the session to `watcher` from now on. The clock runs while somebody watches."""
        seat.watchers.add(watcher)
        if not seat.tasks:
            seat.tasks.append(asyncio.get_running_loop().create_task(self._run(seat)))

    def leave(self, seat: Seat, watcher: Watcher) -> None:
        """Show it no more. Without anybody the clock stops."""
        seat.watchers.discard(watcher)
        if not seat.watchers:
            for task in seat.tasks:
                task.cancel()
            seat.tasks.clear()

    def post(self, seat: Seat, text: str) -> int:
        """Record what a person sent; returns the number of its event, which is on disk by then.

        Raises MessageError, in one sentence, for what is refused; nothing has changed then.
        """
        self._charge(seat)
        message = messages.parse(text, seat.players.game)
        number = self._record(seat, "message", messages.dump(message))
        seat.inbox.append(message)
        seat.woken.set()
        self._tell(seat)
        return number

    def _charge(self, seat: Seat) -> None:
        left, since = seat.allowance
        now = time.monotonic()
        left = min(float(BURST), left + PER_SECOND * (now - since))
        if left < 1.0:
            raise MessageError(f"That is too much at once: at most {PER_SECOND:g} messages a second.")
        seat.allowance[:] = [left - 1.0, now]

    def _record(self, seat: Seat, kind: str, body: str) -> int:
        number = seat.events[0]
        recordings.append(self.store, seat.id, number, kind, body)
        seat.events[0] += 1
        return number

    async def _run(self, seat: Seat) -> None:
        """The session's task: take up messages, play turns, think."""
        last = time.monotonic()
        while True:
            await self._think(seat)
            if seat.inbox:
                message = seat.inbox.popleft()
                self._show(seat, sessions.accept(seat.players, seat.session, message))
                continue
            if seat.session.done:
                await self._woken(seat, None)
                continue
            pace = LEAST_SECONDS if seat.session.wishes else seat.session.seconds
            wait = last + pace - time.monotonic()
            if seat.session.paused or wait > 0:
                await self._woken(seat, None if seat.session.paused else wait)
                continue
            self._turn(seat)
            last = time.monotonic()
            await asyncio.sleep(0)

    def _turn(self, seat: Seat) -> None:
        """One turn, recorded before it is played. Nothing may be awaited in between, or the record's order is wrong."""
        choice = sessions.choose(seat.players, seat.session)
        theirs = sessions.assistant_action(seat.session)
        try:
            self._record(seat, "turn", sessions.turn_body(choice, theirs))
        except StorageError as error:
            self._show(seat, seat.session._replace(note=str(error), paused=True))
            return
        self._show(seat, sessions.acted(seat.players, seat.session, choice, theirs))

    async def _think(self, seat: Seat) -> None:
        if seat.session.thinking is None:
            self._show(seat, await self.in_thread(sessions.thought, seat.players, seat.session))

    async def _woken(self, seat: Seat, wait: float | None) -> None:
        """Wait for a message, or for this long."""
        try:
            await asyncio.wait_for(seat.woken.wait(), wait)
        except TimeoutError:
            return
        seat.woken.clear()

    async def in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """What `work` returns, while others go on."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work, *arguments)

    def _show(self, seat: Seat, session: Session) -> None:
        seat.now[0] = session
        self._tell(seat)

    def _tell(self, seat: Seat) -> None:
        for watcher in tuple(seat.watchers):
            try:
                watcher(seat.seen)
            except Exception:
                # Whatever went wrong with one browser, the session and its other browsers go on.
                logging.getLogger(__name__).exception("A browser could not be shown the session and is left out.")
                seat.watchers.discard(watcher)

    def close(self) -> None:
        """Stop the clocks and close the file."""
        for seat in self.seats.values():
            for task in seat.tasks:
                task.cancel()
        self.pool.shutdown(cancel_futures=True)
        self.store.close()


@functools.cache
def players(game: str, assistant: str) -> Players:
    """The players by name, for a person who takes the time they want."""
    made = building_cast(game, "builder", assistant)
    short = building_game(made.game, "A person at the page")
    long = BuildingGame(
        short.houses, short.shape, short.num_kinds, short.reach, UNHURRIED, short.discount, solo=short.solo
    )
    return Players(long, made.assistant)


def goal(game: BuildingGame, plan: Plan) -> House | None:
    """The house of the plan; None for someone who builds freely."""
    return None if plan.goal is None else sample_house(game, jax.random.key(plan.goal))


def warm_up(seated: Players) -> None:
    """Compile what a session needs, so that nobody waits for it in the middle of one."""
    session = sessions.thought(seated, sessions.begin(seated, None, jax.random.key(0)))
    x, y, z = (int(at) for at in np.maximum(session.scene.feet[HUMAN], 0))
    session = sessions.accept(seated, session, messages.Judge((x, y, z), 0, True))
    session = sessions.accept(seated, session, messages.Place((0, 2, 0), 2))
    choice = sessions.choose(seated, session)
    sessions.acted(seated, session, choice, PASS)

"""Where do sessions live while people play? A room records, keeps the clocks, lets assistants think, tells watchers.

Each session has one task that alone changes it. A message is checked at once, acknowledged when it is on disk, and
taken up by the task when the assistant has thought. What happens to a session is numbered in the order in which it
happens, and nothing happens before it is recorded. Assistants think in a pool of threads, the disk has a thread of its
own, sessions are opened in others: nobody waits for anybody else's.
"""

import asyncio
import functools
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np

from tacit.app.cast import building_cast
from tacit.app.session import fold, messages, pairs, wishes
from tacit.app.session import store as recordings
from tacit.app.session.ledger import Ledger
from tacit.app.session.likes import ASPECTS
from tacit.app.session.messages import Break, Message, MessageError, Place, Step
from tacit.app.session.players import Expectant, Players, sample_house
from tacit.app.session.state import Session, Wish
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
THINKERS = max(1, (os.cpu_count() or 2) - 1)
"""One core is left to those who wait for an echo."""
MOST_SEATS = 64
"""Sessions that may live here with nobody watching; older ones wait in their recordings."""

Watcher = Callable[[Session], None]
"""Is shown the session after every change. It must return at once."""


class Plan(NamedTuple):
    """What a session is about: names as on the command line, the seed of its chance, and the goal's seed if any.

    In a study (`session.study`) also who builds, which of their houses it is, and whether they are told who helps.
    """

    game: str
    assistant: str
    seed: int
    goal: int | None
    participant: str | None = None
    place: int = 0
    blind: bool = False


class Posted(NamedTuple):
    """A message, and the future that is done when the disk has it."""

    message: Message
    recorded: asyncio.Future[int]


@dataclass(frozen=True)
class Seat:
    """One session as it lives here. Only its task changes `now`, a list of one."""

    id: str
    plan: Plan
    players: Players
    now: list[Session]
    events: list[int]
    """One number: how many events are recorded."""
    inbox: deque[Posted] = field(default_factory=deque)
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
        known = (posted.message for posted in self.inbox if posted.recorded.done() and not posted.recorded.exception())
        clicks = (message for message in known if isinstance(message, Place | Break | Step))
        return self.session._replace(wishes=(*self.session.wishes, *map(Wish, clicks)))


@dataclass(frozen=True)
class Room:
    """All sessions of one server. `seated` makes the players of a plan; they share what is compiled."""

    ledger: Ledger
    seated: Callable[[str, str], Players]
    seats: dict[str, Seat] = field(default_factory=dict)
    opening: dict[str, asyncio.Lock] = field(default_factory=dict)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THINKERS, "thinking"))

    async def create(self, plan: Plan, *said: Message) -> str:
        """Record a new session in which this was said already; returns its name, which cannot be guessed."""
        name = secrets.token_urlsafe(18)
        await self.ledger.create(name, plan._asdict())
        for number, message in enumerate(said):
            await self.ledger.append(name, number, "message", messages.dump(message))
        return name

    async def seat(self, name: str) -> Seat:
        """The session of this name, resumed from its recording if it does not live here yet.

        Raises KeyError for a name that there is not.
        """
        async with self.opening.setdefault(name, asyncio.Lock()):
            if name not in self.seats:
                seat = await asyncio.to_thread(self._resumed, name)
                if seat is None:
                    del self.opening[name]
                    raise KeyError(name)
                self._make_room()
                self.seats[name] = seat
        return self.seats[name]

    def _make_room(self) -> None:
        idle = [name for name, seat in self.seats.items() if not seat.watchers]
        for name in idle[: max(0, len(self.seats) - MOST_SEATS)]:
            del self.seats[name], self.opening[name]

    def _resumed(self, name: str) -> Seat | None:
        begun = recordings.begun(self.ledger.store, name)
        if begun is None:
            return None
        plan = Plan(**begun.about)
        players = self.seated(plan.game, plan.assistant)
        events = recordings.events(self.ledger.store, name)
        session = fold.resume(players, goal(players.game, plan), jax.random.key(plan.seed), events)
        return Seat(name, plan, players, [fold.thought(players, session)], [len(events)])

    def watch(self, seat: Seat, watcher: Watcher) -> None:
        """Show the session to `watcher` from now on. The clock runs while somebody watches."""
        seat.watchers.add(watcher)
        if not seat.tasks:
            seat.tasks.append(asyncio.get_running_loop().create_task(self._run(seat)))

    def leave(self, seat: Seat, watcher: Watcher) -> None:
        """Show it no more. Without anybody the clock stops, after what is being recorded has happened."""
        seat.watchers.discard(watcher)
        seat.woken.set()

    def post(self, seat: Seat, text: str) -> asyncio.Future[int]:
        """Record what a person sent; the future gives the number of its event once it is on disk.

        Raises MessageError, in one sentence, for what is refused; nothing has changed then. The future may raise
        StorageError.
        """
        self._charge(seat)
        message = messages.parse(text, seat.players.game)
        recorded = self._record(seat, "message", messages.dump(message))
        seat.inbox.append(Posted(message, recorded))
        recorded.add_done_callback(lambda _: self._tell(seat))
        seat.woken.set()
        return recorded

    def _charge(self, seat: Seat) -> None:
        left, since = seat.allowance
        now = time.monotonic()
        left = min(float(BURST), left + PER_SECOND * (now - since))
        if left < 1.0:
            raise MessageError(f"That is too much at once: at most {PER_SECOND:g} messages a second.")
        seat.allowance[:] = [left - 1.0, now]

    def _record(self, seat: Seat, kind: str, body: str) -> asyncio.Future[int]:
        seat.events[0] += 1
        return self.ledger.append(seat.id, seat.events[0] - 1, kind, body)

    async def _run(self, seat: Seat) -> None:
        """The session's task, while somebody watches: take up messages, play turns, think."""
        last = time.monotonic()
        while seat.watchers:
            await self._think(seat)
            if seat.inbox:
                await self._take_up(seat, seat.inbox[0])
                continue
            if pairs.asking(seat.session) and not seat.session.paused:
                await self._ask(seat)
                continue
            if seat.session.done or seat.session.asking:
                await self._woken(seat, None)
                continue
            pace = LEAST_SECONDS if seat.session.wishes else seat.session.seconds
            wait = last + pace - time.monotonic()
            if seat.session.paused or wait > 0:
                await self._woken(seat, None if seat.session.paused else wait)
                continue
            await self._turn(seat)
            last = time.monotonic()
        seat.tasks.clear()

    async def _take_up(self, seat: Seat, posted: Posted) -> None:
        """The next message, once it is on disk. What the disk did not take was not said; its person was told."""
        await asyncio.wait([posted.recorded])
        seat.inbox.popleft()
        if posted.recorded.exception() is None:
            self._show(seat, fold.accept(seat.players, seat.session, posted.message))

    async def _turn(self, seat: Seat) -> None:
        """One turn, recorded before it is played. What is said meanwhile has a later number, and is heard after it."""
        choice = wishes.choose(seat.players, seat.session)
        theirs = fold.assistant_action(seat.session)
        if await self._kept(seat, "turn", fold.turn_body(choice, theirs)):
            self._show(seat, fold.acted(seat.players, seat.session, choice, theirs))

    async def _think(self, seat: Seat) -> None:
        if seat.session.thinking is None:
            self._show(seat, await self.in_thread(fold.thought, seat.players, seat.session))

    async def _ask(self, seat: Seat) -> None:
        """Show the next pair, recorded before. What was said meanwhile is heard first, as it was recorded first."""
        plans = await self.in_thread(pairs.next_pair, seat.players, seat.session)
        if not seat.inbox and await self._kept(seat, "pair", fold.pair_body(plans)):
            self._show(seat, pairs.asked(seat.players, seat.session, plans))

    async def _kept(self, seat: Seat, kind: str, body: str) -> bool:
        """Record what is about to happen. Where that fails it must not happen: the session says so and pauses."""
        try:
            await self._record(seat, kind, body)
        except StorageError as error:
            self._show(seat, seat.session._replace(note=str(error), paused=True))
            return False
        return True

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
        self.ledger.close()


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
    session = fold.thought(seated, fold.begin(seated, None, jax.random.key(0)))
    x, y, z = (int(at) for at in np.maximum(session.scene.feet[HUMAN], 0))
    session = fold.accept(seated, session, messages.Judge((x, y, z), 0, True))
    session = fold.accept(seated, session, messages.Place((0, 2, 0), 2))
    choice = wishes.choose(seated, session)
    fold.acted(seated, session, choice, PASS)
    if isinstance(seated.assistant, Expectant):
        session = fold.thought(seated, fold.accept(seated, session, messages.Ask(True)))
        session = pairs.asked(seated, session, pairs.next_pair(seated, session))
        for what in ASPECTS:
            answered = fold.accept(seated, session, messages.Prefer(0, 0, what))
            fold.thought(seated, answered)

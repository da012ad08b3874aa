"""The room: what is acknowledged is on disk, a killed server loses nothing, nobody stalls or reads anybody else."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest

from tacit.app.session import fold, messages
from tacit.app.session import store as recordings
from tacit.app.session.ledger import Ledger
from tacit.app.session.load import crowd
from tacit.app.session.messages import Clock, Judge, MessageError, Place, Step, Switch
from tacit.app.session.room import BURST, Plan, Room, goal
from tacit.core import HUMAN
from tacit.storage import StorageError
from tests.app.sitting import GAME, PLAYERS, house

PLAN = Plan("building-small", "hopeful", 3, 7)
ROOT = Path(__file__).parents[2]


def room(tmp_path):
    return Room(Ledger(recordings.open_store(tmp_path / "people.sqlite")), lambda game, assistant: PLAYERS)


async def until(seat, condition, seconds=60.0):
    async with asyncio.timeout(seconds):
        while not condition(seat.session):
            await asyncio.sleep(0.01)


def playing(tmp_path, part):
    """Run `part(room, seat)` with somebody watching."""

    async def run():
        here = room(tmp_path)
        seat = await here.seat(await here.create(PLAN))
        here.watch(seat, lambda session: None)
        try:
            return await part(here, seat)
        finally:
            here.close()

    return asyncio.run(run())


def test_turns_pass_by_the_clock_and_stand_still_while_paused_or_unwatched(tmp_path):
    async def part(here, seat):
        here.post(seat, messages.dump(Clock(0.1, False)))
        await until(seat, lambda session: session.scene.turn >= 3)
        here.post(seat, messages.dump(Clock(0.1, True)))
        await until(seat, lambda session: session.paused)
        turn = seat.session.scene.turn
        await asyncio.sleep(0.4)
        assert seat.session.scene.turn == turn
        here.post(seat, messages.dump(Clock(0.1, False)))
        await until(seat, lambda session: session.scene.turn > turn)
        for watcher in tuple(seat.watchers):
            here.leave(seat, watcher)
        turn = seat.session.scene.turn
        await asyncio.sleep(0.4)
        assert seat.session.scene.turn == turn
        assert seat.session.scene.human_edits == 0

    playing(tmp_path, part)


def test_the_switch_is_obeyed_before_the_next_action_even_when_pressed_in_the_middle_of_thinking(tmp_path):
    async def part(here, seat):
        here.post(seat, messages.dump(Clock(0.1, False)))
        await until(seat, lambda session: session.scene.turn >= 4)
        pressed = await here.post(seat, messages.dump(Switch(False)))
        await until(seat, lambda session: not session.on)
        await until(seat, lambda session, turn=seat.session.scene.turn: session.scene.turn > turn + 4)
        later = [event for event in recordings.events(here.ledger.store, seat.id) if event.number > pressed]
        theirs = [json.loads(event.body)["actions"][1] for event in later if event.kind == "turn"]
        assert len(theirs) > 4
        assert set(theirs) == {0}

    playing(tmp_path, part)


def test_a_refused_message_changes_nothing_and_a_flood_is_refused(tmp_path):
    async def part(here, seat):
        for hostile in ("", "[", '{"do":"zap"}', "\x00" * 300, '{"do":"step","direction":9e999}'):
            with pytest.raises(MessageError):
                here.post(seat, hostile)
        messages_on_disk = [e for e in recordings.events(here.ledger.store, seat.id) if e.kind == "message"]
        assert messages_on_disk == []
        refused = []
        for _ in range(3 * BURST):
            try:
                here.post(seat, messages.dump(Step(0)))
            except MessageError as error:
                refused.append(str(error))
        assert BURST < len(refused) < 3 * BURST
        assert set(refused) == {"That is too much at once: at most 20 messages a second."}
        await until(seat, lambda session: session.scene.turn > 1)

    playing(tmp_path, part)


def test_sessions_are_unguessable_and_do_not_touch_each_other(tmp_path):
    async def run():
        here = room(tmp_path)
        names = {await here.create(PLAN) for _ in range(20)}
        assert len(names) == 20
        assert min(map(len, names)) >= 24
        with pytest.raises(KeyError):
            await here.seat("guess")
        one, other = [await here.seat(name) for name in sorted(names)[:2]]
        for seat in (one, other):
            here.watch(seat, lambda session: None)
        here.post(one, messages.dump(Switch(False)))
        await until(one, lambda session: not session.on)
        assert other.session.on
        assert [e.kind for e in recordings.events(here.ledger.store, other.id) if e.kind == "message"] == []
        here.close()

    asyncio.run(run())


def test_a_watcher_that_left_in_the_middle_of_a_thought_comes_back_to_the_same_session(tmp_path):
    async def part(here, seat):
        await until(seat, lambda session: session.scene.turn >= 1)
        x, _, z = (int(at) for at in seat.session.scene.feet[HUMAN])
        here.post(seat, messages.dump(Judge((x, 3, z), 2, True)))
        for watcher in tuple(seat.watchers):
            here.leave(seat, watcher)
        here.post(seat, messages.dump(Step(2)))
        await asyncio.sleep(0.2)
        again = await here.seat(seat.id)
        assert again is seat
        here.watch(again, lambda session: None)
        await until(again, lambda session: len(session.judged) == 1 and not session.wishes)

    playing(tmp_path, part)


def test_a_broken_browser_is_left_out_and_the_others_go_on(tmp_path, caplog):
    def broken(session):
        raise RuntimeError("gone")

    async def part(here, seat):
        here.watch(seat, broken)
        here.post(seat, messages.dump(Clock(0.1, False)))
        await until(seat, lambda session: session.scene.turn >= 3)
        assert broken not in seat.watchers

    playing(tmp_path, part)
    assert len(caplog.records) == 1


CHILD = """
import asyncio, json, sys, zlib
import jax, numpy as np
jax.config.update("jax_compilation_cache_dir", ".jax_cache")
from tests.app.test_session_room import PLAN, room, random_message
from tacit.app.session import messages
from pathlib import Path

def tell(**line):
    print(json.dumps(line), flush=True)

async def run():
    here = room(Path(sys.argv[1]))
    rng = np.random.default_rng(int(sys.argv[2]))
    name = await here.create(PLAN)
    tell(session=name)
    seat = await here.seat(name)
    here.watch(seat, lambda s: tell(turn=s.scene.turn, blocks=zlib.crc32(s.scene.blocks.tobytes())))
    while True:
        message = random_message(rng)
        tell(ack=await here.post(seat, messages.dump(message)), said=messages.dump(message))
        await asyncio.sleep(0.08)

asyncio.run(run())
"""


def random_message(rng):
    cell, kind = tuple(int(rng.integers(size)) for size in GAME.shape), int(rng.integers(2, GAME.num_kinds))
    options = [Place(cell, kind), Step(int(rng.integers(6))), Judge(cell, kind, bool(rng.integers(2)))]
    return [*options, Switch(bool(rng.integers(2)))][rng.integers(4)]


@pytest.mark.slow
def test_a_server_killed_in_the_middle_loses_nothing_that_it_acknowledged(tmp_path, rng):
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(rng.integers(2**31))]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}
    )
    assert child.stdout is not None
    lines, turns = [], 0
    try:
        while turns < 20:
            line = child.stdout.readline()
            assert line, "the child ended by itself"
            lines.append(json.loads(line))
            turns = lines[-1].get("turn", turns)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        lines += [json.loads(line) for line in child.stdout.read().splitlines() if line.endswith("}")]
        child.wait()
    name = lines[0]["session"]
    store = recordings.open_store(tmp_path / "people.sqlite")
    events = recordings.events(store, name)
    assert [event.number for event in events] == list(range(len(events)))
    for line in lines:
        if "ack" in line:
            assert events[line["ack"]].kind == "message"
            assert events[line["ack"]].body == line["said"]
    # Every world that was shown is found again, turn by turn, by folding what was recorded.
    shown = {(line["turn"], line["blocks"]) for line in lines if "turn" in line}
    house, key = goal(PLAYERS.game, PLAN), jax.random.key(PLAN.seed)
    found = set()
    for turn in sorted({turn for turn, _ in shown}):
        ends = [i + 1 for i, event in enumerate(events) if event.kind == "turn"]
        past = events[: ends[turn - 1] if turn else 0]
        session = fold.resume(PLAYERS, house, key, past)
        found.add((session.scene.turn, zlib.crc32(session.scene.blocks.tobytes())))
    assert found == shown

    async def run():
        here = room(tmp_path)
        seat = await here.seat(name)
        num_turns = sum(event.kind == "turn" for event in events)
        assert seat.session.scene.turn == num_turns
        here.watch(seat, lambda session: None)
        await until(seat, lambda session: session.scene.turn > num_turns)
        here.close()

    asyncio.run(run())


def test_a_number_is_recorded_once_and_other_files_are_refused(tmp_path):
    store = recordings.open_store(tmp_path / "people.sqlite")
    recordings.create(store, "one", {"game": "g"})
    recordings.append(store, "one", 0, "message", "{}")
    with pytest.raises(StorageError, match="Event 0 could not be recorded"):
        recordings.append(store, "one", 0, "message", "{}")
    with pytest.raises(StorageError, match="could not be recorded"):
        recordings.append(store, "two", 0, "message", "{}")
    (tmp_path / "other.sqlite").write_bytes(b"no database at all, " * 100)
    with pytest.raises(StorageError, match="could not be opened as recordings"):
        recordings.open_store(tmp_path / "other.sqlite")
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StorageError, match="newer tacit"):
        recordings.open_store(tmp_path / "newer.sqlite")


def test_the_goal_follows_from_the_plan():
    np.testing.assert_array_equal(goal(GAME, PLAN), GAME.sample_theta(jax.random.key(7)))
    assert goal(GAME, PLAN._replace(goal=None)) is None
    assert house(np.random.default_rng()).shape == GAME.shape


def test_a_crowd_loses_no_click(tmp_path):
    load = asyncio.run(crowd(PLAYERS, 4, 4.0, tmp_path))
    assert load.lost == 0
    assert len(load.echoes) > 4
    assert load.turns > 4
    assert (load.echoes >= 0).all()


def test_a_click_is_shown_before_the_assistant_has_thought(tmp_path):
    async def run():
        here = room(tmp_path)
        seat = await here.seat(await here.create(PLAN))
        shown = []
        here.watch(seat, shown.append)
        await here.post(seat, messages.dump(Place((1, 2, 1), 2)))
        assert seat.session.wishes == ()
        assert [wish.message for wish in shown[-1].wishes] == [Place((1, 2, 1), 2)]
        here.close()

    asyncio.run(run())

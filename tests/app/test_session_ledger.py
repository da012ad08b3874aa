"""The ledger: events share commits, each is acknowledged when the disk has it, and a fault hurts nobody else."""

import asyncio

import pytest

from tacit.app.session import messages
from tacit.app.session import store as recordings
from tacit.app.session.ledger import Ledger
from tacit.app.session.messages import Clock, Step
from tacit.app.session.store import Entry
from tacit.storage import StorageError
from tests.app.test_session_room import playing, until


def ledger(tmp_path):
    return Ledger(recordings.open_store(tmp_path / "people.sqlite"))


def counted(monkeypatch):
    batches, real = [], recordings.append_all

    def append_all(store, entries):
        batches.append([entry.number for entry in entries])
        return real(store, entries)

    monkeypatch.setattr(recordings, "append_all", append_all)
    return batches


def test_what_comes_in_during_a_commit_shares_the_next_one(tmp_path, monkeypatch, rng):
    batches, number = counted(monkeypatch), int(rng.integers(20, 200))

    async def run():
        here = ledger(tmp_path)
        await here.create("one", {})
        futures = [here.append("one", at, "turn", "{}") for at in range(number)]
        assert not any(future.done() for future in futures), "nothing is acknowledged before it is on disk"
        assert await asyncio.gather(*futures) == list(range(number))
        assert [event.number for event in recordings.events(here.store, "one")] == list(range(number))
        here.close()

    asyncio.run(run())
    assert [at for batch in batches for at in batch] == list(range(number))
    assert len([batch for batch in batches if batch]) == 1


def test_an_event_whose_number_is_taken_is_refused_and_the_others_are_kept(tmp_path):
    async def run():
        here = ledger(tmp_path)
        await here.create("one", {})
        futures = [here.append("one", at, "turn", str(place)) for place, at in enumerate([0, 1, 1, 2])]
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert [outcome for outcome in outcomes if not isinstance(outcome, StorageError)] == [0, 1, 2]
        assert "Event 1 could not be recorded" in str(outcomes[2])
        assert [event.body for event in recordings.events(here.store, "one")] == ["0", "1", "3"]
        assert await here.append("one", 3, "turn", "4") == 3
        here.close()

    asyncio.run(run())


def test_a_disk_that_fails_keeps_nothing_of_the_commit(tmp_path):
    store = recordings.open_store(tmp_path / "people.sqlite")
    recordings.create(store, "one", {})
    store.execute("PRAGMA max_page_count = 1")
    faults = recordings.append_all(store, [Entry("one", at, "turn", "x" * 10_000) for at in range(5)])
    assert all(isinstance(fault, StorageError) for fault in faults)
    assert not store.in_transaction
    assert recordings.events(store, "one") == []
    store.execute("PRAGMA max_page_count = 100000")
    assert recordings.append_all(store, [Entry("one", 0, "turn", "x")]) == [None]


def test_closing_writes_what_still_waits(tmp_path):
    async def run():
        here = ledger(tmp_path)
        await here.create("one", {})
        for at in range(5):
            here.append("one", at, "turn", "{}")
        here.close()

    asyncio.run(run())
    again = recordings.open_store(tmp_path / "people.sqlite")
    assert [event.number for event in recordings.events(again, "one")] == list(range(5))


def test_what_the_disk_did_not_take_does_not_happen(tmp_path, monkeypatch):
    async def part(here, seat):
        here.post(seat, messages.dump(Clock(0.1, False)))
        await until(seat, lambda session: session.scene.turn >= 2)

        def full(store, entries):
            return [StorageError(f"Event {entry.number} could not be recorded: disk full.") for entry in entries]

        monkeypatch.setattr(recordings, "append_all", full)
        await until(seat, lambda session: session.paused)
        turn, wishes = seat.session.scene.turn, seat.session.wishes
        assert "disk full" in seat.session.note
        with pytest.raises(StorageError, match="disk full"):
            await here.post(seat, messages.dump(Step(0)))
        while seat.inbox:
            await asyncio.sleep(0.01)
        assert (seat.session.scene.turn, seat.session.wishes) == (turn, wishes)
        on_disk = [event for event in recordings.events(here.ledger.store, seat.id) if event.kind == "turn"]
        assert len(on_disk) == turn
        monkeypatch.undo()
        await here.post(seat, messages.dump(Clock(0.1, False)))
        await until(seat, lambda session: session.scene.turn > turn)

    playing(tmp_path, part)

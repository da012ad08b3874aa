"""The study of people: balanced orders, what is asked and when, and exports that agree with what was played."""

import asyncio
import csv
import itertools
import json

import duckdb
import jax
import numpy as np
import pytest

from tacit.app.cli import main
from tacit.app.page.study import helper
from tacit.app.session import fold, messages, wishes
from tacit.app.session import room as session_room
from tacit.app.session import store as session_store
from tacit.app.session import study as session_study
from tacit.app.session.ledger import Ledger
from tacit.app.session.messages import Break, Finish, Judge, MessageError, Rate, Step, Switch
from tacit.app.session.room import Plan, Room
from tacit.app.session.study import Design, Row, enrol, export, rows, sittings, williams
from tacit.core import HUMAN
from tests.app.sitting import GAME, PLAYERS, play_turns

DESIGN = Design("building-small", ("none", "greedy", "particles"), True)


@pytest.mark.parametrize("size", range(2, 9))
def test_every_assistant_is_as_often_at_every_place_and_after_every_other(size):
    table = [williams(number, size) for number in range(2 * size)]
    for row in table:
        assert sorted(row) == list(range(size))
    for place in range(size):
        assert np.bincount([row[place] for row in table], minlength=size).tolist() == [2] * size
    follows = np.zeros((size, size), int)
    for row in table:
        for one, after in itertools.pairwise(row):
            follows[one, after] += 1
    assert set(follows[~np.eye(size, dtype=bool)].tolist()) == {2}
    assert [williams(number + 2 * size, size) for number in range(2 * size)] == table


def test_a_wrong_order_would_be_noticed():
    plain = [[(number + place) % 4 for place in range(4)] for number in range(8)]
    pairs = {pair for row in plain for pair in itertools.pairwise(row)}
    assert len(pairs) < 12, "a plain Latin square is not balanced for what came before"


@pytest.fixture
def room(tmp_path, monkeypatch):
    monkeypatch.setattr(session_study, "players", lambda game, assistant: PLAYERS)
    opened = Room(Ledger(session_store.open_store(tmp_path / "people.sqlite")), lambda game, assistant: PLAYERS)
    yield opened
    opened.close()


def new(room):
    return asyncio.run(enrol(room, DESIGN))


def test_a_participant_builds_the_same_house_with_each_assistant(room):
    for number in range(6):
        name = new(room)
        begun = session_store.begun(room.ledger.store, name)
        theirs = [Plan(**each.about) for each in sittings(room.ledger.store, begun.about["participant"])]
        assert [plan.assistant for plan in theirs] == [DESIGN.assistants[which] for which in williams(number, 3)]
        assert [plan.place for plan in theirs] == [0, 1, 2]
        assert len({plan.goal for plan in theirs}) == 1
        assert len({plan.seed for plan in theirs}) == 3
        assert helper(room, theirs[1]) == "House 2 of 3 · helper B"
        told = helper(room, theirs[0]._replace(blind=False))
        assert told.endswith({"none": "nobody"}.get(theirs[0].assistant, theirs[0].assistant))
    assert len({row.participant for row in rows(room.ledger.store)}) == 6


def played(room, name, rating):
    """A few turns of a session, recorded as the room would."""
    plan, number = Plan(**session_store.begun(room.ledger.store, name).about), 0
    session = fold.begin(PLAYERS, session_room.goal(GAME, plan), jax.random.key(plan.seed))
    x, _, z = (int(at) for at in session.scene.feet[HUMAN])
    said = [Break((x, 1, z)), Judge((x, 3, z), 2, True), Switch(False), Step(2), Finish(), *rating]
    for message in said:
        session_store.append(room.ledger.store, name, number, "message", messages.dump(message))
        session, number = fold.accept(PLAYERS, session, message), number + 1
        for _ in range(2 if not session.done else 0):
            session = fold.thought(PLAYERS, session)
            choice, theirs = wishes.choose(PLAYERS, session), fold.assistant_action(session)
            session_store.append(room.ledger.store, name, number, "turn", fold.turn_body(choice, theirs))
            session, number = fold.acted(PLAYERS, session, choice, theirs), number + 1
    return session


def test_the_export_agrees_with_what_was_played(room, tmp_path):
    rated, unrated = new(room), new(room)
    session, other = played(room, rated, [Rate(5, 6, 7)]), played(room, unrated, [])
    table = {row.participant: row for row in rows(room.ledger.store) if row.place == 0}
    row = table[session_store.begun(room.ledger.store, rated).about["participant"]]
    scene = session.scene
    assert (row.turns, row.human_edits) == (scene.turn, scene.human_edits)
    assert (row.assistant_right, row.assistant_wrong) == (scene.assistant_right, scene.assistant_wrong)
    assert row.completed == pytest.approx(scene.completed, abs=1e-4)
    assert row.saved == pytest.approx(fold.saved(scene), abs=1e-4)
    assert (row.switched_off, row.judged, row.finished) == (1, 1, True)
    assert (row.easy, row.helped, row.again) == (5, 6, 7)
    assert row.seconds >= 0
    unknown = table[session_store.begun(room.ledger.store, unrated).about["participant"]]
    assert (unknown.easy, unknown.turns) == (None, other.scene.turn)

    every = rows(room.ledger.store)
    export(every, tmp_path / "people.csv")
    with (tmp_path / "people.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    export(every, tmp_path / "people.parquet")
    parquet = duckdb.read_parquet(str(tmp_path / "people.parquet"))
    assert tuple(parquet.columns) == Row._fields == tuple(read[0])
    assert [tuple(each) for each in parquet.fetchall()] == [tuple(each) for each in every]
    for text, each in zip(read, every, strict=True):
        assert [text[name] for name in Row._fields] == ["" if value is None else str(value) for value in each]


def test_an_export_of_nothing_has_its_columns(tmp_path):
    for ending in ("csv", "parquet"):
        export([], tmp_path / f"none.{ending}")
    assert (tmp_path / "none.csv").read_text("utf-8").strip().split(",") == list(Row._fields)
    assert duckdb.read_parquet(str(tmp_path / "none.parquet")).columns == list(Row._fields)


def test_a_house_is_rated_once_it_is_done_and_on_a_scale(rng):
    session = fold.begin(PLAYERS, None, jax.random.key(1))
    early = fold.accept(PLAYERS, session, Rate(1, 2, 3))
    assert (early.rating, early.note) == (None, "Finish the house before you rate it.")
    done = fold.accept(PLAYERS, play_turns(early, 1), Finish())
    assert fold.accept(PLAYERS, done, Rate(1, 2, 3)).rating == Rate(1, 2, 3)
    assert fold.accept(PLAYERS, done, Step(0)).note == "This house is finished."
    good = {"do": "rate", "easy": 1, "helped": 7, "again": 4}
    assert messages.parse(json.dumps(good), GAME) == Rate(1, 7, 4)
    for bad in ({"easy": 0}, {"helped": 8}, {"again": 2.5}, {"again": None}, {"more": 1}):
        with pytest.raises(MessageError, match=r"\.$"):
            messages.parse(json.dumps(good | bad), GAME)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["serve", "--assistants", "none"], "2 to 10 names"),
        (["serve", "--assistants", "none,none"], "each of them once"),
        (["serve", "--port", "0"], "not between 1 and 65535"),
        (["export", "--record", "/nowhere/people.sqlite"], "no recordings"),
    ],
)
def test_a_wrong_command_is_refused_in_one_sentence(words, reason, capsys):
    assert main(["study-people", *words]) == 2
    assert reason in capsys.readouterr().err


def test_the_command_exports_and_refuses_other_endings(room, tmp_path, capsys):
    played(room, new(room), [Rate(1, 1, 1)])
    record = ["--record", str(tmp_path / "people.sqlite")]
    assert main(["study-people", "export", *record, "--out", str(tmp_path / "a.xlsx")]) == 2
    assert main(["study-people", "export", *record, "--out", str(tmp_path / "a.csv")]) == 0
    assert "3 houses of 1 participants" in capsys.readouterr().out
    assert main(["study-people", "export", *record, "--json"]) == 0
    assert {row["participant"] for row in json.loads(capsys.readouterr().out)} == {
        row.participant for row in rows(room.ledger.store)
    }

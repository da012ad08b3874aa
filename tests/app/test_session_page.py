"""Who may reach the page, and what it shows of a session; recordings as files. All without a browser."""

import csv
import io
import socket

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tacit.app.page import view
from tacit.app.page.picture import take
from tacit.app.page.server import check_port, guarded, is_loopback, may_be_called
from tacit.app.session import fold, messages, wishes
from tacit.app.session import recordings as session_recordings
from tacit.app.session import store as session_store
from tacit.app.session.messages import Break, Judge, Switch
from tacit.app.session.players import decoded
from tacit.app.session.room import Plan
from tacit.core import HUMAN
from tacit.games.building.actions import PLACE
from tests.app.sitting import GAME, PLAYERS, house, play_turns

TOKEN = "right-token"


async def _greet(request):
    return PlainTextResponse("inside")


async def _talk(websocket):
    await websocket.accept()
    await websocket.send_text("inside")
    await websocket.close()


def client(host, token=None, called="localhost:8080"):
    inner = Starlette(routes=[Route("/", _greet), WebSocketRoute("/ws", _talk)])
    return TestClient(guarded(inner, host, token), base_url=f"http://{called}", follow_redirects=False)


@pytest.mark.parametrize(
    ("host", "called", "welcome"),
    [
        ("127.0.0.1", "localhost:8080", True),
        ("127.0.0.1", "127.0.0.1:8080", True),
        ("127.0.0.1", "[::1]:8080", True),
        ("127.0.0.1", "evil.example", False),
        ("127.0.0.1", "localhost.evil.example:8080", False),
        ("127.0.0.1", "192.168.1.5:8080", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "[::1", False),
        ("0.0.0.0", "192.168.1.5:8080", True),
        ("0.0.0.0", "evil.example:8080", False),
        ("0.0.0.0", socket.gethostname(), True),
        ("house.example", "house.example:80", True),
    ],
)
def test_the_page_answers_to_its_own_names_alone(host, called, welcome):
    assert may_be_called(called, host) == welcome


def test_other_sites_are_refused_over_http_and_websockets():
    own, foreign = {"Origin": "http://localhost:8080"}, {"Origin": "http://localhost:9999"}
    here = client("127.0.0.1")
    assert here.get("/").text == "inside"
    assert here.get("/", headers=own).text == "inside"
    assert here.get("/", headers=foreign).status_code == 403
    assert client("127.0.0.1", called="evil.example").get("/").status_code == 400
    with here.websocket_connect("/ws", headers={**own, "host": "localhost:8080"}) as talk:
        assert talk.receive_text() == "inside"
    for headers in ({**foreign, "host": "localhost:8080"}, {"host": "evil.example"}):
        with pytest.raises(WebSocketDisconnect), here.websocket_connect("/ws", headers=headers):
            pass


def test_elsewhere_only_the_token_opens():
    there = client("0.0.0.0", TOKEN, "10.0.0.2:8080")
    assert there.get("/").status_code == 401
    assert there.get("/?token=wrong").status_code == 401
    assert there.get("/", headers={"Cookie": "tacit=wrong"}).status_code == 401
    assert there.get("/", headers={"Cookie": 'tacit="; ;;=\xe4'.encode("latin-1")}).status_code == 401
    with pytest.raises(WebSocketDisconnect), there.websocket_connect("/ws", headers={"host": "10.0.0.2:8080"}):
        pass
    opened = there.get(f"/?token={TOKEN}")
    assert opened.status_code == 303
    assert opened.headers["location"] == "/"
    assert "HttpOnly" in opened.headers["set-cookie"]
    assert "samesite=strict" in opened.headers["set-cookie"].lower()
    assert there.get("/", headers={"Cookie": f"tacit={TOKEN}"}).text == "inside"


def test_loopback_is_told_from_the_rest():
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.0.1", "example.org", "")] == [False] * 5


def test_a_port_in_use_is_refused_in_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ValueError, match=r"cannot be served at .*; try another --port\."):
            check_port("127.0.0.1", taken.getsockname()[1])


def begun(rng, goal="drawn"):
    goal = house(rng) if goal == "drawn" else goal
    return fold.thought(PLAYERS, fold.begin(PLAYERS, goal, jax.random.key(rng.integers(2**31))))


def test_guesses_are_the_likeliest_blocks_of_empty_cells(rng):
    session = play_turns(begun(rng), 4)
    session = fold.thought(PLAYERS, session)
    belief, blocks = session.scene.belief, session.scene.blocks
    shown = {index: (kind, chance) for index, kind, chance in view.ghosts(belief, blocks)}
    for index in range(GAME.num_cells):
        cell = np.unravel_index(index, GAME.shape)
        best = max(range(1, GAME.num_kinds), key=lambda kind, cell=cell: belief[cell][kind])
        if blocks[cell] != 0 or belief[cell][best] < view.FAINTEST:
            assert index not in shown
        else:
            assert shown[index] == (best, pytest.approx(belief[cell][best], abs=6e-4))


def test_the_goal_reaches_its_person_alone_and_nobody_who_has_none(rng):
    session = begun(rng)
    assert view.world(PLAYERS, session)["goal"] == session.scene.goal.ravel().tolist()
    assert view.world(PLAYERS, begun(rng, goal=None))["goal"] is None


def test_what_it_is_about_to_do_is_shown_until_it_is_off(rng):
    session = begun(rng)
    while decoded(GAME, fold.assistant_action(session))[0] != PLACE:
        session = fold.thought(PLAYERS, play_turns(session, 1))
    cell = decoded(GAME, fold.assistant_action(session))[1]
    assert view.intent(PLAYERS, session) == cell
    assert view.about_to(PLAYERS, session) == "About to place log."
    placed = play_turns(session, 1)
    if any(edit.cell == cell for edit in placed.edits):
        words, then = view.why(placed, cell)
        assert words.startswith("Placed log in turn")
        assert then == view.guesses(session, cell), "what it thought when it chose, not what it thinks now"
        assert view.why(fold.accept(PLAYERS, placed, Judge(cell, 2, True)), cell) == (words, then)
    off = fold.accept(PLAYERS, session, Switch(False))
    assert view.intent(PLAYERS, off) is None
    assert view.about_to(PLAYERS, off) == "It is off."


def test_the_strip_and_the_guesses_are_in_bounds(rng):
    session = play_turns(begun(rng), 3)
    assert [round(sum(chance for *_, chance in view.guesses(session, (3, 3, 3))), 6) <= 1.0] == [True]
    assert view.strip(()) == ""
    for length in (1, 2, 700):
        sure = tuple(float(x) for x in rng.random(length))
        points = view.strip(sure).split('polyline points="')[1].split('"')[0].split()
        heights = [float(point.split(",")[1]) for point in points]
        assert len(points) <= view.WIDTH
        assert all(0 <= height <= view.HEIGHT for height in heights)


def test_recordings_are_listed_exported_and_told_again(rng, tmp_path):
    store = session_store.open_store(tmp_path / "people.sqlite")
    plan = Plan("building-small", "hopeful", 5, None)
    session_store.create(store, "one", plan._asdict())
    session = fold.thought(PLAYERS, fold.begin(PLAYERS, None, jax.random.key(plan.seed)))
    x, _, z = (int(at) for at in session.scene.feet[HUMAN])
    events, worlds = 0, [session.scene.blocks]
    for message in (Break((x, 1, z)), Judge((x, 3, z), 2, False)):
        session_store.append(store, "one", events, "message", messages.dump(message))
        session = fold.accept(PLAYERS, session, message)
        for number in range(events + 1, events + 4):
            session = fold.thought(PLAYERS, session)
            choice, theirs = wishes.choose(PLAYERS, session), fold.assistant_action(session)
            session_store.append(store, "one", number, "turn", fold.turn_body(choice, theirs))
            session = fold.acted(PLAYERS, session, choice, theirs)
            worlds.append(session.scene.blocks)
        events += 4
    (row,) = session_recordings.rows(store)
    assert (row["session"], row["messages"], row["turns"], row["goal"]) == ("one", 2, 6, None)
    table = list(csv.DictReader(io.StringIO(session_recordings.table(store))))
    assert len(table) == 8
    assert table[0]["what"] == f"break the block at ({x}, 1, {z})"
    assert [entry["assistant_action"] != "" for entry in table] == [False, True, True, True] * 2
    told = session_recordings.story(PLAYERS, None, plan, session_store.events(store, "one"))
    assert len(told) == len(worlds)
    for scene, blocks in zip(told, worlds, strict=True):
        np.testing.assert_array_equal(scene.blocks, blocks)
        np.testing.assert_array_equal(scene.goal, worlds[-1])
        assert scene.belief is not None
    assert told[-1].completed == pytest.approx(1.0)
    with pytest.raises(ValueError, match="There is no session 'two'"):
        session_recordings.replayed(store, "two", ".html")
    assert jnp.asarray(told[0].blocks).shape == GAME.shape


def test_a_picture_without_a_browser_is_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ValueError, match="needs Chromium, and none was found"):
        take(tmp_path / "page.png", "building-small", "particles", 0)

"""Whoever sends too much is cut off with one reason; everybody else is served."""

import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tacit.app.page.limits import BURST, LARGEST, TOO_BIG, TOO_MUCH, UNREADABLE, Seldom, bounded


async def _length(request: Request):
    return PlainTextResponse(str(len(await request.body())))


async def _echo(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(str(len(text)))


async def _break(websocket):
    await websocket.accept()
    raise RuntimeError(await websocket.receive_text())


ROUTES = [Route("/", _length, methods=["POST"]), WebSocketRoute("/ws", _echo), WebSocketRoute("/break", _break)]
CLIENT = TestClient(bounded(Starlette(routes=ROUTES)))


def talk():
    return CLIENT.websocket_connect("/ws")


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2 * LARGEST))
def test_a_message_within_bounds_is_served_and_one_beyond_closes_its_socket_alone(size):
    with talk() as other, talk() as one:
        one.send_text("x" * size)
        if size <= LARGEST:
            assert one.receive_text() == str(size)
        else:
            with pytest.raises(WebSocketDisconnect) as closed:
                one.receive_text()
            assert closed.value.code == TOO_BIG
            assert closed.value.reason == f"at most {LARGEST} bytes a message"
        other.send_text("still here")
        assert other.receive_text() == "10"


def listen(one, answers):
    while True:
        answers.append(one.receive_text())


def test_a_flood_is_cut_off_with_one_reason(caplog):
    with talk() as one, talk() as other:
        for _ in range(4 * BURST):
            one.send_text("x")
        answers = []
        with pytest.raises(WebSocketDisconnect) as closed:
            listen(one, answers)
        assert BURST <= len(answers) < 3 * BURST
        assert closed.value.code == TOO_MUCH
        assert closed.value.reason == "at most 100 messages a second"
        other.send_text("still here")
        assert other.receive_text() == "10"
    assert [record for record in caplog.records if record.name.startswith(("tacit", "uvicorn"))] == []


def test_what_cannot_be_read_closes_its_socket_with_one_line_in_the_log_for_many(caplog):
    for _ in range(20):
        with CLIENT.websocket_connect("/break") as one:
            one.send_text("hostile \n" * 50)
            with pytest.raises(WebSocketDisconnect) as closed:
                one.receive_text()
        assert (closed.value.code, closed.value.reason) == (UNREADABLE, "that cannot be read")
    ours = [record for record in caplog.records if record.name.startswith("tacit")]
    assert [record.getMessage() for record in ours] == ["A socket was closed: RuntimeError."]


@pytest.mark.parametrize(("size", "status"), [(0, 200), (LARGEST, 200), (LARGEST + 1, 413), (50 * LARGEST, 413)])
def test_a_request_has_a_largest_size(size, status):
    answer = CLIENT.post("/", content=b"x" * size)
    assert answer.status_code == status
    if status == 413:
        assert answer.text == f"A request has at most {LARGEST} bytes."


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 40, "0x10", ""])
def test_a_length_that_is_no_number_is_refused(length):
    assert CLIENT.post("/", content=b"", headers={"content-length": length}).status_code == 413


def test_more_than_was_announced_is_not_read():
    def parts():
        for _ in range(100):
            yield b"x" * 1000

    with pytest.raises(ClientDisconnect):
        CLIENT.post("/", content=parts())


def test_a_logger_that_is_hushed_says_one_line_for_many(caplog):
    logger = logging.getLogger("tests.hushed")
    logger.addFilter(Seldom())
    for _ in range(20):
        try:
            int("x")
        except ValueError:
            logger.exception("message handler error")
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info) == ("message handler error", None)

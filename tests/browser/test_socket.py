"""Hostile bytes on the raw socket of the real server: others are served meanwhile, and the log stays short."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ROOT = Path(__file__).parents[2]
LOG = 4_000
"""Bytes that all of this may add to the log."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"), "PYTHONPATH": "."}
    where.pop("PYTEST_CURRENT_TEST", None)
    command = [sys.executable, "-m", "tests.browser.serve", str(port), str(folder / "people.sqlite")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=where, stdout=log, stderr=subprocess.STDOUT)
    try:
        while not answers(port, "/house/none"):
            assert process.poll() is None, (folder / "log").read_text("utf-8")
            time.sleep(0.5)
        yield port, folder / "log"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def answers(port, path="/", timeout=60.0):
    try:
        with urllib.request.urlopen(f"http://localhost:{port}{path}", timeout=timeout) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def opened(port):
    return connect(f"ws://localhost:{port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket", max_size=None)


def test_whatever_is_sent_on_the_socket_others_are_served_and_the_log_stays_short(served, rng):
    port, log = served
    before = log.stat().st_size
    words = [
        "",
        "garbage",
        "4",
        "40",
        "42",
        "42[",
        '42["event"',
        '42["event",{}]',
        "42[]",
        "42{}",
        "451-[]",
        "3probe",
        "\x00",
    ]
    words += [
        f"42{json.dumps(['event', {'id': 10**9, 'client_id': 'x' * n, 'listener_id': []}])}" for n in (0, 9, 3000)
    ]
    words += [rng.bytes(int(rng.integers(1, 200))) for _ in range(20)]
    words += ["42" + "[" * 3000, '42["handshake",{"client_id":null}]', '42["javascript_response",[1]]']
    for word in words:
        try:
            with opened(port) as one:
                one.send(word)
                one.send(word)
        except ConnectionClosed:
            pass
    assert answers(port)
    assert log.stat().st_size - before < LOG, log.read_text("utf-8")[before : before + 3000]


def test_a_flood_and_a_message_that_is_too_large_are_cut_off(served):
    port, log = served
    before = log.stat().st_size
    for messages in (["x" * 100_000], ['42["event",{}]'] * 3000):
        with opened(port) as one, pytest.raises(ConnectionClosed):
            send(one, messages * 200)
        assert answers(port)
    assert log.stat().st_size - before < LOG, log.read_text("utf-8")[before : before + 3000]


def send(one, messages):
    for number, message in enumerate(messages):
        one.send(message)
        if number % 3000 == 0:
            time.sleep(0.2)


def test_who_reads_slowly_holds_nobody_up(served):
    port, _ = served
    slow = [socket.create_connection(("localhost", port)) for _ in range(30)]
    for each in slow[:15]:
        each.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    for each in slow[15:]:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        each.sendall(f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
    assert answers(port)
    for each in slow:
        each.close()
    assert answers(port)

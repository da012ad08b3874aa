"""How much may one connection send? Bounds on size and rate, before anything is read by the page.

Whoever goes beyond is cut off with one clear reason, as is who sends what cannot be read. Nobody else notices, and the
log has a line a minute at most.
"""

import contextlib
import logging
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST = 32_768
"""Bytes in one message of a socket, or in the body of one request; a browser sends hundreds."""
BURST, PER_SECOND = 300, 100.0
"""Messages of one socket: at once, and a second from then on. A pointer that moves sends a dozen a second."""
TOO_BIG, TOO_MUCH, UNREADABLE = 1009, 1008, 1007
"""Codes with which a socket is closed."""
QUIET = 60.0
"""Seconds from one line in the log to the next."""


class Seldom(logging.Filter):
    """Lets one record a minute through, without its traceback: for a logger that has one for every hostile message."""

    logged = -QUIET

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it was quiet for long enough."""
        due = time.monotonic() - self.logged > QUIET
        if due:
            self.logged, record.exc_info = time.monotonic(), None
        return due


def hush() -> None:
    """Keep the log of the sockets' library short: it has a page for every message that it cannot parse."""
    logging.getLogger("engineio.server").addFilter(Seldom())


def bounded(inner: ASGIApp) -> ASGIApp:
    """The application, for connections that keep within bounds."""
    logged = -QUIET

    async def talk(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal logged
        try:
            await inner(scope, _metered(receive, send), send)
        except Exception as error:
            # The protocol's libraries raise at what they cannot parse, with pages of traceback for each.
            if time.monotonic() - logged > QUIET:
                logged = time.monotonic()
                logging.getLogger(__name__).warning("A socket was closed: %s.", type(error).__name__)
            with contextlib.suppress(Exception):
                await send({"type": "websocket.close", "code": UNREADABLE, "reason": "that cannot be read"})

    async def bound(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await talk(scope, receive, send)
        elif scope["type"] == "http" and _length(scope) > LARGEST:
            await PlainTextResponse(f"A request has at most {LARGEST} bytes.", 413)(scope, receive, send)
        elif scope["type"] == "http":
            await inner(scope, _measured(receive), send)
        else:
            await inner(scope, receive, send)

    return bound


def _metered(receive: Receive, send: Send) -> Receive:
    """What a socket receives, until it is too large or too much; then it is closed, and has left."""
    left, since = float(BURST), time.monotonic()

    async def next_message() -> Message:
        nonlocal left, since
        message = await receive()
        if message["type"] != "websocket.receive":
            return message
        now = time.monotonic()
        left, since = min(float(BURST), left + PER_SECOND * (now - since)) - 1.0, now
        code = TOO_BIG if _size(message) > LARGEST else TOO_MUCH if left < 0.0 else None
        if code is None:
            return message
        reason = (
            f"at most {LARGEST} bytes a message" if code == TOO_BIG else f"at most {PER_SECOND:g} messages a second"
        )
        await send({"type": "websocket.close", "code": code, "reason": reason})
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    return next_message


def _measured(receive: Receive) -> Receive:
    """What a request receives; whoever sends more than was announced has left."""
    total = 0

    async def next_part() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        return {"type": "http.disconnect"} if total > LARGEST else message

    return next_part


def _size(message: MutableMapping[str, Any]) -> int:
    return max(len(message.get("text") or ""), len(message.get("bytes") or b""))


def _length(scope: Scope) -> int:
    """The announced length; one that is no number counts as too large."""
    for name, value in scope["headers"]:
        if name.lower() == b"content-length":
            return int(value) if value.isdigit() and len(value) < 12 else LARGEST + 1
    return 0

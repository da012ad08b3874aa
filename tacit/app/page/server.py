"""How does the page reach a browser, and nobody else's? A server on loopback; elsewhere only with a token."""

import asyncio
import hmac
import ipaddress
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jax
from nicegui import app, ui
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from tacit.app.page.house import house
from tacit.app.page.limits import bounded, hush
from tacit.app.page.start import start
from tacit.app.page.study import welcome
from tacit.app.session import store as recordings
from tacit.app.session.ledger import Ledger
from tacit.app.session.players import Players
from tacit.app.session.recordings import replayed
from tacit.app.session.room import Room, warm_up
from tacit.app.session.store import HOME, RECORD, open_store
from tacit.app.session.study import Design

COOKIE = "tacit"
RECONNECT = 60.0
"""Seconds for which a browser that fell silent keeps its page; a slow one may be busy for long."""
FILMS = {"html": "text/html", "gif": "image/gif"}
REPLAYS = ""
"""The name of no session: the lock of those who make replays."""
STYLE = Path(__file__).with_name("style.css")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Settings:
    """Where the page is served, what is played there and where it is recorded."""

    game: str
    assistant: str
    host: str = "127.0.0.1"
    port: int = 8080
    browser: bool = True
    record: Path = RECORD
    study: Design | None = None
    """If this is a study, what is compared; the first page is then for its participants."""


def serve(settings: Settings, seated: Callable[[str, str], Players], say: Callable[[str], None]) -> None:
    """Serve the page until interrupted. Raises ValueError, in one sentence, where that cannot be."""
    token = None if is_loopback(settings.host) else secrets.token_urlsafe(24)
    check_port(settings.host, settings.port)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(HOME / "compiled"))
    players = seated(settings.game, settings.assistant)
    room = Room(Ledger(open_store(settings.record)), seated)

    @ui.page("/", title="tacit", favicon=_icon(), response_timeout=60)
    async def first() -> None:
        if settings.study is None:
            await start(room, players, settings.game, settings.assistant)
        else:
            welcome(room, settings.study)

    @ui.page("/house/{name}", title="tacit", favicon=_icon())
    async def one(name: str) -> None:
        await house(room, name)

    @app.get("/house/{name}/replay.{kind}")
    async def again(name: str, kind: str) -> Response:
        return await replay(room, name, kind)

    async def prepare() -> None:
        await asyncio.to_thread(warm_up, players)

    ui.add_css(STYLE, shared=True)
    hush()
    app.add_middleware(bounded)
    app.add_middleware(guarded, host=settings.host, token=token)
    app.on_startup(lambda: asyncio.create_task(prepare()))
    app.on_shutdown(room.close)
    where = f"http://{'localhost' if is_loopback(settings.host) else settings.host}:{settings.port}/"
    say(f"The page is at {where}{'' if token is None else '?token=' + token}")
    ui.run(
        host=settings.host,
        port=settings.port,
        show=settings.browser and token is None,
        reload=False,
        reconnect_timeout=RECONNECT,
        show_welcome_message=False,
        title="tacit",
    )


async def replay(room: Room, name: str, kind: str) -> Response:
    """A session as one file, to keep or to share: a page with a slider, or a film. One is made at a time."""
    if kind not in FILMS or recordings.begun(room.ledger.store, name) is None:
        return PlainTextResponse("There is no such replay.", 404)
    async with room.opening.setdefault(REPLAYS, asyncio.Lock()):
        film = await asyncio.to_thread(replayed, room.ledger.store, name, f".{kind}", room.seated)
    shown = {} if kind == "html" else {"Content-Disposition": 'attachment; filename="house.gif"'}
    return Response(film, media_type=FILMS[kind], headers=shown)


def guarded(inner: Asgi, host: str, token: str | None) -> Asgi:
    """The application for those who may: the right name, no other site, the token if there is one."""

    async def guard(
        scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        answer = None if scope["type"] not in ("http", "websocket") else refusal(scope, host, token)
        if answer is None:
            await inner(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await answer(scope, receive, send)

    return guard


def refusal(scope: Scope, host: str, token: str | None) -> Response | None:
    """What to answer someone who may not come in; None for someone who may."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    called = headers.get("host", "")
    if not may_be_called(called, host):
        return PlainTextResponse("This is not the name of this page.", 400)
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != called.lower():
        return PlainTextResponse("Requests from other sites are refused.", 403)
    if token is None or _same(_cookie(headers.get("cookie", "")), token):
        return None
    given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
    if scope["type"] != "http" or not _same(given, token):
        return PlainTextResponse("Open the page with the token that was printed when it was started.", 401)
    answer = RedirectResponse(scope["path"], 303)
    answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
    return answer


def may_be_called(called: str, host: str) -> bool:
    """Whether the Host header names this server: a page of another name must not reach it (DNS rebinding)."""
    try:
        name = urlsplit(f"//{called}").hostname or ""
    except ValueError:
        return False
    if is_loopback(host):
        return name == "localhost" or (_address(name) is not None and is_loopback(name))
    return name in (host.lower(), "localhost", socket.gethostname().lower()) or _address(name) is not None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def check_port(host: str, port: int) -> None:
    """Refuse a place that cannot be listened at."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = str(error).partition("] ")[2] or str(error)
            raise ValueError(f"The page cannot be served at {host}:{port} ({reason}); try another --port.") from None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _icon() -> str:
    """A small house."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        '<path d="M16 4 4 14h4v13h16V14h4z" fill="#ff9f43"/>'
        '<path d="M13 27v-8h6v8z" fill="#3ec6ff"/></svg>'
    )

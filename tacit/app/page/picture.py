"""What does the page look like? A picture of the real one in the middle of a house, for the README.

A simulated builder plays some turns, recorded as a person's are; then the page is served and a browser looks at it.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import equinox as eqx
import jax
from jaxtyping import Array, Int, Key

from tacit.app.cast import building_cast
from tacit.app.session import fold
from tacit.app.session import store as recordings
from tacit.app.session.messages import Clock, dump
from tacit.app.session.room import Plan, goal, players
from tacit.app.session.state import SECONDS
from tacit.app.session.wishes import Choice
from tacit.core import HUMAN, Memory, State
from tacit.storage import write_atomically

TURNS = 36
NAME = "picture"
WIDTH, HEIGHT = 1280, 760
POINTED = (429.0, 228.0)
"""Where the pointer is: somewhere on the house."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PATIENCE = 300.0
"""Seconds for which the server and the page may take to be ready."""


def take(path: Path, game: str, assistant: str, seed: int) -> None:
    """Write the picture. Raises ValueError, in one sentence, where there is no browser to take it with."""
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - for developers alone
    except ImportError:
        raise ValueError("A picture needs playwright: pip install playwright, or uv sync.") from None
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise ValueError("A picture needs Chromium, and none was found: install Debian's package `chromium`.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        record = Path(folder) / "people.sqlite"
        build(record, Plan(game, assistant, seed, seed))
        port = free_port()
        words = ["play", "--no-browser", "--port", str(port), "--game", game, "--assistant", assistant]
        start = [sys.executable, "-c", "from tacit.app.cli import main; raise SystemExit(main())", *words]
        with subprocess.Popen([*start, "--record", str(record)], stdout=subprocess.DEVNULL) as server:
            try:
                answered(f"http://localhost:{port}/house/none")
                page = playwright.chromium.launch(executable_path=browser, args=FLAGS).new_page(
                    viewport={"width": WIDTH, "height": HEIGHT}
                )
                page.goto(f"http://localhost:{port}/house/{NAME}", timeout=1000 * PATIENCE)
                page.wait_for_function("document.querySelector('.voxels')?.dataset.turn", timeout=1000 * PATIENCE)
                page.mouse.move(*POINTED)
                page.locator(".guess").first.wait_for()
                page.wait_for_timeout(1000)
                write_atomically(path, page.screenshot())
            finally:
                server.terminate()


def build(record: Path, plan: Plan) -> None:
    """Record a session in which a simulated builder has got some way, and pauses."""
    seated, human = players(plan.game, plan.assistant), building_cast(plan.game, "builder", plan.assistant).human
    game, key = seated.game, jax.random.key(plan.seed)
    theta = goal(game, plan)
    store = recordings.open_store(record)
    recordings.create(store, NAME, plan._asdict())
    session, memory = fold.begin(seated, theta, key), human.init(key)

    @eqx.filter_jit
    def act(memory: Memory, state: State, key: Key[Array, ""]) -> tuple[Int[Array, ""], Memory]:
        logits, memory = human.logits(theta, memory, game.observe(state)[HUMAN], key)
        return game.sample(logits, game.legal(state)[HUMAN], key), memory

    for number in range(TURNS):
        session = fold.thought(seated, session)
        action, memory = act(memory, session.moment.state, jax.random.fold_in(key, number))
        choice, theirs = Choice(int(action), (), ""), fold.assistant_action(session)
        recordings.append(store, NAME, number, "turn", fold.turn_body(choice, theirs))
        session = fold.acted(seated, session, choice, theirs)
    recordings.append(store, NAME, TURNS, "message", dump(Clock(SECONDS, True)))
    store.close()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def answered(address: str) -> None:
    """Wait until the server answers."""
    for _ in range(int(PATIENCE)):
        try:
            urllib.request.urlopen(address, timeout=PATIENCE).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(1.0)
    raise ValueError("The page did not start.")

"""The page in a real Chromium. Screenshots of every run are kept in `tests/browser/pictures`."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tacit.app.session import fold
from tacit.app.session import store as recordings
from tacit.app.session.room import Plan, goal
from tests.app.sitting import GAME, PLAYERS

ROOT = Path(__file__).parents[2]
PICTURES = Path(__file__).parent / "pictures"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PATIENCE = 120_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("CI") != "true",
        reason="no Chromium was found (Debian's package `chromium`), so the page is not tested in a browser",
    ),
]


class Served:
    """A server of the page in a process of its own, that can be killed and started again."""

    def __init__(self, record: Path, *what: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.record, self.what, self.address = record, what, f"http://localhost:{self.port}"
        self.start()

    def start(self) -> None:
        where = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"), "PYTHONPATH": "."}
        where.pop("PYTEST_CURRENT_TEST", None)
        command = [sys.executable, "-m", "tests.browser.serve", str(self.port), str(self.record), *self.what]
        self.process = subprocess.Popen(command, cwd=ROOT, env=where, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{self.address}/house/none", timeout=30).close()
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert self.process.poll() is None, "the server ended by itself"
                time.sleep(0.3)
        self.kill()
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def events(self, name: str) -> list[recordings.Event]:
        return recordings.events(recordings.open_store(self.record), name)

    def messages(self, name: str) -> list[dict]:
        return [json.loads(event.body) for event in self.events(name) if event.kind == "message"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("people") / "people.sqlite")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("study") / "people.sqlite", "study")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, "CI needs Debian's package `chromium`"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 760})
    opened.set_default_timeout(PATIENCE)
    faults: list[str] = []
    asked: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    opened.close()
    assert faults == []
    assert [url for url in asked if not re.match(r"(http|ws)://localhost:|data:|blob:", url)] == []


def open_house(page: Page, served: Served, choice: str = "house") -> str:
    page.goto(served.address)
    page.locator(f'.choice[aria-label^="{choice}"]').first.click()
    page.wait_for_url("**/house/*")
    ready(page)
    return page.url.rpartition("/")[2]


def ready(page: Page) -> None:
    page.wait_for_function("document.querySelector('.voxels')?.dataset.turn")


def picture(page: Page, name: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")


def pause(page: Page, served: Served, name: str) -> None:
    page.get_by_label("Pause or go on").click()
    wait_for(lambda: any(message.get("paused") for message in served.messages(name)))


def element(page: Page) -> str:
    return f"getElement({page.locator('.voxels').get_attribute('id')[1:]})"


def spot(page: Page, cell: tuple[int, int, int], side: int) -> tuple[float, float]:
    x, y = page.evaluate(f"{element(page)}.place({list(cell)}, {side})")
    return x, y


def open_ground(page: Page) -> tuple[int, int, int]:
    """A cell of the ground with nothing on it, nor between it and the eye: the assistant may have been quick."""
    blocks = np.array(page.evaluate(f"{element(page)}.world.blocks")).reshape(GAME.shape)
    free = [(x, z) for x in range(8) for z in range(8) if not blocks[x:, 2:, z:].any()]
    x, z = min(free, key=sum)
    return x, 1, z


def wait_for(condition, seconds: float = 60.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def said(served: Served, name: str, what: str) -> list[dict]:
    return [message for message in served.messages(name) if message["do"] == what]


def test_a_person_places_breaks_and_takes_back(page, served):
    name = open_house(page, served)
    page.get_by_label("stone", exact=True).click()
    page.wait_for_function(f"{element(page)}.kind === 7")
    page.locator(".off").click()
    wait_for(lambda: said(served, name, "switch"))
    page.get_by_text("It is off.").wait_for()
    ground = open_ground(page)
    x, y = spot(page, ground, 2)
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    (placed,) = wait_for(lambda: said(served, name, "place"))
    assert placed["kind"] == 7
    cell = tuple(placed["cell"])
    assert cell == (ground[0], 2, ground[2])
    index = (cell[0] * 8 + cell[1]) * 8 + cell[2]
    page.wait_for_function(f"{element(page)}.world.blocks[{index}] === 7")
    picture(page, "placed")
    x, y = spot(page, cell, 2)
    page.mouse.click(x, y, button="right")
    (broken,) = wait_for(lambda: said(served, name, "break"))
    assert tuple(broken["cell"]) == cell
    page.wait_for_function(f"{element(page)}.world.blocks[{index}] === 0")
    page.keyboard.press("z")
    wait_for(lambda: said(served, name, "undo"))
    page.wait_for_function(f"{element(page)}.world.blocks[{index}] === 7")
    edits = page.locator(".count", has_text="my edits").locator("b")
    assert edits.inner_text() == "3"


def test_guesses_are_shown_from_the_threshold_on_and_named_under_the_pointer(page, served):
    name = open_house(page, served)
    pause(page, served, name)
    shown = f"{element(page)}.ghost.cells.length"
    assert page.evaluate(shown) > 0
    slider = page.get_by_label("threshold").bounding_box()
    page.mouse.move(*spot(page, (4, 1, 4), 2))
    page.wait_for_selector(".guess")
    # What is named comes and goes with the pointer: it must not push away what the pointer is on its way to.
    assert page.get_by_label("threshold").bounding_box() == slider
    rows = page.locator(".guess")
    assert rows.count() == 3
    assert "60 %" in rows.first.inner_text()
    picture(page, "guesses")
    page.mouse.click(slider["x"] + 0.9 * slider["width"], slider["y"] + 0.5 * slider["height"])
    page.wait_for_function(f"{shown} === 0")
    page.get_by_text("Outline of my house").click()
    page.wait_for_function(f"{element(page)}.outline === false")
    picture(page, "bare")


def test_the_off_switch_is_one_key_and_stops_it_at_once(page, served):
    name = open_house(page, served)
    page.wait_for_function("Number(document.querySelector('.voxels').dataset.turn) >= 2")
    page.keyboard.press("o")
    wait_for(lambda: said(served, name, "switch"))
    page.get_by_text("It is off.").wait_for()
    picture(page, "off")
    number = next(event.number for event in served.events(name) if '"switch"' in event.body)
    later = wait_for(lambda: [e for e in served.events(name) if e.kind == "turn" and e.number > number][3:])
    assert {json.loads(event.body)["actions"][1] for event in later} == {0}


def test_not_that_lowers_the_guess_that_was_clicked(page, served):
    name = open_house(page, served)
    pause(page, served, name)
    page.keyboard.press("n")
    page.wait_for_function(f"{element(page)}.tool === 'no'")
    # The guess that is nearest to the eye hides none.
    corner = (7, 3, 7)
    page.mouse.click(*spot(page, corner, 2))
    (judged,) = wait_for(lambda: said(served, name, "judge"))
    assert judged["right"] is False
    index = (judged["cell"][0] * 8 + judged["cell"][1]) * 8 + judged["cell"][2]
    probability = f"({element(page)}.world.ghosts.find(([i, k]) => i === {index} && k === 5) || [0, 0, 0])[2]"
    page.wait_for_function(f"{probability} < 0.3")
    picture(page, "not-that")


def test_reload_and_kill_in_the_middle_lose_nothing(page, served):
    name = open_house(page, served)
    page.wait_for_function("Number(document.querySelector('.voxels').dataset.turn) >= 2")
    page.reload()
    ready(page)
    page.mouse.click(*spot(page, (7, 1, 7), 2))
    wait_for(lambda: said(served, name, "place"))
    page.evaluate("window.isOfBefore = true")
    served.kill()
    events = served.events(name)
    served.start()
    # It comes back by itself. To ask for it here would race with that, and Playwright then waits for ever.
    page.wait_for_function("!window.isOfBefore && document.querySelector('.voxels')?.dataset.turn")
    begun = recordings.begun(recordings.open_store(served.record), name)
    assert begun is not None
    plan = Plan(**begun.about)
    turns = sum(event.kind == "turn" for event in events)
    expected = fold.resume(PLAYERS, goal(GAME, plan), key(plan), served.events(name)[: len(events)])
    assert expected.scene.turn == turns
    assert int(page.locator(".voxels").get_attribute("data-turn")) >= turns
    page.wait_for_function(f"Number(document.querySelector('.voxels').dataset.turn) > {turns}")
    picture(page, "resumed")


def key(plan):
    import jax

    return jax.random.key(plan.seed)


def test_two_browsers_at_once_see_their_own_houses(page, served, browser):
    name = open_house(page, served)
    other = browser.new_page(viewport={"width": 1000, "height": 700})
    other.set_default_timeout(PATIENCE)
    try:
        second = open_house(other, served, "free")
        assert second != name
        other.keyboard.press("o")
        wait_for(lambda: said(served, second, "switch"))
        assert said(served, name, "switch") == []
        for each in (page, other):
            each.wait_for_function("Number(document.querySelector('.voxels').dataset.turn) >= 2")
        other.get_by_label("Call it done").click()
        other.locator(".summary h1").wait_for()
        picture(other, "summary")
        film = other.request.get(f"{served.address}/house/{second}/replay.html", timeout=PATIENCE)
        assert film.ok
        assert "data:image/png;base64," in film.text()
        assert not re.search(r"(src|href)=.https?://", film.text()), "it needs nothing but itself"
        assert other.request.get(f"{served.address}/house/{second}/replay.exe").status == 404
        assert other.request.get(f"{served.address}/house/guess/replay.html").status == 404
    finally:
        other.close()


def test_who_does_not_know_yet_is_shown_houses_until_they_build(page, served):
    page.goto(served.address)
    page.locator('.choice[aria-label="unsure"]').click()
    page.wait_for_url("**/house/*")
    name = page.url.rpartition("/")[2]

    def pairs():
        return [event for event in served.events(name) if event.kind == "pair"]

    page.locator(".candidate").first.wait_for()
    assert page.locator(".candidate").count() == 2
    page.locator(".chip:not([disabled])").first.click()
    wait_for(lambda: said(served, name, "prefer"))
    page.locator(".chip[aria-pressed=true]").wait_for()
    page.locator(".candidate").last.click()
    wait_for(lambda: len(pairs()) == 2)
    page.get_by_text("Something like this?").wait_for()
    picture(page, "asking")
    page.keyboard.press("ArrowDown")
    wait_for(lambda: len(pairs()) == 3)
    prefers = said(served, name, "prefer")
    assert [message["what"] != "house" for message in prefers] == [True, False]
    assert [message["which"] for message in prefers] == [0, 1]
    assert said(served, name, "skip") == [{"pair": 1, "do": "skip"}]
    assert [event for event in served.events(name) if event.kind == "turn"] == [], "nobody builds meanwhile"
    page.reload()
    page.locator(".candidate").first.wait_for()
    page.get_by_text("From 2 answers.").wait_for()
    page.get_by_text("Let's build").click()
    page.wait_for_function("Number(document.querySelector('.voxels').dataset.turn) >= 2")
    assert not page.locator(".asking").is_visible()
    picture(page, "understood")


def test_a_participant_builds_rates_and_goes_on_until_the_last_house(page, studied):
    page.goto(studied.address)
    page.get_by_text("Begin", exact=True).wait_for()
    picture(page, "study")
    page.get_by_text("Begin", exact=True).click()
    names = []
    for number in (1, 2):
        page.get_by_text(f"House {number} of 2 · helper {'AB'[number - 1]}").wait_for()
        ready(page)
        names.append(page.url.rpartition("/")[2])
        page.get_by_label("Call it done").click()
        page.locator(".questions").wait_for()
        assert page.get_by_text("it did wrong").count() == 0
        assert page.get_by_role("button", name="That is how it was").is_disabled()
        for row in range(3):
            page.locator(".questions .q-btn-toggle").nth(row).get_by_text(str(row + number), exact=True).click()
        picture(page, f"rated-{number}")
        page.get_by_text("That is how it was").click()
        wait_for(lambda: said(studied, names[-1], "rate"))
        page.locator(".counts").get_by_text("it did wrong").wait_for()
        if number == 1:
            page.get_by_text("Next house").click()
    page.get_by_text("That was the last one. Thank you!").wait_for()
    assert len(set(names)) == 2
    assert said(studied, names[1], "rate") == [{"easy": 2, "helped": 3, "again": 4, "do": "rate"}]


def test_a_narrow_screen_has_everything_in_reach(page, served):
    page.set_viewport_size({"width": 390, "height": 844})
    name = open_house(page, served)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".voxels").bounding_box()["height"] > 300
    page.locator(".off").scroll_into_view_if_needed()
    page.locator(".off").click()
    wait_for(lambda: said(served, name, "switch"))
    page.evaluate("window.scrollTo(0, 0)")
    picture(page, "narrow")


def test_hostile_pages_and_messages_are_refused_and_the_page_lives(page, served):
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        request = urllib.request.Request(served.address, headers=headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code in (400, 403)
    name = open_house(page, served)
    for hostile in ("{do: 'zap'}", "null", "'x'.repeat(5000)", "{do: 'place', cell: [0, 2, 1e9], kind: 2}", "[[[[]]]]"):
        page.evaluate(f"{element(page)}.$emit('say', {hostile})")
    page.wait_for_function("document.querySelector('.note').innerText.length > 0")
    page.keyboard.press("d")
    wait_for(lambda: said(served, name, "step"))
    assert [message["do"] for message in served.messages(name)] == ["step"]

"""The page of one session: build, see what the assistant thinks, steer it."""

import asyncio
import json
import time
from functools import partial
from typing import Any

from nicegui import ui
from nicegui.events import KeyEventArguments

from tacit.app.page import view
from tacit.app.page.asking import Asking
from tacit.app.page.study import following, helper, questions
from tacit.app.page.voxels import Voxels
from tacit.app.session.messages import Ask, Clock, Finish, Message, MessageError, Rate, Step, Stop, Switch, Undo, dump
from tacit.app.session.room import Room, Seat
from tacit.app.session.state import SECONDS, Session
from tacit.games.building.actions import DIRECTIONS
from tacit.games.building.blocks import COLOURS, FIRST_PLACEABLE, NAMES

TOOLS = {
    "build": ("add_box", "build", "Click a face to place a block, right-click or shift-click to break one (B)"),
    "break": ("remove_circle_outline", "break", "Click a block to break it (V)"),
    "yes": ("thumb_up", "like that", "Yes, like that: click a guess that is right (Y)"),
    "no": ("thumb_down", "not that", "Not that: click a guess that is wrong (N)"),
}
KEYS = {"b": "build", "v": "break", "y": "yes", "n": "no"}
STEPS = {"d": 0, "a": 1, "r": 2, "f": 3, "s": 4, "w": 5}
"""Keys that move the body, by direction."""
READING = 5.0
"""Seconds for which a note stays."""
PATIENCE = 1.0
"""Seconds from one complaint to the next, however much is sent."""


async def house(room: Room, name: str) -> None:
    """Show the session of this name, once it lives here."""
    with ui.element("div").classes("house") as whole, ui.element("div").classes("wait") as wait:
        ui.spinner(size="lg")
        ui.label("The assistant is getting ready. The first time on a machine this takes minutes.")
    await ui.context.client.connected(timeout=30)
    try:
        seat = await room.seat(name)
    except KeyError:
        wait.clear()
        with wait:
            ui.label("There is no such house.")
            ui.link("Begin one", "/")
        return
    whole.clear()
    with whole:
        Page(room, seat).begin()


class Page:
    """The widgets of one browser at one session. NiceGUI's elements are objects that change, and so is this."""

    def __init__(self, room: Room, seat: Seat) -> None:
        self.room, self.seat = room, seat
        self.kind, self.tool = FIRST_PLACEABLE, "build"
        self.complained = self.readable = 0.0
        self.pointed: Any = None
        self.summed_up: tuple[Rate | None] | None = None
        with ui.element("div").classes("top"):
            ui.link("tacit", "/").classes("brand")
            if self.seat.plan.participant is not None:
                ui.label(helper(room, seat.plan)).classes("faint")
            self.counts = ui.element("div").classes("counts")
        with ui.element("div").classes("world"):
            self.voxels = Voxels(self.send, self.point)
            self.note = ui.label().classes("note")
            self.summary = ui.element("div").classes("summary")
        with ui.element("div").classes("tools"):
            self._tools()
        with ui.element("div").classes("side"):
            self._side()
        self.asking = Asking(seat.players, self.say)
        ui.keyboard(on_key=self.key, ignore=["input", "select", "textarea"])

    def _tools(self) -> None:
        kinds = self.seat.players.game.num_kinds
        with ui.element("div").classes("row"):
            self.materials = {kind: self._material(kind) for kind in range(FIRST_PLACEABLE, kinds)}
        with ui.element("div").classes("row"):
            self.tools = {}
            for tool, (icon, word, about) in TOOLS.items():
                self.tools[tool] = _button(icon, word, about, partial(self.choose_tool, tool))
        with ui.element("div").classes("row"):
            _button("undo", "undo", "Undo (Z)", partial(self.say, Undo()))
            _button("close", "stop", "Forget the clicks that wait (Esc)", partial(self.say, Stop()))
            self.pause = _button("pause", "", "Pause or go on (P)", self.toggle_pause)
            _button("flag", "done", "Call it done", partial(self.say, Finish()))
        with ui.element("div").classes("row"):
            ui.label("seconds a turn").classes("faint word")
            session = self.seat.session
            self.speed = (
                ui.slider(min=0.2, max=3.0, step=0.1, value=session.seconds).props("dense label").style("width: 90px")
            )
            self.speed.on("change", self.set_speed)

    def _material(self, kind: int) -> ui.element:
        button = ui.element("button").classes("material").style(f"background-color: {COLOURS[kind]}")
        button.props(f'title="{NAMES[kind]} ({kind - 1})" aria-label="{NAMES[kind]}"')
        button.on("click", partial(self.choose_kind, kind))
        with button:
            ui.element("span").props(f'innerHTML="{kind - 1}"')
        return button

    def _side(self) -> None:
        with ui.element("div").classes("part"):
            self.switch = ui.button(on_click=self.toggle_switch).props("unelevated no-caps").classes("off")
            self.doing = ui.label().classes("doing")
        with ui.element("div").classes("part"):
            ui.html("<h2>How sure it is</h2>", sanitize=False)
            self.strip = ui.html("", sanitize=False).classes("strip")
        with ui.element("div").classes("part"):
            ui.html("<h2>Show guesses from</h2>", sanitize=False)
            slider = ui.slider(min=0.1, max=1.0, step=0.05, value=0.35).props('dense label aria-label="threshold"')
            slider.on(
                "update:model-value", lambda event: self.voxels.show("threshold", float(event.args)), throttle=0.1
            )
            if not self.seat.session.free:
                outline = ui.switch("Outline of my house", value=True).props("dense")
                outline.on_value_change(lambda event: self.voxels.show("outline", bool(event.value)))
        with ui.element("div").classes("part") as self.unsure:
            if self.seat.session.free:
                ask = ui.button("Show me houses", icon="lightbulb", on_click=partial(self.say, Ask(True)))
                ask.props("outline no-caps color=dark").classes("full")
        # Below what is clicked, since its height changes as the pointer leaves the house.
        with ui.element("div").classes("part"):
            ui.html("<h2>Its guess here</h2>", sanitize=False)
            self.guess = ui.element("div").classes("part")
        with ui.element("div").classes("part faint"):
            materials = len(self.materials)
            ui.label(f"W A S D, R and F move you. 1 to {materials} choose a block. O turns the assistant off.")

    def begin(self) -> None:
        """Show the session from now on, while the browser is there; without anybody its clock stops."""
        client = ui.context.client
        self.room.watch(self.seat, self.show)
        client.on_connect(partial(self.room.watch, self.seat, self.show))
        client.on_disconnect(partial(self.room.leave, self.seat, self.show))
        client.on_delete(partial(self.room.leave, self.seat, self.show))
        self.choose_kind(self.kind)
        self.choose_tool(self.tool)
        self.point(None)
        self.show(self.seat.seen)

    def send(self, said: Any) -> None:
        """Pass what the browser sent on to the session, and say so if it is refused."""
        try:
            self.room.post(self.seat, json.dumps(said)).add_done_callback(self._recorded)
        except MessageError as error:
            self._complain(str(error))
        except (TypeError, ValueError, RecursionError):
            self._complain("That is no message.")

    def _recorded(self, recorded: asyncio.Future[int]) -> None:
        if not recorded.cancelled() and (fault := recorded.exception()) is not None:
            self._complain(str(fault))

    def say(self, message: Message) -> None:
        """Pass a message on to the session."""
        self.send(json.loads(dump(message)))

    def _complain(self, sentence: str) -> None:
        if time.monotonic() - self.complained > PATIENCE:
            self.complained = time.monotonic()
            self._note(sentence)

    def _note(self, sentence: str) -> None:
        """Show a sentence for long enough to read it."""
        if sentence or time.monotonic() > self.readable:
            self.note.text = sentence
            self.readable = time.monotonic() + READING

    def choose_kind(self, kind: int) -> None:
        """Build with this material."""
        self.kind = kind
        for other, button in self.materials.items():
            button.props(f"aria-pressed={'true' if other == kind else 'false'}")
        self.voxels.show("kind", kind)

    def choose_tool(self, tool: str) -> None:
        """What a click does."""
        self.tool = tool
        for other, button in self.tools.items():
            button.props(f"aria-pressed={'true' if other == tool else 'false'}")
        self.voxels.show("tool", tool)

    def toggle_switch(self) -> None:
        """Turn the assistant off, or on."""
        self.say(Switch(not self.seat.session.on))

    def toggle_pause(self) -> None:
        """Pause, or go on."""
        self.say(Clock(self.seat.session.seconds, not self.seat.session.paused))

    def set_speed(self, event: Any) -> None:
        """How long a turn waits."""
        del event
        self.say(Clock(round(float(self.speed.value or SECONDS), 2), self.seat.session.paused))

    def key(self, event: KeyEventArguments) -> None:
        """A key does what a button does."""
        pressed = event.key.name.lower() if event.action.keydown and not event.action.repeat else ""
        if self.seat.session.asking:
            self.asking.key(pressed)
        elif pressed in KEYS:
            self.choose_tool(KEYS[pressed])
        elif pressed in STEPS and not event.modifiers.ctrl and STEPS[pressed] < len(DIRECTIONS):
            self.say(Step(STEPS[pressed]))
        elif pressed.isdecimal() and int(pressed) + 1 in self.materials:
            self.choose_kind(int(pressed) + 1)
        elif pressed in ("o", "z", "escape", "p"):
            {
                "o": self.toggle_switch,
                "z": partial(self.say, Undo()),
                "escape": partial(self.say, Stop()),
                "p": self.toggle_pause,
            }[pressed]()

    def point(self, cell: Any) -> None:
        """Show what the assistant guesses of the cell under the pointer."""
        shape = self.seat.players.game.shape
        fits = isinstance(cell, list) and len(cell) == 3 and all(type(at) is int for at in cell)
        inside = fits and all(0 <= at < size for at, size in zip(cell, shape, strict=True))
        self.pointed = tuple(cell) if inside else None
        self._show_guess()

    def _show_guess(self) -> None:
        self.guess.clear()
        with self.guess:
            rows = [] if self.pointed is None else view.guesses(self.seat.session, self.pointed)
            _bars(rows)
            reason, then = ("", []) if self.pointed is None else view.why(self.seat.session, self.pointed)
            if reason or not rows:
                ui.label(reason or "Point at a place to see what it thinks belongs there.").classes("faint")
            _bars(then)

    def show(self, session: Session) -> None:
        """Show the session as it is now."""
        players = self.seat.players
        self.voxels.show("world", view.world(players, session))
        self._show_counts(session)
        if session.thinking is not None:
            self.strip.set_content(view.strip(session.sureness))
            self._show_guess()
            self.doing.text = view.about_to(players, session)
        self._note(session.note)
        self.switch.text = "Turn the assistant off (O)" if session.on else "Turn the assistant on (O)"
        self.switch.props(f"icon=power_settings_new color={'negative' if session.on else 'positive'}")
        paused = "play_arrow aria-pressed=true" if session.paused else "pause aria-pressed=false"
        self.pause.props(f"icon={paused}")
        self.summary.set_visibility(session.done)
        self.unsure.set_visibility(session.free and not session.done)
        self.asking.show(session)

    def _show_counts(self, session: Session) -> None:
        self.counts.clear()
        # Who has yet to say how it was is not told how well they were helped.
        to_be_asked = self.seat.plan.participant is not None and session.rating is None
        with self.counts:
            for name, figure in (view.own_counts if to_be_asked else view.counts)(session).items():
                ui.html(f"<b>{figure}</b><span>{name}</span>", sanitize=False).classes("count")
        if session.done and self.summed_up != (session.rating,):
            self.summed_up = (session.rating,)
            self.summary.clear()
            with self.summary:
                if self.seat.plan.participant is None:
                    self._sum_up(session)
                    ui.link("Build another", "/").classes("faint")
                elif session.rating is None:
                    questions(self.say)
                else:
                    self._sum_up(session)
                    following(self.room, self.seat)

    def _sum_up(self, session: Session) -> None:
        ui.html(view.summary(session), sanitize=False)
        with ui.element("div").classes("replays"):
            ui.link("Replay", f"/house/{self.seat.id}/replay.html", new_tab=True)
            ui.link("as a film (GIF)", f"/house/{self.seat.id}/replay.gif")


def _bars(rows: list[tuple[str, str, float]]) -> None:
    """A line for each kind: its colour, its name, and how probable it is."""
    for name, colour, chance in rows:
        bar = f'<span class="bar"><i style="width: {100 * chance:.0f}%"></i></span>'
        row = f'<i style="background: {colour}"></i><span>{name}</span>{bar}<b>{100 * chance:.0f} %</b>'
        ui.html(row, sanitize=False).classes("guess")


def _button(icon: str, word: str, about: str, act: Any) -> ui.button:
    """A button with an icon, a word that narrow screens leave out, and a hint."""
    button = ui.button(icon=icon, on_click=act).props(f'flat no-caps dense color=dark aria-label="{about}"')
    with button.classes("tool"):
        ui.label(word).classes("word q-ml-xs")
        ui.tooltip(about)
    return button

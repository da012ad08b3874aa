"""What does someone see who does not know yet what they want? Two houses to choose from, and what was understood."""

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from jaxtyping import Int8
from nicegui import ui

from tacit.app.drawing import View, draw
from tacit.app.page import view
from tacit.app.pictures import data_url
from tacit.app.scenes import GROUND
from tacit.app.session.discovery import Shown
from tacit.app.session.likes import ASPECTS, Aspect
from tacit.app.session.messages import Ask, Message, Prefer, Skip
from tacit.app.session.players import Players
from tacit.app.session.state import Session

LARGE, SMALL = 32, 12
"""Pixels across a block in the pictures."""
ICONS: dict[Aspect, str] = {"roof": "roofing", "walls": "grid_on", "colours": "palette", "shape": "category"}


class Asking:
    """The widgets of the question, over the world while it is asked."""

    def __init__(self, players: Players, say: Callable[[Message], None]) -> None:
        self.players, self.say = players, say
        self.shown: Shown | None = None
        with ui.element("div").classes("asking") as self.whole:
            ui.html("<h1>Which is more like what you want?</h1>", sanitize=False)
            ui.label("Take the house you like better, or say only what you like of it.").classes("faint lead")
            self.pair = ui.element("div").classes("pair")
            with ui.element("div").classes("understood"):
                self.guess = ui.element("div").classes("best")
                with ui.element("div").classes("choices"):
                    ui.button("Neither, show others", icon="refresh", on_click=self.skip).props(
                        "flat no-caps color=dark"
                    )
                    build = ui.button("Let's build", icon="construction", on_click=partial(say, Ask(False)))
                    build.props("unelevated no-caps color=dark")
        self.whole.set_visibility(False)

    def show(self, session: Session) -> None:
        """Show the question of this session, if there is one."""
        asking = session.asking and not session.done
        self.whole.set_visibility(asking)
        if not asking or session.discovery is None:
            return
        self._show_guess(session)
        if session.discovery.shown is self.shown and self.shown is not None:
            return
        before, self.shown = self.shown, session.discovery.shown
        same = before is not None and self.shown is not None and before.number == self.shown.number
        self.pair.classes(add="known" if same else "new", remove="new" if same else "known")
        self.pair.clear()
        with self.pair:
            if self.shown is None:
                ui.spinner(size="lg")
            else:
                for which in (0, 1):
                    self._card(self.shown, which)

    def skip(self) -> None:
        """Neither of them."""
        if self.shown is not None:
            self.say(Skip(self.shown.number))

    def prefer(self, which: int, what: Aspect = "house") -> None:
        """Say that this house is liked better, or this aspect of it."""
        if self.shown is not None:
            self.say(Prefer(self.shown.number, which, what))

    def key(self, pressed: str) -> None:
        """Arrows choose, the one that points down skips, Enter begins to build."""
        if pressed in ("arrowleft", "arrowright"):
            self.prefer(int(pressed == "arrowright"))
        elif pressed == "arrowdown":
            self.skip()
        elif pressed == "enter":
            self.say(Ask(False))

    def _card(self, shown: Shown, which: int) -> None:
        words = view.words(shown, which)
        with ui.element("div").classes("card"):
            button = ui.element("button").classes("candidate").props(f'aria-label="house {which + 1}: {words}"')
            with button.on("click", partial(self.prefer, which)):
                ui.element("img").props(f'alt="" src="{portrait(shown.houses[which], LARGE)}"')
                ui.label(words).classes("words")
            with ui.element("div").classes("likes"):
                ui.label("I like its").classes("faint")
                for aspect in ASPECTS[1:]:
                    chip = ui.button(aspect, icon=ICONS[aspect], on_click=partial(self.prefer, which, aspect))
                    chip.props(
                        f"flat dense no-caps color=dark aria-pressed={str((which, aspect) in shown.said).lower()}"
                    )
                    chip.classes("chip").set_enabled(
                        view.open_to(self.players, shown, aspect) or (which, aspect) in shown.said
                    )

    def _show_guess(self, session: Session) -> None:
        self.guess.clear()
        discovery = session.discovery
        assert discovery is not None
        with self.guess:
            if not discovery.num_said:
                ui.label("What I understand will be here.").classes("faint")
                return
            ui.element("img").props(f'alt="my best guess" src="{portrait(np.asarray(discovery.guess.house), SMALL)}"')
            with ui.element("div"):
                likeness = 100 * float(discovery.guess.likeness)
                ui.html(f"<b>Something like this?</b> I think it is {likeness:.0f} % what you want.", sanitize=False)
                bar = f'<span class="bar"><i style="width: {likeness:.0f}%"></i></span>'
                ui.html(bar, sanitize=False).classes("known")
                ui.label(f"From {discovery.num_said} answer{'s' if discovery.num_said > 1 else ''}.").classes("faint")


def portrait(house: Int8[np.ndarray, "X Y Z"], cube: int) -> str:
    """A house on its ground, without what is under it, as the address of a picture."""
    grown = np.ascontiguousarray(house[:, GROUND - 1 :])
    return _portrait(grown.tobytes(), grown.shape, cube)


@lru_cache(maxsize=256)
def _portrait(blocks: bytes, shape: tuple[int, ...], cube: int) -> str:
    drawn = draw(View(np.frombuffer(blocks, np.int8).reshape(shape)), cube)
    return data_url(drawn.crop(drawn.getbbox()))

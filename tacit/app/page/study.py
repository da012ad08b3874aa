"""What does a participant of a study see? A welcome, who helps if they may know, the questions afterwards, thanks."""

from collections.abc import Callable

from nicegui import ui

from tacit.app.session.messages import Message, Rate
from tacit.app.session.room import Plan, Room, Seat
from tacit.app.session.study import Design, enrol, sittings

QUESTIONS = {
    "easy": "It was easy to build this house.",
    "helped": "I was helped.",
    "again": "I would build like this again.",
}
HOW = {
    "add_box": "Click a face to place a block; the palette below has the materials.",
    "remove_circle_outline": "Right-click or shift-click a block to break it, or choose the tool for it.",
    "3d_rotation": "Drag to look from elsewhere, scroll or pinch to come nearer.",
    "power_settings_new": "Turn whoever helps off, and on again, whenever you like.",
}
"""How a house is built, by icon."""
NAMES = {"none": "nobody"}
"""What assistants are called on the page, where that is not their name."""


def welcome(room: Room, design: Design) -> None:
    """Say what will happen; whoever begins becomes a participant."""

    async def begin() -> None:
        ui.navigate.to(f"/house/{await enrol(room, design)}")

    number = len(design.assistants)
    with ui.element("div").classes("start"):
        ui.html("<h1>Build the same house, with different help.</h1>", sanitize=False)
        ui.html(
            f"<p>You build one house {number} times; only you see its outline. Each time somebody else helps, or "
            "nobody. Afterwards say how it was. What you do here is recorded, and nothing else is.</p>",
            sanitize=False,
        )
        with ui.element("div").classes("how"):
            for icon, sentence in HOW.items():
                ui.icon(icon)
                ui.label(sentence)
        button = ui.button("Begin", icon="play_arrow", on_click=begin)
        button.props("unelevated no-caps color=dark size=lg").classes("q-mt-lg")


def helper(room: Room, plan: Plan) -> str:
    """Which of a participant's houses it is and who helps, by a letter for who is not to know."""
    assert plan.participant is not None
    number = len(sittings(room.ledger.store, plan.participant))
    name = f"helper {'ABCDEFGHIJ'[plan.place % 10]}" if plan.blind else NAMES.get(plan.assistant, plan.assistant)
    return f"House {plan.place + 1} of {number} · {name}"


def following(room: Room, seat: Seat) -> None:
    """The way to a participant's next house, or thanks after the last one."""
    plan = seat.plan
    assert plan.participant is not None
    later = [begun for begun in sittings(room.ledger.store, plan.participant) if begun.about["place"] > plan.place]
    if later:
        ui.button("Next house", icon="arrow_forward", on_click=lambda: ui.navigate.to(f"/house/{later[0].id}")).props(
            "unelevated no-caps color=dark"
        ).classes("full q-mt-md")
    else:
        ui.html("<h2>That was the last one. Thank you!</h2>", sanitize=False)


def questions(say: Callable[[Message], None]) -> None:
    """How it was to build this house, asked before any figure is shown."""
    given: dict[str, ui.toggle] = {}
    ui.html("<h1>How was it?</h1>", sanitize=False)
    with ui.element("div").classes("questions"):
        for name, sentence in QUESTIONS.items():
            ui.label(sentence)
            given[name] = ui.toggle([1, 2, 3, 4, 5, 6, 7]).props(
                "unelevated dense no-caps toggle-color=dark color=grey-3 text-color=dark"
            )
        ui.label("1 is not at all, 7 is very much.").classes("faint")

        def send() -> None:
            say(Rate(given["easy"].value, given["helped"].value, given["again"].value))

        button = ui.button("That is how it was", on_click=send).props("unelevated no-caps color=dark").classes("full")
        button.set_enabled(False)
        for each in given.values():
            each.on_value_change(lambda: button.set_enabled(all(one.value for one in given.values())))

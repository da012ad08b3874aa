"""The first page: which house shall it be?"""

import asyncio
import secrets
from functools import partial

import jax
import numpy as np
from nicegui import ui

from tacit.app.drawing import View, draw
from tacit.app.pictures import data_url
from tacit.app.session.messages import Ask, Message
from tacit.app.session.players import Players, sample_house
from tacit.app.session.room import Plan, Room

NUM_HOUSES = 4
CUBE = 20
"""Pixels across a block in the pictures."""


def picture(players: Players, goal: int) -> str:
    """The house with this seed, as the address of a picture."""
    house = np.asarray(sample_house(players.game, jax.random.key(goal)))
    return data_url(draw(View(house), CUBE))


async def start(room: Room, players: Players, game: str, assistant: str) -> None:
    """Offer houses, and a free build."""

    async def begin(goal: int | None, *said: Message) -> None:
        name = await room.create(Plan(game, assistant, secrets.randbelow(2**31), goal), *said)
        ui.navigate.to(f"/house/{name}")

    goals = [secrets.randbelow(2**31) for _ in range(NUM_HOUSES)]
    pictures = [await asyncio.to_thread(picture, players, goal) for goal in goals]
    with ui.element("div").classes("start"):
        ui.html("<h1>Build a house with someone who has to find out what you want.</h1>", sanitize=False)
        ui.html(
            "<p>Choose a house: only you see it. Build, and the assistant watches, guesses and joins in. "
            "Show it where it is wrong, say so, or turn it off. No idea yet? It shows you houses and finds out.</p>",
            sanitize=False,
        )
        with ui.element("div").classes("houses"):
            for goal, shown in zip(goals, pictures, strict=True):
                with _choice(f"house {goal}").on("click", partial(begin, goal)):
                    ui.element("img").props(f'alt="a house" src="{shown}"')
                    ui.label("this one")
            with _choice("unsure").on("click", partial(begin, None, Ask(True))):
                ui.icon("lightbulb")
                ui.label("I don't know yet")
            with _choice("free").on("click", partial(begin, None)):
                ui.icon("auto_awesome")
                ui.label("build freely")


def _choice(name: str) -> ui.element:
    return ui.element("button").classes("choice").props(f'aria-label="{name}"')

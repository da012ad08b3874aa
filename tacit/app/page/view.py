"""What does the page show of a session? Plain data for the browser; the goal is in it for its person alone."""

from typing import Any

import numpy as np
from jaxtyping import Float

from tacit.app.drawing import GLASS, PLAYER_COLOURS
from tacit.app.session import fold
from tacit.app.session.discovery import Shown, generator_of
from tacit.app.session.likes import Aspect, differ, worth_of_pair
from tacit.app.session.messages import Break, Cell, Place
from tacit.app.session.players import Players, decoded
from tacit.app.session.state import Session
from tacit.core import ASSISTANT
from tacit.games.building.actions import BREAK, MOVE, PASS, PLACE
from tacit.games.building.blocks import AIR, COLOURS, NAMES
from tacit.games.building.plans import Plan, describe

FAINTEST = 0.1
"""Guesses below this probability are not sent."""
WIDTH, HEIGHT = 260, 56
"""Of the strip over time, in pixels."""


def world(players: Players, session: Session) -> dict[str, Any]:
    """The world, the guesses about its empty cells, what waits and what the assistant is about to do."""
    scene = session.scene
    return {
        "turn": scene.turn,
        "shape": scene.blocks.shape,
        "blocks": scene.blocks.ravel().tolist(),
        "touched": scene.touched.ravel().tolist(),
        "colours": COLOURS,
        "glass": GLASS,
        "players": PLAYER_COLOURS,
        "feet": scene.feet.tolist(),
        "ghosts": [] if scene.belief is None or session.done else ghosts(scene.belief, scene.blocks),
        "goal": None if session.free or session.done else scene.goal.ravel().tolist(),
        "intent": intent(players, session),
        "waiting": [
            [wish.message.cell, wish.message.kind if isinstance(wish.message, Place) else AIR]
            for wish in session.wishes
            if isinstance(wish.message, Place | Break)
        ],
    }


def ghosts(belief: Float[np.ndarray, "X Y Z M"], blocks: np.ndarray) -> list[tuple[int, int, float]]:
    """The likeliest block of each empty cell: its index, its kind and how probable it is."""
    chance = np.where(blocks == AIR, belief[..., AIR + 1 :].max(-1), 0.0).ravel()
    kinds = (belief[..., AIR + 1 :].argmax(-1) + AIR + 1).ravel()
    return [(int(i), int(kinds[i]), round(float(chance[i]), 3)) for i in np.flatnonzero(chance >= FAINTEST)]


def intent(players: Players, session: Session) -> Cell | None:
    """The cell of the assistant's coming edit."""
    if session.thinking is None or not session.on or session.done:
        return None
    what, cell, _, _ = decoded(players.game, int(session.thinking.action))
    return cell if what in (PLACE, BREAK) else None


def about_to(players: Players, session: Session) -> str:
    """What the assistant is about to do, in words."""
    if session.done:
        return "The house is done."
    if not session.on:
        return "It is off."
    if session.thinking is None:
        return "It thinks."
    what, cell, kind, _ = decoded(players.game, int(session.thinking.action))
    said = {
        PASS: "It waits.",
        PLACE: f"About to place {NAMES[kind]}.",
        BREAK: f"About to break {NAMES[session.scene.blocks[cell]]}.",
        MOVE: "On its way.",
    }
    return said[what]


def guesses(session: Session, cell: Cell) -> list[tuple[str, str, float]]:
    """The three likeliest kinds of a cell: name, colour and probability."""
    belief = session.scene.belief
    return [] if belief is None else _likeliest(belief[cell])


def why(session: Session, cell: Cell) -> tuple[str, list[tuple[str, str, float]]]:
    """What the assistant last did there, in words, and the three likeliest kinds as it saw them then."""
    for edit in reversed(session.edits):
        if edit.cell == cell:
            if edit.player != ASSISTANT or edit.thought is None:
                return "", []
            deed = f"Placed {NAMES[edit.after]}" if edit.after != AIR else f"Broke {NAMES[edit.before]}"
            sure = 100 * edit.thought[edit.after]
            return f"{deed} in turn {edit.turn + 1}, {sure:.0f} % sure. Then it thought:", _likeliest(
                np.array(edit.thought)
            )
    return "", []


def _likeliest(row: Float[np.ndarray, " M"]) -> list[tuple[str, str, float]]:
    return [(NAMES[kind], COLOURS[kind], float(row[kind])) for kind in np.argsort(-row)[:3]]


def words(shown: Shown, which: int) -> str:
    """One of two houses, in words."""
    return describe(Plan(*(field[which] for field in shown.plans)))


def open_to(players: Players, shown: Shown, aspect: Aspect) -> bool:
    """Whether there is something to say of this aspect of the pair: they differ, and nothing was said of it yet."""
    num_values = generator_of(players.game).log_prior.shape[1]
    return all(aspect != said for _, said in shown.said) and differ(worth_of_pair(shown.plans, aspect, num_values))


def counts(session: Session) -> dict[str, str]:
    """The figures, in words; those that need a goal are left out until there is one."""
    scene = session.scene
    theirs = sum(edit.player == ASSISTANT for edit in session.edits)
    if session.free and not session.done:
        return {"turn": str(scene.turn), "my edits": str(scene.human_edits), "its edits": str(theirs)}
    return own_counts(session) | {
        "it did right": str(scene.assistant_right),
        "it did wrong": str(scene.assistant_wrong),
        "edits saved": f"{fold.saved(scene):.0f}",
    }


def own_counts(session: Session) -> dict[str, str]:
    """How far the house is, and how much of it the person did."""
    scene = session.scene
    return {"completed": f"{max(0.0, 100 * scene.completed):.0f} %", "my edits": str(scene.human_edits)}


def summary(session: Session) -> str:
    """What the house came to, as HTML: a bar for each kind of edit."""
    scene = session.scene
    alone = max(0.0, scene.gained)
    rows = [
        ("my edits", scene.human_edits, PLAYER_COLOURS[0]),
        ("alone", round(alone), "#cfc6b8"),
        ("it did right", scene.assistant_right, PLAYER_COLOURS[ASSISTANT]),
        ("it did wrong", scene.assistant_wrong, "#d64545"),
    ]
    most = max(1, *(count for _, count, _ in rows))
    bars = "".join(
        f'<span>{name}</span><div style="width: {100 * count / most:.0f}%; background: {colour}"></div><b>{count}</b>'
        for name, count, colour in rows
    )
    spared = fold.saved(scene)
    edits = "1 edit" if round(spared) == 1 else f"{spared:.0f} edits"
    title = f"It saved you {edits}." if round(spared) > 0 else "It saved you no edits this time."
    return f'<h1>{title}</h1><div class="bars">{bars}</div>'


def strip(sureness: tuple[float, ...]) -> str:
    """How sure it was over time, as a picture in SVG."""
    if not sureness:
        return ""
    shown = np.asarray(sureness)[np.unique(np.linspace(0, len(sureness) - 1, WIDTH).round().astype(int))]
    across = np.linspace(0, WIDTH, len(shown)) if len(shown) > 1 else np.array([WIDTH])
    points = " ".join(f"{x:.1f},{HEIGHT - 2 - y * (HEIGHT - 4):.1f}" for x, y in zip(across, shown, strict=True))
    colour = PLAYER_COLOURS[ASSISTANT]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="how sure it is">'
        f'<polygon points="0,{HEIGHT} {points} {WIDTH},{HEIGHT}" fill="{colour}" opacity=".18"/>'
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/></svg>'
    )

"""How does a moment of an episode become one picture? Three worlds side by side, counts, and two lines over time."""

import base64
import io
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from tacit.app.drawing import (
    ASSISTANT_COLOUR,
    HUMAN_COLOUR,
    View,
    draw,
    fitting_width,
    guess_view,
    mixed,
    picture_size,
    scaled,
)
from tacit.app.scenes import Scene

PAPER, PANEL, LINES = "#10141c", "#171d28", "#2a3342"
INK, FAINT, DONE, SURE = "#eef2f8", "#8b97a8", "#7ddc8b", "#b79bff"
PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 316, 322, 16
HEAD, FOOT = 52, 118
SIZE = (3 * PANEL_WIDTH + 4 * MARGIN, HEAD + PANEL_HEIGHT + FOOT + MARGIN)
LAST_PICTURE = 2500
"""Milliseconds for which a film rests on its last picture."""
ACCENTS = ((0.0, 1.0), (0.0, 0.78), (0.0, 0.6), (0.35, 1.0), (0.35, 0.78), (0.35, 0.6))
"""How much white is in the shades of an accent that a film keeps, and how bright they are."""
FINE = 3
"""How many times finer lines and corners are drawn before they are made smooth."""
COUNTS, ROW = HEAD + PANEL_HEIGHT + 30, 28
"""Where the counts begin, and from one to the next."""
CHART = (PANEL_WIDTH + 2 * MARGIN, HEAD + PANEL_HEIGHT + MARGIN, SIZE[0] - MARGIN - 112, SIZE[1] - MARGIN)
CAPTIONS = ("The world", "What the person wants", "What the assistant believes")


class Course(NamedTuple):
    """Completion and sureness at every turn of the whole episode, for the chart, and who played."""

    completed: list[float]
    sureness: list[float | None]
    title: str


def course(scenes: list[Scene], title: str) -> Course:
    """What the chart of an episode needs."""
    return Course([scene.completed for scene in scenes], [scene.sureness for scene in scenes], title)


def picture(scene: Scene, whole: Course, zoom: int = 1) -> Image.Image:
    """One moment; `zoom` 2 has twice the pixels each way."""
    page = _desk(zoom).copy()
    pen = ImageDraw.Draw(page)
    _head(pen, scene, whole, zoom)
    views = (
        View(scene.blocks, None, scene.touched, scene.feet),
        View(scene.goal),
        None if scene.belief is None else guess_view(scene.belief),
    )
    for index, (caption, view) in enumerate(zip(CAPTIONS, views, strict=True)):
        left, top, right, bottom = (side * zoom for side in _panel(index))
        if view is None:
            pen.text((left + 14 * zoom, top + 34 * zoom), "It believes nothing.", INK, _font(14 * zoom))
        else:
            _place(page, view, (left, top, right, bottom), zoom)
        pen.text((left + 14 * zoom, top + 11 * zoom), caption, FAINT, _font(14 * zoom))
    _counts(pen, scene, zoom)
    _chart(page, scene, whole, zoom)
    return page


def gif(pages: Iterable[Image.Image], milliseconds: int) -> bytes:
    """An endless film that rests on its last picture."""
    small = with_one_palette(pages)
    times = [milliseconds] * (len(small) - 1) + [LAST_PICTURE]
    return _saved(small[0], "GIF", save_all=True, append_images=small[1:], duration=times, loop=0)


def with_one_palette(pages: Iterable[Image.Image]) -> list[Image.Image]:
    """The pictures in the same 256 colours, so that what stands still is the same in all of them.

    The colours of players and lines cover few pixels, so they are put in by hand.
    """
    frames = list(pages)
    accents = [ImageColor.getrgb(colour)[:3] for colour in (HUMAN_COLOUR, ASSISTANT_COLOUR, DONE, SURE, INK, FAINT)]
    shades = [scaled(mixed(colour, (255, 255, 255), white), shade) for colour in accents for white, shade in ACCENTS]
    together = Image.new("RGB", (frames[0].width, frames[0].height * 3))
    for row, frame in enumerate((frames[0], frames[len(frames) // 2], frames[-1])):
        together.paste(frame, (0, row * frame.height))
    found = together.quantize(256 - len(shades), Image.Quantize.MEDIANCUT).getpalette()
    assert found is not None
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for colour in shades for part in colour] + found)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def png(page: Image.Image) -> bytes:
    """One picture."""
    return _saved(page, "PNG")


def data_url(page: Image.Image) -> str:
    """One picture as text, for a page that needs nothing but itself."""
    return "data:image/png;base64," + base64.b64encode(png(page)).decode()


def _saved(page: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    page.save(buffer, kind, **options)
    return buffer.getvalue()


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _panel(index: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of one of the three panels."""
    left = MARGIN + index * (PANEL_WIDTH + MARGIN)
    return left, HEAD, left + PANEL_WIDTH, HEAD + PANEL_HEIGHT


@lru_cache(maxsize=4)
def _desk(zoom: int) -> Image.Image:
    """What is the same in every picture: the panels and the colours of the players."""
    fine = zoom * FINE
    page = Image.new("RGB", (SIZE[0] * fine, SIZE[1] * fine), PAPER)
    pen = ImageDraw.Draw(page)
    for index in range(len(CAPTIONS)):
        pen.rounded_rectangle([side * fine for side in _panel(index)], 10 * fine, PANEL)
    for row, colour in enumerate((HUMAN_COLOUR, ASSISTANT_COLOUR)):
        left, top = MARGIN * fine, (COUNTS + row * ROW + 1) * fine
        pen.rounded_rectangle((left, top, left + 14 * fine, top + 14 * fine), 4 * fine, colour)
    return page.resize((SIZE[0] * zoom, SIZE[1] * zoom), Image.Resampling.BOX)


def _head(pen: ImageDraw.ImageDraw, scene: Scene, whole: Course, zoom: int) -> None:
    """The title at the left, the turn at the right."""
    pen.text((MARGIN * zoom, 15 * zoom), whole.title, INK, _font(18 * zoom))
    turn = f"turn {scene.turn} of {len(whole.completed) - 1}"
    pen.text(((SIZE[0] - MARGIN) * zoom, 18 * zoom), turn, FAINT, _font(15 * zoom), anchor="ra")


def _place(page: Image.Image, view: View, box: tuple[int, int, int, int], zoom: int) -> None:
    """Draw a world in the middle of the lower part of its panel."""
    shape = view.blocks.shape
    room = (box[2] - box[0] - 20 * zoom, box[3] - box[1] - 16 * zoom)
    width = fitting_width(shape, room)
    size = picture_size(shape, width)
    corner = ((box[0] + box[2] - size[0]) // 2, box[3] - size[1] - 14 * zoom)
    drawn = draw(view, width)
    page.paste(drawn, corner, drawn)


def _counts(pen: ImageDraw.ImageDraw, scene: Scene, zoom: int) -> None:
    """Who did what so far."""
    rows = (
        ("person", f"{scene.human_edits} edits"),
        ("assistant", f"{scene.assistant_right} right, {scene.assistant_wrong} wrong"),
    )
    for row, (who, what) in enumerate(rows):
        y = (COUNTS + row * ROW) * zoom
        pen.text(((MARGIN + 24) * zoom, y), who, FAINT, _font(15 * zoom))
        pen.text(((MARGIN + 104) * zoom, y), what, INK, _font(15 * zoom))


def _chart(page: Image.Image, scene: Scene, whole: Course, zoom: int) -> None:
    """Completion and sureness up to now, on the scale of the whole episode."""
    left, top, right, bottom = CHART
    fine = zoom * FINE
    plot = Image.new("RGB", ((right - left) * fine, (bottom - top) * fine), PAPER)
    pen = ImageDraw.Draw(plot)
    dot = 4 * fine
    rise = plot.height - 2 * dot
    for share in (0.0, 0.5, 1.0):
        pen.line((0, dot + rise * share, plot.width, dot + rise * share), LINES, fine)
    across = np.linspace(dot, plot.width - dot, len(whole.completed))[: scene.turn + 1]
    lines = ((DONE, "built", whole.completed, scene.completed), (SURE, "sure", whole.sureness, scene.sureness))
    labels: list[tuple[float, str, str]] = []
    for colour, word, values, now in lines:
        if now is None:
            continue
        heights = [dot + rise * (1 - min(1.0, max(0.0, value or 0.0))) for value in values[: len(across)]]
        points = list(zip(across.tolist(), heights, strict=True))
        pen.line(points, colour, 2 * fine, joint="curve")
        x, y = points[-1]
        pen.ellipse((x - dot, y - dot, x + dot, y + dot), colour)
        labels.append((y / FINE + top * zoom, colour, f"{100 * now:.0f} % {word}"))
    page.paste(plot.resize((plot.width // FINE, plot.height // FINE), Image.Resampling.BOX), (left * zoom, top * zoom))
    words = ImageDraw.Draw(page)
    for y, colour, text in _apart(labels, 18.0 * zoom):
        words.text(((right + 14) * zoom, y), text, colour, _font(15 * zoom), anchor="lm")


def _apart(labels: list[tuple[float, str, str]], gap: float) -> list[tuple[float, str, str]]:
    """Labels moved so that two of them never overlap."""
    if len(labels) < 2 or abs(labels[0][0] - labels[1][0]) >= gap:
        return labels
    middle = (labels[0][0] + labels[1][0]) / 2
    upper, lower = sorted(labels)
    return [(middle - gap / 2, *upper[1:]), (middle + gap / 2, *lower[1:])]

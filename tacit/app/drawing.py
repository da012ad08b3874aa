"""What does a world of blocks look like? Isometric pictures with Pillow, for files and for terminals alike.

The eye looks from +x, +y, +z towards the origin; cells are painted from far to near, each as a small ready-made cube.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int8
from PIL import Image, ImageColor, ImageDraw

from tacit.games.building.blocks import AIR, COLOURS, NAMES

HUMAN_COLOUR, ASSISTANT_COLOUR = "#ff9f43", "#3ec6ff"
PLAYER_COLOURS = (HUMAN_COLOUR, ASSISTANT_COLOUR)

FAINTEST = 0.08
"""Guesses below this probability are left out."""

SHADES = {"top": 1.0, "left": 0.78, "right": 0.6}
GLASS = NAMES.index("glass")
OPACITY_STEPS = 12
CRISP_WIDTH = 14
"""Cubes narrower than this are drawn pixel by pixel, without lines and smooth edges."""

Colour = tuple[int, int, int]


class View(NamedTuple):
    """What to draw: kinds, how solid each cell is, who placed it (0 nobody, 1 human, 2 assistant) and both bodies."""

    blocks: Int8[np.ndarray, "X Y Z"]
    opacity: Float[np.ndarray, "X Y Z"] | None = None
    touched: Int8[np.ndarray, "X Y Z"] | None = None
    feet: Int[np.ndarray, "P 3"] | None = None


def guess_view(probabilities: Float[np.ndarray, "X Y Z M"]) -> View:
    """A belief as ghosts: in each cell the most probable kind of block, as solid as it is probable."""
    likely = probabilities[..., 1:]
    opacity = likely.max(-1)
    blocks = np.where(opacity >= FAINTEST, likely.argmax(-1) + 1, AIR)
    return View(blocks.astype(np.int8), opacity)


def picture_size(shape: tuple[int, ...], width: int) -> tuple[int, int]:
    """Width and height in pixels of a world of `shape`, heads that stick out of it included."""
    across, up = shape[0] + shape[2], shape[1] + 1
    return across * width // 2, across * width // 4 + up * (width // 2)


def fitting_width(shape: tuple[int, ...], space: tuple[int, int]) -> int:
    """The widest cube, a multiple of four, with which a world of `shape` fits into `space`; at least four pixels."""
    width = 4
    while all(size <= room for size, room in zip(picture_size(shape, width + 4), space, strict=True)):
        width += 4
    return width


def draw(view: View, width: int) -> Image.Image:
    """The world on a transparent ground; `width` is that of one cube in pixels, a multiple of four."""
    picture = Image.new("RGBA", picture_size(view.blocks.shape, width))
    bodies = _bodies(view)
    cells = np.argwhere(_visible(view) | _any_body(view.blocks.shape, bodies))
    for x, y, z in cells[np.argsort(cells.sum(1), kind="stable")].tolist():
        corner = _corner(view.blocks.shape, (x, y, z), width)
        if (x, y, z) in bodies:
            picture.alpha_composite(_body(*bodies[x, y, z], width), corner)
        elif view.blocks[x, y, z] != AIR:
            picture.alpha_composite(_sprite(view, (x, y, z), width), corner)
    return _shine_through(picture, view, bodies, width)


def _shine_through(picture: Image.Image, view: View, bodies: dict, width: int) -> Image.Image:
    """Bodies behind walls, faintly."""
    for cell, (player, part) in bodies.items():
        ghost = _body(player, part, width).copy()
        _fade(ghost, 0.4)
        picture.alpha_composite(ghost, _corner(view.blocks.shape, cell, width))
    return picture


def _corner(shape: tuple[int, ...], cell: tuple[int, int, int], width: int) -> tuple[int, int]:
    """Where the upper left corner of a cell's cube goes."""
    x, y, z = cell
    return (x - z + shape[2] - 1) * width // 2, (x + z) * width // 4 + (shape[1] - y) * (width // 2)


def _bodies(view: View) -> dict[tuple[int, int, int], tuple[int, int]]:
    """Player and part (0 legs, 1 head) in each cell that a body fills."""
    if view.feet is None:
        return {}
    present = [(player, feet) for player, feet in enumerate(view.feet.tolist()) if min(feet) >= 0]
    return {(x, y + part, z): (player, part) for player, (x, y, z) in present for part in (0, 1)}


def _any_body(shape: tuple[int, ...], bodies: dict) -> Bool[np.ndarray, "X Y Z"]:
    """Cells inside the world that hold a body; a head above its top is drawn by `_shine_through` alone."""
    there = np.zeros(shape, np.bool_)
    for x, y, z in bodies:
        if y < shape[1]:
            there[x, y, z] = True
    return there


def _visible(view: View) -> Bool[np.ndarray, "X Y Z"]:
    """Blocks that are not wholly behind the three neighbours towards the eye."""
    there = view.blocks != AIR
    opaque = there & (view.blocks != GLASS)
    if view.opacity is not None:
        opaque &= view.opacity > 1 - 0.5 / OPACITY_STEPS
    towards = np.pad(opaque, ((0, 1), (0, 1), (0, 1)))
    buried = towards[1:, :-1, :-1] & towards[:-1, 1:, :-1] & towards[:-1, :-1, 1:]
    return there & ~buried


def _sprite(view: View, cell: tuple[int, int, int], width: int) -> Image.Image:
    """The cube of one cell."""
    step = OPACITY_STEPS if view.opacity is None else max(1, round(float(view.opacity[cell]) * OPACITY_STEPS))
    player = 0 if view.touched is None else int(view.touched[cell])
    return _cube(int(view.blocks[cell]), player, step, sum(cell) % 2, width)


@lru_cache(maxsize=4096)
def _cube(kind: int, player: int, step: int, odd: int, width: int) -> Image.Image:
    """A cube of one kind; every other one a little darker, so that single blocks can be told apart."""
    colour = scaled(ImageColor.getrgb(COLOURS[kind])[:3], 1.0 if odd else 0.93)
    line = scaled(colour, 0.55)
    if player:
        tint = ImageColor.getrgb(PLAYER_COLOURS[player - 1])[:3]
        line = mixed(line, tint, 0.7)
        colour = mixed(colour, tint, 0.22 if width < CRISP_WIDTH else 0.1)
    alpha = step / OPACITY_STEPS * (0.6 if kind == GLASS else 1.0)
    return _box(colour, line, alpha, width, (0.0, 0.0, 1.0))


@lru_cache(maxsize=64)
def _body(player: int, part: int, width: int) -> Image.Image:
    """Legs or head of a player."""
    colour = ImageColor.getrgb(PLAYER_COLOURS[player])[:3]
    colour = mixed(colour, (255, 255, 255), 0.35) if part else colour
    shape = (0.18, 0.0, 0.8) if part else (0.22, 0.0, 1.0)
    return _box(colour, scaled(colour, 0.45), 1.0, width, shape)


def _box(colour: Colour, line: Colour, alpha: float, width: int, shape: tuple[float, float, float]) -> Image.Image:
    """A box inside one cell's cube: `shape` is its inset from the sides, its floor and its ceiling, each in [0, 1]."""
    crisp = width < CRISP_WIDTH
    zoom = 8 if crisp else 4
    big = width * zoom
    image = Image.new("RGBA", (big, big))
    pen = ImageDraw.Draw(image)
    inset, floor, ceiling = shape
    near, far = 1 - inset, inset

    def at(x: float, y: float, z: float) -> tuple[float, float]:
        return (x - z + 1) / 2 * big, ((x + z) / 4 + (1 - y) / 2) * big

    faces = {
        "top": [at(far, ceiling, far), at(near, ceiling, far), at(near, ceiling, near), at(far, ceiling, near)],
        "left": [at(far, ceiling, near), at(near, ceiling, near), at(near, floor, near), at(far, floor, near)],
        "right": [at(near, ceiling, near), at(near, ceiling, far), at(near, floor, far), at(near, floor, near)],
    }
    for name, corners in faces.items():
        pen.polygon(corners, fill=(*scaled(colour, SHADES[name]), 255))
    if not crisp:
        thick = max(zoom, big // 24)
        for corners in faces.values():
            pen.line([*corners, corners[0]], fill=(*line, 255), width=thick, joint="curve")
    image = image.resize((width, width), Image.Resampling.NEAREST if crisp else Image.Resampling.BOX)
    _fade(image, alpha)
    return image


def _fade(image: Image.Image, alpha: float) -> None:
    """Make an image more transparent, in place."""
    image.putalpha(image.getchannel("A").point([round(value * alpha) for value in range(256)]))


def scaled(colour: Colour, factor: float) -> Colour:
    """A colour made darker."""
    red, green, blue = (min(255, round(part * factor)) for part in colour)
    return red, green, blue


def mixed(one: Colour, other: Colour, weight: float) -> Colour:
    """`one` with `weight` of `other` in it."""
    red, green, blue = (round(a + (b - a) * weight) for a, b in zip(one, other, strict=True))
    return red, green, blue

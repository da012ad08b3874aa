"""Pictures: the nearer covers the farther, what is left out could not be seen, ghosts are as faint as doubtful."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor
from rich.console import Console

from tacit.app import drawing, pictures, terminal
from tacit.app.drawing import View, draw, fitting_width, guess_view, picture_size
from tacit.app.scenes import Scene, few, sureness
from tacit.games.building.blocks import COLOURS, NAMES

SHAPE = (4, 5, 3)
GLASS = NAMES.index("glass")


def world(rng, shape=SHAPE, filled=0.5) -> np.ndarray:
    kinds = rng.integers(1, len(NAMES), shape)
    return np.where(rng.random(shape) < filled, kinds, 0).astype(np.int8)


def scene(rng, **other) -> Scene:
    belief = rng.dirichlet(np.ones(len(NAMES)), SHAPE)
    feet = np.array([[1, 2, 1], [3, 3, 0]])
    parts = {"belief": belief, "sureness": sureness(belief), "gained": 2.0, "human_edits": 3, **other}
    return Scene(1, world(rng), world(rng), rng.integers(0, 3, SHAPE).astype(np.int8), feet, 8.0, **parts)


@pytest.mark.parametrize("width", [4, 8])
def test_leaving_out_buried_blocks_changes_no_pixel(rng, width, monkeypatch):
    for filled in (0.3, 0.7, 0.95):
        view = View(world(rng, filled=filled), None, rng.integers(0, 3, SHAPE).astype(np.int8))
        quick = np.asarray(draw(view, width))
        monkeypatch.setattr(drawing, "_visible", lambda view: view.blocks != 0)
        assert (quick == np.asarray(draw(view, width))).all()
        monkeypatch.undo()


def test_a_nearer_block_covers_a_farther_one(rng):
    """Along the line of sight (1, 1, 1), only the last block is seen, whatever stands behind it."""
    near, far = (2, 3, 2), (1, 2, 1)
    alone, both = np.zeros(SHAPE, np.int8), np.zeros(SHAPE, np.int8)
    alone[near] = both[near] = 6
    both[far] = 9
    assert (np.asarray(draw(View(alone), 8)) == np.asarray(draw(View(both), 8))).all()
    both[near], both[far] = 0, 9
    assert not (np.asarray(draw(View(alone), 8)) == np.asarray(draw(View(both), 8))).all()


def test_every_cell_is_drawn_inside_the_picture():
    for cell in np.ndindex(SHAPE):
        blocks = np.zeros(SHAPE, np.int8)
        blocks[cell] = 6
        pixels = np.asarray(draw(View(blocks), 8))[..., 3] > 0
        assert pixels.sum() == 8 * 4 // 2 + 2 * 4 * 4  # the top and two sides of one cube


def test_the_top_has_the_colour_of_the_kind():
    for kind in range(1, len(NAMES)):
        blocks = np.zeros((1, 1, 1), np.int8)
        blocks[0, 0, 0] = kind
        picture = draw(View(blocks), 40)
        pixel = np.array(picture.getpixel((20, picture.height - 30))[:3])
        wanted = np.array(ImageColor.getrgb(COLOURS[kind]))
        assert np.abs(pixel - wanted).max() <= 0.08 * 255


def test_ghosts_are_as_solid_as_they_are_probable(rng):
    for probability in (0.0, drawing.FAINTEST / 2, 0.25, 0.5, 1.0):
        belief = np.zeros((1, 1, 1, 10))
        belief[..., 6], belief[..., 0] = probability, 1 - probability
        alpha = np.asarray(draw(guess_view(belief), 8))[..., 3].max() / 255
        assert alpha == pytest.approx(probability if probability >= drawing.FAINTEST else 0.0, abs=0.05)


def test_a_guess_is_of_the_most_probable_block_though_air_is_likelier():
    belief = np.zeros((1, 1, 1, 10))
    belief[0, 0, 0, [0, 3, 7]] = [0.5, 0.2, 0.3]
    view = guess_view(belief)
    assert view.blocks[0, 0, 0] == 7
    assert view.opacity is not None
    assert view.opacity[0, 0, 0] == pytest.approx(0.3)


def test_bodies_are_drawn_and_absent_ones_are_not():
    empty = np.zeros(SHAPE, np.int8)
    here, there = np.array([[1, 2, 1], [3, 4, 2]]), np.array([[1, 2, 1], [-10, -10, -10]])
    both, one = (np.asarray(draw(View(empty, None, None, feet), 8))[..., 3] > 0 for feet in (here, there))
    assert both.sum() > one.sum() > 0


def test_the_fitting_width_fits_and_is_the_widest():
    for space in [(30, 30), (90, 70), (300, 200)]:
        width = fitting_width(SHAPE, space)
        assert width % 4 == 0
        if width > 4:
            assert all(size <= room for size, room in zip(picture_size(SHAPE, width), space, strict=True))
        assert any(size > room for size, room in zip(picture_size(SHAPE, width + 4), space, strict=True))


def test_half_blocks_say_what_the_picture_says(rng):
    """Reads the text back, character by character, into pixels."""
    pixels = rng.integers(0, 256, (7, 9, 4)).astype(np.uint8)
    pixels[..., 3] = np.where(rng.random((7, 9)) < 0.6, 255, 0)
    text = terminal.half_blocks(Image.fromarray(pixels))
    back = np.zeros((8, 9, 4), np.uint8)
    for row, line in enumerate(text.split("\n")):
        for column, character in enumerate(line.plain):
            style = line.get_style_at_offset(Console(), column)
            for lower in (0, 1):
                colour = {("▀", 0): style.color, ("▀", 1): style.bgcolor, ("▄", 1): style.color}.get((character, lower))
                if colour is not None:
                    back[2 * row + lower, column] = (*colour.get_truecolor(), 255)
    wanted = np.where(pixels[..., 3:] > 0, pixels, 0)
    assert (back[:7] == wanted).all()
    assert (back[7] == 0).all()


@pytest.mark.parametrize("space", [(20, 5), (80, 24), (120, 60)])
def test_frames_fit_the_width_of_the_terminal(rng, space):
    now = scene(rng)
    console = Console(
        width=space[0], height=space[1], file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    lines = console.render_lines(terminal.frame([now, now], "title", space, "waiting"))
    assert max(sum(segment.cell_length for segment in line) for line in lines) <= space[0]


def test_plain_frames_hold_no_control_codes(rng):
    words = terminal.plain(scene(rng))
    assert "3 edits" in words
    assert all(character.isprintable() or character == "\n" for character in words)
    none = scene(rng, belief=None, sureness=None)
    assert "sure" not in terminal.plain(none)


def test_a_film_has_its_frames_and_a_picture_its_size(rng):
    told = [scene(rng)._replace(turn=turn) for turn in range(5)]
    whole = pictures.course(told, "title")
    pages = [pictures.picture(one, whole) for one in told]
    film = Image.open(io.BytesIO(pictures.gif(pages, 80)))
    assert (film.n_frames, film.size) == (5, pictures.SIZE)
    large = pictures.picture(told[2]._replace(belief=None, sureness=None), whole, zoom=2)
    assert large.size == (2 * pictures.SIZE[0], 2 * pictures.SIZE[1])


def test_sureness_of_extremes():
    certain = np.zeros((2, 4, 2, 10))
    certain[..., 5] = 1.0
    assert sureness(certain) == pytest.approx(1.0)
    even = np.full((2, 4, 2, 10), 0.1)
    assert sureness(even) == pytest.approx(0.1)
    nothing = np.zeros((2, 4, 2, 10))
    nothing[..., 0] = 1.0
    assert sureness(nothing) == 0.0


def test_few_keeps_both_ends(rng):
    told = [scene(rng)._replace(turn=turn) for turn in range(37)]
    for most in (2, 5, 36, 37, 100):
        kept = [one.turn for one in few(told, most)]
        assert kept == sorted(set(kept))
        assert (kept[0], kept[-1]) == (0, 36)
        assert len(kept) == min(most, 37)

"""How is an episode shown in a terminal? Half-block pictures where there is one, plain lines where there is none."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import groupby

import jax.numpy as jnp
import numpy as np
from PIL import Image
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.style import Style
from rich.table import Table
from rich.text import Span, Text

from tacit.app.drawing import ASSISTANT_COLOUR, HUMAN_COLOUR, View, draw, guess_view, picture_size
from tacit.app.pictures import DONE, FAINT, SURE
from tacit.app.scenes import Scene
from tacit.games.building.game import text

SMALL, LARGE = 4, 8
"""Widths of a cube in pixels; a character is one pixel wide and two high."""
GAP = 2
NOTES_HEIGHT = 7
"""Lines under the pictures."""
ROOM_ABOVE = 2
"""Levels shown above the roof of the goal."""
FAINTEST_PIXEL = 24
"""Opacity, of 255, below which a pixel is left out."""
NOTHING = -1
BARS = "▁▂▃▄▅▆▇█"
PLAIN_EVERY = 25
"""Turns from one plain frame to the next."""

Size = tuple[int, int]


Show = Callable[[Sequence[Scene], str], None]
"""Shows the last of the moments; the others are for the two lines over time. The text says what is going on."""


@contextlib.contextmanager
def stage(console: Console, title: str) -> Iterator[Show]:
    """A place to show an episode as it goes: live pictures in a terminal, a plain frame now and then elsewhere."""
    if not console.is_terminal or console.is_dumb_terminal:
        console.print(title, highlight=False)
        yield partial(_print_plainly, console)
        return
    with Live(console=console, refresh_per_second=3, transient=False, vertical_overflow="crop") as live:
        yield lambda past, note: live.update(frame(past, title, console.size, note), refresh=True)


def _print_plainly(console: Console, past: Sequence[Scene], note: str) -> None:
    """Print a note, or one of the few moments that are printed."""
    if note:
        console.print(note, highlight=False)
    elif past[-1].turn % PLAIN_EVERY == 0:
        console.print(plain(past[-1]), highlight=False, markup=False, soft_wrap=True)


def frame(past: Sequence[Scene], title: str, space: Size, note: str = "") -> RenderableType:
    """The last moment for a terminal of `space` columns and lines, with a spinning note while something takes long."""
    scene = past[-1]
    parts = [Text(title, style="bold"), _worlds(scene, space), Text(""), _notes(scene, past, space[0])]
    return Group(*parts, Spinner("dots", Text(note, style=FAINT)) if note else Text(""))


def plain(scene: Scene) -> str:
    """One moment as text without colours: what was done, then the layers of the world from the ground up."""
    return f"{plain_line(scene)}\n{text(jnp.asarray(scene.blocks), jnp.asarray(scene.feet))}"


def plain_line(scene: Scene) -> str:
    """One moment in one line."""
    sure = "" if scene.sureness is None else f", {100 * scene.sureness:.0f} % sure"
    return (
        f"turn {scene.turn}: {100 * scene.completed:.0f} % built, person {scene.human_edits} edits, "
        f"assistant {scene.assistant_right} right, {scene.assistant_wrong} wrong{sure}"
    )


def half_blocks(picture: Image.Image) -> Text:
    """A picture as text, two pixels a character: one above the other."""
    pixels = np.asarray(picture.convert("RGBA")).astype(int)
    pixels = np.pad(pixels, ((0, len(pixels) % 2), (0, 0), (0, 0)))
    alpha = pixels[..., 3]
    faded = pixels[..., :3] * alpha[..., None] // 255
    codes = np.where(alpha < FAINTEST_PIXEL, NOTHING, faded @ np.array([1 << 16, 1 << 8, 1])).tolist()
    lines, spans = [], []
    for upper, lower in zip(codes[::2], codes[1::2], strict=True):
        cells = [_half_block(*pair) for pair in zip(upper, lower, strict=True)]
        start = len(lines) + sum(map(len, lines))
        for style, run in groupby(range(len(cells)), lambda x, cells=cells: cells[x][1]):
            columns = list(run)
            spans.append(Span(start + columns[0], start + columns[-1] + 1, style))
        lines.append("".join(character for character, _ in cells))
    return Text("\n".join(lines), spans=spans, no_wrap=True)


@lru_cache(maxsize=1 << 16)
def _half_block(upper: int, lower: int) -> tuple[str, Style]:
    """One character for two pixels, one above the other."""
    if upper == NOTHING:
        return (" ", Style.null()) if lower == NOTHING else ("▄", Style(color=f"#{lower:06x}"))
    return "▀", Style(color=f"#{upper:06x}", bgcolor=None if lower == NOTHING else f"#{lower:06x}")


def _worlds(scene: Scene, space: Size) -> RenderableType:
    """The world, the belief and the goal, as large as they fit."""
    views = {
        "the world": View(scene.blocks, None, scene.touched, scene.feet),
        "what the assistant believes": None if scene.belief is None else guess_view(scene.belief),
        "what the person wants": View(scene.goal),
    }
    panels = [(caption, view) for caption, view in views.items() if view is not None]
    roof = _roof(scene)
    (large, large_lines), (small, small_lines) = (_size(scene, width, roof) for width in (LARGE, SMALL))
    (caption, world), *others = panels
    tall = max(large_lines + 1, len(others) * (small_lines + 1)) + NOTES_HEIGHT
    if large + small + GAP <= space[0] and tall <= space[1]:
        beside = Group(*(_panel(name, view, SMALL, roof) for name, view in others))
        return _side_by_side([_panel(caption, world, LARGE, roof), beside])
    fitting = max(1, (space[0] + GAP) // (small + GAP))
    return _side_by_side([_panel(name, view, SMALL, roof) for name, view in panels[:fitting]])


def _side_by_side(panels: list[RenderableType]) -> Table:
    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_row(*panels)
    return table


def _panel(caption: str, view: View, width: int, roof: int) -> RenderableType:
    picture = draw(view, width)
    levels = view.blocks.shape[1] + 1 - roof
    return Group(Text(caption, style=FAINT), half_blocks(picture.crop((0, levels * width // 2, *picture.size))))


def _roof(scene: Scene) -> int:
    """How many levels are worth showing: those of the goal, of both bodies, and some air."""
    used = (scene.goal != 0).any((0, 2)).nonzero()[0].max()
    return min(scene.goal.shape[1] + 1, int(used) + 1 + ROOM_ABOVE)


def _size(scene: Scene, width: int, roof: int) -> Size:
    """Columns and lines of a world's picture."""
    across, down = picture_size(scene.blocks.shape, width)
    return across, (down - (scene.blocks.shape[1] + 1 - roof) * width // 2 + 1) // 2


def _notes(scene: Scene, past: Sequence[Scene], width: int) -> RenderableType:
    """Counts by player and the two lines over time."""
    counts = Text.assemble(
        f"turn {scene.turn}   ",
        ("■ ", HUMAN_COLOUR),
        f"person {scene.human_edits} edits   ",
        ("■ ", ASSISTANT_COLOUR),
        f"assistant {scene.assistant_right} right, {scene.assistant_wrong} wrong",
    )
    room = max(8, min(60, width - 24))
    lines = [counts, _line("built", [one.completed for one in past], DONE, room)]
    sure = [one.sureness for one in past if one.sureness is not None]
    return Group(*lines, _line("sure ", sure, SURE, room)) if sure else Group(*lines)


def _line(word: str, values: Sequence[float], colour: str, room: int) -> Text:
    """Values over time, squeezed into `room` characters, and the last one in percent."""
    length = min(room, len(values))
    shown = [values[(index + 1) * len(values) // length - 1] for index in range(length)]
    bars = "".join(BARS[min(len(BARS) - 1, max(0, int(value * len(BARS))))] for value in shown)
    return Text.assemble((f"{word} ", FAINT), (bars, colour), f" {100 * values[-1]:.0f} %", no_wrap=True)

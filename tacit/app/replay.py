"""How is a recorded episode seen again? In the terminal, or as a film, a page or a picture."""

import json
import time
from pathlib import Path

import equinox as eqx
from rich.console import Console

from tacit.app.cast import building_cast
from tacit.app.pictures import SIZE, course, data_url, gif, picture, png, with_one_palette
from tacit.app.scenes import Scene, few, scenes
from tacit.app.terminal import stage
from tacit.play import retrace
from tacit.storage import EpisodeHeader, load_episode, read_about, write_atomically

KINDS = (".gif", ".html", ".png")
"""What can be written, by the ending of the file."""
MOST_FRAMES = {".gif": 120, ".html": 200}
FILM_SECONDS = 14.0
PAGE = Path(__file__).with_name("replay.html")


def run(path: Path, out: Path | None, turn: int | None, delay: float, console: Console) -> None:
    """Show the episode at `path`, or write it to `out`. `turn` chooses the moment of a picture; the last if None."""
    told, about = remembered(path)
    title = f"{about.game}: {about.human} + {about.assistant}, seed {about.seed}"
    if out is None:
        with stage(console, title) as show:
            for now in range(len(told)):
                show(told[: now + 1], "")
                time.sleep(delay)
        return
    write_atomically(out, rendered(told, title, out.suffix.lower(), turn))
    console.print(f"{out}: {len(told) - 1} turns, {out.stat().st_size / 1e6:.1f} MB", highlight=False, soft_wrap=True)


def remembered(path: Path) -> tuple[list[Scene], EpisodeHeader]:
    """The moments of a recorded episode, with the assistant's beliefs found again, and who played."""
    about = read_about(path)
    players = building_cast(about.game, about.human, about.assistant)
    episode = load_episode(path, players.game).episode
    thoughts = eqx.filter_jit(retrace)(players.game, players.told(episode.theta).assistant, episode)
    return scenes(episode, thoughts), about


def rendered(told: list[Scene], title: str, kind: str, turn: int | None) -> bytes:
    """The episode as a file of this kind, one of KINDS."""
    whole = course(told, title)
    if kind == ".png":
        last = len(told) - 1
        if turn is not None and not 0 <= turn <= last:
            raise ValueError(f"There is no turn {turn}; the episode has turns 0 to {last}.")
        return png(picture(told[last if turn is None else turn], whole, zoom=2))
    shown = few(told, MOST_FRAMES[kind])
    pages = (picture(scene, whole) for scene in shown)
    if kind == ".gif":
        return gif(pages, max(60, round(1000 * FILM_SECONDS / len(shown))))
    images = [data_url(page) for page in with_one_palette(pages)]
    frames = {"title": title, "turns": [scene.turn for scene in shown], "images": images}
    # A closing tag inside the data would end the script that holds it.
    text = json.dumps(frames).replace("<", "\\u003c")
    page = PAGE.read_text("utf-8")
    for word, value in zip(("WIDTH", "HEIGHT", "FRAMES"), (str(SIZE[0]), str(SIZE[1]), text), strict=True):
        page = page.replace(word, value)
    return page.encode()

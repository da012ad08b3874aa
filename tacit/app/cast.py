"""Who plays what, by name? Finds the files that the names stand for and makes the players of one game."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tacit.assistants.oracle import reveal
from tacit.core import Assistant, Game, Human, Theta
from tacit.games.building.game import BuildingGame
from tacit.members import find

NOBODY = "none"
"""The assistant that is not there: the world does not hold its body."""


BEST = {"building-small": "particles", "building-paper": "particles"}
"""The assistant that helps most in a building game, as far as was measured and comes with tacit."""


class Cast(NamedTuple):
    """The game to be played, the same with goals to practise on, and both players."""

    game: Game
    practice: Game
    human: Human
    assistant: Assistant

    def told(self, theta: Theta) -> "Cast":
        """The same cast for one episode: an oracle learns what the person wants, nobody else does."""
        return self._replace(assistant=reveal(self.assistant, theta))


def cast(game: str, human: str, assistant: str) -> Cast:
    """The players by name, or by name=FILE for someone who was trained and is to have the weights in FILE.

    Where a game has unseen goals they are played and the others practised on. Raises ValueError for a name that there
    is not, listing the nearest.
    """
    played, practice = games(game)
    person = trained("tacit.humans", human)(played)
    helper = trained("tacit.assistants", assistant)(practice, person)
    return Cast(played.alone() if assistant == NOBODY else played, practice, person, helper)


def trained(package: str, words: str) -> Callable[..., Any]:
    """The `make` of the member that is meant by "name" or "name=FILE", given the weights in FILE."""
    name, _, file = words.partition("=")
    make = find(package, name).load().make
    if not file:
        return make
    if "weights" not in inspect.signature(make).parameters:
        raise ValueError(f"{name!r} is not trained, so it takes no weights: leave out ={file}.")
    return functools.partial(make, weights=Path(file))


def building_cast(game: str, human: str, assistant: str) -> Cast:
    """The same for a game that can be drawn. Raises ValueError for one that cannot."""
    if not isinstance(games(game)[0], BuildingGame):
        raise ValueError(f"Only building games can be shown yet, and {game} is not one; try building-small.")
    return cast(game, human, assistant)


def usual(game: str) -> list[str]:
    """Whom to compare in this game if nobody is named."""
    return [NOBODY, BEST[game], "oracle"] if game in BEST else [NOBODY, "random"]


def games(name: str) -> tuple[Game, Game]:
    """The game to be played and the one to practise on."""
    module = find("tacit.games", name).load()
    if "split" in inspect.signature(module.make).parameters:
        return module.make("test"), module.make("train")
    return module.make(), module.make()

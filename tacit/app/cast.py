"""Who plays what, by name? Finds the files that the names stand for and makes the players of one game."""

import inspect
from typing import NamedTuple

from tacit.assistants.oracle import reveal
from tacit.core import Assistant, Game, Human, Theta
from tacit.games.building.game import BuildingGame
from tacit.members import find

NOBODY = "none"
"""The assistant that is not there: the world does not hold its body."""


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
    """The players by name. Raises ValueError for a name that there is not, listing the nearest.

    Where a game has unseen goals they are played and the others practised on.
    """
    played, practice = games(game)
    person, helper = find("tacit.humans", human).load(), find("tacit.assistants", assistant).load()
    builder = person.make(played)
    return Cast(played.alone() if assistant == NOBODY else played, practice, builder, helper.make(practice, builder))


def building_cast(game: str, human: str, assistant: str) -> Cast:
    """The same for a game that can be drawn. Raises ValueError for one that cannot."""
    if not isinstance(games(game)[0], BuildingGame):
        raise ValueError(f"Only building games can be shown yet, and {game} is not one; try building-small.")
    return cast(game, human, assistant)


def games(name: str) -> tuple[Game, Game]:
    """The game to be played and the one to practise on."""
    module = find("tacit.games", name).load()
    if "split" in inspect.signature(module.make).parameters:
        return module.make("test"), module.make("train")
    return module.make(), module.make()

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
    module = find("tacit.games", game).load()
    person, helper = find("tacit.humans", human).load(), find("tacit.assistants", assistant).load()
    splits = "split" in inspect.signature(module.make).parameters
    played, practice = (module.make("test"), module.make("train")) if splits else (module.make(), module.make())
    builder = person.make(played)
    return Cast(played.alone() if assistant == NOBODY else played, practice, builder, helper.make(practice, builder))


def drawable(players: Cast, name: str) -> Cast:
    """The cast, if its game can be drawn. Raises ValueError otherwise."""
    if not isinstance(players.game, BuildingGame):
        raise ValueError(f"Only building games can be shown yet, and {name} is not one; try building-small.")
    return players

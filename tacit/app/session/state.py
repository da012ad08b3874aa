"""What is there between two events of a session? The game, what was clicked, built and said, and the clock."""

from typing import NamedTuple

from jaxtyping import Array, Key

from tacit.app.scenes import Scene
from tacit.app.session.discovery import Discovery
from tacit.app.session.messages import Break, Cell, Judge, Place, Rate, Step
from tacit.app.session.players import Thinking
from tacit.play import Moment

SECONDS = 0.8
"""How long a turn waits for the person."""


class Wish(NamedTuple):
    """What the person clicked and the game has not yet come to; `undoing` if it takes an edit back."""

    message: Place | Break | Step
    undoing: bool = False
    turns: int = 0


class Edit(NamedTuple):
    """A block that was placed or broken; `thought` is how probable the assistant then found each kind for the cell."""

    turn: int
    player: int
    cell: Cell
    before: int
    after: int
    thought: tuple[float, ...] | None


class Session(NamedTuple):
    """Everything between two events. The moment's assistant is its memory before it has thought about this world."""

    key: Key[Array, ""]
    free: bool
    moment: Moment
    scene: Scene
    thinking: Thinking | None = None
    wishes: tuple[Wish, ...] = ()
    edits: tuple[Edit, ...] = ()
    undoable: tuple[Edit, ...] = ()
    judged: tuple[Judge, ...] = ()
    sureness: tuple[float, ...] = ()
    on: bool = True
    seconds: float = SECONDS
    paused: bool = False
    asking: bool = False
    discovery: Discovery | None = None
    done: bool = False
    rating: Rate | None = None
    note: str = ""

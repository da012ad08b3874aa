"""What may a person at the page say? Every message, its shape and its limits; whatever else comes in is refused.

A message is a JSON object whose `do` names it. What is checked here needs no game but its size, so that a message is
either refused in one sentence or recorded, and applying a recorded one cannot fail.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from tacit.app.session.likes import Aspect
from tacit.games.building.blocks import FIRST_PLACEABLE, NAMES
from tacit.games.building.game import BuildingGame

LONGEST = 400
"""Characters in the longest message."""

Cell = tuple[int, int, int]
_STRICT = ConfigDict(extra="forbid", strict=True)


class MessageError(ValueError):
    """A message was refused; the sentence says why."""


@dataclass(frozen=True, config=_STRICT)
class Place:
    """Fill a cell, after walking there if need be."""

    cell: Cell
    kind: int
    do: Literal["place"] = "place"


@dataclass(frozen=True, config=_STRICT)
class Break:
    """Empty a cell, after walking there if need be."""

    cell: Cell
    do: Literal["break"] = "break"


@dataclass(frozen=True, config=_STRICT)
class Step:
    """Move the body by one cell; directions are those of `actions.DIRECTIONS`."""

    direction: Annotated[int, Field(ge=0, le=5)]
    do: Literal["step"] = "step"


@dataclass(frozen=True, config=_STRICT)
class Undo:
    """Take one's own last edit back, by the edit that is its inverse."""

    do: Literal["undo"] = "undo"


@dataclass(frozen=True, config=_STRICT)
class Stop:
    """Forget what is still to be done: walks and clicks that wait."""

    do: Literal["stop"] = "stop"


@dataclass(frozen=True, config=_STRICT)
class Judge:
    """Say of a guess that this kind is right for this cell ("yes, like that"), or is not ("not that")."""

    cell: Cell
    kind: int
    right: bool
    do: Literal["judge"] = "judge"


@dataclass(frozen=True, config=_STRICT)
class Switch:
    """Turn the assistant off or on."""

    on: bool
    do: Literal["switch"] = "switch"


@dataclass(frozen=True, config=_STRICT)
class Clock:
    """How many seconds a turn waits for the person, and whether the game is paused."""

    seconds: Annotated[float, Field(ge=0.1, le=60.0)]
    paused: bool
    do: Literal["clock"] = "clock"


@dataclass(frozen=True, config=_STRICT)
class Finish:
    """Call it done."""

    do: Literal["finish"] = "finish"


@dataclass(frozen=True, config=_STRICT)
class Ask:
    """Show me pairs of houses, for I do not know yet what I want; or show no more, and let us build."""

    on: bool
    do: Literal["ask"] = "ask"


@dataclass(frozen=True, config=_STRICT)
class Prefer:
    """Of the pair that is shown, this one is liked better: as a whole, or only its roof, walls, colours or shape."""

    pair: Annotated[int, Field(ge=0, le=10**6)]
    which: Annotated[int, Field(ge=0, le=1)]
    what: Aspect
    do: Literal["prefer"] = "prefer"


@dataclass(frozen=True, config=_STRICT)
class Skip:
    """Show another pair."""

    pair: Annotated[int, Field(ge=0, le=10**6)]
    do: Literal["skip"] = "skip"


_Rating = Annotated[int, Field(ge=1, le=7)]


@dataclass(frozen=True, config=_STRICT)
class Rate:
    """After a house of a study: it was easy, I was helped, I would build like that again; 1 is not at all, 7 very."""

    easy: _Rating
    helped: _Rating
    again: _Rating
    do: Literal["rate"] = "rate"


Message = Place | Break | Step | Undo | Stop | Judge | Switch | Clock | Finish | Ask | Prefer | Skip | Rate
_SHAPES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="do")])


def parse(text: str, game: BuildingGame) -> Message:
    """The message in a JSON text. Raises MessageError, in one sentence, for anything that is none of this game's."""
    if len(text) > LONGEST:
        raise MessageError(f"A message has at most {LONGEST} characters, not {len(text)}.")
    try:
        message = _SHAPES.validate_json(text)
    except (ValidationError, RecursionError) as error:
        raise MessageError(f"That is no message: {_first_fault(error)}.") from None
    match message:
        case Place(cell, kind) | Judge(cell, kind):
            _check_cell(cell, game)
            lowest = FIRST_PLACEABLE if isinstance(message, Place) else 0
            if not lowest <= kind < game.num_kinds:
                raise MessageError(
                    f"There is no kind {_short(kind)} to name here; give {lowest} to {game.num_kinds - 1}."
                )
        case Break(cell):
            _check_cell(cell, game)
        case _:
            pass
    return message


def dump(message: Message) -> str:
    """The JSON text of a message; the inverse of `parse`."""
    return _SHAPES.dump_json(message).decode()


def load(text: str) -> Message:
    """A message that was recorded by `dump`."""
    return _SHAPES.validate_json(text)


def said(message: Message) -> str:
    """A message in words, for lists of what was done."""
    match message:
        case Place(cell, kind):
            words = f"place {NAMES[kind]} at {cell}"
        case Break(cell):
            words = f"break the block at {cell}"
        case Judge(cell, kind, right):
            words = f"{'yes' if right else 'no'}: {NAMES[kind]} at {cell}"
        case Switch(on):
            words = "assistant on" if on else "assistant off"
        case Ask(on):
            words = "I don't know yet" if on else "let's build"
        case Prefer(pair, which, what):
            words = f"pair {pair}: the {('first', 'second')[which]}" + ("" if what == "house" else f" one's {what}")
        case Rate(easy, helped, again):
            words = f"easy {easy}, helped {helped}, again {again}, of 7"
        case _:
            words = message.do
    return words


def _check_cell(cell: Cell, game: BuildingGame) -> None:
    if not all(0 <= at < size for at, size in zip(cell, game.shape, strict=True)):
        place = tuple(_short(at) for at in cell)
        raise MessageError(f"The cell ({', '.join(place)}) is not in this world of {game.shape} cells.")


def _short(number: int) -> str:
    return str(number) if abs(number) < 10**12 else "beyond counting"


def _first_fault(error: ValidationError | RecursionError) -> str:
    """The first fault that was found, without what was sent: that may be anything."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part)[:20] for part in fault["loc"][1:3])
    what = fault["msg"].partition("\n")[0][:160]
    return f"{where}: {what}" if where else what

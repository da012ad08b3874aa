"""What is a demonstration? A question and an expert's final answer, never how it was found.

A file of them has one JSON object a line, with the fields id, question and answer.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tacit.storage import write_atomically

FIELDS = ("id", "question", "answer")


class Demonstration(NamedTuple):
    """One question with the expert's final answer; `id` tells it from all others of its file."""

    id: str
    question: str
    answer: str


Draw = Callable[[int, np.random.Generator], Sequence[Demonstration]]
"""So many demonstrations, each time others."""


class DemonstrationError(ValueError):
    """A file of demonstrations is not what it should be; the message is one sentence for the user."""


def load_demonstrations(path: str | Path) -> list[Demonstration]:
    """The demonstrations in the file at `path`; blank lines are passed over.

    Raises DemonstrationError with the line number for a line that is no JSON object, lacks a field, has an empty one or
    repeats an id.
    """
    found: list[Demonstration] = []
    line_of: dict[str, int] = {}
    for number, record in read_lines(path):
        missing = [field for field in FIELDS if field not in record]
        if missing:
            raise DemonstrationError(f"{path}, line {number}: the field {missing[0]!r} is missing.")
        one = Demonstration(*(filled(path, number, record, field) for field in FIELDS))
        if one.id in line_of:
            raise DemonstrationError(
                f"{path}, line {number}: line {line_of[one.id]} has the id {one.id!r} already; give each its own."
            )
        line_of[one.id] = number
        found.append(one)
    if not found:
        raise DemonstrationError(f"{path} holds no demonstration.")
    return found


def save_demonstrations(path: str | Path, demonstrations: Sequence[Demonstration]) -> None:
    """Write demonstrations, one a line, atomically."""
    lines = [json.dumps(one._asdict(), ensure_ascii=False) + "\n" for one in demonstrations]
    write_atomically(path, "".join(lines).encode())


def read_lines(path: str | Path) -> list[tuple[int, dict[str, Any]]]:
    """The JSON objects in a file, one a line, with their line numbers. Raises DemonstrationError."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DemonstrationError(f"{path} could not be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DemonstrationError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    found = []
    # Not splitlines: JSON may hold Unicode's own line ends inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DemonstrationError(f"{path}, line {number}: this is not JSON ({error}).") from error
        if type(record) is not dict:
            raise DemonstrationError(f"{path}, line {number}: this is no JSON object with fields.")
        found.append((number, record))
    return found


def filled(path: str | Path, number: int, record: dict[str, Any], field: str) -> str:
    """The text in a field, which must be there and say something; whole numbers count as text."""
    value = record.get(field)
    if type(value) is int:
        value = str(value)
    if type(value) is not str:
        raise DemonstrationError(f"{path}, line {number}: the field {field!r} must be text.")
    if not value.strip():
        raise DemonstrationError(f"{path}, line {number}: the field {field!r} is empty.")
    return value

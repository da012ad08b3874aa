"""Poetry: a title, and a poet's poem as the expert's answer. The published file, read; there is no checker at all.

The poems of the Poetry Foundation as they circulate: a CSV file with the columns Title, Poem, Poet and Tags, where
poems keep their lines. Answers are compared by a critic (`tournament.win_rate`).
"""

import csv
import io
from pathlib import Path

from tacit.language.demonstrations import Demonstration, DemonstrationError

QUESTION = "Write a poem called {title}."
COLUMNS = ("Title", "Poem")


def load_poems(path: str | Path, longest: int = 2000) -> list[Demonstration]:
    """A demonstration for each poem of at most `longest` characters; the id is the line where its record ends.

    Raises DemonstrationError with that line for a record without a title or a poem.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DemonstrationError(f"{path} could not be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DemonstrationError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    found = []
    try:
        missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            raise DemonstrationError(f"{path}, line 1: the column {missing[0]!r} is missing.")
        for row in rows:
            title, poem = (_tidy(row[column] or "") for column in COLUMNS)
            for column, value in zip(COLUMNS, (title, poem), strict=True):
                if not value:
                    raise DemonstrationError(f"{path}, line {rows.line_num}: the column {column!r} is empty.")
            if len(poem) <= longest:
                question = QUESTION.format(title=" ".join(title.split()))
                found.append(Demonstration(f"poem-{rows.line_num}", question, poem))
    except csv.Error as error:
        raise DemonstrationError(f"{path}, line {rows.line_num}: this is not CSV ({error}).") from error
    if not found:
        raise DemonstrationError(f"{path} holds no poem of at most {longest} characters.")
    return found


def _tidy(text: str) -> str:
    """Lines without trailing spaces, and nothing before the first or after the last."""
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")).strip()

"""What are the words of a problem file, and on which line does each stand?

Large files have millions of words, so they are kept as arrays: a number for each numeral, an index into a vocabulary
for everything else. A word's line is looked for only when there is something to complain about.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

COLON, STAR = 0, 1
"""Where ":" and "*" stand in every vocabulary."""

CHUNK = 1 << 22
"""Characters that are cut into words at a time."""

LONG = 60
"""Words are shown up to this length."""

_COMMENT = re.compile(r"#[^\n]*")
_LONE_SIGN = re.compile(r"([+-])(?<![^\s:*][+-])[ \t]+(?=[.\d])")
_WORD = re.compile(r"[:*]|[^\s:*]+")
_NUMERAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")


class Tokens(NamedTuple):
    """The words of a text. `symbols[i]` is an index into `words`, or -1 where `numbers[i]` is a number (else NaN).

    `whole[i]` says that it is written with digits alone, so that it can count or name something.
    """

    name: str
    text: str
    words: tuple[str, ...]
    symbols: Int[np.ndarray, " W"]
    numbers: Float[np.ndarray, " W"]
    whole: Bool[np.ndarray, " W"]


def tokenise(text: str, name: str) -> Tokens:
    """Cut `text` into words, leaving out comments; `name` is what complaints call the file."""
    junk = _UNPRINTABLE.search(text)
    if junk:
        line = text.count("\n", 0, junk.start()) + 1
        raise ValueError(f"{name}, line {line}: this is not text (a compressed file must be unpacked first).")
    vocabulary = {":": COLON, "*": STAR}
    symbols, numbers, whole = [], [], []
    for chunk in _chunks(text):
        found = _WORD.findall(chunk)
        distinct = dict.fromkeys(found)
        places = {word: place for place, word in enumerate(distinct)}
        numeral = [bool(_NUMERAL.fullmatch(word)) for word in distinct]
        where = np.fromiter(map(places.__getitem__, found), np.int32, len(found))
        of_word = [
            -1 if is_number else vocabulary.setdefault(word, len(vocabulary))
            for word, is_number in zip(distinct, numeral, strict=True)
        ]
        symbols.append(np.array(of_word, np.int32)[where])
        values = [float(word) if is_number else np.nan for word, is_number in zip(distinct, numeral, strict=True)]
        numbers.append(np.array(values, np.float64)[where])
        digits = [is_number and word.isdigit() for word, is_number in zip(distinct, numeral, strict=True)]
        whole.append(np.array(digits, bool)[where])
    return Tokens(
        name, text, tuple(vocabulary), np.concatenate(symbols), np.concatenate(numbers), np.concatenate(whole)
    )


def word(tokens: Tokens, index: int) -> str:
    """The word as it is written, or how it begins if it is long."""
    found = _find(tokens, index)[0]
    return found if len(found) <= LONG else found[:LONG] + "..."


def fault(tokens: Tokens, index: int, message: str) -> ValueError:
    """An error that says in which file and on which line the word stands; after the last word, the end of the file."""
    return ValueError(f"{tokens.name}, line {_find(tokens, index)[1]}: {message}")


def _find(tokens: Tokens, index: int) -> tuple[str, int]:
    """A word and its line."""
    line = 1
    for chunk in _chunks(tokens.text):
        for match in _WORD.finditer(chunk):
            if index == 0:
                return match.group(), line + chunk.count("\n", 0, match.start())
            index -= 1
        line += chunk.count("\n")
    return "", max(1, line - tokens.text.endswith("\n"))


def _chunks(text: str) -> Iterator[str]:
    """The text in pieces that end with a line, without comments and with every sign joined to its number."""
    start = 0
    while start == 0 or start < len(text):
        end = text.find("\n", start + CHUNK) + 1 or len(text)
        yield _LONE_SIGN.sub(r"\1", _COMMENT.sub("", text[start:end]))
        start = end or 1

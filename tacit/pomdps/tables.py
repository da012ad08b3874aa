"""What do the entries `T:`, `O:` and `R:` of a .pomdp file assign?

An entry names some coordinates, in order, and gives numbers for all that remain: one number, a row or a matrix; or one
of the words `uniform`, `identity` (of a matrix) and `reset` (transitions, to the start). Axis letters: E entries.
"""

import difflib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tacit.pomdps.assignments import ALL, Assignments
from tacit.pomdps.preamble import Preamble, Sizes, nearest, numbers, probabilities, resolve, stranger
from tacit.pomdps.tokens import COLON, Tokens, fault, word

AXES = {
    "T": ("action", "state", "next state"),
    "O": ("action", "next state", "observation"),
    "R": ("action", "state", "next state", "observation"),
}


class Entries(NamedTuple):
    """Where each entry's keyword stands, how many coordinates it names, where its numbers begin and where they end."""

    keywords: Int[np.ndarray, " E"]
    given: Int[np.ndarray, " E"]
    firsts: Int[np.ndarray, " E"]
    ends: Int[np.ndarray, " E"]


def shape(table: str, sizes: Sizes) -> tuple[int, ...]:
    """The sizes of a table's axes."""
    return tuple(sizes.counts[_kind(axis)] for axis in AXES[table])


def assignments(tokens: Tokens, table: str, found: Int[np.ndarray, "E 3"], head: Preamble) -> Assignments:
    """All that the entries of a table assign. What was written later has the higher order: the position of its word."""
    lengths = shape(table, head.sizes)
    if not len(found):
        return Assignments(np.zeros((0, len(lengths)), np.int64), np.zeros(0), np.zeros(0, np.int64))
    entries = _entries(tokens, table, found)
    places = np.full((len(found), len(lengths)), ALL)
    for axis, name in enumerate(AXES[table]):
        named = np.flatnonzero(entries.given > axis)
        at = entries.keywords[named] + 2 + 2 * axis
        places[named, axis] = resolve(tokens, at, _kind(name), head.sizes)
    # A row or a matrix writes zeros first, and its numbers over them.
    wide = np.flatnonzero(entries.given < len(lengths))
    parts = [Assignments(places[wide], np.zeros(len(wide)), entries.keywords[wide])]
    spoken = np.zeros(len(found), bool)
    for keyword in ("uniform", "identity", "reset"):
        chosen = _saying(tokens, entries, keyword)
        _check_spoken(tokens, table, keyword, chosen, entries, lengths)
        parts.append(_spoken(keyword, places[chosen], entries.firsts[chosen], lengths, head.start))
        spoken[chosen] = True
    _check_counts(tokens, table, spoken, entries, head.sizes)
    parts.append(_numbered(tokens, table, np.flatnonzero(~spoken), entries, places, lengths))
    return Assignments(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def form(table: str, given: int) -> str:
    """How an entry that names so many coordinates begins."""
    return f"{table}: " + " : ".join(f"<{axis.replace(' ', '-')}>" for axis in AXES[table][:given])


def _kind(axis: str) -> str:
    """What an axis counts."""
    return axis.removeprefix("next ")


def _entries(tokens: Tokens, table: str, found: Int[np.ndarray, "E 3"]) -> Entries:
    """Find the coordinates of each entry by its colons: words and colons take turns."""
    keywords, _, ends = found.T
    at = np.flatnonzero(tokens.symbols == COLON)
    entry = np.searchsorted(keywords, at, side="right") - 1
    inside = (entry >= 0) & (at < ends[entry])
    at, entry = at[inside], entry[inside]
    rank = np.arange(len(at)) - np.searchsorted(entry, entry)
    most = len(AXES[table])
    wrong = np.flatnonzero((at != keywords[entry] + 1 + 2 * rank) | (rank >= most))
    if len(wrong):
        before = int(at[wrong[0]]) - 1
        if rank[wrong[0]] == 0 or nearest(word(tokens, before)):
            raise stranger(tokens, before)
        raise fault(tokens, before, f"the colon after `{word(tokens, before)}` is out of place; {_hint(table)}")
    given = np.bincount(entry, minlength=len(found))
    few = np.flatnonzero(given < most - 2)
    if len(few):
        raise fault(tokens, int(keywords[few[0]]), f"`R:` needs an action and a state at least; {_hint(table)}")
    if (keywords + 2 * given >= ends).any():
        raise fault(tokens, len(tokens.symbols), f"the file ends after a colon; {_hint(table)}")
    return Entries(keywords, given, keywords + 1 + 2 * given, ends)


def _hint(table: str) -> str:
    """How the longest form of an entry is written."""
    return f"write `{form(table, len(AXES[table]))} <number>`, with `*` for all."


def _saying(tokens: Tokens, entries: Entries, keyword: str) -> Int[np.ndarray, " _"]:
    """Which entries give this word for numbers."""
    if keyword not in tokens.words:
        return np.zeros(0, np.int64)
    said = tokens.symbols[np.minimum(entries.firsts, len(tokens.symbols) - 1)] == tokens.words.index(keyword)
    return np.flatnonzero(said & (entries.ends - entries.firsts == 1))


def _check_spoken(
    tokens: Tokens, table: str, keyword: str, chosen: np.ndarray, entries: Entries, lengths: tuple[int, ...]
) -> None:
    """Each word has its place: `identity` is a square matrix, `reset` a row of transitions, `uniform` probabilities."""
    given = entries.given[chosen]
    if keyword == "uniform":
        fits, where = (given < len(lengths)) & (table != "R"), "for a row or a matrix of `T:` or `O:`"
    elif keyword == "identity":
        square = table != "R" and lengths[1] == lengths[2]
        fits, where = (given == 1) & square, f"for the square matrix of an action, `{form('T', 1)} identity`"
    else:
        fits, where = (given < len(lengths)) & (table == "T"), f"for transitions, `{form('T', 2)} reset`"
    if not fits.all():
        at = int(entries.firsts[chosen[np.argmin(fits)]])
        raise fault(tokens, at, f"`{keyword}` cannot be used here; it stands {where}.")


def _check_counts(tokens: Tokens, table: str, spoken: np.ndarray, entries: Entries, sizes: Sizes) -> None:
    """An entry that names coordinates gives one number for each place that they leave open."""
    lengths = shape(table, sizes)
    wanted = np.append(np.cumprod(lengths[::-1], dtype=np.int64)[::-1], 1)[entries.given]
    counts = entries.ends - entries.firsts
    wrong = np.flatnonzero(~spoken & (counts != wanted))
    if not len(wrong):
        return
    entry = int(wrong[0])
    given = int(entries.given[entry])
    for index in range(int(entries.firsts[entry]), int(entries.ends[entry])):
        if tokens.symbols[index] >= 0:
            near = difflib.get_close_matches(word(tokens, index), ("uniform", "identity", "reset"), 1)
            mend = f"did you mean `{near[0]}`?" if near else _hint(table)
            raise fault(tokens, index, f"`{word(tokens, index)}` stands where a number is wanted; {mend}")
    left = " x ".join(
        f"{length} {_kind(axis)}s" for length, axis in zip(lengths[given:], AXES[table][given:], strict=True)
    )
    many = f"{wanted[entry]} numbers ({left})" if left else "one number"
    hint = f" For a single one {_hint(table)}" if counts[entry] == 1 else ""
    raise fault(
        tokens, int(entries.keywords[entry]), f"`{form(table, given)}` wants {many} and has {counts[entry]}.{hint}"
    )


def _spoken(
    keyword: str,
    places: Int[np.ndarray, "E D"],
    orders: Int[np.ndarray, " E"],
    lengths: tuple[int, ...],
    start: Float[np.ndarray, " S"],
) -> Assignments:
    """What a word stands for."""
    if keyword == "uniform":
        return Assignments(places, np.full(len(places), 1.0 / lengths[-1]), orders)
    chances = np.ones(lengths[-1]) if keyword == "identity" else start[start > 0]
    columns = np.arange(lengths[-1]) if keyword == "identity" else np.flatnonzero(start)
    filled = np.repeat(places, len(columns), 0)
    filled[:, -1] = np.tile(columns, len(places))
    if keyword == "identity":
        filled[:, -2] = filled[:, -1]
    return Assignments(filled, np.tile(chances, len(places)), np.repeat(orders, len(columns)))


def _numbered(
    tokens: Tokens,
    table: str,
    chosen: Int[np.ndarray, " E"],
    entries: Entries,
    places: Int[np.ndarray, "F D"],
    lengths: tuple[int, ...],
) -> Assignments:
    """What numbers say, the last coordinate running fastest."""
    counts = (entries.ends - entries.firsts)[chosen]
    entry = np.repeat(chosen, counts)
    offsets = np.arange(len(entry)) - np.repeat(np.cumsum(counts) - counts, counts)
    at = entries.firsts[entry] + offsets
    values = numbers(tokens, at) if table == "R" else probabilities(tokens, at)
    told = (values != 0) | (entries.given[entry] == len(lengths))
    entry, offsets, at, values = entry[told], offsets[told], at[told], values[told]
    filled = places[entry]
    for axis in reversed(range(len(lengths))):
        left = entries.given[entry] <= axis
        filled[left, axis] = offsets[left] % lengths[axis]
        offsets[left] //= lengths[axis]
    return Assignments(filled, values, at)

"""What does the head of a .pomdp file say, and where are its sections?

Sections may come in any order, though Cassandra's grammar wants the preamble first; `values:` may be left out (rewards
are meant), and so may `start:` (every state is as likely). Axis letters: S states, W words, E entries of a table.
"""

import difflib
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tacit.arrays import ROUNDING, TOLERANCE
from tacit.pomdps.assignments import ALL, LARGEST
from tacit.pomdps.tokens import COLON, STAR, Tokens, fault, word

NAMED = {"states": "state", "actions": "action", "observations": "observation"}
"""The sections that name or count something."""

SECTIONS = ("discount", "values", *NAMED, "start", "T", "O", "R")

SLACK = TOLERANCE * (1.0 + 1e-6)
"""How far from one a sum may be: as in arrays, and a hair more, for three times 0.33333 is at the very edge."""

MOST = 1_000_000
"""The most states, actions or observations."""


class Section(NamedTuple):
    """Where a section's keyword is, where the word after its colon is, and where the next section begins."""

    keyword: int
    first: int
    end: int


class Sizes(NamedTuple):
    """How many states, actions and observations there are ("state" and so on), and the names that the file gives."""

    counts: dict[str, int]
    names: dict[str, tuple[str, ...] | None]

    def name(self, kind: str, index: int) -> str:
        """What the file calls one of them."""
        names = self.names[kind]
        return str(index) if names is None else names[index]


class Preamble(NamedTuple):
    """All but the tables. `sign` makes rewards of what the file gives: -1 for costs."""

    discount: float
    sign: float
    sizes: Sizes
    start: Float[np.ndarray, " S"]


def sections(tokens: Tokens) -> dict[str, Int[np.ndarray, "_ 3"]]:
    """The sections of each kind in their order; a row is what Section says of one."""
    if not len(tokens.symbols):
        raise fault(tokens, 0, "the file is empty; it should begin with `discount:`, `states:` and so on.")
    place = {name: index for index, name in enumerate(tokens.words)}
    symbols = np.append(tokens.symbols, [ALL, ALL])
    now, after, second = symbols[:-2], symbols[1:-1], symbols[2:]
    begins = np.isin(now, _present(place, SECTIONS)) & (after == COLON)
    subsets = np.isin(after, _present(place, ("include", "exclude")))
    begins |= np.isin(now, _present(place, ("start",))) & subsets & (second == COLON)
    # After a colon the same word is a name, unless that colon belongs to a section of the preamble that is left empty.
    begins[1:] &= now[:-1] != COLON
    empty = begins[:-2] & np.isin(now[:-2], _present(place, SECTIONS[:-3])) & (now[1:-1] == COLON)
    begins[2:] |= empty & np.isin(now[2:], _present(place, SECTIONS)) & (after[2:] == COLON)
    keywords = np.flatnonzero(begins)
    if not len(keywords) or keywords[0] > 0:
        raise stranger(tokens, 0)
    ends = np.append(keywords[1:], len(tokens.symbols))
    firsts = keywords + 2 + subsets[keywords]
    found, letters = np.stack([keywords, firsts, ends], 1), tokens.symbols[keywords]
    return {name: found[letters == place.get(name, ALL - 1)] for name in SECTIONS}


def nearest(given: str) -> str | None:
    """The section that a word was probably meant to begin."""
    near = difflib.get_close_matches(given.lower(), SECTIONS, 1)
    return near[0] if near else next((name for name in "TOR" if name == given.upper()), None)


def stranger(tokens: Tokens, index: int) -> ValueError:
    """The error for a word that stands where a section should begin."""
    given = word(tokens, index)
    meant = nearest(given)
    if meant == given:
        return fault(tokens, index, f"`{given}` should be followed by a colon.")
    every = ", ".join(f"`{name}:`" for name in SECTIONS)
    mend = f"did you mean `{meant}:`?" if meant else f"sections are {every}."
    return fault(tokens, index, f"`{given}` begins no section; {mend}")


def preamble(tokens: Tokens, found: dict[str, Int[np.ndarray, "_ 3"]]) -> Preamble:
    """Read all sections but the tables."""
    single: dict[str, Section] = {}
    for name in SECTIONS[:-3]:
        for section in (Section(*row) for row in found[name].tolist()):
            if name in single:
                raise fault(tokens, section.keyword, f"`{name}:` is given a second time; keep one.")
            single[name] = section
            colons = np.flatnonzero(tokens.symbols[section.first : section.end] == COLON)
            if len(colons):
                raise stranger(tokens, section.first + max(0, int(colons[0]) - 1))
    for name, hint in (
        ("discount", "add one, such as `discount: 0.95`."),
        ("states", "add one, such as `states: 2` or `states: left right`."),
        ("actions", "add one, such as `actions: 2` or `actions: wait go`."),
        ("observations", "add one; if the state is seen (an MDP), as many as states, and `O: * identity`."),
    ):
        if name not in single:
            raise fault(tokens, len(tokens.symbols), f"the file has no `{name}:` section; {hint}")
    sizes = _sizes(tokens, single)
    discount, sign = _discount(tokens, single["discount"]), _sign(tokens, single.get("values"))
    return Preamble(discount, sign, sizes, _start(tokens, single.get("start"), sizes))


def resolve(tokens: Tokens, at: Int[np.ndarray, " E"], kind: str, sizes: Sizes) -> Int[np.ndarray, " E"]:
    """The index of the state, action or observation that the word at each position means; ALL for a star."""
    count, names = sizes.counts[kind], sizes.names[kind]
    known = np.full(len(tokens.words) + 1, ALL - 1)
    known[STAR] = ALL
    if names is not None:
        place = {name: index for index, name in enumerate(tokens.words)}
        known[[place[name] for name in names]] = np.arange(count)
    numbered = tokens.whole[at] & (tokens.numbers[at] < count)
    indices = np.where(numbered, np.where(numbered, tokens.numbers[at], 0).astype(np.int64), known[tokens.symbols[at]])
    unknown = np.flatnonzero(indices == ALL - 1)
    if not len(unknown):
        return indices
    index = int(at[unknown[0]])
    given, numbers = word(tokens, index), f"use a number from 0 to {count - 1}" if count > 1 else "the only one is 0"
    if tokens.symbols[index] < 0 or names is None:
        raise fault(tokens, index, f"there is no {kind} `{given}`; {numbers}.")
    near = difflib.get_close_matches(given, names, 3) if count <= 20_000 else []
    mend = f"did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else f"`{kind}s:` does not list it."
    raise fault(tokens, index, f"there is no {kind} `{given}`; {mend}")


def numbers(tokens: Tokens, at: Int[np.ndarray, " E"]) -> Float[np.ndarray, " E"]:
    """The finite numbers at these positions."""
    found = tokens.numbers[at]
    wrong = np.flatnonzero(~np.isfinite(found))
    if len(wrong):
        index = int(at[wrong[0]])
        raise fault(tokens, index, f"`{word(tokens, index)}` stands where a number is wanted.")
    return found


def probabilities(tokens: Tokens, at: Int[np.ndarray, " E"]) -> Float[np.ndarray, " E"]:
    """The numbers at these positions, each of them a probability."""
    found = numbers(tokens, at)
    wrong = np.flatnonzero((found < 0) | (found > 1.0 + SLACK))
    if len(wrong):
        index = int(at[wrong[0]])
        raise fault(tokens, index, f"{word(tokens, index)} is no probability; it must be from 0 to 1.")
    return found


def _present(place: dict[str, int], names: tuple[str, ...]) -> list[int]:
    """Where those of the names that occur stand in the vocabulary."""
    return [place[name] for name in names if name in place]


def _sizes(tokens: Tokens, single: dict[str, Section]) -> Sizes:
    """Read what is counted or named."""
    counts: dict[str, int] = {}
    names: dict[str, tuple[str, ...] | None] = {}
    for section, kind in NAMED.items():
        keyword, first, end = single[section]
        if first == end:
            raise fault(tokens, keyword, f"`{section}:` is empty; give a number or names.")
        counted = end - first == 1 and tokens.symbols[first] < 0
        count = tokens.numbers[first] if counted else end - first
        if counted and not (tokens.whole[first] and count >= 1):
            raise fault(tokens, first, f"`{section}: {word(tokens, first)}` should be a whole number, at least 1.")
        if count > MOST:
            raise fault(tokens, first, f"{count:.0f} {section} are too many; at most {MOST} can be held.")
        counts[kind] = int(count)
        names[kind] = None if counted else _names(tokens, first, end, section)
    held = counts["state"] * counts["action"]
    if held > LARGEST or math.prod(counts.values()) * counts["state"] >= 1 << 62:
        given = ", ".join(f"{counts[kind]} {section}" for section, kind in NAMED.items())
        raise fault(tokens, single["states"].keyword, f"{given} are more than can be held in memory.")
    return Sizes(counts, names)


def _names(tokens: Tokens, first: int, end: int, section: str) -> tuple[str, ...]:
    """A list of names, each of them once."""
    symbols = tokens.symbols[first:end]
    wrong = np.flatnonzero((symbols < 0) | (symbols == STAR))
    if len(wrong):
        index = first + int(wrong[0])
        raise fault(tokens, index, f"`{word(tokens, index)}` in `{section}:` is no name; names begin with a letter.")
    _, once = np.unique(symbols, return_index=True)
    if len(once) < len(symbols):
        index = first + int(np.setdiff1d(np.arange(len(symbols)), once)[0])
        raise fault(tokens, index, f"`{section}:` lists `{word(tokens, index)}` twice; names must differ.")
    return tuple(tokens.words[symbol] for symbol in symbols)


def _discount(tokens: Tokens, section: Section) -> float:
    """Read `discount:`."""
    keyword, first, end = section
    _check_single(tokens, section)
    if end - first != 1 or not 0.0 <= tokens.numbers[first] <= 1.0:
        raise fault(tokens, keyword, f"`discount: {_shown(tokens, first, end)}` should be one number from 0 to 1.")
    return float(tokens.numbers[first])


def _sign(tokens: Tokens, section: Section | None) -> float:
    """Read `values:`."""
    if section is None:
        return 1.0
    _check_single(tokens, section)
    given = _shown(tokens, section.first, section.end)
    if given not in ("reward", "cost", "rewards", "costs"):  # Published files have the plurals too.
        raise fault(tokens, section.keyword, f"`values: {given}` should be `values: reward` or `values: cost`.")
    return 1.0 if given.startswith("reward") else -1.0


def _check_single(tokens: Tokens, section: Section) -> None:
    """Where one word is wanted, a second is a section whose colon was forgotten."""
    if section.end > section.first + 1 and word(tokens, section.first + 1) in SECTIONS:
        raise stranger(tokens, section.first + 1)


def _shown(tokens: Tokens, first: int, end: int) -> str:
    """The first words of a section."""
    return " ".join(word(tokens, index) for index in range(first, min(end, first + 3)))


def _start(tokens: Tokens, section: Section | None, sizes: Sizes) -> Float[np.ndarray, " S"]:
    """Read `start:`, `start include:` or `start exclude:`."""
    count = sizes.counts["state"]
    if section is None:
        return np.full(count, 1.0 / count)
    keyword, first, end = section
    if first == keyword + 3:
        return _subset(tokens, section, sizes)
    if end == first + 1 and word(tokens, first) == "uniform":
        return np.full(count, 1.0 / count)
    at = np.arange(first, end)
    named = tokens.symbols[at] >= 0
    if len(at) == 1 and (named[0] or (tokens.whole[first] and (count > 1 or tokens.numbers[first] == 0))):
        state = resolve(tokens, at, "state", sizes)[0]
        return np.full(count, 1.0 / count) if state == ALL else np.eye(1, count, state)[0]
    if named.any():
        index = int(at[np.argmax(named)])
        hint = "to start in one of several states write `start include:`."
        raise fault(tokens, index, f"`{word(tokens, index)}` stands where a probability is wanted; {hint}")
    chances = probabilities(tokens, at)
    if len(chances) != count:
        raise fault(tokens, keyword, f"`start:` wants {count} probabilities, one for each state, and has {len(at)}.")
    total = chances.sum()
    if abs(total - 1.0) > SLACK:
        raise fault(tokens, keyword, f"the probabilities of `start:` sum to {total:.9g}; they must sum to 1.")
    return chances if abs(total - 1.0) <= ROUNDING else chances / total


def _subset(tokens: Tokens, section: Section, sizes: Sizes) -> Float[np.ndarray, " S"]:
    """Read `start include:` or `start exclude:`; the states that are left are as likely."""
    which = word(tokens, section.keyword + 1)
    states = resolve(tokens, np.arange(section.first, section.end), "state", sizes)
    if not len(states):
        raise fault(tokens, section.keyword, f"`start {which}:` is empty; list states.")
    listed = np.zeros(sizes.counts["state"], bool)
    listed[states] = True
    listed |= (states == ALL).any()
    chosen = listed if which == "include" else ~listed
    if not chosen.any():
        raise fault(tokens, section.keyword, "`start exclude:` leaves no state to start in.")
    return chosen / chosen.sum()

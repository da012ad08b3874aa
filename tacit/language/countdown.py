"""Countdown: make a number from given ones. Questions to draw, an expert's expression for each, and an exact checker.

Every number is used once, with + - * / and parentheses; fractions on the way are allowed. Two forms: three numbers and
any target, and four numbers that make 24 (the task of Cai and Provilkov 2025). A demonstration is the question and one
expression, never the way to it. The checker is for evaluation and for RLVR, the ceiling; RARO never sees it.
"""

import dataclasses
import functools
import itertools
import re
from collections import Counter
from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from tacit.language.demonstrations import Demonstration

QUESTION = "Make {target} from {numbers}, each once."
_QUESTION = re.compile(r"Make ([0-9]{1,9}) from ([0-9]{1,9}(?: [0-9]{1,9})*), each once\.")
_TOKEN = re.compile(r"\s*([0-9]+|[-+*/()])", re.ASCII)
_BINDS = {"+": 1, "-": 1, "*": 2, "/": 2}


class Puzzle(NamedTuple):
    """The numbers, in the order in which they are given, and what to make of them."""

    numbers: tuple[int, ...]
    target: int

    @property
    def question(self) -> str:
        """The puzzle in words."""
        return QUESTION.format(target=self.target, numbers=" ".join(map(str, self.numbers)))

    @property
    def identity(self) -> str:
        """A name that does not depend on the order of the numbers."""
        return f"{self.target}-from-{'-'.join(map(str, sorted(self.numbers)))}"


def read_question(question: str) -> Puzzle:
    """The puzzle that a question puts. Raises ValueError for any other text."""
    found = _QUESTION.fullmatch(question)
    if found is None:
        raise ValueError(f"{question!r} is no question of Countdown; one reads {Puzzle((3, 5), 8).question!r}.")
    return Puzzle(tuple(int(number) for number in found[2].split()), int(found[1]))


def solves(question: str, answer: str) -> bool:
    """Whether `answer` is an expression that uses each number of the question once and makes the target exactly."""
    puzzle, tokens = read_question(question), _tokens(answer)
    # Compared as text and before any arithmetic, so that no answer can make the numbers large.
    used = [token for token in tokens if token.isdigit()]
    if Counter(used) != Counter(map(str, puzzle.numbers)):
        return False
    postfix = _postfix(tokens)
    return postfix is not None and _value(postfix) == puzzle.target


def _tokens(text: str) -> list[str]:
    """The numbers and signs of an expression; none if there is anything else in it."""
    text, found, place = text.strip(), [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return []
        found.append(match[1])
        place = match.end()
    return found


def _postfix(tokens: list[str]) -> list[str] | None:
    """An expression with its signs behind what they join, None where it is not well formed.

    Dijkstra's stack of waiting signs instead of recursion, so that no depth of parentheses is too deep.
    """
    found: list[str] = []
    waiting: list[str] = []
    number_next = True
    for token in tokens:
        if number_next != (token.isdigit() or token == "("):
            return None
        if token.isdigit():
            found.append(token)
        elif token == "(":
            waiting.append(token)
        else:
            # A closing parenthesis lets all signs go that wait since the opening one.
            while waiting and _BINDS.get(waiting[-1], 0) >= _BINDS.get(token, 1):
                found.append(waiting.pop())
            if token != ")":
                waiting.append(token)
            elif waiting:
                waiting.pop()
            else:
                return None
        number_next = token == "(" or token in _BINDS
    return None if number_next or "(" in waiting else [*found, *reversed(waiting)]


def _value(postfix: list[str]) -> Fraction | None:
    """What an expression is worth, None where it divides by zero."""
    values: list[Fraction] = []
    for token in postfix:
        if token.isdigit():
            values.append(Fraction(int(token)))
            continue
        right, left = values.pop(), values.pop()
        if token == "/" and right == 0:
            return None
        values.append(_combined(left, token, right))
    return values[0]


def _combined(left: Fraction, sign: str, right: Fraction) -> Fraction:
    return (
        left + right if sign == "+" else left - right if sign == "-" else left * right if sign == "*" else left / right
    )


class Expression(NamedTuple):
    """A value, how it is written, and how tightly what is written binds (3 for a number)."""

    value: Fraction
    text: str
    binds: int = 3


@functools.lru_cache(maxsize=4096)
def expressions(numbers: tuple[int, ...]) -> Mapping[Fraction, tuple[str, ...]]:
    """Every expression of all the numbers, each once, by value; without needless parentheses, sorted."""
    found: dict[Fraction, set[str]] = {}
    seen: set[tuple[str, ...]] = set()

    def combine(left: list[Expression]) -> None:
        if len(left) == 1:
            found.setdefault(left[0].value, set()).add(left[0].text)
            return
        state = tuple(sorted(one.text for one in left))
        if state in seen:
            return
        seen.add(state)
        for one, other in itertools.permutations(range(len(left)), 2):
            rest = [left[index] for index in range(len(left)) if index not in (one, other)]
            for sign in _BINDS:
                if (sign in "+*" and one > other) or (sign == "/" and left[other].value == 0):
                    continue
                combine([*rest, _written(left[one], sign, left[other])])

    combine([Expression(Fraction(number), str(number)) for number in sorted(numbers)])
    return {value: tuple(sorted(texts)) for value, texts in found.items()}


def _written(left: Expression, sign: str, right: Expression) -> Expression:
    """Two expressions joined by a sign, in parentheses only where they are needed."""
    binds = _BINDS[sign]
    first = f"({left.text})" if left.binds < binds else left.text
    keep = right.binds > binds or (right.binds == binds and sign in "+*")
    second = right.text if keep else f"({right.text})"
    return Expression(_combined(left.value, sign, right.value), f"{first} {sign} {second}", binds)


@dataclasses.dataclass(frozen=True)
class Form:
    """How many numbers, from 1 to `largest`, and which targets are asked for."""

    num_numbers: int
    largest: int
    lowest_target: int
    highest_target: int


THREE = Form(num_numbers=3, largest=9, lowest_target=1, highest_target=60)
TWENTY_FOUR = Form(num_numbers=4, largest=13, lowest_target=24, highest_target=24)


def draw(form: Form, num: int, rng: np.random.Generator, without: Collection[str] = frozenset()) -> list[Demonstration]:
    """`num` different puzzles with an expert's expression each, drawn evenly from all that solve the puzzle.

    Puzzles whose id is in `without` are left out, so that a test set shares none with a training set. Raises ValueError
    when a form does not hold so many.
    """
    found: dict[str, Demonstration] = {}
    missed = 0
    while len(found) < num:
        numbers = tuple(int(number) for number in rng.integers(1, form.largest + 1, form.num_numbers))
        by_value = expressions(tuple(sorted(numbers)))
        targets = range(form.lowest_target, form.highest_target + 1)
        reached = [target for target in targets if target in by_value]
        puzzle = Puzzle(numbers, int(rng.choice(reached))) if reached else None
        if puzzle is None or puzzle.identity in found or puzzle.identity in without:
            missed += 1
            if missed > 1000 + 20 * num:
                raise ValueError(f"Only {len(found)} of {num} puzzles were found; ask for fewer, or a larger form.")
            continue
        expert = str(rng.choice(by_value[Fraction(puzzle.target)]))
        found[puzzle.identity] = Demonstration(puzzle.identity, puzzle.question, expert)
    return list(found.values())

"""Countdown with every step written out: an answer that can be checked as it is read, one small sum after the other.

"7 * 4 = 28 ; 28 - 4 = 24" answers "Make 24 from 7 4 4, each once." It is a final answer like an expression, but a small
model need not evaluate it in its head. All values on the way are whole numbers from 0 to 60. As in `countdown`, the
checker is for evaluation and for RLVR, the ceiling; RARO never sees it.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping

import numpy as np

from tacit.language.countdown import Form, Puzzle, read_question
from tacit.language.demonstrations import Demonstration

HIGHEST = 60
"""The largest number on the way, so that few words are enough to say any."""

_STEP = re.compile(r"([0-9]{1,9}) ([-+*/]) ([0-9]{1,9}) = ([0-9]{1,9})", re.ASCII)


def solves(question: str, answer: str) -> bool:
    """Whether `answer` takes numbers of the question, or results of its own, each once, and ends with the target."""
    puzzle = read_question(question)
    left = list(puzzle.numbers)
    for text in answer.split(" ; "):
        step = _STEP.fullmatch(text)
        if step is None:
            return False
        first, sign, second, result = int(step[1]), step[2], int(step[3]), int(step[4])
        for number in (first, second):
            if number not in left:
                return False
            left.remove(number)
        if _combined(first, sign, second) != result:
            return False
        left.append(result)
    return left == [puzzle.target]


def _combined(first: int, sign: str, second: int) -> int | None:
    """What two numbers make; None where that is no whole number from 0 on."""
    if sign == "/":
        return first // second if second and first % second == 0 else None
    made = first + second if sign == "+" else first - second if sign == "-" else first * second
    return made if made >= 0 else None


@functools.lru_cache(maxsize=4096)
def answers(numbers: tuple[int, ...]) -> Mapping[int, tuple[str, ...]]:
    """Every answer that uses all the numbers, by what it makes, sorted; of a sum or product the larger part first."""
    found: dict[int, set[str]] = {}
    for steps, made in _ways(numbers):
        found.setdefault(made, set()).add(" ; ".join(steps))
    return {made: tuple(sorted(texts)) for made, texts in found.items()}


def _ways(numbers: tuple[int, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """All ways to join numbers until one is left: the steps, and the one."""
    if len(numbers) == 1:
        yield (), numbers[0]
        return
    for first, second in itertools.permutations(range(len(numbers)), 2):
        rest = tuple(number for index, number in enumerate(numbers) if index not in (first, second))
        for sign in "+-*/":
            made = _combined(numbers[first], sign, numbers[second])
            if made is None or made > HIGHEST or (sign in "+*" and numbers[first] < numbers[second]):
                continue
            step = f"{numbers[first]} {sign} {numbers[second]} = {made}"
            for steps, last in _ways((*rest, made)):
                yield (step, *steps), last


def every_puzzle(form: Form) -> list[Puzzle]:
    """All puzzles of a form that can be answered so, numbers in rising order."""
    targets = range(form.lowest_target, form.highest_target + 1)
    return [
        Puzzle(numbers, target)
        for numbers in itertools.combinations_with_replacement(range(1, form.largest + 1), form.num_numbers)
        for target in targets
        if target in answers(numbers)
    ]


def demonstrate(puzzle: Puzzle, rng: np.random.Generator) -> Demonstration:
    """A puzzle with its numbers in any order, and an expert's answer, drawn evenly from all there are."""
    numbers = tuple(rng.permutation(puzzle.numbers).tolist())
    known = answers(tuple(sorted(puzzle.numbers))).get(puzzle.target)
    if known is None:
        raise ValueError(f"{puzzle.target} cannot be made from {puzzle.numbers} by whole numbers up to {HIGHEST}.")
    return Demonstration(puzzle.identity, Puzzle(numbers, puzzle.target).question, str(rng.choice(known)))

"""Countdown answered in steps: the checker against evaluation by hand, and all answers against brute force."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from tacit.language import worked
from tacit.language.countdown import THREE, Form, Puzzle

SIGNS = {"+": Fraction.__add__, "-": Fraction.__sub__, "*": Fraction.__mul__, "/": Fraction.__truediv__}


def makes(text: str, numbers: tuple[int, ...]) -> Fraction | None:
    """What an answer makes, read with a stack of numbers that may be used; None where it is not allowed."""
    left = sorted(map(Fraction, numbers))
    for step in text.split(" ; "):
        first, sign, second, _, result = step.split(" ")
        for number in (first, second):
            if Fraction(number) not in left:
                return None
            left.remove(Fraction(number))
        if (sign, second) == ("/", "0") or SIGNS[sign](Fraction(first), Fraction(second)) != Fraction(result):
            return None
        left.append(Fraction(result))
    return left[0] if len(left) == 1 else None


def test_every_answer_makes_what_it_says(rng) -> None:
    for _ in range(30):
        numbers = tuple(sorted(rng.integers(1, 13, int(rng.integers(1, 5))).tolist()))
        for made, texts in worked.answers(numbers).items():
            assert 0 <= made <= worked.HIGHEST
            for text in texts if len(numbers) > 1 else ():
                assert makes(text, numbers) == made
                assert worked.solves(Puzzle(numbers, made).question, text)


def test_no_answer_is_forgotten(rng) -> None:
    """Two numbers: everything that can be written, tried."""
    for _ in range(20):
        pair = tuple(sorted(rng.integers(1, 20, 2).tolist()))
        written = {
            (f"{first} {sign} {second} = {made}", made)
            for first, second in itertools.permutations(pair)
            for sign in SIGNS
            for made in range(worked.HIGHEST + 1)
            if SIGNS[sign](Fraction(first), Fraction(second)) == made and not (sign in "+*" and first < second)
        }
        found = {(text, made) for made, texts in worked.answers(pair).items() for text in texts}
        assert found == written


def test_a_change_of_one_word_is_noticed(rng) -> None:
    """Whatever word is changed: the checker and the reading by hand agree on what is then right."""
    for puzzle in rng.permutation(np.array(worked.every_puzzle(THREE), dtype=object))[:60]:
        one = worked.demonstrate(Puzzle(tuple(puzzle[0]), puzzle[1]), rng)
        assert worked.solves(one.question, one.answer)
        words = one.answer.split(" ")
        for place in range(0, len(words), 2):
            changed = [*words]
            changed[place] = str(rng.integers(0, 30)) if words[place].isdigit() else words[place]
            text = " ".join(changed)
            assert worked.solves(one.question, text) == (makes(text, tuple(puzzle[0])) == puzzle[1])


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "24",
        "7 * 4 = 28",
        "7 * 4 = 28 ; 28 - 4 = 23",
        "7 * 4 = 28 ; 28 - 4 = 24 ; ",
        "7*4=28;28-4=24",
        "4 * 4 = 16 ; 16 + 8 = 24",
        "7 / 4 = 1 ; 1 - 4 = 24",
        "４ * 7 = 28 ; 28 - 4 = 24",
        "7 * 4 = 28 ; 28 - 4 = 24 ; 24 + 0 = 24",
        "7 - 4 = 3 ; 4 - 3 = -1",
        "9" * 5000,
    ],
)
def test_what_is_no_right_answer(answer) -> None:
    assert worked.solves("Make 24 from 7 4 4, each once.", "7 * 4 = 28 ; 28 - 4 = 24")
    assert worked.solves("Make 24 from 7 4 4, each once.", "4 * 7 = 28 ; 28 - 4 = 24")
    assert not worked.solves("Make 24 from 7 4 4, each once.", answer)


def test_division_by_nothing() -> None:
    assert not worked.solves("Make 3 from 2 2 3, each once.", "2 - 2 = 0 ; 3 / 0 = 3")
    assert worked.solves("Make 0 from 2 2 3, each once.", "2 - 2 = 0 ; 0 * 3 = 0")


def test_questions_and_puzzles(rng) -> None:
    form = Form(3, 4, 5, 9)
    puzzles = worked.every_puzzle(form)
    assert len({puzzle.identity for puzzle in puzzles}) == len(puzzles)
    reached = {
        (numbers, target)
        for numbers in itertools.combinations_with_replacement(range(1, 5), 3)
        for target in range(5, 10)
        if target in worked.answers(numbers)
    }
    assert {(one.numbers, one.target) for one in puzzles} == reached
    with pytest.raises(ValueError, match="60 cannot be made"):
        worked.demonstrate(Puzzle((1, 1, 1), 60), rng)
    with pytest.raises(ValueError, match="no question of Countdown"):
        worked.solves("What is 3 + 4?", "3 + 4 = 7")

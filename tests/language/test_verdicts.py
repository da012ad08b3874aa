"""Labels from free text: what models write, what must not be taken for a label, and texts drawn at random."""

import string
import time

import numpy as np
import pytest

from tacit.language.game import FIRST, SECOND, TIE, UNREADABLE
from tacit.language.verdicts import SAYING, WORDS, read

READABLE = {
    "Label: 1": FIRST,
    "label: 2.": SECOND,
    "LABEL = tie": TIE,
    "**Label:** 1": FIRST,
    "**Label: Tie**": TIE,
    "Label: \\boxed{2}": SECOND,
    "<label>1</label>": FIRST,
    '{"label": "2", "confidence": 0.9}': SECOND,
    "Label: Answer 2": SECOND,
    "Label:\n1": FIRST,
    "Label: [tie]": TIE,
    "Label: first": FIRST,
    "Verdict: the second answer": SECOND,
    "Label - 1": FIRST,
    "Label: 2nd": SECOND,
    "The label is 2": SECOND,
    "Answer 1 is wrong, and answer 1 is long. Label: 2": SECOND,
    "My first verdict: 1. On second thought, label: tie": TIE,
    "Label: 1. Answer 2 is wrong.": FIRST,
    "Label: 1\nAnswer 2 is wrong.": FIRST,
    "Label: tie (answers 1 and 2 are equal)": TIE,
    "some thought\n\n2\n": SECOND,
    "some thought\n**Tie.**": TIE,
    "Answer 1": FIRST,
    "１ is not the way; label: 2": SECOND,
}

NOT_READABLE = [
    "",
    "   \n ",
    "Label:",
    "Label: ",
    "I think that answer 1 is better",
    "answer 1 is better than answer 2",
    "Label: 1 or 2",
    "Label: 1/2",
    "Label: 1-2",
    "Label: 1 2",
    "Label: 1 | 2 | tie",
    "Label: not 1",
    "Label: 10",
    "Label: 1.5",
    "Label: 12",
    "Label: -1",
    "Label: 3",
    "Label: 0",
    "Label: both",
    "Label: first and second",
    "Label: 1. Let me think again. Label:",
    "Label: ?1x",
    "1 2",
    "1\nbut I am not sure",
    "untie",
    "Labelled 1",
]


@pytest.mark.parametrize("text", READABLE)
def test_readable(text: str) -> None:
    assert read(text) == READABLE[text]


@pytest.mark.parametrize("text", NOT_READABLE)
def test_not_readable(text: str) -> None:
    assert read(text) == UNREADABLE


def test_what_critics_are_asked_to_say_is_understood() -> None:
    assert {read(text): text for text in SAYING.values()} == SAYING


def test_reasoning_decides_nothing(rng) -> None:
    """Whatever words of any label come before the mark, the label behind it counts."""
    words = [*WORDS, "answer", "label:", "is", "better", "\n", "verdict", "not", "or", "."]
    for _ in range(300):
        reasoning = " ".join(rng.choice(words, size=rng.integers(0, 30)))
        word = str(rng.choice(list(WORDS)))
        assert read(f"{reasoning}\nLabel: {word}") == WORDS[word]


def test_a_reader_that_looks_at_the_reasoning_is_noticed() -> None:
    """The fault of the public implementation: "answer 1" anywhere comes first."""

    def broken(text: str) -> int:
        return FIRST if "answer 1" in text.lower() else read(text)

    assert [text for text in READABLE if broken(text) != READABLE[text]]


def test_any_text_gives_a_label_and_soon(rng) -> None:
    symbols = list(string.printable + "éß１٣🙂\u2028\x00")
    for _ in range(300):
        assert read("".join(rng.choice(symbols, size=rng.integers(0, 80)))) in (FIRST, SECOND, TIE, UNREADABLE)
    started = time.process_time()
    for hostile in ("label " * 50_000, "1" * 300_000, "-" * 300_000, "\n" * 300_000, "label:" + "1," * 100_000):
        read(hostile)
    assert time.process_time() - started < 5.0


def test_labels_are_numbers_of_the_game() -> None:
    assert isinstance(np.array([read("Label: tie")])[0], np.integer)

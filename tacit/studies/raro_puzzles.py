"""Which puzzles does RARO's study on small machines ask, and which is a model from nothing schooled with?

Countdown with three numbers, answered in steps (`tacit.language.worked`). The puzzles of the study are set apart from
all others. The others, and sums that are about nothing, are what a model is schooled with.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from tacit.language import worked
from tacit.language.countdown import Form, Puzzle
from tacit.language.demonstrations import Demonstration, Draw

WORDS = (
    *("Question: Make", "Question: Use", "from", ", each once.", ";", "=", "+", "-", "*", "/"),
    *map(str, range(worked.HIGHEST + 1)),
)
"""All that is ever said."""


class Problems(NamedTuple):
    """The pairs that are shown, and puzzles that are not, to be answered at the end."""

    shown: list[Demonstration]
    unseen: list[Demonstration]


@dataclasses.dataclass(frozen=True)
class Puzzles:
    """The form of the puzzles, and how many are shown and kept back; all others are left to school a model with."""

    form: Form
    num_shown: int
    num_unseen: int

    def split(self) -> tuple[list[Puzzle], list[Puzzle]]:
        """The puzzles of the study and the others, the same for every seed."""
        every = worked.every_puzzle(self.form)
        order, num = np.random.default_rng(0).permutation(len(every)), self.num_shown + self.num_unseen
        if num >= len(every):
            raise ValueError(f"There are {len(every)} puzzles of this form; {num} leave none to school a model with.")
        return [every[index] for index in order[:num]], [every[index] for index in order[num:]]

    def draw(self, seed: int) -> Problems:
        """Which puzzles are shown and which kept back, and what the expert answers."""
        rng = np.random.default_rng([seed, 1])
        puzzles, _ = self.split()
        answered = [worked.demonstrate(puzzles[index], rng) for index in rng.permutation(len(puzzles))]
        return Problems(answered[: self.num_shown], answered[self.num_shown :])

    def others(self) -> Draw:
        """Problems that the study does not ask, with their answers."""
        _, others = self.split()
        return lambda num, rng: [worked.demonstrate(others[rng.integers(len(others))], rng) for _ in range(num)]

    def lessons(self) -> Draw:
        """What a model is schooled with: other problems, and as many sums about nothing."""
        others = self.others()

        def draw(num: int, rng: np.random.Generator) -> list[Demonstration]:
            return [*others(num // 2, rng), *(aimless(self.form, rng) for _ in range(num - num // 2))]

        return draw


def aimless(form: Form, rng: np.random.Generator) -> Demonstration:
    """Numbers put together in any way: how an answer is written, and right sums, but not what is wanted."""
    numbers = tuple(rng.integers(1, form.largest + 1, form.num_numbers).tolist())
    known = worked.answers(tuple(sorted(numbers)))
    made = int(rng.choice(list(known)))
    return Demonstration("", f"Use {' '.join(map(str, numbers))}, each once.", str(rng.choice(known[made])))

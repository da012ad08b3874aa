"""DeepMath: hard mathematics with short final answers. The published file, read; answers compared as text.

DeepMath-103K (He et al. 2025, arXiv 2504.11456) has the fields question, final_answer, difficulty, topic and three
solutions by a model, r1_solution_1 to 3. Those show how an answer was found, and are never read. It is published as
Parquet; what is read here is the same as JSON, one object a line.
"""

import re
from pathlib import Path

from tacit.language.demonstrations import Demonstration, DemonstrationError, filled, read_lines


def load_deepmath(path: str | Path, least_difficulty: float = 0.0) -> list[Demonstration]:
    """Questions and final answers of the file at `path` from a difficulty on; the id is the line number.

    Raises DemonstrationError with the line number where a field is missing, empty or not what it should be.
    """
    found = []
    for number, record in read_lines(path):
        for field in ("question", "final_answer", "difficulty"):
            if field not in record:
                raise DemonstrationError(f"{path}, line {number}: the field {field!r} is missing.")
        if type(record["difficulty"]) not in (int, float):
            raise DemonstrationError(f"{path}, line {number}: the field 'difficulty' must be a number.")
        question, answer = (filled(path, number, record, field) for field in ("question", "final_answer"))
        if record["difficulty"] >= least_difficulty:
            found.append(Demonstration(f"deepmath-{number}", question, answer))
    if not found:
        raise DemonstrationError(f"{path} holds no question of difficulty {least_difficulty:g} or more.")
    return found


def same_answer(answer: str, expert: str) -> bool:
    """Whether two final answers are the same text, apart from LaTeX's wrapping and spaces.

    Exact match: 1/2 is not 0.5. It errs on the strict side, for every method alike.
    """
    return _plain(answer) == _plain(expert)


_BOXED = re.compile(r"\\boxed\s*\{(.*)\}", re.DOTALL)
_SILENT = re.compile(r"\\left|\\right(?![a-z])|\\[,;!: ]|\\displaystyle|\s|\$")


def _plain(answer: str) -> str:
    boxed = _BOXED.fullmatch(answer.strip().strip("$").strip())
    text = _SILENT.sub("", boxed[1] if boxed else answer)
    return text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").removesuffix(".")

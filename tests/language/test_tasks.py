"""Countdown against brute force and Python's own arithmetic; files of demonstrations and what is refused in them."""

import ast
import csv
import io
import itertools
import json
import operator
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tacit.language import countdown
from tacit.language.countdown import THREE, TWENTY_FOUR, Form, Puzzle, draw, expressions, read_question, solves
from tacit.language.deepmath import load_deepmath, same_answer
from tacit.language.demonstrations import Demonstration, DemonstrationError, load_demonstrations, save_demonstrations
from tacit.language.game import Contest
from tacit.language.poetry import load_poems
from tacit.language.rounds import Samples
from tacit.language.tournament import win_rate

SIGNS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def by_python(node: ast.expr) -> tuple[Fraction, list[int]]:
    """The value of an expression and the numbers in it, by Python's parser."""
    if isinstance(node, ast.Constant):
        return Fraction(node.value), [node.value]
    assert isinstance(node, ast.BinOp)
    (left, first), (right, second) = by_python(node.left), by_python(node.right)
    return SIGNS[type(node.op)](left, right), first + second


def python_says(puzzle: Puzzle, answer: str) -> bool:
    try:
        value, numbers = by_python(ast.parse(answer, mode="eval").body)
    except (SyntaxError, ZeroDivisionError):
        return False
    return value == puzzle.target and Counter(numbers) == Counter(puzzle.numbers)


def draw_expression(rng: np.random.Generator, numbers: list[int]) -> str:
    """Any tree over the numbers, in any order, with parentheses at random."""
    if len(numbers) == 1:
        return str(numbers[0])
    cut = int(rng.integers(1, len(numbers)))
    left, right = draw_expression(rng, numbers[:cut]), draw_expression(rng, numbers[cut:])
    text = f"{left}{rng.choice(['+', ' - ', '*', ' /'])}{right}"
    return f"( {text})" if rng.random() < 0.6 else text


def test_checker_against_python(rng) -> None:
    right = 0
    for _ in range(600):
        numbers = rng.integers(1, 6, rng.integers(2, 5)).tolist()
        answer = draw_expression(rng, list(rng.permutation(numbers).tolist()))
        try:
            value, _ = by_python(ast.parse(answer, mode="eval").body)
        except ZeroDivisionError:
            value = Fraction(1)
        target = int(value) if value.denominator == 1 and value > 0 and rng.random() < 0.7 else 7
        puzzle = Puzzle(tuple(numbers), target)
        assert solves(puzzle.question, answer) == python_says(puzzle, answer), (puzzle, answer)
        right += solves(puzzle.question, answer)
        wrong = Puzzle((*numbers, int(rng.integers(1, 6))), target)
        assert not solves(wrong.question, answer), "a number is left over"
    assert right > 100


def test_checker_takes_no_nonsense() -> None:
    question = Puzzle((3, 5), 8).question
    assert solves(question, " (3) + 5\n")
    assert solves(question, "(" * 50_000 + "3 + 5" + ")" * 50_000)
    for answer in (
        *(
            "",
            " ",
            "8",
            "3 5 +",
            "3 + 5 = 8",
            "3 + 5 + 0",
            "3 + 05",
            "3 ++ 5",
            "+ 3 + 5",
            "3 + (5",
            "3 + 5)",
            "(3) (5)",
        ),
        *(
            "()3 + 5",
            "3 + 5 ()",
            "35",
            "3 + 5 + 3 - 3",
            "3.0 + 5",
            "3 + 5 # 8",
            "3 + ５",
            "3 + ٥",
            "three + 5",
            "3 + -5",
        ),
        *("3 ** 5", "3 // 5", "__import__('os')", "9" * 100_000, "3 + 5" + "0" * 50_000, "(" * 100_000, "3 + 5 -"),
    ):
        assert not solves(question, answer), answer
    assert not solves(Puzzle((3, 3, 1), 5).question, "1 / (3 - 3)")
    with pytest.raises(ValueError, match="is no question of Countdown"):
        solves("Make 8 from 3 5", "3 + 5")
    with pytest.raises(ValueError, match="is no question"):
        solves("Make 8 from 3 5, each once.\n", "3 + 5")


def brute_force(numbers: tuple[int, ...]) -> set[Fraction]:
    """All values, by splitting ordered numbers in two in every way."""

    def values(ordered: tuple[int, ...]) -> set[Fraction]:
        if len(ordered) == 1:
            return {Fraction(ordered[0])}
        found = set()
        for cut in range(1, len(ordered)):
            for left, right in itertools.product(values(ordered[:cut]), values(ordered[cut:])):
                found |= {left + right, left - right, left * right} | ({left / right} if right else set())
        return found

    return set().union(*(values(ordered) for ordered in itertools.permutations(numbers)))


def test_every_expression_is_found_and_right(rng) -> None:
    for num in (1, 2, 3, 3, 3):
        numbers = tuple(rng.integers(1, 10, num).tolist())
        found = expressions(numbers)
        assert set(found) == brute_force(numbers)
        for value, texts in found.items():
            assert len(set(texts)) == len(texts)
            for text in texts:
                assert by_python(ast.parse(text, mode="eval").body) == (
                    value,
                    by_python(ast.parse(text, mode="eval").body)[1],
                )
                needless = [text[: p[0]] + text[p[0] + 1 : p[1]] + text[p[1] + 1 :] for p in parentheses(text)]
                assert all(by_structure(one) != by_structure(text) for one in needless), text


def parentheses(text: str) -> list[tuple[int, int]]:
    """The places of matching parentheses."""
    opened, found = [], []
    for place, sign in enumerate(text):
        if sign == "(":
            opened.append(place)
        elif sign == ")":
            found.append((opened.pop(), place))
    return found


def by_structure(text: str) -> str:
    return ast.dump(ast.parse(text, mode="eval"))


@pytest.mark.parametrize(("form", "num"), [(THREE, 60), (TWENTY_FOUR, 5)], ids=["three", "twenty-four"])
def test_demonstrations_are_solved_and_different(form: Form, num: int, rng) -> None:
    train = draw(form, num, rng)
    test = draw(form, num, rng, without={one.id for one in train})
    assert len({one.id for one in (*train, *test)}) == 2 * num
    for one in (*train, *test):
        puzzle = read_question(one.question)
        assert solves(one.question, one.answer)
        assert python_says(puzzle, one.answer)
        assert len(puzzle.numbers) == form.num_numbers
        assert all(1 <= number <= form.largest for number in puzzle.numbers)
        assert form.lowest_target <= puzzle.target <= form.highest_target
        assert puzzle.identity == one.id
        assert set(one.answer) <= set("0123456789 +-*/()"), "a final expression and nothing of how it was found"


def test_a_wrong_checker_is_noticed(monkeypatch, rng) -> None:
    monkeypatch.setattr(countdown, "Counter", set)  # forgets how often a number may be used
    assert solves(Puzzle((3, 5), 11).question, "3 + 3 + 5")
    assert not python_says(Puzzle((3, 5), 11), "3 + 3 + 5")


def test_a_form_that_holds_too_few_says_so(rng) -> None:
    with pytest.raises(ValueError, match="Only 1 of 3 puzzles"):
        draw(Form(1, 1, 1, 1), 3, rng)
    with pytest.raises(ValueError, match="Only 0 of 1 puzzles"):
        draw(Form(2, 2, 50, 60), 1, rng)


def test_demonstrations_survive_the_file(tmp_path: Path, rng) -> None:
    kept = [*draw(THREE, 10, rng), Demonstration("x", "a\u2028b\n", "ünï ' \" \\ 🙂\u0085")]
    save_demonstrations(tmp_path / "some.jsonl", kept)
    assert load_demonstrations(tmp_path / "some.jsonl") == kept


GOOD = '{"id": "a", "question": "q", "answer": "1"}'


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([GOOD, '{"id": "b", "question": "q"}'], "line 2: the field 'answer' is missing"),
        ([GOOD, "", '{"question": "q", "answer": "1"}'], "line 3: the field 'id' is missing"),
        ([GOOD, '{"id": "b", "question": "q", "answer": "  "}'], "line 2: the field 'answer' is empty"),
        ([GOOD, '{"id": "b", "question": "", "answer": "1"}'], "line 2: the field 'question' is empty"),
        ([GOOD, '{"id": "b", "question": "q", "answer": null}'], "line 2: the field 'answer' must be text"),
        ([GOOD, '{"id": "b", "question": ["q"], "answer": "1"}'], "line 2: the field 'question' must be text"),
        ([GOOD, '{"id": "b", "question": "q", "answer": true}'], "line 2: the field 'answer' must be text"),
        ([GOOD, GOOD.replace('"b"', '"a"')], "line 2: line 1 has the id 'a' already"),
        ([GOOD, "{"], "line 2: this is not JSON"),
        ([GOOD, "[1]"], "line 2: this is no JSON object"),
        (["[" * 100_000], "line 1: this is not JSON"),
        ([], "holds no demonstration"),
        (["\x00"], "line 1: this is not JSON"),
    ],
)
def test_refused_files(lines: list[str], complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DemonstrationError, match=complaint.replace("[", r"\[")):
        load_demonstrations(path)


def test_refused_places(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xff\xfe\xe4")
    for load in (load_demonstrations, load_deepmath, load_poems):
        with pytest.raises(DemonstrationError, match="could not be read"):
            load(tmp_path / "nowhere")
        with pytest.raises(DemonstrationError, match="could not be read"):
            load(tmp_path)
        with pytest.raises(DemonstrationError, match=r"is not UTF-8 text \(byte 0\)"):
            load(tmp_path / "latin")


def test_whole_numbers_are_answers(tmp_path: Path) -> None:
    (tmp_path / "some").write_text('{"id": 7, "question": "q", "answer": 24}', encoding="utf-8")
    assert load_demonstrations(tmp_path / "some") == [Demonstration("7", "q", "24")]


def deepmath_line(rng: np.random.Generator, **changed) -> str:
    record = {
        "question": "What is $1+1$?",
        "final_answer": "2",
        "difficulty": float(rng.integers(1, 10)),
        "topic": "Mathematics -> Algebra",
        **{f"r1_solution_{index}": "<think>it is 2</think>" for index in (1, 2, 3)},
    }
    return json.dumps({name: value for name, value in (record | changed).items() if value is not ...})


def test_deepmath(tmp_path: Path, rng) -> None:
    path = tmp_path / "deepmath.jsonl"
    hard = rng.integers(1, 10, 20).astype(float).tolist()
    path.write_text("\n".join(deepmath_line(rng, difficulty=one) for one in hard), encoding="utf-8")
    found = load_deepmath(path, least_difficulty=5.0)
    assert [one.id for one in found] == [f"deepmath-{line}" for line, one in enumerate(hard, 1) if one >= 5]
    assert not any("think" in text for one in found for text in one), "how it was found is not read"
    for changed, complaint in (
        ({"final_answer": ...}, "line 2: the field 'final_answer' is missing"),
        ({"final_answer": ""}, "line 2: the field 'final_answer' is empty"),
        ({"difficulty": "hard"}, "line 2: the field 'difficulty' must be a number"),
    ):
        path.write_text(f"{deepmath_line(rng)}\n{deepmath_line(rng, **changed)}", encoding="utf-8")
        with pytest.raises(DemonstrationError, match=complaint):
            load_deepmath(path)
    path.write_text(deepmath_line(rng), encoding="utf-8")
    with pytest.raises(DemonstrationError, match="no question of difficulty 10"):
        load_deepmath(path, least_difficulty=10.0)


def test_the_same_answer() -> None:
    for answer in ("2", " 2 ", "$2$", "\\boxed{2}", "$\\boxed{ 2 }$", "2."):
        assert same_answer(answer, "2")
    assert same_answer("\\dfrac{1}{2}", "\\frac{1}{2}")
    assert same_answer("\\left( 1, 2 \\right)", "(1,2)")
    for answer in ("3", "", "-2", "22", "x = 2", "\\rightarrow 2"):
        assert not same_answer(answer, "2")
    assert not same_answer("\\rightarrow", "arrow")


def test_poems(tmp_path: Path) -> None:
    path = tmp_path / "poems.csv"
    rows = [
        ["0", " Autumn,\r\n again ", 'Leaves "fall" \r\r\nthey do\r\n', "Somebody", "Nature"],
        ["1", "Long", "x" * 50, "", ""],
    ]
    written = io.StringIO(newline="")
    csv.writer(written).writerows([["", "Title", "Poem", "Poet", "Tags"], *rows])
    path.write_text(written.getvalue(), encoding="utf-8", newline="")
    found = load_poems(path, longest=40)
    assert [one.question for one in found] == ["Write a poem called Autumn, again."]
    assert found[0].answer == 'Leaves "fall"\n\nthey do'
    assert len(load_poems(path)) == 2
    for text, complaint in (
        ("Title,Poem\nx,\n", "line 2: the column 'Poem' is empty"),
        ("Title,Poem\nx,y\nz\n", "line 3: the column 'Poem' is empty"),
        ("Title,Text\nx,y\n", "line 1: the column 'Poem' is missing"),
        ('Title,Poem\nx,"y\n', "this is not CSV"),
        ("Title,Poem\n", "holds no poem"),
        ("", "line 1: the column 'Title' is missing"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DemonstrationError, match=complaint):
            load_poems(path)


def test_win_rate_is_blind_to_places(rng) -> None:
    contests = [Contest("q", "expert", "policy")] * 7 + [Contest("q", "policy", "expert")] * 3

    def judge_place(pairs, rng):
        return Samples(["Label: 1"] * len(pairs), np.ones(len(pairs), bool), None)

    def judge_text(pairs, rng):
        says = ["Label: 1" if pair.first == "policy" else "Label: 2" for pair in pairs]
        return Samples(says, np.ones(len(pairs), bool), None)

    assert win_rate(contests, judge_place, rng) == 0.5
    assert win_rate(contests, judge_text, rng) == 0.7
    with pytest.raises(ValueError, match="no contest"):
        win_rate([], judge_text, rng)

"""Cassandra's files: every form of the format, overrides against a dense interpreter, errors, round trips."""

import itertools
import re
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.arrays import Pomdp, pomdp
from tacit.pomdps import maze, rock_sample, tiger
from tacit.pomdps.reader import parse, read
from tacit.pomdps.writer import text, write

seeds = st.integers(0, 2**32 - 1)


def dense(problem: Pomdp) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.stack([matrix.toarray() for matrix in problem.transitions]),
        np.stack([matrix.toarray() for matrix in problem.observations]),
        problem.rewards,
        problem.initial,
    )


def assert_equal(first: Pomdp, second: Pomdp) -> None:
    """To the last bit."""
    for one, other in zip(dense(first), dense(second), strict=True):
        np.testing.assert_array_equal(one, other)
    assert first.discount == second.discount
    assert first[5:] == second[5:]


# Every form of the same model

HEAD = """
discount: 0.5
values: reward
states: cold mild hot
actions: wait move
observations: dim bright
start: 0.25 0.25 0.5
"""

T = {
    "matrices": "T: wait\n1 0 0\n0 1.0 0\n0 0 1\nT: move\n0 1 0\n.5 .25 .25\n0 5e-1 0.5",
    "identity": "T: wait identity T: move 0 1 0 0.5 0.25 0.25 0 0.5 0.5",
    "rows": "T: wait : 0\n1 0 0\nT: wait : mild 0 1 0\nT:wait:2 0 0\n1\n"
    "T: 1 : cold 0 1 0\nT: move : 1 0.5 0.25 0.25 T: move : hot 0.0 0.5 5.0E-1",
    "entries": "T:wait:cold:cold 1\nT : wait : mild : mild 1.0 T: 0 : 2 : 2 1e0\n"
    "T: move : cold : mild 1\nT: move : mild : cold 0.5 T: move : mild : 1 0.25\n"
    "T: move : mild : hot 0.25\nT: move : hot : mild 0.5\nT: 1 : 2 : 2 0.5",
    "overrides": "T: * uniform\nT: * identity\nT: move : * : * 0.0\nT: move : cold : mild 1\nT: move : mild reset\n"
    "T: move : mild : cold 0.5 # later wins\nT: move : mild : hot 0.25\nT: move : hot : * 0.5 T: move : hot : cold 0",
}
O = {  # noqa: E741 - the format's own letter
    "matrix": "O: *\n0.75 0.25\n0.5 0.5\n0 1",
    "rows": "O: * : cold\n.75 .25\nO: * : mild uniform\nO: wait : hot 0 1 O: move : 2 0 1",
    "entries": "O: *:0:0 0.75 O: *:0:1 0.25 O: * : 1 : * 0.5\nO: * : hot : bright 1",
    "overrides": "O: * uniform\nO: * : cold : dim 0.75\nO: * : cold : bright 0.25\nO: * : 2 : * 0\nO: *:2:1 +1.0",
}
R = {
    "entries": "R: wait : * : * : * -1\nR: move : cold : * : * 2\nR: move : mild : * : * 0.5\nR: move : hot : * : * -3",
    "signs": "R:wait:*:*:*- 1\nR:move:*:*:*+2 R: move : mild : *:* .5\nR:move:hot:*:*-3.0e0",
    "rows": "R: wait : * : * -1 -1\nR: move : cold : * 2.0 2.0\nR: move : mild : *\n0.5\n0.5 R: 1:2:* -3 -3",
    "matrices": "R: wait : * -1 -1 -1 -1 -1 -1\nR: move : cold 2 2\n2 2\n2 2\n"
    "R: move : 1 .5 .5 .5 .5 .5 .5 R: move : hot : * : * 7\nR: move : hot -3 -3 -3 -3 -3 -3",
    "overrides": "R: * : * : * : * 9\nR: * : * : hot : dim 4\nR: move : * : mild 1 2\nR: wait : * : * : * -1\n"
    "R: move : * : * : * 2\nR: move : mild : * : * 0.5\nR: move : hot : * : * 0\nR: move : hot : * : * -3.0",
}


@pytest.mark.parametrize(
    "body",
    [
        *(f"{t}\n{O['matrix']}\n{R['entries']}" for t in T.values()),
        *(f"{T['matrices']}\n{o}\n{R['entries']}" for o in O.values()),
        *(f"{T['matrices']}\n{O['matrix']}\n{r}" for r in R.values()),
        f"{R['matrices']}\n{O['rows']}\n{T['overrides']}",
    ],
)
def test_every_form_says_the_same(body: str) -> None:
    problem = parse(HEAD + body)
    moves, sights, rewards, initial = dense(problem)
    np.testing.assert_array_equal(moves[0], np.eye(3))
    np.testing.assert_array_equal(moves[1], [[0, 1, 0], [0.5, 0.25, 0.25], [0, 0.5, 0.5]])
    np.testing.assert_array_equal(sights, [[[0.75, 0.25], [0.5, 0.5], [0, 1]]] * 2)
    np.testing.assert_array_equal(rewards, [[-1, 2], [-1, 0.5], [-1, -3]])
    np.testing.assert_array_equal(initial, [0.25, 0.25, 0.5])
    assert problem.discount == 0.5
    assert problem.state_names == ("cold", "mild", "hot")
    assert problem.action_names == ("wait", "move")
    assert problem.observation_names == ("dim", "bright")


BODY = f"{T['identity']}\n{O['matrix']}\n{R['entries']}"


def test_the_preamble_comes_in_any_order_on_any_lines() -> None:
    usual = parse(HEAD + BODY)
    head = (
        "# a comment: with a colon\nobservations :\n dim\n bright # T: 1\nstart\n:0.25\n0.25\n0.5\nactions:wait move\n"
        "states\t: cold mild hot values:reward discount:5.E-1 "
    )
    assert_equal(parse(head + BODY), usual)
    assert_equal(parse(BODY + head), usual)
    assert_equal(parse((HEAD + BODY).replace("\n", "\r\n")), usual)
    assert_equal(parse((HEAD + BODY).replace("\n", "\r")), usual)
    assert_equal(parse(HEAD.replace("values: reward", "") + BODY), usual)


@pytest.mark.parametrize(
    ("line", "initial"),
    [
        ("", [1 / 3] * 3),
        ("start: uniform", [1 / 3] * 3),
        ("start: mild", [0, 1, 0]),
        ("start: 2", [0, 0, 1]),
        ("start: 0 1 0", [0, 1, 0]),
        ("start include: cold 2", [0.5, 0, 0.5]),
        ("start include: hot", [0, 0, 1]),
        ("start exclude: 0 hot", [0, 1, 0]),
        ("start exclude : mild", [0.5, 0, 0.5]),
    ],
)
def test_start(line: str, initial: list[float]) -> None:
    problem = parse(HEAD.replace("start: 0.25 0.25 0.5", line) + BODY + "\nT: move : * reset")
    np.testing.assert_array_equal(problem.initial, initial)
    np.testing.assert_array_equal(problem.transitions[1].toarray(), [initial] * 3)


@pytest.mark.parametrize("word", ["cost", "costs"])
def test_costs_are_negative_rewards(word: str) -> None:
    problem = parse(HEAD.replace("reward", word) + BODY)
    np.testing.assert_array_equal(problem.rewards, [[1, -2], [1, -0.5], [1, 3]])


@pytest.mark.parametrize("start", ["start: 0", "start: 1", "start: 1.0", "start: only", "start include: 0", ""])
def test_a_single_state(start: str) -> None:
    problem = parse(f"discount: 1 states: only actions: 1 observations: 1 {start} T: 0 : 0 : 0 1 O: 0 : 0 1 R: 0 : 0 7")
    np.testing.assert_array_equal(problem.initial, [1])
    np.testing.assert_array_equal(problem.rewards, [[7]])


def test_words_of_the_format_can_be_names() -> None:
    problem = parse(
        "discount: 1 states: T start actions: O uniform observations: R\nstart: T\n"
        "T: O : T : start 1\nT: O : start : T 1\nT: uniform uniform\nO: * : * : R 1\nR: O : start : T : R 3"
    )
    np.testing.assert_array_equal(problem.transitions[0].toarray(), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(problem.rewards, [[0, 0], [3, 0]])
    np.testing.assert_array_equal(problem.initial, [1, 0])


def test_rounded_probabilities_are_scaled() -> None:
    head = "discount: 1 states: 3 actions: 1 observations: 3 "
    problem = parse(
        head + "T: * 0.33333 0.33333 0.33333 .333333 .333333 .333333 0.333334 0.333334 0.333334 O: * identity"
    )
    np.testing.assert_allclose(problem.transitions[0].toarray(), np.full((3, 3), 1 / 3), rtol=1e-12)


# Random entries against an interpreter that fills dense arrays


class Sizes(NamedTuple):
    states: int
    actions: int
    observations: int


def some(rng: np.random.Generator, count: int, letter: str) -> tuple[str, slice]:
    """A star, a number or a name, and what it stands for."""
    index = int(rng.integers(count))
    way = rng.integers(3)
    return ("*", slice(None)) if way == 0 else (f"{letter}{index}" if way == 1 else str(index), slice(index, index + 1))


def fair(rng: np.random.Generator, count: int) -> np.ndarray:
    """Probabilities that are exact in binary and sum to one, with zeros among them."""
    return rng.multinomial(16, rng.dirichlet(np.full(count, 0.5))) / 16


def written(numbers: np.ndarray) -> str:
    return "\n".join(" ".join(map(repr, row)) for row in np.atleast_2d(numbers).tolist())


def probabilities(  # noqa: PLR0911 - one for each form
    rng: np.random.Generator, letter: str, table: np.ndarray, start: np.ndarray | None
) -> str:
    """An entry of T or O, or a few that leave rows with sums of one; done to the table as well."""
    actions, rows, columns = table.shape
    kind = "s" if letter == "T" else "o"
    action, a = some(rng, actions, "a")
    row, r = some(rng, rows, "s")
    column, c = some(rng, columns, kind)
    way = rng.integers(8)
    if way == 0:
        table[a] = matrix = np.stack([fair(rng, columns) for _ in range(rows)])
        return f"{letter}: {action}\n{written(matrix)}"
    if way == 1:
        table[a] = 1 / columns
        return f"{letter}: {action} uniform"
    if way == 2 and rows == columns:
        table[a] = np.eye(rows)
        return f"{letter}: {action} identity"
    if way == 3:
        table[a, r] = 1 / columns
        return f"{letter}: {action} : {row} uniform"
    if way == 4 and start is not None:
        table[a, r] = start
        return f"{letter}: {action} : {row} reset"
    if way == 5:
        table[a, r, :] = 1 / columns
        return f"{letter}: {action} : {row} : * {1 / columns!r}"
    if way == 6 and column != "*":
        table[a, r, :] = 0
        table[a, r, c] = 1
        return f"{letter}: {action} : {row} : * 0.0 {letter}: {action} : {row} : {column} 1.0"
    table[a, r] = chances = fair(rng, columns)
    if rng.integers(2):
        return f"{letter}: {action} : {row} {written(chances)}"
    order = rng.permutation(columns)
    return "\n".join(f"{letter}: {action} : {row} : {index} {chances[index].item()!r}" for index in order)


def reward(rng: np.random.Generator, table: np.ndarray) -> str:
    """An entry of R, done to the table as well."""
    fields, where = zip(
        *(some(rng, count, letter) for count, letter in zip(table.shape, "asso", strict=True)), strict=True
    )
    given = int(rng.integers(2, 5))
    numbers = rng.integers(-4, 5, table.shape[given:]) / 4
    where = where[:given]
    table[where] = numbers
    return f"R: {' : '.join(fields[:given])} {written(numbers) if given < 4 else repr(numbers.item())}"


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_overrides_and_stars_as_a_dense_interpreter_has_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = Sizes(*rng.integers(1, 5, 3).tolist())
    start = fair(rng, sizes.states)
    moves = np.full((sizes.actions, sizes.states, sizes.states), 1 / sizes.states)
    sights = np.full((sizes.actions, sizes.states, sizes.observations), 1 / sizes.observations)
    pay = np.zeros((*moves.shape, sizes.observations))
    lines = ["T: * uniform", "O: * uniform"]
    for _ in range(rng.integers(25)):
        way = rng.integers(3)
        if way == 0:
            lines.append(probabilities(rng, "T", moves, start))
        elif way == 1:
            lines.append(probabilities(rng, "O", sights, None))
        else:
            lines.append(reward(rng, pay))
    head = [
        f"{section}: {' '.join(f'{letter}{index}' for index in range(count))}"
        for section, letter, count in zip(("states", "actions", "observations"), "sao", sizes, strict=True)
    ]
    head += ["discount: 0.9", f"start: {written(start)}"]
    rng.shuffle(head)
    problem = parse("\n".join(head + lines))
    found = dense(problem)
    np.testing.assert_allclose(found[0], moves, atol=1e-15)
    np.testing.assert_allclose(found[1], sights, atol=1e-15)
    np.testing.assert_allclose(found[2], np.einsum("ast,ato,asto->sa", moves, sights, pay), atol=1e-13)
    np.testing.assert_allclose(found[3], start, atol=1e-15)


@settings(max_examples=100, deadline=None)
@given(seeds)
def test_what_is_written_is_read_to_the_last_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    states, actions, observations = rng.integers(1, 7, 3)
    holes = rng.random() < 0.5

    def rows(*shape: int) -> np.ndarray:
        drawn = rng.dirichlet(np.full(shape[-1], 0.3), shape[:-1])
        drawn[drawn < 0.05 * holes] = 0
        return drawn / drawn.sum(-1, keepdims=True)

    problem = pomdp(
        rows(actions, states, states),
        rows(actions, states, observations),
        rng.standard_normal((states, actions)) * 10.0 ** rng.integers(-300, 300, (states, actions)),
        rows(states),
        rng.random(),
    )
    assert_equal(parse(text(problem)), problem)


@pytest.mark.parametrize(
    "problem",
    [tiger.make(), maze.make(), rock_sample.make(3, 2), rock_sample.make(2, 0)],
    ids=["tiger", "maze", "rocks", "no rocks"],
)
def test_a_file_keeps_a_problem(problem: Pomdp, tmp_path) -> None:
    path = tmp_path / "problem.pomdp"
    write(problem, path)
    assert_equal(read(path), problem)


def test_names_that_the_format_cannot_hold_are_changed() -> None:
    given = ("a b", "a:b", "a_b", "1", "T", "été", "s_1", "twice", "twice")
    count = len(given)
    problem = pomdp(np.eye(count)[None], np.eye(count)[None], np.zeros((count, 1)), np.eye(count)[0], 0.5, given)
    names = parse(text(problem)).state_names
    assert len(set(names)) == count
    assert [name for name, old in zip(names, given, strict=True) if name == old] == ["a_b", "s_1", "twice"]
    assert all(name[0].isalpha() and set(name) <= set("abcdefghijklmnopqrstuvwxyzT_-0123456789") for name in names)


# Errors


def replaced(old: str, new: str) -> str:
    assert old in FULL
    return FULL.replace(old, new, 1)


FULL = """discount: 0.95
values: reward
states: left right
actions: listen open
observations: growl hush roar
start: 0.5 0.5
T: listen
identity
T: open : *
0.5 0.5
O: listen : left 0.8 0.1 0.1
O: listen : right
0.1 0.1 0.8
O: open uniform
R: listen : * : * : * -1
R: open : left : * : * 10.0
"""

BROKEN = {
    "empty": ("", 1, "empty"),
    "only comments": ("# nothing\n\n# here", 3, "empty"),
    "binary": ("discount: 1\n\x00\x01", 2, "not text"),
    "no section": ("hello world", 1, "`hello` begins no section"),
    "one long word": ("x" * 10**6, 1, f"`{'x' * 60}...` begins no section"),
    "misspelt section": (replaced("states", "state"), 3, "did you mean `states:`"),
    "capital": (replaced("actions", "Actions"), 4, "did you mean `actions:`"),
    "forgotten colon": (replaced("values:", "values"), 2, "`values` should be followed by a colon"),
    "twice": (FULL + "states: 2", 17, "`states:` is given a second time"),
    "no discount": (replaced("discount: 0.95\n", ""), 15, "no `discount:`"),
    "no states": (replaced("states: left right\n", ""), 15, "no `states:`"),
    "no actions": (replaced("actions: listen open\n", ""), 15, "no `actions:`"),
    "an mdp": (replaced("observations: growl hush roar\n", ""), 15, "MDP"),
    "discount": (replaced("0.95", "1.5"), 1, "from 0 to 1"),
    "discount in words": (replaced("0.95", "high"), 1, "`discount: high`"),
    "values": (replaced("reward", "money"), 2, "`values: reward` or `values: cost`"),
    "no name": (replaced("listen open", ""), 4, "`actions:` is empty"),
    "name twice": (replaced("left right", "left right left"), 3, "`left` twice"),
    "number as a name": (replaced("left right", "left\n2"), 4, "`2` in `states:` is no name"),
    "no states at all": (replaced("left right", "0"), 3, "at least 1"),
    "half a state": (replaced("left right", "2.5"), 3, "whole number"),
    "absurd": (replaced("left right", "99999999999999999999"), 3, "too many"),
    "absurd together": (
        replaced("left right", "900000").replace("listen open", "900000", 1),
        3,
        "more than can be held",
    ),
    "absurdly full": (
        "discount: 1\nstates: 100000 actions: 1 observations: 1\n\nT: * uniform O: * uniform",
        4,
        "too large",
    ),
    "start too short": (replaced("start: 0.5 0.5", "start: 0.5"), 6, "wants 2 probabilities"),
    "start sums": (replaced("start: 0.5 0.5", "start: 0.5 0.4"), 6, "sum to 0.9"),
    "start nowhere": (replaced("start: 0.5 0.5", "start: middle"), 6, "no state `middle`"),
    "start number": (replaced("start: 0.5 0.5", "start: 2"), 6, "from 0 to 1"),
    "start names": (replaced("start: 0.5 0.5", "start: left right"), 6, "start include"),
    "start excludes all": (replaced("start:", "start exclude:").replace("0.5 0.5", "0 1", 1), 6, "leaves no state"),
    "unknown action": (replaced("T: open", "T: opn"), 9, "no action `opn`; did you mean `open`"),
    "unknown state": (replaced("listen : left 0.8", "listen : lft 0.8"), 11, "did you mean `left`"),
    "action number": (replaced("T: open", "T: 2"), 9, "no action `2`; use a number from 0 to 1"),
    "unknown observation": (FULL + "R: open : left : left : grow 1", 17, "did you mean `growl`"),
    "row sum": (replaced("0.8 0.1 0.1", "0.8 0.1 0.2"), 11, "action `listen` and next state `left` sum to 1.1"),
    "sum after override": (FULL + "T: open : left : right 0.4", 17, "action `open` and state `left` sum to 0.9"),
    "row never given": (replaced("T: open : *\n0.5 0.5\n", ""), 14, "nothing is given in `T:` for action `open`"),
    "negative": (replaced("0.5 0.5\nO", "1.5 -0.5\nO"), 10, "1.5 is no probability"),
    "too few": (replaced("0.8 0.1 0.1", "0.8 0.2"), 11, "wants 3 numbers"),
    "too many": (replaced("0.1 0.1 0.8", "0.1\n0.1 0.8 0"), 12, "wants 3 numbers (3 observations) and has 4"),
    "matrix too small": (replaced("identity", "1 0 0"), 7, "wants 4 numbers (2 states x 2 states) and has 3"),
    "entry without number": (FULL + "\n\nT: open : left : left", 19, "wants one number and has 0"),
    "word for a number": (replaced("0.8 0.1 0.1", "0.8 O.1 0.1"), 11, "`O.1` stands where a number is wanted"),
    "misspelt word": (replaced("uniform", "unifrom"), 14, "did you mean `uniform`"),
    "identity of a row": (replaced("0.5 0.5\nO", "identity\nO"), 10, "`identity` cannot be used here"),
    "reset of observations": (replaced("uniform", "reset"), 14, "`reset` cannot be used here"),
    "too many coordinates": (FULL + "T: open : left : left : left 1", 17, "out of place"),
    "colon forgotten": (FULL + "T: open left : left 1", 17, "after `left` is out of place"),
    "too few coordinates": (FULL + "R: open 1 2 3 4 5 6", 17, "at least"),
    "infinite": (replaced("10.0", "1e999"), 16, "`1e999` stands where a number is wanted"),
    "unknown section": (FULL + "U: 3", 17, "`U`"),
    "ends in a section": (FULL + "T:", 17, "the file ends after a colon"),
    "ends in an entry": (FULL + "R: open : left :", 17, "the file ends after a colon"),
}


@pytest.mark.parametrize(("content", "line", "message"), BROKEN.values(), ids=BROKEN)
def test_errors_name_the_line_and_the_way_out(content: str, line: int, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        parse(content, "my.pomdp")
    assert re.fullmatch(rf"my\.pomdp, line {line}: .+", str(caught.value))


def test_the_unbroken_file_is_read() -> None:
    assert parse(FULL).rewards.tolist() == [[-1, 10], [-1, 0]]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_in_a_sentence(data: st.DataObject) -> None:
    words = FULL.split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(words) - 1))
        words[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.lists(
                st.sampled_from([*"T:*O#R", "0", "1e5", "-", "left", "start", "include", "states:", "\n", "é"]),
                max_size=2,
            )
        )
    complaint = ""
    try:
        parse(" ".join(words))
    except ValueError as error:
        complaint = str(error)
    assert re.fullmatch(r"|the text, line \d+: .+", complaint)


def test_files_on_disk(tmp_path) -> None:
    path = tmp_path / "junk.pomdp"
    path.write_bytes(bytes([0x1F, 0x8B, 8, 0, 255, 254]))
    with pytest.raises(ValueError, match=r"junk\.pomdp, line 1: this is not text"):
        read(path)
    for content in (("\ufeff" + FULL + "# caf\xe9").encode(), (FULL + "# caf\xe9").encode("latin-1")):
        path.write_bytes(content)
        assert read(path).discount == 0.95
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.pomdp")


def test_a_hundred_thousand_lines(tmp_path) -> None:
    """Stars over many states and late overrides, in a file that is cut into several pieces."""
    count, rng = 20_000, np.random.default_rng(1)
    to = rng.integers(count, size=(3, count))
    to[2, ::100] = 7
    pay = rng.integers(-9, 10, (3, count))
    lines = [
        f"discount: 0.9 states: {count} actions: 3 observations: 2 # {'x' * 200}",
        "T: * : * : * 0",
        "O: * uniform",
    ]
    lines += [f"T: {a} : {s} : {to[a, s]} 1.0 # {'c' * 60}" for a in range(3) for s in range(count)]
    lines += [f"R: {a} : {s} : * : * {pay[a, s]}" for a in range(3) for s in range(count)]
    lines += ["R: 2 : * : 7 : 1 5"]
    path = tmp_path / "large.pomdp"
    path.write_text("\n".join(lines))
    problem = read(path)
    for action in range(3):
        np.testing.assert_array_equal(problem.transitions[action].indices, to[action])
    there = to[2] == 7
    expected = pay.T.astype(float)
    expected[there, 2] = 0.5 * expected[there, 2] + 2.5
    np.testing.assert_allclose(problem.rewards, expected, atol=1e-12)
    path.write_text("\n".join([*lines, "", "R: 9 : 0 : 0 : 0 1"]))
    with pytest.raises(ValueError, match=f"line {len(lines) + 2}: there is no action `9`"):
        read(path)


# The problems themselves


def test_tiger() -> None:
    moves, sights, rewards, initial = dense(tiger.make(accuracy=0.7, tiger=-50.0))
    np.testing.assert_array_equal(moves[1:], np.full((2, 2, 2), 0.5))
    np.testing.assert_allclose(sights[0], [[0.7, 0.3], [0.3, 0.7]])
    np.testing.assert_array_equal(rewards, [[-1, -50, 10], [-1, 10, -50]])
    np.testing.assert_array_equal(initial, [0.5, 0.5])


def test_maze() -> None:
    problem = maze.make()
    moves, sights, _, initial = dense(problem)
    others = [state for state in range(11) if state not in (3, 6)]
    np.testing.assert_allclose(initial[others], 1 / 9)
    np.testing.assert_allclose(moves[:, [3, 6]], np.broadcast_to(initial, (4, 2, 11)), rtol=1e-12)
    north, _, east, _ = moves
    np.testing.assert_allclose(north[7, [4, 7, 8]], [0.8, 0.1, 0.1])
    np.testing.assert_allclose(east[2, [3, 2, 5]], [0.8, 0.1, 0.1])
    np.testing.assert_allclose(east[4, [4, 0, 7]], [0.8, 0.1, 0.1])
    names = [problem.observation_names[index] for index in sights[0].argmax(1)]
    assert names == ["left", "neither", "neither", "good", "both", "left", "bad", "left", "neither", "neither", "right"]


@pytest.mark.parametrize(("n", "k", "states"), [(4, 4, 257), (5, 5, 801), (5, 7, 3201), (7, 8, 12545)])
def test_rock_sample_has_the_published_size(n: int, k: int, states: int) -> None:
    problem = rock_sample.make(n, k)
    assert problem.rewards.shape == (states, 5 + k)
    assert len(problem.observation_names) == 3


@pytest.mark.parametrize("seed", range(3))
def test_rock_sample_as_its_rules_say_one_case_at_a_time(seed: int) -> None:
    n, k, half = 3, 2 + seed % 2, 1.5
    rng = np.random.default_rng(seed)
    cells = list(itertools.product(range(n), range(n)))
    rocks = [cells[index] for index in rng.permutation(n * n)[:k]]
    problem = rock_sample.make(n, k, rocks, half_distance=half)
    moves, sights, rewards, initial = dense(problem)
    index = {name: state for state, name in enumerate(problem.state_names)}
    for (x, y), world in itertools.product(cells, itertools.product("bg", repeat=k)):
        state = index[f"x{x}y{y}-{''.join(world)}"]
        assert initial[state] == ((x, y) == (0, 1)) / 2**k
        for action, (right, up) in enumerate([(0, 1), (0, -1), (1, 0), (-1, 0)]):
            to = (x + right, y + up)
            name = "left" if to[0] == n else "x{}y{}-".format(*(to if to in cells else (x, y))) + "".join(world)
            assert moves[action, state, index[name]] == 1
            assert rewards[state, action] == (10 if name == "left" else 0)
        after, pay = list(world), 0
        if (x, y) in rocks:
            rock = rocks.index((x, y))
            pay = 10 if world[rock] == "g" else -10
            after[rock] = "b"
        assert moves[4, state, index[f"x{x}y{y}-{''.join(after)}"]] == 1
        assert rewards[state, 4] == pay
        assert (sights[:5, state, 0] == 1).all()
        for rock, (rock_x, rock_y) in enumerate(rocks):
            right = (1 + 2 ** (-(((x - rock_x) ** 2 + (y - rock_y) ** 2) ** 0.5) / half)) / 2
            seen = 1 if world[rock] == "g" else 2
            assert moves[5 + rock, state, state] == 1
            assert rewards[state, 5 + rock] == 0
            np.testing.assert_allclose(sights[5 + rock, state, [seen, 3 - seen]], [right, 1 - right])
    assert (moves[:, -1, -1] == 1).all()
    assert not rewards[-1].any()


def test_rock_sample_refuses_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="5 rocks do not fit on 2 x 2 cells"):
        rock_sample.make(2, 5)
    with pytest.raises(ValueError, match="at most 1000000 can be held"):
        rock_sample.make(7, 40)
    with pytest.raises(ValueError, match=r"rocks\[1\] is \(3, 0\)"):
        rock_sample.make(3, 2, [(0, 0), (3, 0)])
    with pytest.raises(ValueError, match="1 different cells; there are 2 rocks"):
        rock_sample.make(3, 2, [(0, 0), (0, 0)])

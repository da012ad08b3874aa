"""What problem does a .pomdp file describe? Reads Cassandra's format, all of it, into arrays.

The format: http://pomdp.org/code/pomdp-file-spec.html; the tolerance of sums, 1e-5, is that of his pomdp-solve. Later
entries override earlier ones, `*` is every state, action or observation, and what is not given is zero. Costs become
negative rewards. A reward may depend on the next state and the observation; its expectation is kept,
R(s, a) = Σ_s' T(s' | s, a) Σ_o O(o | s', a) R(a, s, s', o).

A little more is accepted than the grammar has: sections in any order, `identity` for observations where there are as
many as states, `reset` for all states of an action at once. A file without observations describes an MDP and is
refused. Axis letters: S states, A actions.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tacit.arrays import ROUNDING, Pomdp, pomdp
from tacit.pomdps.assignments import ALL, Assignments, layers, look_up, settle
from tacit.pomdps.preamble import NAMED, SLACK, Preamble, preamble, sections
from tacit.pomdps.tables import AXES, assignments, form, shape
from tacit.pomdps.tokens import Tokens, fault, tokenise

MOST_BYTES = 1 << 30
"""The largest file that is read."""

AT_ONCE = 2_000_000
"""How many rewards are looked up together."""


def read(path: str | Path) -> Pomdp:
    """The problem in a file.

    Raises ValueError with the file, the line, what is wrong there and how to mend it.
    """
    size = Path(path).stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path} has {size} bytes; at most {MOST_BYTES} are read.")
    data = Path(path).read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:  # Old files have comments in other encodings; the format itself is ASCII.
        text = data.decode("latin-1")
    return parse(text, str(path))


def parse(text: str, name: str = "the text") -> Pomdp:
    """The problem that a text describes; complaints call it `name`."""
    tokens = tokenise(text.replace("\r\n", "\n").replace("\r", "\n"), name)
    found = sections(tokens)
    head = preamble(tokens, found)
    written = {table: assignments(tokens, table, found[table], head) for table in AXES}
    transitions = _matrices(tokens, "T", written["T"], head)
    observations = _matrices(tokens, "O", written["O"], head)
    rewards = _expected(written["R"], transitions, observations, shape("R", head.sizes))
    names = [head.sizes.names[kind] for kind in NAMED.values()]
    return pomdp(transitions, observations, 0.0 + head.sign * rewards, head.start, head.discount, *names)


def _matrices(tokens: Tokens, table: str, written: Assignments, head: Preamble) -> list[sparse.csr_array]:
    """A matrix of probabilities for each action; every row must sum to one."""
    lengths = shape(table, head.sizes)
    try:
        places, values = settle(written, lengths)
    except ValueError as error:
        raise fault(tokens, int(written.orders.min()), f"`{table}:` is too large: {error}.") from None
    rows = places[:, 0] * lengths[1] + places[:, 1]
    sums = np.bincount(rows, values, lengths[0] * lengths[1])
    wrong = np.flatnonzero(np.abs(sums - 1.0) > SLACK)
    if len(wrong):
        raise _unfair(tokens, table, written, head, divmod(int(wrong[0]), lengths[1]), float(sums[wrong[0]]))
    values = values / np.where(np.abs(sums - 1.0) > ROUNDING, sums, 1.0)[rows]
    ends = np.searchsorted(places[:, 0], np.arange(lengths[0] + 1))
    return [
        sparse.csr_array((values[i:j], (places[i:j, 1], places[i:j, 2])), shape=lengths[1:]) for i, j in pairwise(ends)
    ]


def _unfair(
    tokens: Tokens, table: str, written: Assignments, head: Preamble, row: tuple[int, int], total: float
) -> ValueError:
    """The error for a row that does not sum to one: where the last was said about it, if anything was."""
    about = np.ones(len(written.orders), bool)
    for axis, index in enumerate(row):
        about &= (written.places[:, axis] == index) | (written.places[:, axis] == ALL)
    names = [head.sizes.name(kind, index) for kind, index in zip(("action", "state"), row, strict=True)]
    subject = f"`{table}:` for action `{names[0]}` and {AXES[table][1]} `{names[1]}`"
    if not about.any():
        line = f"`{form(table, 3)} <probability>`"
        return fault(tokens, len(tokens.symbols), f"nothing is given in {subject}; add lines {line}.")
    last = int(written.orders[about].max())
    return fault(tokens, last, f"the probabilities of {subject} sum to {total:.9g}; they must sum to 1.")


def _expected(
    written: Assignments,
    transitions: Sequence[sparse.csr_array],
    observations: Sequence[sparse.csr_array],
    lengths: tuple[int, ...],
) -> Float[np.ndarray, "S A"]:
    """R(s, a), by looking rewards up only where they can be paid."""
    count, states = lengths[:2]
    pairs = np.stack(np.divmod(np.arange(count * states), states), 1)
    later = written.places[:, 2:] != ALL
    fine = later.any(1)
    base, since = look_up(layers(_part(written, ~fine, 2), lengths[:2]), lengths[:2], pairs)
    if not fine.any():
        return np.ascontiguousarray(base.reshape(count, states).T)
    last = look_up(layers(_part(written, fine, 2), lengths[:2]), lengths[:2], pairs)[1]
    detailed = layers(_part(written, fine, 4), lengths)
    base, depends = base.reshape(count, states), (last > since).reshape(count, states)
    since = since.reshape(count, states)
    rewards = base.copy()
    for action in range(count):
        seen = observations[action] if later[:, 1].any() else sparse.csr_array(np.ones((states, 1)))
        for rows in _portions(np.flatnonzero(depends[action]), transitions[action], seen):
            owner, next_state, sight, chance = _outcomes(transitions[action][rows], seen)
            state = rows[owner]
            places = np.stack([np.full_like(state, action), state, next_state, sight], 1)
            value, when = look_up(detailed, lengths, places)
            # The difference from the base is averaged, so that a constant stays exactly what was written.
            extra = np.where(when > since[action, state], value - base[action, state], 0.0)
            rewards[action, rows] += np.bincount(owner, chance * extra, len(rows))
    return np.ascontiguousarray(rewards.T)


def _part(written: Assignments, chosen: np.ndarray, axes: int) -> Assignments:
    """Some of the assignments, by their first axes."""
    return Assignments(written.places[chosen, :axes], written.values[chosen], written.orders[chosen])


def _portions(
    rows: Int[np.ndarray, " _"], moves: sparse.csr_array, sights: sparse.csr_array
) -> Iterator[Int[np.ndarray, " _"]]:
    """The rows in portions with about AT_ONCE outcomes each."""
    if len(rows):
        possible = sparse.csr_array((np.ones(moves.nnz), moves.indices, moves.indptr), shape=moves.shape)
        outcomes = np.cumsum((possible @ np.diff(sights.indptr))[rows])
        yield from np.split(rows, np.flatnonzero(np.diff(outcomes // AT_ONCE)) + 1)


def _outcomes(moves: sparse.csr_array, sights: sparse.csr_array) -> tuple[np.ndarray, ...]:
    """Every row, next state and observation that can happen together, and how likely that is."""
    owner = np.repeat(np.arange(len(moves.indptr) - 1), np.diff(moves.indptr))
    counts = np.diff(sights.indptr)[moves.indices]
    inner = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    entry = np.repeat(sights.indptr[moves.indices], counts) + inner
    chance = np.repeat(moves.data, counts) * sights.data[entry]
    return np.repeat(owner, counts), np.repeat(moves.indices, counts), sights.indices[entry], chance

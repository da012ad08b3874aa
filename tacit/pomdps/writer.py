"""How is a problem kept as a .pomdp file that other programs read too?

Every number is written with the digits that give back the same double, so that `reader.read` returns the same arrays
to the last bit. Names that the format cannot hold are changed: it wants letters, digits, "_" and "-", a letter first.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from scipy import sparse

from tacit.arrays import Pomdp
from tacit.storage import write_atomically

RESERVED = {
    "discount", "values", "states", "actions", "observations", "start", "include", "exclude",
    "T", "O", "R", "uniform", "identity", "reset", "reward", "cost",
}  # fmt: skip
"""Words with a meaning of their own in the format."""


def write(pomdp: Pomdp, path: str | Path) -> None:
    """Write a problem in Cassandra's format; a file of that name is replaced, whole or not at all."""
    write_atomically(path, text(pomdp).encode("ascii"))


def text(pomdp: Pomdp) -> str:
    """The problem in Cassandra's format: what is not zero, one entry a line."""
    return "\n".join(_lines(pomdp)) + "\n"


def _lines(pomdp: Pomdp) -> Iterator[str]:
    states = _names(pomdp.state_names, "s")
    actions = _names(pomdp.action_names, "a")
    observations = _names(pomdp.observation_names, "o")
    yield f"discount: {pomdp.discount!r}"
    yield "values: reward"
    yield f"states: {' '.join(states)}"
    yield f"actions: {' '.join(actions)}"
    yield f"observations: {' '.join(observations)}"
    yield f"start: {' '.join(map(repr, pomdp.initial.tolist()))}"
    for letter, matrices, columns in (("T", pomdp.transitions, states), ("O", pomdp.observations, observations)):
        for action, matrix in zip(actions, matrices, strict=True):
            entries = sparse.coo_array(matrix.sorted_indices())
            for row, column, chance in zip(*(part.tolist() for part in (*entries.coords, entries.data)), strict=True):
                if chance:
                    yield f"{letter}: {action} : {states[row]} : {columns[column]} {chance!r}"
    for state, row in zip(states, pomdp.rewards.tolist(), strict=True):
        for action, reward in zip(actions, row, strict=True):
            if reward:
                yield f"R: {action} : {state} : * : * {reward!r}"


def _names(names: Sequence[str], letter: str) -> list[str]:
    """The names, changed where the format cannot hold them; no two alike."""
    used: dict[str, None] = {}
    given = set(names)
    for name in names:
        allowed = re.sub(r"[^A-Za-z0-9_-]", "_", name)
        if not re.match(r"[A-Za-z]", allowed) or allowed in RESERVED:
            allowed = f"{letter}_{allowed}"
        plain, number = allowed, 2
        while allowed in used or (allowed != name and allowed in given):
            allowed, number = f"{plain}_{number}", number + 1
        used[allowed] = None
    return list(used)

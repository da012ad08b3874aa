"""What are the rules of the building game? Two flying bodies, one house that only the human knows.

MBAG: Laidlaw et al. 2025, arXiv 2504.07091.
"""

from typing import NamedTuple

from jaxtyping import Array, Bool, Int, Int8

from tacit.games.building.actions import EditLegal

House = Int8[Array, "X Y Z"]
"""Theta: the kind that each cell of the whole world should hold, ground included."""


class Edits(NamedTuple):
    """What the two players really changed in the last turn, in the order in which it happened.

    `cell` is -1 for a player who changed nothing; `before` and `after` are kinds.
    """

    cell: Int[Array, "2"]
    before: Int8[Array, "2"]
    after: Int8[Array, "2"]


class State(NamedTuple):
    """The world. `feet` is each body's lower cell; `touched` is 0 nobody, 1 human, 2 assistant."""

    blocks: Int8[Array, "X Y Z"]
    touched: Int8[Array, "X Y Z"]
    feet: Int[Array, "2 3"]
    edits: Edits
    last_actions: Int[Array, "2"]
    effective: Bool[Array, "2"]
    time: Int[Array, ""]


class Observation(NamedTuple):
    """All of the world is public; theta is not in it. Both players see the same, in absolute order (human first).

    `last_actions` are as chosen, `effective` says which of them did anything (passing never does).
    """

    blocks: Int8[Array, "X Y Z"]
    touched: Int8[Array, "X Y Z"]
    feet: Int[Array, "2 3"]
    edits: Edits
    last_actions: Int[Array, "2"]
    effective: Bool[Array, "2"]
    time: Int[Array, ""]
    legal: tuple[EditLegal, EditLegal]

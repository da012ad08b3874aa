"""How is an edit or a move written as one number, and how is one drawn from ten thousand without touching them all?

The flat layout is MBAG's (Laidlaw et al. 2025), for M kinds and N = X·Y·Z cells in C order of (x, y, z):

    0                       pass
    1 + m·N + c             place a block of kind m in cell c (kinds 0 and 1 are never legal)
    1 + M·N + c             break the block in cell c
    1 + M·N + N + d         move in direction d: +x, -x, +y, -y, +z, -z

Policies speak in factored form (`EditLogits`), legality too (`EditLegal`), so that a turn costs 2N + 7 weights, and the
M kinds at one cell alone.
"""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int

PASS, PLACE, BREAK, MOVE = 0, 1, 2, 3
"""What an action does."""

DIRECTIONS = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))


class Action(NamedTuple):
    """An action taken apart. `cell`, `kind` and `direction` are 0 where they do not apply."""

    what: Int[Array, "*B"]
    cell: Int[Array, "*B"]
    kind: Int[Array, "*B"]
    direction: Int[Array, "*B"]


class EditLogits(NamedTuple):
    """Factored preferences. Weights of the 2N + 7 first choices are `exp` of these, normalised over the legal ones;
    then, if a cell is to be filled, the kind is drawn from softmax of `kind` at that cell over the placeable kinds."""

    rest: Float[Array, ""]
    place: Float[Array, " N"]
    kind: Float[Array, "N M"]
    remove: Float[Array, " N"]
    move: Float[Array, "6"]


class EditLegal(NamedTuple):
    """Which first choices are legal. Passing always is; every placeable kind is legal wherever placing is."""

    place: Bool[Array, " N"]
    remove: Bool[Array, " N"]
    move: Bool[Array, "6"]

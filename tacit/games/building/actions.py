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

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.games.building.blocks import FIRST_PLACEABLE

PASS, PLACE, BREAK, MOVE = 0, 1, 2, 3
"""What an action does."""

UNLIKELY = -120.0
"""A logit beside which 0 is certain, also in single precision."""
DIRECTIONS = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))


class Action(NamedTuple):
    """An action taken apart. `cell`, `kind` and `direction` are 0 where they do not apply."""

    what: Int[Array, "*B"]
    cell: Int[Array, "*B"]
    kind: Int[Array, "*B"]
    direction: Int[Array, "*B"]


class EditLogits(NamedTuple):
    """Factored preferences. Weights of the 2N + 7 first choices are `exp` of these, normalised over the legal ones;
    then, if a cell is to be filled, the kind is drawn from softmax of `kind` at that cell over the placeable kinds.
    -inf is allowed; where `place` is finite, some placeable kind has to be.
    """

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


def num_actions(num_kinds: int, num_cells: int) -> int:
    """A = 1 + M·N + N + 6."""
    return 1 + (num_kinds + 1) * num_cells + len(DIRECTIONS)


def decode(action: Int[Array, "*B"], num_kinds: int, num_cells: int) -> Action:
    """Take actions apart."""
    place_end = 1 + num_kinds * num_cells
    remove_end = place_end + num_cells
    what = jnp.where(
        action == 0, PASS, jnp.where(action < place_end, PLACE, jnp.where(action < remove_end, BREAK, MOVE))
    )
    edit = (what == PLACE) | (what == BREAK)
    return Action(
        what,
        jnp.where(edit, (action - 1) % num_cells, 0),
        jnp.where(what == PLACE, (action - 1) // num_cells, 0),
        jnp.where(what == MOVE, action - remove_end, 0),
    )


def encode(action: Action, num_kinds: int, num_cells: int) -> Int[Array, "*B"]:
    """Put actions together; the inverse of `decode`."""
    place_end = 1 + num_kinds * num_cells
    what, cell, kind, direction = action
    return jnp.where(
        what == PASS,
        0,
        jnp.where(
            what == PLACE,
            1 + kind * num_cells + cell,
            jnp.where(what == BREAK, place_end + cell, place_end + num_cells + direction),
        ),
    )


def first_choices(logits: EditLogits, legal: EditLegal) -> Float[Array, " F"]:
    """The logits of the F = 2N + 7 first choices, -inf where not legal: pass, place, break, move."""
    place = jnp.where(legal.place, logits.place, -jnp.inf)
    remove = jnp.where(legal.remove, logits.remove, -jnp.inf)
    move = jnp.where(legal.move, logits.move, -jnp.inf)
    return jnp.concatenate([logits.rest[None], place, remove, move])


def parted(choices: Float[Array, " F"]) -> tuple[Array, Array, Array, Array]:
    """What is said of passing, of placing in each cell, of breaking there and of moving, by the first choices."""
    num = (len(choices) - 1 - len(DIRECTIONS)) // 2
    rest, place, remove, move = jnp.split(choices, (1, 1 + num, 1 + 2 * num))
    return rest[0], place, remove, move


def draw(weights: Float[Array, " F"], uniform: Float[Array, ""]) -> Int[Array, ""]:
    """The index i with probability weights[i] / sum, by inverting the distribution function at `uniform` in [0, 1).

    In two levels, first a block of about √F entries and then one of these, so that no long running sum is made. Where
    all weights are 0, the last.
    """
    width = int(np.ceil(np.sqrt(len(weights))))
    blocks = jnp.pad(weights, (0, -len(weights) % width)).reshape(-1, width)
    upto = jnp.cumsum(blocks.sum(-1))
    target = uniform * upto[-1]
    block = jnp.minimum((upto <= target).sum(), len(blocks) - 1)
    before = jnp.where(block > 0, upto[block - 1], 0.0)
    within = jnp.cumsum(blocks[block])
    # Rounding must not carry the target out of its block, nor to an entry without weight.
    target = jnp.clip(target - before, 0.0, within[-1] * np.float32(1 - 2**-23))
    found = block * width + jnp.minimum((within <= target).sum(), width - 1)
    return jnp.minimum(found, len(weights) - 1).astype(jnp.int32)


def weights(logits: Float[Array, " F"]) -> Float[Array, " F"]:
    """The exponentials of the logits, scaled so that the greatest is 1."""
    return jnp.exp(logits - logits.max())


def sample(logits: EditLogits, legal: EditLegal, key: Key[Array, ""]) -> Int[Array, ""]:
    """Draw one legal action."""
    num_cells, num_kinds = logits.kind.shape
    uniforms = jax.random.uniform(key, (2,))
    choice = draw(weights(first_choices(logits, legal)), uniforms[0])
    places = (choice >= 1) & (choice <= num_cells)
    cell = jnp.where(places, choice - 1, 0)
    kind = draw(weights(logits.kind[cell, FIRST_PLACEABLE:]), uniforms[1]) + FIRST_PLACEABLE
    return chosen(choice, kind, num_kinds, num_cells)


def chosen(choice: Int[Array, "*B"], kind: Int[Array, "*B"], num_kinds: int, num_cells: int) -> Int[Array, "*B"]:
    """The action that is this first choice, of this kind if it fills a cell."""
    places = (choice >= 1) & (choice <= num_cells)
    # Beyond the cells to place in, the flat layout has the same order, M - 1 rows of cells later.
    others = jnp.where(choice == 0, 0, choice + (num_kinds - 1) * num_cells)
    return jnp.where(places, kind * num_cells + choice, others).astype(jnp.int32)


def first_choice(action: Int[Array, "*B"], num_kinds: int, num_cells: int) -> Int[Array, "*B"]:
    """Which first choice an action begins with; the inverse of `chosen`."""
    what, cell, _, _ = decode(action, num_kinds, num_cells)
    others = jnp.where(what == PASS, 0, action - (num_kinds - 1) * num_cells)
    return jnp.where(what == PLACE, 1 + cell, others)


def log_prob(logits: EditLogits, legal: EditLegal, action: Int[Array, ""]) -> Float[Array, ""]:
    """Log-probability that `sample` gives `action`; -inf when it is not legal."""
    num_cells, num_kinds = logits.kind.shape
    what, cell, kind, _ = decode(action, num_kinds, num_cells)
    choices = first_choices(logits, legal)
    places, choice = what == PLACE, first_choice(action, num_kinds, num_cells)
    row = jnp.where(places, logits.kind[cell, FIRST_PLACEABLE:], 0.0)
    log_kind = jnp.where(kind >= FIRST_PLACEABLE, row[kind - FIRST_PLACEABLE], -jnp.inf) - jax.nn.logsumexp(row)
    log_choice = choices[choice] - jax.nn.logsumexp(choices)
    return jnp.where(log_choice == -jnp.inf, -jnp.inf, log_choice + jnp.where(places, log_kind, 0.0))


def flatten(logits: EditLogits) -> Float[Array, " A"]:
    """The same preferences as one logit an action, for other people's algorithms; their softmax is `sample`."""
    kinds = logits.kind[:, FIRST_PLACEABLE:]
    log_kinds = kinds - jax.nn.logsumexp(kinds, axis=-1, keepdims=True)
    joint = jnp.where(logits.place[:, None] == -jnp.inf, -jnp.inf, logits.place[:, None] + log_kinds)
    never = jnp.full((FIRST_PLACEABLE * len(joint),), -jnp.inf)
    return jnp.concatenate([logits.rest[None], never, joint.T.reshape(-1), logits.remove, logits.move])


def flatten_legal(legal: EditLegal, num_kinds: int) -> Bool[Array, " A"]:
    """Which flat actions are legal."""
    never = jnp.zeros((FIRST_PLACEABLE * len(legal.place),), bool)
    place = jnp.tile(legal.place, num_kinds - FIRST_PLACEABLE)
    return jnp.concatenate([jnp.ones((1,), bool), never, place, legal.remove, legal.move])


def certain(action: Int[Array, ""], num_kinds: int, num_cells: int) -> EditLogits:
    """Preferences that leave `action` alone; so little on passing that only an illegal action leaves it any."""
    what, cell, kind, direction = decode(action, num_kinds, num_cells)
    here = jnp.arange(num_cells, dtype=jnp.int32) == cell
    kinds = jnp.arange(num_kinds, dtype=jnp.int32) == kind

    def only(wanted: Bool[Array, "*S"]) -> Float[Array, "*S"]:
        return jnp.where(wanted, 0.0, -jnp.inf)

    return EditLogits(
        rest=jnp.where(what == PASS, 0.0, UNLIKELY),
        place=only(here & (what == PLACE)),
        kind=jnp.broadcast_to(jnp.where(kinds, 0.0, UNLIKELY)[None], (num_cells, num_kinds)),
        remove=only(here & (what == BREAK)),
        move=only((jnp.arange(len(DIRECTIONS), dtype=jnp.int32) == direction) & (what == MOVE)),
    )

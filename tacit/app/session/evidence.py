"""What does it tell about a cell that a person judges a guess, or presses the off-switch? Choices, read by one rule.

Both are log-likelihoods of what was said, by the kind that the cell should be (`feedback.choice`), for `tell`.
"""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from tacit.app.session.messages import Judge
from tacit.feedback.choice import log_choices
from tacit.feedback.press import PRESS
from tacit.games.building.game import BuildingGame, similarity

RATIONALITY = 3.0
"""In nats for one right or wrong block: a person errs once in twenty."""


def judgement(game: BuildingGame, message: Judge) -> Float[np.ndarray, " M"]:
    """Log P(what was said | the cell should be of kind m): a choice between "yes" and "no" (`feedback.choice`)."""
    agrees = jnp.arange(game.num_kinds) == message.kind
    values = jnp.stack([agrees, ~agrees], -1).astype(jnp.float32)
    answer = 0 if message.right else 1
    return np.asarray(jax.vmap(lambda each: log_choices(each, RATIONALITY))(values)[:, answer])


def cells(game: BuildingGame, judged: Iterable[Judge]) -> Float[np.ndarray, "N M"]:
    """Log P(all of these judgements | θ), by cell and kind."""
    rows: dict[tuple[int, bool], Float[np.ndarray, " M"]] = {}
    told = np.zeros((*game.shape, game.num_kinds), np.float32)
    for each in judged:
        what = (each.kind, each.right)
        rows[what] = rows[what] if what in rows else judgement(game, each)
        told[each.cell] += rows[what]
    return told.reshape(game.num_cells, game.num_kinds)


def press(game: BuildingGame, before: int, after: int) -> Float[np.ndarray, " M"]:
    """Log P(the off-switch is pressed | the cell should be of kind m) while it was about to be made `after`.

    Going on is worth what the edit gains, stopping nothing: `feedback.press`.
    """
    wanted = jnp.arange(game.num_kinds, dtype=jnp.int8)
    after_all, before_all = (jnp.full_like(wanted, kind) for kind in (after, before))
    gain = similarity(after_all, wanted) - similarity(before_all, wanted)
    values = jnp.stack([gain, jnp.zeros_like(gain)], -1)
    return np.asarray(jax.vmap(lambda each: log_choices(each, RATIONALITY))(values)[:, PRESS])

"""A person learned from recordings of people who built: they choose as people chose, house in mind.

Small networks look at each turn as `situation` tells it, and give the chances of passing, placing, breaking and
moving, then of each cell, direction and kind. All is told from where the person stands, so somebody who was learned in
one world builds in larger and smaller ones, and with other materials.

How often they rest, err or move is theirs: drawn at the start, and kept. Of a stranger it is unknown at first and told
by what they do, so that the same networks foresee people who idle much more than those whom they were learned from.
"""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from tacit.core import Game, Human
from tacit.games.building.actions import EditLogits
from tacit.games.building.game import House, Observation, building_game
from tacit.humans.demonstrations import KIND, SIZES
from tacit.humans.past import FILL, HARM, LITTER, MEND, REST, STEP, Past, nothing_yet
from tacit.humans.situation import Situation, situation
from tacit.learning.cloning import Chooser, blank, log_choice
from tacit.storage import load_weights, shipped

WEIGHTS = "cloned-human"
"""The weights that come with tacit."""
FIRM = 300.0
"""Turns that a person's habits count for, so that they stay who they are whatever they happen to do."""
VARIETY = 0.25
"""How much people differ from the typical one: the standard deviation of the logarithms of their habits."""


class Cloned(Human):
    """A person who builds as the recorded people did. They rest, look around, err, and build on."""

    chooser: Chooser
    shape: tuple[int, int, int] = eqx.field(static=True)
    num_kinds: int = eqx.field(static=True)
    reach: float = eqx.field(static=True)

    def init(self, key: Key[Array, ""]) -> Past:
        """Draw a person."""
        spread = VARIETY * jax.random.normal(key, self.chooser.typical.shape)
        habits = jax.nn.softmax(jnp.log(self.chooser.typical) + spread, axis=-1)
        return nothing_yet(self.shape)._replace(follows=FIRM * habits)

    def logits(
        self, theta: House, memory: Past, observation: Observation, key: Key[Array, ""]
    ) -> tuple[EditLogits, Past]:
        """The probability of every action, as logits."""
        del key
        now, memory = situation(theta, memory, observation, self.reach, self.num_kinds)
        return decide(self.chooser, now), memory


def decide(chooser: Chooser, now: Situation) -> EditLogits:
    """P(sort) · P(option | sort) of every first choice, and the kinds."""
    legal, wanted = now.legal, now.wanted
    groups = {
        FILL: legal.place & wanted,
        LITTER: legal.place & ~wanted,
        MEND: legal.remove & wanted,
        HARM: legal.remove & ~wanted,
        STEP: legal.move,
    }
    possible = jnp.stack([jnp.ones((), bool), *(groups[sort].any() for sort in sorted(groups))])
    sort = log_choice(chooser.sorts(now.moment, now.habit, now.like), possible)

    def spread(what: int, scores: Float[Array, " K"]) -> Float[Array, " K"]:
        among: Bool[Array, " K"] = groups[what]
        return jnp.where(among, sort[what] + log_choice(scores, among), -jnp.inf)

    fill, empty = chooser.options(FILL - 1, now.cells), chooser.options(MEND - 1, now.cells)
    return EditLogits(
        sort[REST],
        jnp.maximum(spread(FILL, fill), spread(LITTER, fill)),
        jax.vmap(chooser.options, (None, 0))(KIND, now.kinds),
        jnp.maximum(spread(MEND, empty), spread(HARM, empty)),
        spread(STEP, chooser.options(STEP - 1, now.moves)),
    )


def make(game: Game, weights: Path | None = None) -> Cloned:
    """Somebody like the recorded people, or like those that `weights` were learned from."""
    building = building_game(game, "The human 'cloned'")
    like = eqx.filter_eval_shape(blank, SIZES, jax.random.key(0))
    chooser = load_weights(shipped(WEIGHTS) if weights is None else weights, like)
    return Cloned(chooser, building.shape, building.num_kinds, building.reach)

"""A person who acts like the people of the recordings, but gets the house built: planning anchored to another human.

The anchor h predicts what people do, and Q says what each action is worth with theta known (`planner`). Of all policies
with the anchor's chance of passing, this one is the best compromise between doing well and being like the anchor:

    maximise E_π[Q] - λ KL(π ‖ h):   π(a) ∝ h(a) · exp(Q(a) / λ) for all a but passing,   π(pass) = h(pass)

What is put off is put off to a turn of the same person's, with the same habits, so Q counts on that turn's V and not on
the planner's: whoever hardly ever breaks a block that stands, and is shut out of the house by one, would put it off for
ever if they took themselves for somebody who does it at the next turn.

    V = h(pass) γ V + (1 - h(pass)) max_π { E_π[Q] - λ KL(π ‖ h) },   π and h given that they do not pass

Its *rationality* is 1 / λ: at 0 it is the anchor, at infinity the planner's best among what the anchor may do. piKL:
Jacob et al. 2022, "Modeling strong and human-like gameplay with KL-regularized search", arXiv 2112.07544, equation 2;
the exception for passing is that of Laidlaw et al. 2025, arXiv 2504.07091, who find such a π by tree search instead.
"""

from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.core import HUMAN, Game, Human, Memory
from tacit.games.building.actions import EditLegal, EditLogits, first_choices
from tacit.games.building.game import House, Observation, building_game
from tacit.humans import cloned
from tacit.humans.planner import ActionValues, Prospects, action_values, prospects, reweigh, watch

RATIONALITY = 2.0
LEAST_RATIONALITY = 1e-3
"""Below it V is that of this rationality: it hardly matters to who hardly minds."""
HALVINGS = 12
"""Of the interval in which V is looked for: found to a 4096th of the planner's."""


class Mind(NamedTuple):
    """The anchor's memory, and when each passage was opened."""

    anchor: Memory
    passages: Int[Array, "X Y Z"]


def anchored(
    anchor: EditLogits, values: ActionValues, legal: EditLegal, rationality: float | Float[Array, ""]
) -> EditLogits:
    """π(a) ∝ h(a) · exp(rationality · Q(a)) for all legal a but passing; π(pass) = h(pass)."""
    policy = reweigh(anchor, jax.tree.map(lambda value: rationality * value, values))
    before, after = (jax.nn.logsumexp(first_choices(logits, legal)[1:]) for logits in (anchor, policy))
    # Together the others keep the anchor's weight; where it gives them none, passing is all there is.
    idle = before == -jnp.inf
    before, after = jnp.where(idle, 0.0, before), jnp.where(idle, 0.0, after)
    return policy._replace(
        rest=jnp.where(idle, 0.0, anchor.rest),
        place=policy.place - after + before,
        remove=policy.remove - after + before,
        move=policy.move - after + before,
    )


def turn_value(
    anchor: EditLogits, ahead: Prospects, legal: EditLegal, rationality: float | Float[Array, ""]
) -> Float[Array, ""]:
    """V, in edits: the value of a turn to somebody who acts like this now and, if nothing comes of it, again.

    0 where it is less than that.
    """
    choices = first_choices(anchor, legal)
    every, acting = jax.nn.logsumexp(choices), jax.nn.logsumexp(choices[1:])
    passes, acts = jnp.exp(choices[0] - every), jnp.exp(acting - every)
    rationality = jnp.maximum(rationality, LEAST_RATIONALITY)

    def turn(value: Float[Array, ""]) -> Float[Array, ""]:
        values = action_values(ahead, value)
        policy = reweigh(anchor, jax.tree.map(lambda q: rationality * q, values))
        gained = jax.nn.logsumexp(first_choices(policy, legal)[1:]) - acting
        return passes * values.rest + jnp.where(acts > 0.0, acts * gained / rationality, 0.0)

    def halve(step: Int[Array, ""], ends: tuple[Array, Array]) -> tuple[Array, Array]:
        del step
        low, high = ends
        middle = (low + high) / 2
        more = turn(middle) > middle
        return jnp.where(more, middle, low), jnp.where(more, high, middle)

    low, high = jax.lax.fori_loop(0, HALVINGS, halve, (jnp.zeros_like(ahead.best), ahead.best))
    return (low + high) / 2


class PiKL(Human):
    """Planning, kept near to the anchor, a human who speaks in `EditLogits`."""

    anchor: Human
    shape: tuple[int, int, int] = eqx.field(static=True)
    num_kinds: int = eqx.field(static=True)
    reach: float = eqx.field(static=True)
    rationality: float | Float[Array, ""] = RATIONALITY
    """1 / λ, in nats for each edit that an action is worth more. Chosen on training houses: docs/people.md."""

    def init(self, key: Key[Array, ""]) -> Mind:
        """The anchor's memory, and no passages."""
        return Mind(self.anchor.init(key), jnp.zeros(self.shape, jnp.int32))

    def logits(
        self, theta: House, memory: Mind, observation: Observation, key: Key[Array, ""]
    ) -> tuple[EditLogits, Mind]:
        """The exact probability of every action, up to a factor."""
        anchor, anchor_memory = self.anchor.logits(theta, memory.anchor, observation, key)
        passages = watch(memory.passages, theta, observation)
        ahead, legal = prospects(theta, passages, observation, self.num_kinds, self.reach), observation.legal[HUMAN]
        value = turn_value(anchor, ahead, legal, self.rationality)
        policy = anchored(anchor, action_values(ahead, value), legal, self.rationality)
        return policy, Mind(anchor_memory, passages)

    def feel(self, memory: Mind, observation: Observation, felt: Float[Array, ""]) -> Mind:
        """What the anchor feels."""
        return memory._replace(anchor=self.anchor.feel(memory.anchor, observation, felt))


def make(game: Game, rationality: float | Float[Array, ""] = RATIONALITY, weights: Path | None = None) -> PiKL:
    """Somebody like the recorded people who plans, or like those that `weights` were learned from (cloned-human)."""
    building = building_game(game, "The human 'pikl'")
    anchor = cloned.make(building, weights)
    return PiKL(anchor, building.shape, building.num_kinds, building.reach, rationality)

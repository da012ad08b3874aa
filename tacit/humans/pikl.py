"""A person who acts like the people of the recordings, but gets the house built: planning anchored to another human.

The anchor h predicts what people do, and Q says what each action is worth with theta known (`planner`). Of all policies
with the anchor's chance of passing, this one is the best compromise between doing well and being like the anchor:

    maximise E_π[Q] - λ KL(π ‖ h):   π(a) ∝ h(a) · exp(Q(a) / λ) for all a but passing,   π(pass) = h(pass)

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
from tacit.humans.planner import ActionValues, action_values, reweigh, watch

RATIONALITY = 4.0


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
        values = action_values(theta, passages, observation, self.num_kinds, self.reach)
        policy = anchored(anchor, values, observation.legal[HUMAN], self.rationality)
        return policy, Mind(anchor_memory, passages)

    def feel(self, memory: Mind, observation: Observation, felt: Float[Array, ""]) -> Mind:
        """What the anchor feels."""
        return memory._replace(anchor=self.anchor.feel(memory.anchor, observation, felt))


def make(game: Game, rationality: float | Float[Array, ""] = RATIONALITY, weights: Path | None = None) -> PiKL:
    """Somebody like the recorded people who plans, or like those that `weights` were learned from (cloned-human)."""
    building = building_game(game, "The human 'pikl'")
    anchor = cloned.make(building, weights)
    return PiKL(anchor, building.shape, building.num_kinds, building.reach, rationality)

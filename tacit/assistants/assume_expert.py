"""Takes the human for an expert and pulls the arm that they probably want: right about experts, harmful to learners.

Chan et al. 2019, "The Assistive Multi-Armed Bandit", arXiv 1901.08654: a learner's early requests are guesses, and who
reads them as knowledge keeps the learner from ever finding out.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from tacit.beliefs.exact import ExactBelief, believe
from tacit.core import Assistant, Game, Human, log_prob_flat
from tacit.games.bandit import NO_ARM, State
from tacit.humans import epsilon_optimal
from tacit.humans.counting import arm_logits, bandit, evenly
from tacit.humans.epsilon_optimal import EpsilonOptimal

TIE = 1e-3
"""Arms whose log-weights differ by less are equally likely: they were asked for equally often."""


class Thoughts(NamedTuple):
    """How likely each arm is the best, if the human is an expert."""

    probabilities: Float[Array, " K"]


class AssumeExpert(Assistant):
    """Bayes over which arm is best, by the requests of an ε-optimal human, this turn's included; then the likeliest."""

    num_arms: int = eqx.field(static=True)
    expert: EpsilonOptimal

    def init(self, key: Key[Array, ""]) -> ExactBelief:
        """Every arm may be the best. A hypothesis is a theta in which one is."""
        del key
        return believe(jnp.eye(self.num_arms), jnp.ones(self.num_arms))

    def logits(
        self, memory: ExactBelief, observation: State, key: Key[Array, ""]
    ) -> tuple[Float[Array, " A"], ExactBelief]:
        """Evenly among the arms that are most likely best."""
        arms = jnp.ones(self.num_arms, bool)

        def told(theta: Float[Array, " K"]) -> Float[Array, ""]:
            logits, _ = self.expert.logits(theta, None, observation, key)
            return log_prob_flat(logits[1:], arms, observation.requested)

        asked = observation.requested != NO_ARM
        belief = memory.update(jnp.where(asked, jax.vmap(told)(memory.hypotheses), 0.0))
        likeliest = belief.log_weights >= jnp.max(belief.log_weights) - TIE
        return arm_logits(evenly(likeliest)), belief

    def thoughts(self, memory: ExactBelief) -> Thoughts:
        """The belief."""
        return Thoughts(memory.probabilities)


def make(game: Game, human: Human, epsilon: float = 0.1) -> AssumeExpert:
    """The assistant that takes anyone for someone who knows what they like and asks for it, but for `epsilon`."""
    del human
    game = bandit(game, "An assistant that assumes an expert")
    if not 0.0 < epsilon < 1.0:
        raise ValueError(f"Epsilon is {epsilon}; an expert who errs now and then has one between 0 and 1.")
    return AssumeExpert(game.num_arms, epsilon_optimal.make(game, epsilon))

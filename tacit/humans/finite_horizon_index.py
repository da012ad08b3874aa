"""A human who learns what they like and plans: asks for the arm whose worth, trying included, is highest by its index.

The index is that of `planning.bandit_index`, with the rounds that are left. Chan et al. 2019, "The Assistive
Multi-Armed Bandit", arXiv 1901.08654; Kaufmann 2018, "On Bayesian index policies for sequential resource allocation".
"""

import equinox as eqx
from jaxtyping import Array, Float, Int

from tacit.core import Game
from tacit.humans.counting import CountingLearner, Tried, bandit, best, evenly
from tacit.planning.bandit_index import Index, index_ranking


class FiniteHorizonIndex(CountingLearner):
    """The arm with the highest index; ties evenly."""

    num_arms: int = eqx.field(static=True)
    num_rounds: int = eqx.field(static=True)
    index: Index

    def chances(self, tried: Tried, time: Int[Array, ""]) -> Float[Array, " K"]:
        """Evenly among the arms of the highest index."""
        left = self.num_rounds - time // 2
        return evenly(best(self.index.scores(tried.successes, tried.failures, left)))


def make(game: Game) -> FiniteHorizonIndex:
    """The planning learner of a bandit, who takes the means to be drawn evenly from [0, 1], as they are."""
    game = bandit(game, "A learner by indices")
    return FiniteHorizonIndex(game.num_arms, game.num_rounds, index_ranking(game.num_rounds))

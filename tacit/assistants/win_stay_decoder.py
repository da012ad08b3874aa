"""Reads rewards off a person who stays with what pleased them, and explores in their stead.

Someone who wins and stays, or loses and shifts, tells with every request what the last pull paid: "the same arm again"
is 1 and any other is 0. So the assistant knows as much as anyone can and plays the bandit itself: a poor learner makes
the best team. Chan et al. 2019, "The Assistive Multi-Armed Bandit", arXiv 1901.08654.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.core import Assistant, Game, Human
from tacit.games.bandit import NO_ARM, State
from tacit.humans.counting import Tried, arm_logits, bandit, best, evenly, nothing_tried
from tacit.planning.bandit_index import Ranking, index_ranking


class Memory(NamedTuple):
    """What every pull paid but the last, and which arm that was (-1 for none)."""

    tried: Tried
    pulled: Int[Array, ""]


class WinStayDecoder(Assistant):
    """Takes a repeated request for a win and any other for a loss, then pulls what `ranking` ranks first."""

    num_arms: int = eqx.field(static=True)
    num_rounds: int = eqx.field(static=True)
    ranking: Ranking

    def init(self, key: Key[Array, ""]) -> Memory:
        """Nothing known."""
        del key
        return Memory(nothing_tried(self.num_arms), jnp.full((), NO_ARM, jnp.int32))

    def logits(self, memory: Memory, observation: State, key: Key[Array, ""]) -> tuple[Float[Array, " A"], Memory]:
        """Evenly among the arms that rank first."""
        del key
        asked = observation.requested != NO_ARM
        known = memory.tried.add(memory.pulled, (observation.requested == memory.pulled).astype(jnp.float32))
        tried = jax.tree.map(lambda new, old: jnp.where(asked, new, old), known, memory.tried)
        scores = self.ranking.scores(tried.successes, tried.failures, self.num_rounds - observation.time // 2)
        return arm_logits(evenly(best(scores))), Memory(tried, observation.pulled)

    def thoughts(self, memory: Memory) -> Tried:
        """What it has read: how often each arm was pulled, but for the last time, and what that paid."""
        return memory.tried


def make(game: Game, human: Human, ranking: Ranking | None = None) -> WinStayDecoder:
    """The decoder that plays by `ranking`: by finite-horizon indices unless one is given."""
    del human
    game = bandit(game, "An assistant that reads rewards off requests")
    if game.num_arms < 2:
        raise ValueError("With one arm every request is the same; reading rewards off requests takes at least two.")
    return WinStayDecoder(game.num_arms, game.num_rounds, ranking or index_ranking(game.num_rounds))

"""Finds out what the human likes beside a human who does not know either, and gives up sure comfort for it if it pays.

Its belief is over theta, the world and what the human remembers; its plan is the best there is (`planning.discovery`),
carried out by looking up one of the beliefs that it can come to. Of equally good actions it takes the first, so that it
passes, or obeys, unless something else is better.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from tacit.arrays import Pomdp
from tacit.core import ASSISTANT, HUMAN, Assistant, Game, Human
from tacit.games.tabular import Observation, TabularGame
from tacit.humans.learning import Learner
from tacit.planning import discovery, policy_graph
from tacit.planning.policy_graph import Graph


class Thoughts(NamedTuple):
    """How likely each theta is, and what each action is worth from here on."""

    probabilities: Float[Array, " N"]
    values: Float[Array, " A"]


class Explorer(Assistant):
    """Walks a policy graph. Its last node is for what the plan takes for impossible: there it passes for good.

    `sights[z]` numbers what z looks like among what can be seen. Axis letters: N thetas, A actions, G nodes, O what is
    seen together with what the human did, Z sights.
    """

    graph: Graph
    probabilities: Float[np.ndarray, "G N"]
    values: Float[np.ndarray, "G A"]
    sights: Int[np.ndarray, " Z"]
    num_human_actions: int = eqx.field(static=True)

    def init(self, key: Key[Array, ""]) -> Int[Array, ""]:
        """The node for what cannot be, until something is seen."""
        del key
        return jnp.asarray(len(self.graph.actions) - 1, jnp.int32)

    def logits(
        self, memory: Int[Array, ""], observation: Observation, key: Key[Array, ""]
    ) -> tuple[Float[Array, " A"], Int[Array, ""]]:
        """Only the action of the node to which the last one and what is seen lead."""
        del key
        did = observation.last_actions[HUMAN]
        seen = jnp.asarray(self.sights, jnp.int32)[observation.seen] * self.num_human_actions + did
        first, follow = jnp.asarray(self.graph.first, jnp.int32), jnp.asarray(self.graph.follow, jnp.int32)
        node = jnp.where(observation.time == 0, first[seen], follow[memory, seen])
        action = jnp.asarray(self.graph.actions, jnp.int32)[node]
        return jnp.where(jnp.arange(self.values.shape[1]) == action, 0.0, -jnp.inf), node

    def thoughts(self, memory: Int[Array, ""]) -> Thoughts:
        """The belief over theta alone, and the values."""
        return Thoughts(
            jnp.asarray(self.probabilities, jnp.float32)[memory], jnp.asarray(self.values, jnp.float32)[memory]
        )


def problem(game: TabularGame, human: Learner) -> Pomdp:
    """What is hidden from the assistant beside this human, as a POMDP."""
    return discovery.reduce_learning(game.arrays, human.arrays)


def make(game: Game, human: Human) -> Explorer:
    """The best assistant of this learner (`humans.learning`), in a game given by arrays and played to its horizon."""
    if not isinstance(game, TabularGame) or not isinstance(human, Learner):
        raise ValueError(
            "The explorer needs a game given by arrays and a human who learns by a listed memory (Learner)."
        )
    pomdp = problem(game, human)
    plan = policy_graph.solve(pomdp, game.horizon)
    thetas = len(game.arrays.prior)
    belonging = np.kron(np.eye(thetas), np.ones((len(pomdp.initial) // thetas, 1)))
    probabilities = np.concatenate([plan.beliefs @ belonging, game.arrays.prior[None]])
    values = np.concatenate([plan.q, np.zeros((1, plan.q.shape[1]))])
    looks, index = np.unique(game.arrays.sees[ASSISTANT], return_inverse=True)
    sights = np.zeros(int(looks.max()) + 1, int)
    sights[game.arrays.sees[ASSISTANT]] = index
    return Explorer(_with_nowhere(plan.graph), probabilities, values, sights, game.num_actions[HUMAN])


def _with_nowhere(graph: Graph) -> Graph:
    """The graph with one more node, which is where all ways lead that it does not have."""
    nowhere = len(graph.actions)
    first, follow = (np.where(ways < 0, nowhere, ways) for ways in (graph.first, graph.follow))
    return Graph(first, np.append(graph.actions, 0), np.concatenate([follow, np.full((1, len(graph.first)), nowhere)]))

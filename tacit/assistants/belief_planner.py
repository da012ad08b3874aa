"""An assistant that knows how the human chooses: Bayes over theta and the hidden state, then the best plan.

For games given by arrays, with a human whose choice depends on theta, what they see and the clock alone. A human with a
memory (one who is still learning, say) is refused: there inference runs over pairs of theta and memory, which cannot be
listed in general.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.beliefs.exact import ExactBelief, believe
from tacit.core import ASSISTANT, HUMAN, Assistant, Game, Human
from tacit.games.tabular import Observation, State, TabularGame
from tacit.planning.belief_planning import AssistanceArrays, action_values, check_size, optimal


class Memory(NamedTuple):
    """The belief over pairs (theta, state), and what each action was last thought to be worth."""

    belief: ExactBelief
    values: Float[Array, " A"]


class Thoughts(NamedTuple):
    """How likely each theta is, and what each action is worth (-inf where it is not legal)."""

    probabilities: Float[Array, " N"]
    values: Float[Array, " A"]


class BeliefPlanner(Assistant):
    """Follows Bayes' rule and plans exactly, `arrays.human.shape[0]` turns being the whole game."""

    arrays: AssistanceArrays
    prior: Float[Array, "N S"]
    depth: int = eqx.field(static=True)

    def init(self, key: Key[Array, ""]) -> Memory:
        """The prior, before the first sight."""
        del key
        thetas, states = self.prior.shape
        pairs = jnp.divmod(jnp.arange(thetas * states, dtype=jnp.int32), states)
        return Memory(believe(pairs, self.prior.reshape(-1)), jnp.zeros(self.arrays.legal.shape[1]))

    def logits(
        self, memory: Memory, observation: Observation, key: Key[Array, ""]
    ) -> tuple[Float[Array, " A"], Memory]:
        """Learn from what the human just did and from what is seen now, then share the choice among the best."""
        del key
        belief = self.after_turn(memory.belief, observation)
        belief = belief.update(jnp.log(self.arrays.looks[belief.hypotheses[1], observation.seen]))
        weights = belief.probabilities.reshape(self.prior.shape)
        values = action_values(self.arrays, weights, observation.time, self.depth)
        return optimal(values), Memory(belief, values)

    def after_turn(self, belief: ExactBelief, observation: Observation) -> ExactBelief:
        """The belief after the human's last action and the world's move; as it was before the first turn.

        b'(θ, s') ∝ Σ_s b(θ, s) π(h | θ, s) T(s' | s, h, a).
        """
        human, assistant = observation.last_actions[HUMAN], observation.last_actions[ASSISTANT]
        choices = self.arrays.human[jnp.maximum(observation.time - 1, 0), :, :, human]
        told = belief.update(jnp.log(choices.reshape(-1)))
        weights = told.probabilities.reshape(self.prior.shape)
        moved = believe(belief.hypotheses, (weights @ self.arrays.transitions[:, human, assistant]).reshape(-1))
        return jax.tree.map(lambda new, old: jnp.where(observation.time > 0, new, old), moved, belief)

    def thoughts(self, memory: Memory) -> Thoughts:
        """The belief over theta alone, and the values."""
        return Thoughts(memory.belief.probabilities.reshape(self.prior.shape).sum(1), memory.values)


@eqx.filter_jit
def policy_table(game: TabularGame, human: Human) -> Float[Array, "T N S H"]:
    """The probability of each of the human's actions at each turn, for each theta and state."""
    thetas, states = game.arrays.rewards.shape[:2]

    def chances(time: Int[Array, ""], theta: Int[Array, ""], number: Int[Array, ""]) -> Float[Array, " H"]:
        state = State(number, jnp.zeros(2, jnp.int32), time)
        key = jax.random.key(0)
        logits, _ = human.logits(theta, human.init(key), game.observe(state)[HUMAN], key)
        actions = jnp.arange(game.num_actions[HUMAN], dtype=jnp.int32)
        return jnp.exp(jax.vmap(lambda action: game.log_prob(logits, game.legal(state)[HUMAN], action))(actions))

    every = jax.vmap(jax.vmap(jax.vmap(chances, (None, None, 0)), (None, 0, None)), (0, None, None))
    sizes = game.horizon, thetas, states
    return every(*(jnp.arange(size, dtype=jnp.int32) for size in sizes))


def problem(game: TabularGame, human: Human) -> AssistanceArrays:
    """The assistance problem that `human` poses in `game`: what exact planners read."""
    if jax.tree.leaves(jax.eval_shape(human.init, jax.random.key(0))):
        raise ValueError("The belief planner needs a human without memory; this one has one.")
    sees = game.arrays.sees[ASSISTANT]
    looks = jnp.eye(int(sees.max()) + 1)[sees]
    return AssistanceArrays(
        jnp.asarray(game.arrays.transitions),
        jnp.asarray(game.arrays.rewards),
        policy_table(game, human),
        looks,
        jnp.asarray(game.arrays.legal_assistant),
        game.discount,
    )


def make(game: Game, human: Human, depth: int | None = None) -> BeliefPlanner:
    """The planner that looks `depth` turns ahead: to the horizon unless it is given."""
    if not isinstance(game, TabularGame):
        raise ValueError("The belief planner needs a game given by arrays (TabularGame).")
    depth = game.horizon if depth is None else depth
    if depth < 1:
        raise ValueError(f"The depth is {depth}; a planner looks at least one turn ahead.")
    arrays = problem(game, human)
    check_size(arrays, depth)
    return BeliefPlanner(arrays, jnp.outer(jnp.asarray(game.arrays.prior), jnp.asarray(game.arrays.initial)), depth)

"""A human who looks one turn ahead: mostly does what pays most at once, if the assistant passes.

For any game without chance whose human sees the whole state and whose action 0 passes.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.core import HUMAN, Game, Human, Observation, Theta


class Myopic(Human):
    """P(h | s, θ) ∝ exp(rationality · R(θ, s, h, pass))."""

    game: Game
    rationality: Float[Array, ""]

    def init(self, key: Key[Array, ""]) -> None:
        """No memory."""
        del key

    def logits(
        self, theta: Theta, memory: None, observation: Observation, key: Key[Array, ""]
    ) -> tuple[Float[Array, " H"], None]:
        """Rationality times each action's reward."""

        def worth(action: Int[Array, ""]) -> Float[Array, ""]:
            actions = jnp.stack([action, jnp.zeros_like(action)])
            following = self.game.step(observation, actions, key)
            return self.game.reward(theta, observation, actions, following).sum()

        choices = jnp.arange(self.game.num_actions[HUMAN], dtype=jnp.int32)
        return self.rationality * jax.vmap(worth)(choices), memory


def make(game: Game, rationality: float = 3.0) -> Myopic:
    """The one-turn planner of a game whose human sees the state itself. `rationality` is in nats per unit of reward."""
    key = jax.random.key(0)
    state = jax.eval_shape(game.init, key)
    sees = jax.eval_shape(game.observe, state)[HUMAN]
    if jax.tree.structure(state) != jax.tree.structure(sees):
        raise ValueError("A myopic human must see the whole state, but this game shows something else.")
    if not 0.0 <= rationality < float("inf"):
        raise ValueError(f"The rationality is {rationality}; it must be at least 0 and finite.")
    return Myopic(game, jnp.asarray(rationality, jnp.float32))

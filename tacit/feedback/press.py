"""Should this go on, or stop here? Pressing an off-switch, or leaving it alone.

Let go on, what was under way is carried through; pressed, all stays as it is from then on:

    P(press | θ) = 1 / (1 + exp(rationality · (r_θ(go on) - r_θ(stop)))).

That nobody pressed is evidence as well: Hadfield-Menell et al. 2017, "The Off-Switch Game", arXiv 1611.08219; Jeon,
Milli and Dragan 2020, table 1. Axis letters: T turns, D features.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from tacit.core import Question

GO_ON, PRESS = 0, 1
"""The answers."""


class Press(Question):
    """Whether to stop. `left` is what is still to be collected if it goes on, `still` what if it stands still."""

    left: Float[Array, " D"]
    still: Float[Array, " D"]

    def values(self, theta: Float[Array, " D"]) -> Float[Array, "2"]:
        """What going on and stopping are worth; what was collected before counts for both."""
        return jnp.stack([self.left @ theta, self.still @ theta])


def make(course: Float[Array, "T D"], turn: int, standing: Float[Array, " D"]) -> Press:
    """Stop at `turn` what would collect `course`, a row a turn? To stand still collects `standing` a turn."""
    if not 0 <= turn < len(course):
        raise ValueError(f"The switch can be pressed at turns 0 to {len(course) - 1} of this course, not at {turn}.")
    return Press(course[turn:].sum(0), standing * (len(course) - turn))


def example(key: Key[Array, ""]) -> tuple[Press, Float[Array, "N D"]]:
    """A random course of six turns that could be stopped after two, and five weight vectors someone might have."""
    course_key, thetas_key = jax.random.split(key)
    return make(jax.random.normal(course_key, (6, 2)), 2, jnp.zeros(2)), jax.random.normal(thetas_key, (5, 2))

"""What should an assistant do that knows how the human chooses, but not what the human wants?

With the human's policy fixed, what the assistant does not know (theta and the world's hidden part) becomes the hidden
state of a single-agent problem, and what it sees next together with what the human just did becomes its observation.
Hadfield-Menell et al. 2016, arXiv 1606.03137, section 3; Shah et al. 2020, section 3.

Exact for a finite horizon, by following every action and every observation from the belief at hand. All beliefs of one
depth are one array; each is unnormalised, its mass the probability of what had to be seen to get there, so that nothing
is divided and values add up: V(b) = max_a [ b·R_a + γ Σ_o V(b M_ao) ].

Axis letters: T turns, N thetas, S states, H the human's actions, A the assistant's, Z sights, B beliefs of one depth.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

MAX_NUMBERS = 50_000_000
"""The largest number of floats that one depth of the tree may hold."""

TIE = 1e-5
"""Values that differ by less are taken for equal."""


class AssistanceArrays(NamedTuple):
    """An assistance problem: a game given by arrays, and the human's policy in it.

    `looks[s, z]` is the probability that state s looks like z to the assistant, and `human[t, n, s, h]` that a human
    who wants theta n does h at turn t. What is legal for the assistant must be the same in states that look the same.
    """

    transitions: Float[Array, "S H A S"]
    rewards: Float[Array, "N S H A"]
    human: Float[Array, "T N S H"]
    looks: Float[Array, "S Z"]
    legal: Bool[Array, "S A"]
    discount: float | Float[Array, ""]


def tree_size(problem: AssistanceArrays, num_turns: int) -> int:
    """How many numbers the deepest beliefs of a look-ahead of `num_turns` turns hold."""
    thetas, states, humans, assistants = problem.rewards.shape
    return (assistants * humans * problem.looks.shape[1]) ** (num_turns - 1) * thetas * states


def check_size(problem: AssistanceArrays, num_turns: int) -> None:
    """Refuse a look-ahead that would not fit in memory."""
    size = tree_size(problem, num_turns)
    if size > MAX_NUMBERS:
        raise ValueError(
            f"Looking {num_turns} turns ahead exactly takes {size:.2g} numbers, more than {MAX_NUMBERS:.2g}; "
            "ask for fewer turns or use an approximate planner."
        )


def action_values(
    problem: AssistanceArrays, belief: Float[Array, "N S"], time: Int[Array, ""], num_turns: int
) -> Float[Array, " A"]:
    """Q(b, a) of the best plan for the next `num_turns` turns, or until the human's policy ends; -inf if not legal."""
    check_size(problem, num_turns)
    return _values(problem, belief[None], time, num_turns)[0]


def optimal(values: Float[Array, " A"]) -> Float[Array, " A"]:
    """Logits that share the choice evenly among the best actions."""
    return jnp.where(values >= jnp.max(values) - TIE, 0.0, -jnp.inf)


def _values(
    problem: AssistanceArrays, beliefs: Float[Array, "B N S"], time: Int[Array, ""], num_turns: int
) -> Float[Array, "B A"]:
    """Values of each belief, scaled by its mass."""
    horizon, assistants = problem.human.shape[0], problem.legal.shape[1]
    policy = problem.human[jnp.minimum(time, horizon - 1)]
    chosen = jnp.where(time < horizon, jnp.einsum("bns,nsh->bnsh", beliefs, policy), 0.0)
    values = jnp.einsum("bnsh,nsha->ba", chosen, problem.rewards)
    if num_turns > 1:
        moved = jnp.einsum("bnsh,shaz->bahnz", chosen, problem.transitions)
        after = jnp.einsum("bahns,sz->bahzns", moved, problem.looks).reshape(-1, *beliefs.shape[1:])
        following = jnp.max(_values(problem, after, time + 1, num_turns - 1), axis=-1)
        values = values + problem.discount * following.reshape(beliefs.shape[0], assistants, -1).sum(-1)
    # A belief without mass may look like any state, so that nothing is ruled out; its values are all zero.
    forbidden = beliefs.sum(1) @ (~problem.legal).astype(jnp.float32)
    return jnp.where(forbidden > 0.0, -jnp.inf, values)

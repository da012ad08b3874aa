"""What do all contract checks compare? The form of pytrees, whether a verb is pure, and frequencies with chances."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

NUM_EPISODES, NUM_TURNS, NUM_DRAWS = 8, 8, 4096
"""How much is played, and how many draws are compared with probabilities."""

SURPRISE = 6.0
"""How many standard deviations a statistic may lie from its mean."""


def require(kept: bool | np.bool_ | Bool[Array, ""], sentence: str) -> None:
    """Raise ValueError with `sentence` if the contract was not kept."""
    if not kept:
        raise ValueError(sentence)


def form(tree: Any) -> Any:
    """The structure of a pytree with the shape and type of each leaf."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]


def require_form(what: str, before: Any, after: Any) -> None:
    """Raise ValueError unless two pytrees have the same structure, shapes and types."""
    (old, old_leaves), (new, new_leaves) = form(before), form(after)
    require(old == new, f"{what} has another structure than before: {new}, not {old}.")
    for old_leaf, new_leaf in zip(old_leaves, new_leaves, strict=True):
        require(old_leaf == new_leaf, f"{what} has a leaf of form {new_leaf}, which was {old_leaf} before.")


def require_pure(what: str, function: Callable[[Any], Any], argument: Any) -> None:
    """Raise ValueError unless tracing a function twice gives the same program."""
    # Traces are kept by function, so that each needs a function of its own.
    first, second = (jax.make_jaxpr(lambda x: function(x))(argument) for _ in range(2))  # noqa: PLW0108
    alike = str(first.jaxpr) == str(second.jaxpr) and all(map(_same, first.consts, second.consts))
    require(alike, f"{what} is not pure: it did something else the second time, though nothing but the key may vary.")


def reads(function: Callable[[Any], Any], argument: Any) -> bool:
    """Whether a function's value has anything to do with its argument: whether its traced program looks at it."""
    program = jax.make_jaxpr(function)(argument).jaxpr
    looked_at = [atom for equation in program.eqns for atom in equation.invars] + program.outvars
    return any(atom is given for atom in looked_at for given in program.invars)


def _same(first: Any, second: Any) -> bool:
    return first is second or np.array_equal(np.asarray(first), np.asarray(second), equal_nan=True)


def require_frequencies(what: str, counts: np.ndarray, chances: np.ndarray) -> None:
    """Raise ValueError if counts are too far from chances, which need not sum to one: the rest is pooled.

    Pearson's chi-square over what is expected five times or more, against its mean and standard deviation.
    """
    draws = counts.sum()
    often = chances * draws >= 5.0
    seen = np.append(counts[often], draws - counts[often].sum())
    due = np.append(chances[often], max(1.0 - chances[often].sum(), 1.0 / draws)) * draws
    freedom = max(len(seen) - 1, 1)
    surprise = ((seen - due) ** 2 / due).sum()
    require(
        surprise <= freedom + SURPRISE * (2.0 * freedom) ** 0.5, f"{what} is not drawn as often as its log_prob says."
    )


def num_parameters(verb: Callable[..., Any]) -> int:
    """How many arguments a method takes."""
    return len(inspect.signature(verb).parameters)


def undefined(leaf: Array) -> Bool[Array, "..."]:
    """Where a leaf is not a number; infinities are numbers."""
    return jnp.isnan(leaf) if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.zeros(leaf.shape, bool)


def flat(theta: Any) -> Float[Array, " D"]:
    """All numbers of a pytree in one vector."""
    return jnp.concatenate([jnp.ravel(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(theta)])

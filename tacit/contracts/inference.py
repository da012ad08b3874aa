"""Do a belief and a question keep their contracts?"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from tacit.contracts.forms import NUM_DRAWS, SURPRISE, flat, num_parameters, require, require_form, require_pure
from tacit.core import Belief, Question, Theta


def check_belief(belief: Belief, hypotheses: Theta, key: Key[Array, ""]) -> None:
    """Check that a belief over N listed hypotheses follows Bayes' rule: E_b'[f] = E_b[f L] / E_b[L].

    `hypotheses` are what `update` takes a log-likelihood for each of, a pytree with a leading axis N.
    """
    one = jax.tree.map(lambda leaf: leaf[0], hypotheses)
    size = sum(leaf.size for leaf in jax.tree.leaves(one))
    likelihood_key, f_key, sample_key = jax.random.split(key, 3)

    def wave(key: Key[Array, ""]) -> Callable[[Theta], Array]:
        """A random smooth function of theta, between -1 and 1."""
        direction = jax.random.normal(key, (size,)) * 2.0
        return lambda theta: jnp.sin(1.0 + flat(theta) @ direction)

    log_likelihood, f = wave(likelihood_key), wave(f_key)
    after = belief.update(jax.vmap(log_likelihood)(hypotheses))
    require_form("The belief after `update`", belief, after)
    evidence = belief.expect(lambda theta: jnp.exp(log_likelihood(theta)))
    expected = belief.expect(lambda theta: f(theta) * jnp.exp(log_likelihood(theta))) / evidence
    require(np.allclose(belief.expect(lambda theta: jnp.ones(())), 1.0, atol=1e-4), "The belief does not sum to 1.")
    require(np.allclose(after.expect(f), expected, atol=1e-4), "The belief's update is not Bayes' rule.")
    draws = jax.vmap(lambda key: f(after.sample(key)))(jax.random.split(sample_key, NUM_DRAWS))
    error = abs(float(draws.mean()) - float(after.expect(f)))
    spread = float(draws.std()) / NUM_DRAWS**0.5
    require(error <= SURPRISE * spread + 1e-4, "The belief's samples do not agree with its expectations.")


def check_question(question: Question, hypotheses: Theta) -> None:
    """Check that a question gives every theta of `hypotheses` (leading axis N) one finite value per option."""
    require(num_parameters(question.values) == 1, "A question's `values` takes theta and nothing else.")
    one = jax.tree.map(lambda leaf: leaf[0], hypotheses)
    form = jax.eval_shape(question.values, one)
    floats = isinstance(form, jax.ShapeDtypeStruct) and jnp.issubdtype(form.dtype, jnp.floating)
    require(floats and form.ndim == 1 and form.size > 1, f"A question's values are one axis of floats, not {form}.")
    require_pure("The question", question.values, one)
    values = jax.jit(jax.vmap(question.values))(hypotheses)
    require(np.isfinite(values).all(), "A question's values must be finite for every theta.")

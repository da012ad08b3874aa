"""What does an answer tell? The one rule behind every kind of feedback: people choose by what they want, with noise.

Whatever a person does, says or leaves undone is a choice among options:

    P(option k | θ) ∝ exp(rationality · value_k(θ)).

Jeon, Milli and Dragan 2020, "Reward-rational (implicit) choice", arXiv 2002.04833, equation 2.

A kind of feedback only says what the options are and what each is worth to someone who wants theta (`core.Question`).
Rationality is in nats per unit of value: 0 answers evenly, infinity never errs and shares ties evenly.
Axis letters: N hypotheses, K options.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.beliefs.exact import ExactBelief
from tacit.core import Question, Theta

Rationality = float | Float[Array, ""]


def log_choices(values: Float[Array, " K"], rationality: Rationality) -> Float[Array, " K"]:
    """Log P(k) = rationality · v_k - log Σ_j exp(rationality · v_j)."""
    gaps = values - jnp.max(values)
    return jax.nn.log_softmax(jnp.where(gaps == 0.0, 0.0, rationality * gaps))


def log_likelihood(question: Question, theta: Theta, rationality: Rationality) -> Float[Array, " K"]:
    """Log P(k | θ) of every answer, for one theta."""
    return log_choices(question.values(theta), rationality)


def log_likelihoods(question: Question, hypotheses: Theta, rationality: Rationality) -> Float[Array, "N K"]:
    """Log P(k | θ) of every answer, for each of N hypotheses."""
    return jax.vmap(lambda theta: log_likelihood(question, theta, rationality))(hypotheses)


def answer(question: Question, theta: Theta, rationality: Rationality, key: Key[Array, ""]) -> Int[Array, ""]:
    """Draw the answer of someone who wants theta."""
    return jax.random.categorical(key, log_likelihood(question, theta, rationality)).astype(jnp.int32)


def learn(belief: ExactBelief, question: Question, given: Int[Array, ""], rationality: Rationality) -> ExactBelief:
    """The belief after the answer `given`."""
    return belief.update(log_likelihoods(question, belief.hypotheses, rationality)[:, given])


def predict(belief: ExactBelief, question: Question, rationality: Rationality) -> Float[Array, " K"]:
    """P(k) = Σ_θ b(θ) P(k | θ): how likely each answer is, as far as one knows."""
    return belief.probabilities @ jnp.exp(log_likelihoods(question, belief.hypotheses, rationality))


def information_gain(belief: ExactBelief, question: Question, rationality: Rationality) -> Float[Array, ""]:
    """How much the answer will tell about theta, in nats: I(θ; k) = Σ_θ b(θ) Σ_k P(k | θ) log (P(k | θ) / P(k)).

    Lindley 1956; for questions about rewards, Bıyık et al. 2019, arXiv 1910.04365. Never negative, and 0 where every
    theta would answer alike.
    """
    log_told = log_likelihoods(question, belief.hypotheses, rationality)
    log_all = jnp.log(predict(belief, question, rationality))
    weights = belief.probabilities[:, None] * jnp.exp(log_told)
    # The difference of two logs is undefined only where the answer is impossible, and then its weight is 0.
    terms = jnp.where(weights > 0.0, weights * (log_told - log_all[None, :]), 0.0)
    return jnp.maximum(jnp.sum(terms), 0.0)

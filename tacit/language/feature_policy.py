"""A policy for trials without a language model: it chooses among listed answers by features of them.

    P(a | q) ∝ exp(w · f(q, a))   over the candidates of q.

It can see what an answer is like, and has to find out what is wanted. Axis letters: A answers, B samples, D features.
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy import special

from tacit.language.feature_critic import Features
from tacit.language.rounds import Lesson, Samples

Candidates = Callable[[str], Sequence[str]]
"""The answers to a question that can be given."""


class FeaturePolicy(eqx.Module):
    """A softmax over candidates, with one weight for each feature."""

    candidates: Candidates = eqx.field(static=True)
    features: Features = eqx.field(static=True)
    weights: Float[np.ndarray, " D"]

    def seen(self, question: str) -> Float[np.ndarray, "A D"]:
        """The features of all candidates."""
        return np.array([self.features(question, answer) for answer in self.candidates(question)])

    def chances(self, question: str) -> Float[np.ndarray, " A"]:
        """How likely each candidate is."""
        return special.softmax(self.seen(question) @ self.weights)

    def answer(self, questions: Sequence[str], rng: np.random.Generator) -> Samples:
        """Draw an answer to each question (`rounds.Answer`); the trace is ∇ log P of each."""
        texts, slopes = [], []
        # Questions come in groups; what is seen of each is looked up once.
        known = {question: (self.seen(question), self.chances(question)) for question in dict.fromkeys(questions)}
        for question in questions:
            seen, chances = known[question]
            index = int(rng.choice(len(chances), p=chances))
            texts.append(self.candidates(question)[index])
            slopes.append(seen[index] - chances @ seen)
        return Samples(texts, np.ones(len(texts), bool), np.array(slopes))

    def learn(self, lesson: Lesson, rate: float) -> "FeaturePolicy":
        """One step along Σ_i weight_i ∇ log P(answer_i)."""
        weights = self.weights + rate * lesson.weights @ lesson.samples.trace
        return FeaturePolicy(self.candidates, self.features, weights)

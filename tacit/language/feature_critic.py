"""Can the game be tried without a language model? A critic that compares features of two answers.

It weighs the *difference* of two answers' scores s = w · f(question, answer), and a constant for the tie:

    logits of (first, second, tie) = (d, -d, t),   d = s(first) - s(second).

With the scores themselves, (s₁, s₂, t), two good answers would leave nothing to the tie. Swapping the answers swaps
the first two chances, so the place of an answer can tell this critic nothing. Where the features are ingredients of a
task's checker, what is learned shows that the game works, not that a critic can do without them.
Axis letters: B pairs, D features.
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy import special

from tacit.language.game import FIRST, LABELS, SECOND, TIE, Pair
from tacit.language.rounds import Lesson, Samples
from tacit.language.verdicts import SAYING

Features = Callable[[str, str], Float[np.ndarray, " D"]]
"""What is seen of a question and one answer to it."""


class FeatureCritic(eqx.Module):
    """A critic with one weight for each feature, and one for the tie."""

    features: Features = eqx.field(static=True)
    weights: Float[np.ndarray, " D"]
    tie: float

    def log_chances(self, differences: Float[np.ndarray, "B D"]) -> Float[np.ndarray, "B 3"]:
        """Log-probabilities of the three labels, by how the features of the first answer differ from the second's."""
        lead = differences @ self.weights
        return special.log_softmax(np.stack([lead, -lead, np.full_like(lead, self.tie)], axis=1), axis=1)

    def differences(self, pairs: Sequence[Pair]) -> Float[np.ndarray, "B D"]:
        """f(first) - f(second), pair by pair."""
        found = [self.features(one.question, one.first) - self.features(one.question, one.second) for one in pairs]
        return np.array(found, dtype=np.float64).reshape(len(pairs), len(self.weights))

    def judge(self, pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        """Draw a verdict on each pair (`rounds.Judge`); its trace is the differences and the labels."""
        differences = self.differences(pairs)
        # The largest of log-chances with Gumbel noise is a draw from them.
        noisy = self.log_chances(differences) + rng.gumbel(size=(len(pairs), len(LABELS)))
        labels = noisy.argmax(axis=1)
        return Samples([SAYING[int(label)] for label in labels], np.ones(len(pairs), bool), (differences, labels))

    def learn(self, lesson: Lesson, rate: float) -> "FeatureCritic":
        """One step along Σ_i weight_i ∇ log P(label_i)."""
        differences, labels = lesson.samples.trace
        surprise = (labels[:, None] == np.array(LABELS)) - np.exp(self.log_chances(differences))
        lead = lesson.weights * (surprise[:, FIRST] - surprise[:, SECOND])
        return FeatureCritic(
            self.features,
            self.weights + rate * lead @ differences,
            self.tie + rate * float(lesson.weights @ surprise[:, TIE]),
        )


def untaught(features: Features, num_features: int) -> FeatureCritic:
    """A critic that knows nothing yet: every label is as likely."""
    return FeatureCritic(features, np.zeros(num_features), 0.0)

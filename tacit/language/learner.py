"""How does a model learn from lessons? One step of AdamW: by the weights of what was said, and not far from the start.

    loss = -Σ_i w_i Σ_t log π(t) / T  +  β / n · Σ_i Σ_t (π₀/π - log π₀/π - 1)(t) / T,

where i runs over the n kept samples of all lessons, T is the most tokens that a sample may have, and π₀ is the model at
the start. The second part is an estimate of the KL divergence that is never negative (Schulman 2020, "Approximating KL
divergence"). Samples are drawn by the model as it is, so that there is nothing to correct for.

What a sample adds to that part is π₀/π, which may be hundreds where the model has become sure. `exact` replaces it by
what it estimates, at each token of a sample over all V that might have stood there, Σ_v π(v) log π(v) / π₀(v): as good
as free for a vocabulary of a hundred words.
"""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from tacit.language.models import Speaker
from tacit.language.rounds import Lesson
from tacit.language.score_critic import ScoreCritic

Numbers = dict[str, float]
"""Figures to watch, by name."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How far a step goes: the rate, β (`kl`), and the longest gradient.

    `at_once` samples go through the model together, which costs memory and changes nothing else.
    """

    rate: float = 1e-6
    kl: float = 1e-3
    exact: bool = False
    """Whether the divergence of each token is summed over all tokens instead of estimated. For those who speak."""
    longest_gradient: float = 1.0
    at_once: int = 16


Model = TypeVar("Model", Speaker, ScoreCritic)


@dataclasses.dataclass(frozen=True)
class Learner(Generic[Model]):
    """A model that learns, the same as it was at the start, and what the optimiser remembers."""

    speaker: Model
    start: Model
    optimiser: Optimizer
    config: Config

    def learn(self, lessons: Sequence[Lesson], most_tokens: int, pace: float = 1.0) -> Numbers:
        """One step on all lessons together, at the rate times `pace`; how far the model was from its start, if β > 0.

        None if nothing has weight, so that momentum moves nobody either.
        """
        if not any(lesson.weights.any() for lesson in lessons):
            return {"gradient": 0.0}
        self.optimiser.zero_grad()
        divergence = self.differentiate(lessons, most_tokens)
        length = nn.utils.clip_grad_norm_(self.speaker.parameters(), self.config.longest_gradient)
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.rate * pace
        self.optimiser.step()
        return ({"divergence": divergence} if self.config.kl > 0.0 else {}) | {"gradient": float(length)}

    def differentiate(self, lessons: Sequence[Lesson], most_tokens: int) -> float:
        """Add the gradient of the loss; returns the divergence from the start, in nats a kept sample; 0 without β."""
        num_kept, divergence = sum(int(lesson.kept.sum()) for lesson in lessons), 0.0
        for lesson in lessons:
            kept = np.flatnonzero(lesson.kept)
            for start in range(0, len(kept), self.config.at_once):
                rows = torch.from_numpy(kept[start : start + self.config.at_once])
                said = lesson.samples.trace.at(rows)
                found, apart = self.found(said)
                loss = -torch.from_numpy(lesson.weights)[rows].to(found) @ found.sum(dim=1)
                if apart is not None:
                    loss = loss + self.config.kl * apart / num_kept
                    divergence += float(apart.detach()) / num_kept
                (loss / most_tokens).backward()
        return divergence

    def found(self, said: Any) -> tuple[Float[Tensor, "n T"], Float[Tensor, ""] | None]:
        """Log π of each token of some samples, and how far they are from the start, in nats; None without β."""
        if not self.config.kl > 0.0:
            return self.speaker.log_probs(said), None
        if self.config.exact:
            assert isinstance(self.speaker, Speaker), "`begin` sees to it"
            assert isinstance(self.start, Speaker)
            now = self.speaker.log_chances(said)
            with torch.no_grad():
                before = self.start.log_chances(said)
            each = (now.exp() * (now - before)).sum(dim=2)
            return said.chosen(now), torch.where(said.spoken, each, 0.0).sum()
        found = self.speaker.log_probs(said)
        with torch.no_grad():
            before = self.start.log_probs(said)
        gap = before - found
        return found, (gap.exp() - gap - 1.0).sum()


AnyLearner = Learner[Speaker] | Learner[ScoreCritic]
"""Whoever can be taught."""


def begin(speaker: Model, config: Config) -> Learner[Model]:
    """A learner that starts from `speaker`, which it will change; what it was is kept apart.

    Raises ValueError where an exact divergence is asked of somebody who says no tokens.
    """
    if config.exact and not isinstance(speaker, Speaker):
        raise ValueError("A critic that scores says no tokens: its divergence can only be estimated (exact=False).")
    start = copy.deepcopy(speaker).requires_grad_(False).eval()
    # Dropout would make the model that is taught another one than the model that spoke.
    return Learner(speaker.eval(), start, AdamW(speaker.parameters(), lr=config.rate, weight_decay=0.0), config)

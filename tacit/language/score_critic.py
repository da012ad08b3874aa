"""A critic for small machines, apart from the policy: a language model that scores both answers and compares.

The score of an answer is how likely the critic finds it, and differences of scores say the label:

    s(q, a) = log π(a | q),      logits of (first, second, tie) = (d, -d, t),   d = s(q, first) - s(q, second).

It begins as a model that can read and reckon, and learns which words are an expert's at their place; π is then no
longer what anybody says, but what is to be preferred. Swapping the answers swaps the labels' chances, so a place can
tell it nothing. It is told what the game pays and nothing else: no sum is done for it, no number compared.
Axis letters: B samples, N texts.
"""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import AdamW

from tacit.language.demonstrations import Demonstration
from tacit.language.game import Pair
from tacit.language.models import Speaker, Speech
from tacit.language.prompts import Roles
from tacit.language.rounds import Answer, Samples
from tacit.language.verdicts import SAYING


class Verdicts(NamedTuple):
    """Labels, and the texts they compare: `first` and `second` are rows of `texts`, which holds each text once."""

    texts: Speech
    first: Int[Tensor, " B"]
    second: Int[Tensor, " B"]
    labels: Int[Tensor, " B"]

    def at(self, rows: Int[Tensor, " n"]) -> "Verdicts":
        """Some of the verdicts."""
        return Verdicts(self.texts, self.first[rows], self.second[rows], self.labels[rows])


class ScoreCritic(nn.Module):
    """A speaker of its own, a copy of `speaker`, and what speaks for a tie (t)."""

    def __init__(self, speaker: Speaker, roles: Roles, tie: float = 1.0):
        super().__init__()
        self.reader = copy.deepcopy(speaker).eval()
        self.tie = nn.Parameter(torch.tensor(tie))
        self.roles = roles

    def quote(self, questions: Sequence[str], answers: Sequence[str]) -> Speech:
        """Answers as they would have been said."""
        said = [self.roles.as_said(answer) for answer in answers]
        return self.reader.quote([self.roles.ask(question) for question in questions], said)

    def scores(self, texts: Speech) -> Float[Tensor, " N"]:
        """s(q, a) of each text."""
        return self.reader.log_probs(texts).sum(dim=1)

    def log_chances(self, lead: Float[Tensor, " B"]) -> Float[Tensor, "B 3"]:
        """Log-probabilities of the three labels, by how far the first answer's score is ahead."""
        return torch.stack([lead, -lead, self.tie.expand_as(lead)], dim=1).log_softmax(dim=1)

    def log_probs(self, verdicts: Verdicts) -> Float[Tensor, "B 1"]:
        """Log P(label | pair) of each verdict: one word was spoken, so to say."""
        needed, places = torch.cat([verdicts.first, verdicts.second]).unique(return_inverse=True)
        first, second = self.scores(verdicts.texts.at(needed))[places].chunk(2)
        return self.log_chances(first - second).gather(1, verdicts.labels[:, None])

    def judge(self, pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        """Draw a verdict on each pair (`rounds.Judge`)."""
        if not pairs:
            return Samples([], np.ones(0, bool), None)
        sides = [(pair.question, pair.first) for pair in pairs] + [(pair.question, pair.second) for pair in pairs]
        rows = {side: row for row, side in enumerate(dict.fromkeys(sides))}
        texts = self.quote(*zip(*rows, strict=True))
        with torch.no_grad():
            scores = self.scores(texts)
            first, second = torch.tensor([rows[side] for side in sides], device=scores.device).chunk(2)
            chances = self.log_chances(scores[first] - scores[second]).exp().cpu().numpy()
        # The first label whose sum of chances is above an even draw.
        drawn = (chances.cumsum(axis=1) <= rng.random((len(pairs), 1))).sum(axis=1).clip(max=2)
        labels = torch.from_numpy(drawn).to(first)
        everything = np.ones(len(pairs), bool)
        return Samples([SAYING[int(label)] for label in drawn], everything, Verdicts(texts, first, second, labels))


@dataclasses.dataclass(frozen=True)
class WarmUp:
    """Steps of AdamW, contests in each, and the rate, which falls to 0."""

    num_steps: int = 240
    num_contests: int = 128
    rate: float = 1e-3


def warm_up(
    critic: ScoreCritic,
    answer: Answer,
    demonstrations: Callable[[int, np.random.Generator], Sequence[Demonstration]],
    config: WarmUp,
    report: Callable[[int, dict[str, float]], None],
    rng: np.random.Generator,
) -> None:
    """Teach a critic, in place, before the game: fresh contests of experts with a policy that stands still,

    loss = -log σ(s(expert) - s(policy)).

    It says how likely an answer is the expert's if each pair has one (Bradley and Terry 1952), and moves faster than
    the game's reward does while everything is still a guess.
    """
    optimiser = AdamW(critic.parameters(), lr=config.rate, weight_decay=0.0)
    for step in range(config.num_steps):
        for group in optimiser.param_groups:
            group["lr"] = config.rate * (1.0 - step / config.num_steps)
        shown = demonstrations(config.num_contests, rng)
        questions = [one.question for one in shown]
        texts = critic.quote(questions * 2, [one.answer for one in shown] + answer(questions, rng).texts)
        expert, policy = critic.scores(texts).chunk(2)
        loss = -nn.functional.logsigmoid(expert - policy).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
        optimiser.step()
        report(step + 1, {"loss": float(loss.detach()), "ahead": float((expert > policy).float().mean())})

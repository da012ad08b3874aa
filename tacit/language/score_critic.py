"""A critic for small machines, apart from the policy: a language model that scores both answers and compares.

The score of an answer is how likely the critic finds it, and the difference of two is its belief (Bradley and Terry
1952):

    s(q, a) = log π(a | q),      P(first is the expert's) = σ(s(q, first) - s(q, second)).

Its verdict is the label that earns most by this belief (`game.best_reply`): a tie where max(P, 1 - P) < τ_critic. So it
is taught what each contest shows, the likelihood, and the game's reward follows. The reward itself would teach nothing
where the critic is sure and wrong, which is where the policy goes.

It begins as a model that can read and reckon, and learns which words are an expert's at their place; π is then no
longer what anybody says, but what is to be preferred. Swapping the answers swaps the chances, so a place can tell it
nothing. It learns from who said what and nothing else: no sum is done for it, no number compared.
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

from tacit.language.demonstrations import Draw
from tacit.language.game import FIRST, SECOND, Contest, Pair, Rules, alone, best_reply, in_order
from tacit.language.models import Speaker, Speech
from tacit.language.prompts import Roles
from tacit.language.rounds import Answer, Lesson, Samples
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
    """A speaker of its own, a copy of `speaker`, which plays by `rules`."""

    def __init__(self, speaker: Speaker, roles: Roles, rules: Rules):
        super().__init__()
        self.reader = copy.deepcopy(speaker).eval()
        self.roles = roles
        self.rules = rules

    def quote(self, questions: Sequence[str], answers: Sequence[str]) -> Speech:
        """Answers as they would have been said."""
        said = [self.roles.as_said(answer) for answer in answers]
        return self.reader.quote([self.roles.ask(question) for question in questions], said)

    def scores(self, texts: Speech) -> Float[Tensor, " N"]:
        """s(q, a) of each text."""
        return self.reader.log_probs(texts).sum(dim=1)

    def log_probs(self, verdicts: Verdicts) -> Float[Tensor, "B 1"]:
        """Log P(the answer that a verdict names is the expert's): one word was spoken, so to say."""
        sign = torch.where(verdicts.labels == FIRST, 1.0, -1.0)
        return nn.functional.logsigmoid(sign * self.leads(verdicts))[:, None]

    def leads(self, verdicts: Verdicts) -> Float[Tensor, " B"]:
        """How far the score of the first answer is ahead of the second's."""
        needed, places = torch.cat([verdicts.first, verdicts.second]).unique(return_inverse=True)
        first, second = self.scores(verdicts.texts.at(needed))[places].chunk(2)
        return first - second

    def judge(self, pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        """The best verdict on each pair (`rounds.Judge`); nothing of it is chance."""
        del rng
        if not pairs:
            return Samples([], np.ones(0, bool), None)
        verdicts = self.verdicts(pairs, np.zeros(len(pairs), np.int64))
        with torch.no_grad():
            believed = self.leads(verdicts).sigmoid().double().cpu().numpy()
        labels = best_reply(believed, self.rules)
        said = verdicts._replace(labels=torch.from_numpy(labels).to(verdicts.labels))
        return Samples([SAYING[int(label)] for label in labels], np.ones(len(pairs), bool), said)

    def verdicts(self, pairs: Sequence[Pair], labels: Int[np.ndarray, " B"]) -> Verdicts:
        """Labels given to pairs; what is said twice is one text."""
        sides = [(pair.question, pair.first) for pair in pairs] + [(pair.question, pair.second) for pair in pairs]
        rows = {side: row for row, side in enumerate(dict.fromkeys(sides))}
        texts = self.quote(*zip(*rows, strict=True))
        first, second = torch.tensor([rows[side] for side in sides], device=texts.tokens.device).chunk(2)
        return Verdicts(texts, first, second, torch.from_numpy(labels).to(first))

    def lesson(self, contests: Sequence[Contest]) -> Lesson:
        """What contests show: in each the first answer is the expert's; the mean log-likelihood of that goes up."""
        return self._shown([in_order(one, FIRST) for one in contests], [FIRST] * len(contests))

    def lesson_alone(self, contests: Sequence[Contest]) -> Lesson:
        """The same without pairs: beside an empty answer the expert's is the expert's, and the policy's is not."""
        places = [FIRST, SECOND] * len(contests)
        return self._shown([alone(one, place) for one in contests for place in (FIRST, SECOND)], places)

    def _shown(self, pairs: Sequence[Pair], labels: list[int]) -> Lesson:
        num, said = len(pairs), self.verdicts(pairs, np.array(labels, np.int64))
        everything = np.ones(num, bool)
        return Lesson(
            Samples([SAYING[label] for label in labels], everything, said), np.full(num, 1.0 / num), everything
        )


@dataclasses.dataclass(frozen=True)
class WarmUp:
    """Steps of AdamW, contests in each, and the rate, which falls to 0."""

    num_steps: int = 240
    num_contests: int = 128
    rate: float = 1e-3


def warm_up(
    critic: ScoreCritic,
    lesson: Callable[[Sequence[Contest]], Lesson],
    answer: Answer,
    demonstrations: Draw,
    config: WarmUp,
    report: Callable[[int, dict[str, float]], None],
    rng: np.random.Generator,
) -> None:
    """Teach a critic, in place, before the game: fresh contests of experts with a policy that stands still.

    `lesson` is what it learns from them: `critic.lesson` or `critic.lesson_alone`.
    """
    optimiser = AdamW(critic.parameters(), lr=config.rate, weight_decay=0.0)
    for step in range(config.num_steps):
        for group in optimiser.param_groups:
            group["lr"] = config.rate * (1.0 - step / config.num_steps)
        shown = demonstrations(config.num_contests, rng)
        answers = answer([one.question for one in shown], rng).texts
        contests = [Contest(one.question, one.answer, text) for one, text in zip(shown, answers, strict=True)]
        found = critic.log_probs(lesson(contests).samples.trace)
        loss = -found.mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
        optimiser.step()
        report(step + 1, {"loss": float(loss.detach()), "sure": float(found.detach().exp().mean())})

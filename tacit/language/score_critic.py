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

from tacit.language.demonstrations import Demonstration
from tacit.language.game import FIRST, Contest, Pair, Rules, best_reply
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
        needed, places = torch.cat([verdicts.first, verdicts.second]).unique(return_inverse=True)
        first, second = self.scores(verdicts.texts.at(needed))[places].chunk(2)
        sign = torch.where(verdicts.labels == FIRST, 1.0, -1.0)
        return nn.functional.logsigmoid(sign * (first - second))[:, None]

    def judge(self, pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        """The best verdict on each pair (`rounds.Judge`); nothing of it is chance."""
        del rng
        if not pairs:
            return Samples([], np.ones(0, bool), None)
        sides = [(pair.question, pair.first) for pair in pairs] + [(pair.question, pair.second) for pair in pairs]
        rows = {side: row for row, side in enumerate(dict.fromkeys(sides))}
        texts = self.quote(*zip(*rows, strict=True))
        with torch.no_grad():
            scores = self.scores(texts)
        first, second = torch.tensor([rows[side] for side in sides], device=scores.device).chunk(2)
        believed = (scores[first] - scores[second]).sigmoid().double().cpu().numpy()
        labels = best_reply(believed, self.rules)
        verdicts = Verdicts(texts, first, second, torch.from_numpy(labels).to(first))
        return Samples([SAYING[int(label)] for label in labels], np.ones(len(pairs), bool), verdicts)

    def lesson(self, contests: Sequence[Contest]) -> Lesson:
        """What contests show: in each the first answer is the expert's; the mean log-likelihood of that goes up."""
        num = len(contests)
        questions = [one.question for one in contests]
        texts = self.quote(questions * 2, [one.expert for one in contests] + [one.answer for one in contests])
        first, second = torch.arange(2 * num, device=texts.tokens.device).chunk(2)
        shown = Verdicts(texts, first, second, torch.full_like(first, FIRST))
        everything = np.ones(num, bool)
        return Lesson(Samples([SAYING[FIRST]] * num, everything, shown), np.full(num, 1.0 / num), everything)


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
    """Teach a critic, in place, before the game: fresh contests of experts with a policy that stands still."""
    optimiser = AdamW(critic.parameters(), lr=config.rate, weight_decay=0.0)
    for step in range(config.num_steps):
        for group in optimiser.param_groups:
            group["lr"] = config.rate * (1.0 - step / config.num_steps)
        shown = demonstrations(config.num_contests, rng)
        questions = [one.question for one in shown]
        answers = answer(questions, rng).texts
        contests = [Contest(one.question, one.answer, text) for one, text in zip(shown, answers, strict=True)]
        found = critic.log_probs(critic.lesson(contests).samples.trace)
        loss = -found.mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
        optimiser.step()
        report(step + 1, {"loss": float(loss.detach()), "sure": float(found.detach().exp().mean())})

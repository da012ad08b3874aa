"""What else can be learned from experts' answers without a checker? Four rivals of RARO, in the same loop.

Each is a `training.Method`: the same model, the same pairs, the same step. They are those that Cai and Provilkov 2025,
arXiv 2511.21667, compare with, beside imitation (`training.sft`).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from tacit.language.advantages import advantages, role_weights
from tacit.language.demonstrations import Demonstration
from tacit.language.game import SECOND, Contest, Rules, alone, outcomes, shuffled
from tacit.language.learner import AnyLearner, Learner
from tacit.language.models import Speaker
from tacit.language.players import answering
from tacit.language.replay import mix
from tacit.language.rounds import Config as GameConfig
from tacit.language.rounds import Judge, Lesson, Memory, Round, Samples, judged_again, labels_of, one_each
from tacit.language.score_critic import ScoreCritic
from tacit.language.training import Config, Method, Step, as_step, taught_by_contests, taught_by_verdicts
from tacit.language.watch import Trials, advise, measure

ALONE = Rules(tau_policy=0.0, tau_critic=0.0)
"""A critic of single answers has nothing to tie."""


def gail(policy: Learner[Speaker], critic: AnyLearner, judge: Judge, config: Config) -> Method:
    """A critic of single answers: "the first" if this one is an expert's, "the second" if not; no pairs, no ties.

    As in GAIL (Ho and Ermon 2016, arXiv 1606.03476). The answer lies beside an empty one, so that any judge will do.
    """
    game = config.game if policy is critic else config.game.apart()

    def method(batch: Sequence[Demonstration], memory: Memory, rng: np.random.Generator) -> Step:
        played = _play_alone(policy, judge, batch, memory, config, game, rng)
        return as_step(played, taught_by_verdicts(policy, critic, played))

    return method


def gail_scored(policy: Learner[Speaker], critic: Learner[ScoreCritic], config: Config) -> Method:
    """The same with a critic of scores, taught by likelihood: what scores more than an empty answer is an expert's."""
    game = config.game.apart(num_verdicts=0)

    def method(batch: Sequence[Demonstration], memory: Memory, rng: np.random.Generator) -> Step:
        played = _play_alone(policy, critic.speaker.judge, batch, memory, config, game, rng)
        return as_step(played, taught_by_contests(policy, critic, played, critic.speaker.lesson_alone))

    return method


def _play_alone(
    policy: Learner[Speaker],
    judge: Judge,
    batch: Sequence[Demonstration],
    memory: Memory,
    config: Config,
    game: GameConfig,
    rng: np.random.Generator,
) -> Round:
    """A round without pairs; its figures are those of a fresh answer to each question, an expert's or the policy's."""
    answer = answering(policy.speaker, config.roles, config.answer_tokens)
    asked = np.repeat(np.arange(len(batch)), game.num_answers)
    shown = [batch[index] for index in asked.tolist()]
    answers = answer([one.question for one in shown], rng)
    ended = np.flatnonzero(answers.whole)
    contests = [Contest(shown[index].question, shown[index].answer, answers.texts[index]) for index in ended]
    labels = labels_of(judge([alone(one, SECOND) for one in contests], rng))
    earned = outcomes(labels, np.full(len(contests), SECOND), ALONE)
    rewards, kept = np.zeros(len(asked)), np.zeros(len(asked), bool)
    rewards[ended], kept[ended] = earned.policy, earned.readable
    firsts = one_each(asked[ended])
    chosen, expert_at = shuffled([contests[index] for index in firsts], rng, show=alone)
    fresh = Trials(labels_of(judge(chosen, rng)), expert_at)
    trials = memory.trials.then(fresh, game.guards.window)
    advice = advise(trials, game.guards)
    share = game.policy_share if advice.policy_moves else 0.0

    mixed = mix(memory.pool, contests, game.num_mixed(len(batch), len(contests)), game.replayed, rng)
    return Round(
        policy=Lesson(answers, role_weights(advantages(rewards, asked, kept), share), kept),
        critic=judged_again(*shuffled(mixed, rng, show=alone), judge, game, ALONE, rng),
        mixed=mixed,
        memory=Memory(memory.pool.add(contests), trials),
        # Where an expert's answer is shown, the policy earns nothing.
        metrics=measure(fresh, ALONE)._replace(policy_reward=float(np.mean(rewards[kept])) if kept.any() else math.nan),
        advice=advice,
    )


def dpo(policy: Learner[Speaker], config: Config, beta: float = 0.1) -> Method:
    """The expert's answers are preferred to the policy's own, fresh in every round: iterative DPO.

        loss = -log σ(m),   m = β (log π/π₀ (expert) - log π/π₀ (policy's)),   so that   w = ±β σ(-m)

    are the weights of both answers (Rafailov et al. 2023, arXiv 2305.18290, eq. 7). One own answer to each question.
    """
    answer = answering(policy.speaker, config.roles, config.answer_tokens)

    def method(batch: Sequence[Demonstration], memory: Memory, rng: np.random.Generator) -> Step:
        answers = answer([one.question for one in batch], rng)
        quoted = _quoted(policy.speaker, config, batch, [config.roles.as_said(one.answer) for one in batch])
        ahead = _since_start(policy, quoted) - _since_start(policy, answers)
        kept = answers.whole
        weights = np.where(kept, beta / (1.0 + np.exp(beta * ahead)) / len(batch), 0.0)
        lessons = [Lesson(quoted, weights, kept), Lesson(answers, -weights, kept)]
        return Step([(policy, lessons)], memory, {"expert_ahead": float((ahead > 0).mean())})

    return method


def log_probability(policy: Learner[Speaker], config: Config) -> Method:
    """A thought is rewarded by how likely it makes the answer: r = log π(expert's answer | question, thought).

    What is said before the answer's mark is the thought. Where all of a text is the answer there is none, and nothing
    is learned.
    """
    answer, mark = answering(policy.speaker, config.roles, config.answer_tokens), config.roles.answer_mark

    def method(batch: Sequence[Demonstration], memory: Memory, rng: np.random.Generator) -> Step:
        groups = np.repeat(np.arange(len(batch)), config.game.num_answers)
        shown = [batch[index] for index in groups.tolist()]
        answers = answer([one.question for one in shown], rng)
        thoughts = [policy.speaker.heard(row.tolist()) for row in _spoken(answers)]
        thoughts = [f"{text.rpartition(mark)[0]}{mark}" if mark else "" for text in thoughts]
        # Nothing before the answer may be stripped, since its tokens are counted.
        said = [f"{thought} {one.answer}" if mark else one.answer for thought, one in zip(thoughts, shown, strict=True)]
        quoted = _quoted(policy.speaker, config, shown, said)
        tokenizer = policy.speaker.tokenizer
        skipped = [len(tokenizer.encode(thought, add_special_tokens=False)) for thought in thoughts]
        found = _log_probs(policy, policy.speaker, quoted)
        later = torch.arange(found.shape[1])[None, :] >= torch.tensor(skipped)[:, None]
        rewards = (found * later).sum(dim=1).double().numpy()
        weights = role_weights(advantages(rewards, groups, answers.whole), share=1.0)
        return Step([(policy, [Lesson(answers, weights, answers.whole)])], memory, {"reward": float(rewards.mean())})

    return method


def rationalisation(policy: Learner[Speaker], config: Config) -> Method:
    """Told the expert's answer, the policy thinks of a way to it; then it imitates that thought with that answer.

    As in STaR (Zelikman et al. 2022, arXiv 2203.14465, their rationalisation).
    """

    def method(batch: Sequence[Demonstration], memory: Memory, rng: np.random.Generator) -> Step:
        prompts = [config.roles.explain(one.question, one.answer) for one in batch]
        texts, whole, _ = policy.speaker.speak(prompts, config.answer_tokens, rng)
        mark = config.roles.answer_mark
        thoughts = [text.partition(mark)[0] if mark else "" for text in texts]
        said = [f"{thought}{config.roles.as_said(one.answer)}" for thought, one in zip(thoughts, batch, strict=True)]
        weights = whole / len(batch)
        return Step([(policy, [Lesson(_quoted(policy.speaker, config, batch, said), weights, whole)])], memory, {})

    return method


def _quoted(speaker: Speaker, config: Config, shown: Sequence[Demonstration], said: list[str]) -> Samples:
    """Texts as if the policy had said them."""
    speech = speaker.quote([config.roles.ask(one.question) for one in shown], said)
    return Samples(said, np.ones(len(said), bool), speech)


def _spoken(samples: Samples) -> list[torch.Tensor]:
    """The tokens of each completion."""
    speech = samples.trace
    completions = speech.tokens[:, -speech.spoken.shape[1] :]
    return [row[mask] for row, mask in zip(completions, speech.spoken, strict=True)]


def _since_start(policy: Learner[Speaker], samples: Samples) -> Float[np.ndarray, " B"]:
    """Log π/π₀ of each text."""
    now, then = (_log_probs(policy, speaker, samples).sum(dim=1) for speaker in (policy.speaker, policy.start))
    return (now - then).double().numpy()


@torch.no_grad()
def _log_probs(policy: Learner[Speaker], speaker: Speaker, samples: Samples) -> Float[torch.Tensor, "B T"]:
    """Log π of each token by `speaker`, of as many samples at once as the policy learns from."""
    lots = torch.arange(len(samples.texts)).split(policy.config.at_once)
    return torch.cat([speaker.log_probs(samples.trace.at(rows)) for rows in lots]).cpu()

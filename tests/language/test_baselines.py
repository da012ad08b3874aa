"""The rivals of RARO: gradients and rewards by hand, and who learns what."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from tacit.language import baselines, countdown, learner
from tacit.language.demonstrations import Demonstration
from tacit.language.game import Contest, Pair
from tacit.language.models import Speaker, load
from tacit.language.prompts import Roles
from tacit.language.replay import Pool
from tacit.language.rounds import Config as GameConfig
from tacit.language.rounds import Memory, Samples
from tacit.language.score_critic import ScoreCritic
from tacit.language.training import Config, raro_scored
from tacit.language.verdicts import SAYING
from tacit.language.watch import Guards, Metrics

PLAIN = Roles(policy="", critic="", answer_mark="")
# A policy that always moves, so that what it is taught can be seen in one round.
GAME = GameConfig(num_answers=8, num_verdicts=4, guards=Guards(level=2.0))
CONFIG = Config(GAME, PLAIN, num_questions=4, answer_tokens=8, verdict_tokens=8)
BATCH = countdown.draw(countdown.THREE, 4, np.random.default_rng(0))


@pytest.fixture(scope="module")
def original(make_model, tmp_path_factory) -> Speaker:
    return load(make_model(tmp_path_factory.mktemp("model")))


@pytest.fixture
def policy(original):
    return learner.begin(copy.deepcopy(original), learner.Config(rate=1e-2, kl=0.0, at_once=64))


def test_the_weights_of_dpo_are_the_gradient_of_its_loss(policy, rng) -> None:
    beta = 0.3
    with torch.no_grad():
        for parameter in policy.speaker.parameters():
            parameter.add_(torch.from_numpy(rng.normal(0, 0.03, parameter.shape)).to(parameter))
    (_, lessons), *_ = baselines.dpo(policy, CONFIG, beta)(BATCH, Memory(), rng).lessons
    policy.optimiser.zero_grad()
    policy.differentiate(lessons, most_tokens=1)
    found = torch.cat([parameter.grad.reshape(-1) for parameter in policy.speaker.parameters()])
    policy.optimiser.zero_grad()
    expert, own = (
        (policy.speaker.log_probs(one.samples.trace) - policy.start.log_probs(one.samples.trace).detach()).sum(dim=1)
        for one in lessons
    )
    kept = torch.from_numpy(lessons[0].kept)
    (-logsigmoid(beta * (expert - own))[kept].sum() / len(BATCH)).backward()
    expected = torch.cat([parameter.grad.reshape(-1) for parameter in policy.speaker.parameters()])
    assert kept.any()
    assert expected.abs().max() > 1e-4
    assert torch.allclose(found, expected, atol=1e-5)


def taking_what_is_short(seen: list[Pair]):
    """A critic that takes short answers for an expert's, and remembers what it was asked."""

    def judge(pairs, rng):
        seen.extend(pairs)
        labels = [0 if len(pair.first) < 5 else 1 for pair in pairs]
        return Samples([SAYING[label] for label in labels], np.ones(len(pairs), bool), None)

    return judge


def test_gail_pays_for_being_taken_for_an_expert(policy, rng) -> None:
    """Short answers are raised, long ones lowered."""
    seen: list[Pair] = []
    step = baselines.gail(policy, policy, taking_what_is_short(seen), CONFIG)(BATCH, Memory(), rng)
    assert all(pair.second == "" for pair in seen)
    # One model learns both roles in one step.
    ((_, (taught, learned)),) = step.lessons
    short = np.array([len(text) < 5 for text in taught.samples.texts])
    both = 0
    for group in range(4):
        rows = slice(8 * group, 8 * group + 8)
        weights, kept = taught.weights[rows], taught.kept[rows]
        assert weights.sum() == pytest.approx(0.0, abs=1e-12)
        assert not weights[~kept].any()
        if len(set(short[rows][kept])) == 2:
            assert (weights[kept & short[rows]] > 0).all()
            assert (weights[kept & ~short[rows]] < 0).all()
            both += 1
    assert both, "a group has both kinds"
    # The critic always says the same of one answer, so none of its verdicts is better than another.
    assert not learned.weights.any()
    texts = {one.answer for one in BATCH} | set(taught.samples.texts)
    assert {pair.first for pair in seen} <= texts


def test_gails_guard_and_figures_are_of_fresh_answers_one_of_a_question(policy, rng) -> None:
    """What the critic says of old answers is no news: all of these are short, and it is wrong about each."""
    seen: list[Pair] = []
    old = Pool(tuple(Contest(f"old {number}", "9*9*9*9", "1") for number in range(40)))
    step = baselines.gail(policy, policy, taking_what_is_short(seen), CONFIG)(BATCH, Memory(old), rng)
    assert any(pair.question.startswith("old") for pair in seen)
    ((_, (taught, _)),) = step.lessons
    first = {}
    for text, whole, question in zip(taught.samples.texts, taught.samples.whole, np.repeat(range(4), 8), strict=True):
        if whole:
            first.setdefault(int(question), text)
    trials = step.memory.trials
    assert len(trials.labels) == len(first) > 0
    for (question, text), label, place in zip(sorted(first.items()), trials.labels, trials.expert_at, strict=True):
        judged = BATCH[question].answer if place == 0 else text
        assert label == (0 if len(judged) < 5 else 1)
    rewards = [len(text) < 5 for text, whole in zip(taught.samples.texts, taught.samples.whole, strict=True) if whole]
    assert step.numbers["policy_reward"] == pytest.approx(np.mean(rewards))
    assert set(Metrics._fields) | {"policy_moves", "alarm"} == set(step.numbers)


def test_gail_with_scores_rewards_what_beats_an_empty_answer_and_teaches_by_likelihood(
    policy, original, monkeypatch, rng
) -> None:
    """By a critic that likes a few words best, so that silence is worse than some answers and better than others."""
    critic = learner.begin(ScoreCritic(original, PLAIN, baselines.ALONE), learner.Config(rate=1e-2, kl=0.0, at_once=64))
    monkeypatch.setattr(critic.speaker, "scores", lambda texts: -(texts.spoken.sum(dim=1) - 3.5).abs())
    step = baselines.gail_scored(policy, critic, CONFIG)(BATCH, Memory(), rng)
    (_, (taught,)), (taught_critic, (shown,)) = step.lessons
    assert taught_critic is critic
    questions = [one.question for one in BATCH for _ in range(8)]
    with torch.no_grad():
        own = critic.speaker.scores(critic.speaker.quote(questions, taught.samples.texts)).numpy()
        nothing = critic.speaker.scores(critic.speaker.quote(questions, [""] * 32)).numpy()
    passes = np.where(own >= nothing, 1.0, 0.0)
    assert set(passes[taught.kept]) == {0.0, 1.0}
    for group in np.arange(32).reshape(4, 8):
        rows = group[taught.kept[group]]
        expected = (passes[rows] - passes[rows].mean()) / 32 if len(rows) else []
        assert taught.weights[rows] == pytest.approx(expected, abs=1e-9)
    # Each contest is shown from both sides, and all count alike.
    assert shown.samples.texts == [SAYING[0], SAYING[1]] * (len(shown.weights) // 2)
    assert shown.weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("method", [raro_scored, baselines.gail_scored])
def test_a_critic_that_is_taught_by_contests_is_not_asked_about_them(
    method, policy, original, monkeypatch, rng
) -> None:
    critic = learner.begin(ScoreCritic(original, PLAIN, baselines.ALONE), learner.Config(at_once=64))
    judge, asked = critic.speaker.judge, []

    def counted(pairs, rng):
        asked.extend(pairs)
        return judge(pairs, rng)

    monkeypatch.setattr(critic.speaker, "judge", counted)
    (_, (taught,)), (_, (shown,)) = method(policy, critic, CONFIG)(BATCH, Memory(), rng).lessons
    assert len(shown.weights)
    # Each answer once, and without pairs one more of each question, for the guard.
    assert len(asked) <= taught.samples.whole.sum() + (4 if method is baselines.gail_scored else 0)


def test_a_thought_is_rewarded_by_how_likely_it_makes_the_answer(policy, monkeypatch, rng) -> None:
    """By hand: each thought and the answer are read word by word."""
    roles = dataclasses.replace(PLAIN, answer_mark="/")
    config = dataclasses.replace(CONFIG, roles=roles, game=GameConfig(num_answers=3))
    thoughts = ["1+2", "9*9*9", "\n\n7"]
    batch = [Demonstration("0", BATCH[0].question, "1+2")]
    tokenizer = policy.speaker.tokenizer

    def answering(speaker, roles, most_tokens):
        def answer(questions, rng):
            texts = [f"{thought}/5" for thought in thoughts]
            return Samples(["5"] * 3, np.ones(3, bool), speaker.quote([roles.ask(one) for one in questions], texts))

        return answer

    monkeypatch.setattr(baselines, "answering", answering)
    step = baselines.log_probability(policy, config)(batch, Memory(), rng)
    rewards = []
    for thought in thoughts:
        given = tokenizer.encode(policy.speaker.written(roles.ask(batch[0].question)), add_special_tokens=False)
        given += tokenizer.encode(f"{thought}/", add_special_tokens=False)
        said = [*tokenizer.encode(" 1+2", add_special_tokens=False), tokenizer.eos_token_id]
        with torch.no_grad():
            chances = policy.speaker.model(input_ids=torch.tensor([given + said])).logits[0].log_softmax(1)
        rewards.append(sum(float(chances[len(given) - 1 + index, word]) for index, word in enumerate(said)))
    expected = np.array(rewards) - np.mean(rewards)
    (_, (lesson,)), *_ = step.lessons
    assert np.abs(expected).max() > 1e-3
    assert lesson.weights * 3 == pytest.approx(expected, abs=1e-4)


def test_where_all_is_answer_there_is_no_thought_to_reward(policy, rng) -> None:
    (_, (lesson,)), *_ = baselines.log_probability(policy, CONFIG)(BATCH, Memory(), rng).lessons
    assert np.abs(lesson.weights).max() < 1e-6


def test_a_rationalisation_is_imitated_with_the_experts_answer(policy, monkeypatch, rng) -> None:
    roles = dataclasses.replace(PLAIN, answer_mark="=")
    asked: list[str] = []

    def speak(prompts, most_tokens, rng):
        asked.extend(prompt.text for prompt in prompts)
        return ["1+1=9", "2*2", "3=4=5", "8"], np.array([True, True, True, False]), None

    monkeypatch.setattr(policy.speaker, "speak", speak)
    config = dataclasses.replace(CONFIG, roles=roles)
    (_, (lesson,)), *_ = baselines.rationalisation(policy, config)(BATCH, Memory(), rng).lessons
    assert all(one.answer in text and one.question in text for one, text in zip(BATCH, asked, strict=True))
    assert lesson.samples.texts == [
        f"{thought}= {one.answer}" for thought, one in zip(["1+1", "2*2", "3", "8"], BATCH, strict=True)
    ]
    assert lesson.weights.tolist() == [0.25, 0.25, 0.25, 0.0]
    assert lesson.kept.tolist() == [True, True, True, False]

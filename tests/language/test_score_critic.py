"""The critic that scores both answers: chances by hand, order, texts scored once, what it is taught and what not."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from tacit.language import learner
from tacit.language.demonstrations import Demonstration
from tacit.language.from_scratch import Schooling, Size, school, untaught
from tacit.language.game import FIRST, SECOND, TIE, Pair
from tacit.language.prompts import Roles
from tacit.language.rounds import Lesson, Samples, labels_of
from tacit.language.score_critic import ScoreCritic, WarmUp, warm_up

PLAIN = Roles(policy="", critic="", answer_mark="")
WORDS = ["Question:", "+", "=", *map(str, range(10))]


@pytest.fixture(scope="module")
def speaker():
    torch.set_num_threads(1)
    found = untaught(WORDS, Size(width=16, num_heads=2), seed=1)
    # Away from the start, where every word is about as likely.
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.mul_(8.0 if parameter.ndim > 1 else 1.0)
    return found


@pytest.fixture
def critic(speaker) -> ScoreCritic:
    return ScoreCritic(speaker, PLAIN)


def draw_pairs(num: int, rng: np.random.Generator) -> list[Pair]:
    def text(length: int) -> str:
        return " ".join(rng.choice(WORDS[1:], length))

    return [Pair(text(3), text(int(rng.integers(1, 6))), text(int(rng.integers(1, 6)))) for _ in range(num)]


def score_by_hand(speaker, question: str, answer: str) -> float:
    """Word by word, each with all that came before."""
    given = speaker.tokenizer.encode(f"Question: {question}\n", add_special_tokens=False)
    said = [*speaker.tokenizer.encode(answer, add_special_tokens=False), speaker.tokenizer.eos_token_id]
    total = 0.0
    for index, word in enumerate(said):
        with torch.no_grad():
            logits = speaker.model(input_ids=torch.tensor([given + said[:index]])).logits[0, -1]
        total += float(logits.log_softmax(0)[word])
    return total


def test_chances_are_those_of_the_scores_difference(speaker, critic, rng) -> None:
    pairs = draw_pairs(6, rng)
    drawn = critic.judge(pairs, rng)
    lead = np.array(
        [
            score_by_hand(speaker, one.question, one.first) - score_by_hand(speaker, one.question, one.second)
            for one in pairs
        ]
    )
    logits = np.stack([lead, -lead, np.full(6, 1.0)], axis=1)
    expected = (
        logits
        - np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
        - logits.max(axis=1, keepdims=True)
    )
    labels = labels_of(drawn)
    assert np.abs(lead).max() > 0.5
    assert critic.log_probs(drawn.trace).detach().numpy()[:, 0] == pytest.approx(
        expected[np.arange(6), labels], abs=1e-4
    )
    # Some of the verdicts alone are what they were among all.
    rows = torch.tensor([4, 1])
    assert torch.allclose(critic.log_probs(drawn.trace.at(rows)), critic.log_probs(drawn.trace)[rows], atol=1e-5)


def test_labels_are_drawn_as_often_as_their_chances_say(critic, rng) -> None:
    one = draw_pairs(1, rng)[0]
    found = critic.judge([one] * 4000, rng)
    # All texts of all pairs are scored once.
    assert len(found.trace.texts.tokens) == len({one.first, one.second})
    with torch.no_grad():
        first, second = critic.scores(critic.quote([one.question] * 2, [one.first, one.second]))
        chances = critic.log_chances((first - second)[None]).exp()[0].numpy()
    often = np.bincount(labels_of(found), minlength=3) / 4000
    assert often == pytest.approx(chances, abs=0.04)


def test_swapping_the_answers_swaps_the_labels(critic, rng) -> None:
    lead = torch.from_numpy(rng.normal(size=5)).float()
    there, back = critic.log_chances(lead), critic.log_chances(-lead)
    assert torch.allclose(there[:, [SECOND, FIRST, TIE]], back)
    same = Pair("1", "2 + 3", "2 + 3")
    assert (labels_of(critic.judge([same] * 200, rng)) == TIE).mean() > 0.4


def test_nothing_to_judge(critic, rng) -> None:
    assert critic.judge([], rng).texts == []


def test_it_learns_which_label_is_paid_as_a_learner_of_any_kind(critic, rng) -> None:
    one = learner.begin(critic, learner.Config(rate=3e-2, kl=0.0, at_once=1000))
    pairs = draw_pairs(1, rng) * 64

    def decided() -> float:
        with torch.no_grad():
            first, second = critic.scores(critic.quote([pairs[0].question] * 2, [pairs[0].first, pairs[0].second]))
            return float(critic.log_chances((first - second)[None])[0, SECOND])

    before = decided()
    for _ in range(10):
        found = critic.judge(pairs, rng)
        paid = (labels_of(found) == SECOND).astype(float)
        one.learn([Lesson(found, (paid - paid.mean()) / 64, np.ones(64, bool))], 1)
    assert decided() > before
    # What is not kept, and what weighs nothing, moves nobody.
    kept = copy.deepcopy(critic.state_dict())
    one.learn([Lesson(critic.judge(pairs, rng), np.zeros(64), np.zeros(64, bool))], 1)
    assert all(torch.equal(value, kept[name]) for name, value in critic.state_dict().items())


def test_a_warm_up_tells_the_experts_answers_from_others_and_nothing_from_equals(critic, rng) -> None:
    """The expert says 1, the policy 2: soon 1 is preferred. Where both say the same there is nothing to learn."""

    def shown(num: int, rng: np.random.Generator) -> list[Demonstration]:
        return [Demonstration("", str(rng.integers(10)), "1") for _ in range(num)]

    def saying(word: str):
        return lambda questions, rng: Samples([word] * len(questions), np.ones(len(questions), bool), None)

    told: list[dict[str, float]] = []
    equal = copy.deepcopy(critic)
    config = WarmUp(num_steps=25, num_contests=16, rate=1e-2)
    warm_up(critic, saying("2"), shown, config, lambda step, numbers: told.append(numbers), rng)
    assert len(told) == 25
    assert told[-1]["loss"] < min(0.3, told[0]["loss"] + 1e-9)
    assert told[-1]["ahead"] == 1.0
    warm_up(equal, saying("1"), shown, config, lambda step, numbers: told.append(numbers), rng)
    assert told[-1]["loss"] == pytest.approx(np.log(2.0), abs=1e-6)


def test_a_model_from_nothing_learns_what_it_is_schooled_in(rng) -> None:
    pupil = untaught(WORDS, Size(width=16, num_heads=2), seed=2)
    again = untaught(WORDS, Size(width=16, num_heads=2), seed=2)
    assert all(torch.equal(*both) for both in zip(pupil.parameters(), again.parameters(), strict=True))
    told: list[float] = []

    def sums(num: int, rng: np.random.Generator) -> list[Demonstration]:
        return [Demonstration("", str(number), f"{number} + 0") for number in rng.integers(10, size=num)]

    school(pupil, sums, PLAIN, Schooling(60, 32, 2e-2), lambda step, numbers: told.append(numbers["loss"]), rng)
    assert told[0] > 4.0
    assert told[-1] < 1.0
    said, whole, _ = pupil.speak([PLAIN.ask(str(number)) for number in range(10)], 6, rng)
    assert whole.mean() > 0.8
    assert np.mean([text == f"{number} + 0" for number, text in enumerate(said)]) > 0.6


def test_words_are_read_whole_and_anything_else_is_passed_over() -> None:
    tokenizer = untaught(["12", "1", "a b", "a", "+"], Size(width=16, num_heads=2), 0).tokenizer
    read = tokenizer.convert_ids_to_tokens(tokenizer.encode("a b 12+1 ? a", add_special_tokens=False))
    assert read == ["a b", "12", "+", "1", "a"]
    assert dataclasses.asdict(Size())["longest"] == 64

"""The critic that scores both answers: its belief by hand, order, texts scored once, what it is taught."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from tacit.language import learner
from tacit.language.demonstrations import Demonstration
from tacit.language.from_scratch import Schooling, Size, school, untaught
from tacit.language.game import FIRST, SECOND, TIE, Contest, Pair, Rules
from tacit.language.prompts import Roles
from tacit.language.rounds import Samples, labels_of
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
    return ScoreCritic(speaker, PLAIN, Rules())


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


def lead_by_hand(speaker, pair: Pair) -> float:
    """How far the first answer is ahead."""
    return score_by_hand(speaker, pair.question, pair.first) - score_by_hand(speaker, pair.question, pair.second)


def test_the_verdict_is_what_earns_most_by_the_critics_belief(speaker, rng) -> None:
    pairs = [*draw_pairs(8, rng), Pair("1", "2 + 3", "2 + 3")]
    believed = 1.0 / (1.0 + np.exp(-np.array([lead_by_hand(speaker, one) for one in pairs])))
    assert max(abs(believed[:-1] - 0.5)) > 0.1
    for tie in (0.0, 0.55, 0.8):
        rules = Rules(tau_critic=tie)
        labels = labels_of(ScoreCritic(speaker, PLAIN, rules).judge(pairs, rng))
        # What each label earns on average; of equals the first.
        earned = np.stack([believed, 1.0 - believed, np.full(len(pairs), tie)], axis=1)
        clear = np.sort(earned, axis=1)[:, -1] - np.sort(earned, axis=1)[:, -2] > 1e-4
        assert (labels == earned.argmax(axis=1))[clear].all()
        assert labels[-1] == (TIE if tie > 0.5 else FIRST)


def test_the_likelihood_is_that_of_the_scores_difference(speaker, critic, rng) -> None:
    contests = [Contest(one.question, one.first, one.second) for one in draw_pairs(6, rng)]
    lesson = critic.lesson(contests)
    found = critic.log_probs(lesson.samples.trace).detach().numpy()[:, 0]
    leads = np.array([lead_by_hand(speaker, Pair(*one)) for one in contests])
    assert found == pytest.approx(-np.log1p(np.exp(-leads)), abs=1e-4)
    assert lesson.weights == pytest.approx(np.full(6, 1 / 6))
    # A verdict for the second is the opposite; some of the verdicts alone are what they were among all.
    trace = lesson.samples.trace
    turned = trace._replace(labels=torch.full_like(trace.labels, SECOND))
    assert critic.log_probs(turned).detach().numpy()[:, 0] == pytest.approx(-np.log1p(np.exp(leads)), abs=1e-4)
    rows = torch.tensor([4, 1])
    assert critic.log_probs(trace.at(rows)).detach().numpy()[:, 0] == pytest.approx(found[rows], abs=1e-5)


def test_each_text_is_scored_once_and_swapping_the_answers_swaps_the_labels(critic, rng) -> None:
    pairs = draw_pairs(5, rng)
    found = critic.judge(pairs * 3, rng)
    texts = {(one.question, text) for one in pairs for text in (one.first, one.second)}
    assert len(found.trace.texts.tokens) == len(texts)
    back = labels_of(critic.judge([Pair(one.question, one.second, one.first) for one in pairs * 3], rng))
    assert (np.array([SECOND, FIRST, TIE])[back] == labels_of(found)).all()


def test_nothing_to_judge(critic, rng) -> None:
    assert critic.judge([], rng).texts == []


def test_it_learns_as_a_learner_of_any_kind_where_it_is_sure_and_wrong_too(critic, rng) -> None:
    one = learner.begin(critic, learner.Config(rate=2e-2, kl=0.0, at_once=1000))
    # The longer answer is the less likely one.
    wrong = Pair(draw_pairs(1, rng)[0].question, "4 + 5 = 9 + 0 = 9", "3")
    assert labels_of(critic.judge([wrong], rng))[0] == SECOND
    contests = [Contest(*wrong)] * 4
    before = float(critic.log_probs(critic.lesson(contests).samples.trace)[0, 0].detach())
    for _ in range(40):
        one.learn([critic.lesson(contests)], 1)
    assert before < np.log(0.5)
    assert labels_of(critic.judge([wrong], rng))[0] == FIRST
    # What is not kept, and what weighs nothing, moves nobody.
    kept = copy.deepcopy(critic.state_dict())
    nothing = critic.lesson(contests)._replace(weights=np.zeros(4), kept=np.zeros(4, bool))
    one.learn([nothing], 1)
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
    warm_up(critic, critic.lesson, saying("2"), shown, config, lambda step, numbers: told.append(numbers), rng)
    assert len(told) == 25
    assert told[-1]["loss"] < min(0.3, told[0]["loss"] + 1e-9)
    assert told[-1]["sure"] > 0.7
    warm_up(equal, equal.lesson, saying("1"), shown, config, lambda step, numbers: told.append(numbers), rng)
    assert told[-1]["loss"] == pytest.approx(np.log(2.0), abs=1e-6)


def test_alone_an_answer_is_compared_with_an_empty_one(speaker, critic, rng) -> None:
    contests = [Contest(one.question, one.first, one.second) for one in draw_pairs(4, rng)]
    trace = critic.lesson_alone(contests).samples.trace
    found = critic.log_probs(trace).detach().numpy()[:, 0]
    leads = [
        (sign, lead_by_hand(speaker, Pair(one.question, text, "")))
        for one in contests
        for sign, text in ((1.0, one.expert), (-1.0, one.answer))
    ]
    assert found == pytest.approx([-np.log1p(np.exp(-sign * lead)) for sign, lead in leads], abs=1e-4)


def test_warmed_up_alone_it_knows_an_expert_without_another_answer(critic, rng) -> None:
    """The expert says 1, the policy 2; at first both are likelier than silence, and so both pass for an expert's."""

    def shown(num: int, rng: np.random.Generator) -> list[Demonstration]:
        return [Demonstration("", str(rng.integers(10)), "1") for _ in range(num)]

    def two(questions, rng):
        return Samples(["2"] * len(questions), np.ones(len(questions), bool), None)

    warm_up(critic, critic.lesson_alone, two, shown, WarmUp(40, 16, 1e-2), lambda step, numbers: None, rng)
    labels = labels_of(critic.judge([Pair("3", "1", ""), Pair("3", "2", "")], rng))
    assert labels.tolist() == [FIRST, SECOND]


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


def test_an_exact_divergence_cannot_be_asked_of_a_critic_that_says_nothing(critic):
    with pytest.raises(ValueError, match="exact=False"):
        learner.begin(critic, learner.Config(exact=True))

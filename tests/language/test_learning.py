"""Learning of language models: gradients by hand, what must not be learned from, guards, resuming, far critics."""

import copy
import dataclasses
import itertools
import json
import threading
import warnings
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import numpy as np
import pytest
import torch

from tacit.language import checkpoints, countdown, learner, training
from tacit.language.demonstrations import Demonstration
from tacit.language.game import Pair
from tacit.language.learner import Learner, begin
from tacit.language.models import Speaker, Speech, load
from tacit.language.players import Address, CriticError, answering, judging, judging_at
from tacit.language.prompts import Prompt, Roles
from tacit.language.rounds import Config as GameConfig
from tacit.language.rounds import Lesson, Memory, Samples, labels_of
from tacit.language.training import Config, Step, TrainingError, raro, raro_judged, rlvr, sft, train
from tacit.language.watch import Guards
from tacit.storage import StorageError

PLAIN = Roles(policy="", critic="", answer_mark="")
GAME = GameConfig(num_answers=8, num_verdicts=16)
CONFIG = Config(GAME, PLAIN, num_rounds=4, num_questions=4, answer_tokens=12, verdict_tokens=12)
STEP = learner.Config(rate=1e-2, kl=0.1, at_once=5)
QUESTIONS = countdown.draw(countdown.THREE, 12, np.random.default_rng(0))


@pytest.fixture(scope="module")
def original(make_model, tmp_path_factory) -> Speaker:
    return load(make_model(tmp_path_factory.mktemp("model")))


@pytest.fixture
def speaker(original) -> Speaker:
    return copy.deepcopy(original)


def draw_lesson(speaker: Speaker, rng: np.random.Generator, num: int = 7) -> Lesson:
    """Samples of prompts of different lengths, some of which are not kept."""
    prompts = [Prompt("", "1+2" * int(rng.integers(1, 5))) for _ in range(num)]
    texts, whole, speech = speaker.speak(prompts, 6, rng)
    kept = np.arange(num) % 3 != 0
    return Lesson(Samples(texts, whole, speech), np.where(kept, rng.normal(size=num), 0.0), kept)


def parameters(one: Speaker) -> torch.Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in one.parameters()])


def gradient(one: Learner, lessons: Sequence[Lesson]) -> torch.Tensor:
    one.optimiser.zero_grad()
    one.differentiate(lessons, most_tokens=6)
    return torch.cat([parameter.grad.reshape(-1) for parameter in one.speaker.parameters()])


def nudge(speaker: Speaker, rng: np.random.Generator) -> None:
    """Away from the start, so that the divergence from it is not 0."""
    with torch.no_grad():
        for parameter in speaker.parameters():
            parameter.add_(torch.from_numpy(rng.normal(0, 0.05, parameter.shape)).to(parameter))


def loss_by_hand(one: Learner, lessons: Sequence[Lesson]) -> torch.Tensor:
    """The loss as its docstring says, sample by sample and without padding."""
    num_kept = sum(lesson.kept.sum() for lesson in lessons)
    total = torch.zeros(())
    for lesson, row in [(one_of, row) for one_of in lessons for row in range(len(one_of.weights))]:
        speech: Speech = lesson.samples.trace
        width = speech.spoken.shape[1]
        given = speech.tokens[row, :-width][speech.shown[row, :-width]]
        said = speech.tokens[row, -width:][speech.spoken[row]]
        tokens = torch.cat([given, said])[None]
        every = [
            model.model(input_ids=tokens).logits[0, len(given) - 1 : -1].log_softmax(1)
            for model in (one.speaker, one.start)
        ]
        now, then = (chances.gather(1, said[:, None])[:, 0] for chances in every)
        ratio = (then - now).exp()
        each = (ratio - 1 - ratio.log())[:, None]
        if one.config.exact:
            each = every[0].exp() * (every[0] - every[1])
        apart = each.sum() * float(lesson.kept[row]) / num_kept
        total = total - float(lesson.weights[row]) * now.sum() / 6 + one.config.kl * apart / 6
    return total


@pytest.mark.parametrize("exact", [False, True])
def test_the_gradient_is_that_of_the_loss(speaker, rng, exact) -> None:
    one = begin(speaker, dataclasses.replace(STEP, exact=exact))
    nudge(speaker, rng)
    lessons = [draw_lesson(speaker, rng), draw_lesson(speaker, rng, 4)]
    found = gradient(one, lessons)
    one.optimiser.zero_grad()
    loss_by_hand(one, lessons).backward()
    expected = torch.cat([parameter.grad.reshape(-1) for parameter in speaker.parameters()])
    assert expected.abs().max() > 1e-3
    assert torch.allclose(found, expected, atol=1e-5)


def test_how_many_go_through_at_once_changes_nothing(speaker, rng) -> None:
    lessons = [draw_lesson(speaker, rng)]
    found = [gradient(begin(speaker, dataclasses.replace(STEP, at_once=num)), lessons) for num in (1, 100)]
    assert torch.allclose(*found, atol=1e-6)


def test_nothing_is_learned_from_what_is_not_kept(speaker, rng) -> None:
    one = begin(speaker, STEP)
    nudge(speaker, rng)
    lesson = draw_lesson(speaker, rng)
    rows = torch.from_numpy(np.flatnonzero(lesson.kept))
    without = Samples([], lesson.samples.whole[lesson.kept], Speech(*(part[rows] for part in lesson.samples.trace)))
    only = Lesson(without, lesson.weights[lesson.kept], np.ones(len(rows), bool))
    assert torch.allclose(gradient(one, [lesson]), gradient(one, [only]), atol=1e-6)
    # Broken: the others weigh nothing, but are held to the start.
    everything = lesson._replace(kept=np.ones_like(lesson.kept))
    assert not torch.allclose(gradient(one, [everything]), gradient(one, [only]), atol=1e-4)


def test_without_weights_nobody_moves_even_with_momentum(speaker, rng) -> None:
    one = begin(speaker, STEP)
    lesson = draw_lesson(speaker, rng)
    one.learn([lesson], 6)
    before = parameters(speaker)
    assert not torch.equal(before, parameters(one.start))
    numbers = one.learn([lesson._replace(weights=np.zeros(7))], 6)
    assert numbers == {"gradient": 0.0}
    assert torch.equal(before, parameters(speaker))


@pytest.mark.parametrize("rates", ["constant", "linear"])
def test_rates_stay_or_fall_to_nothing_in_a_straight_line(speaker, rates) -> None:
    one, found = begin(speaker, STEP), []
    config = dataclasses.replace(CONFIG, num_rounds=4, rates=rates)
    train(
        sft(one, config),
        {"policy": one},
        QUESTIONS,
        config,
        lambda *_: found.append(one.optimiser.param_groups[0]["lr"]),
    )
    paces = [1.0, 1.0, 1.0, 1.0] if rates == "constant" else [1.0, 0.75, 0.5, 0.25]
    assert found == pytest.approx([STEP.rate * pace for pace in paces])


def test_a_step_goes_where_the_weights_say_and_the_divergence_grows(speaker, rng) -> None:
    one = begin(speaker, dataclasses.replace(STEP, rate=1e-3, kl=1e-9))
    _, _, speech = speaker.speak([Prompt("", "1+2"), Prompt("", "3*4")], 6, rng)
    lesson = Lesson(Samples([], np.ones(2, bool), speech), np.array([1.0, -1.0]), np.ones(2, bool))
    before = speaker.log_probs(speech).sum(dim=1).detach()
    assert one.learn([lesson], 6)["divergence"] == pytest.approx(0.0, abs=1e-6)
    after = speaker.log_probs(speech).sum(dim=1).detach()
    # One step serves both samples at once, so each alone may lose; what is weighed has to gain.
    assert (after - before)[0] > (after - before)[1]
    assert one.learn([lesson], 6)["divergence"] > 1e-6


def test_what_is_not_held_to_the_start_does_not_ask_it(speaker, rng, monkeypatch) -> None:
    one = begin(speaker, dataclasses.replace(STEP, kl=0.0))
    monkeypatch.setattr(one.start, "log_probs", None)
    assert set(one.learn([draw_lesson(speaker, rng)], 6)) == {"gradient"}
    held = begin(speaker, STEP)
    monkeypatch.setattr(held.start, "log_probs", None)
    with pytest.raises(TypeError):
        held.learn([draw_lesson(speaker, rng)], 6)


def test_fine_tuning_raises_the_experts_answers(speaker) -> None:
    asked = [PLAIN.ask(one.question) for one in QUESTIONS]
    speech = speaker.quote(asked, [one.answer for one in QUESTIONS])
    before = float(speaker.log_probs(speech).sum().detach())
    one = begin(speaker, dataclasses.replace(STEP, kl=0.0))
    train(sft(one, CONFIG), {"policy": one}, QUESTIONS, dataclasses.replace(CONFIG, num_rounds=10), lambda *_: None)
    assert float(speaker.log_probs(speech).sum().detach()) > before + 20


def test_the_checkers_word_is_learned(speaker) -> None:
    """RLVR with a checker that any model can please: an answer with the figure 7 in it."""
    one, right = begin(speaker, STEP), []
    config = dataclasses.replace(CONFIG, num_rounds=12, game=dataclasses.replace(GAME, num_answers=16))
    method = rlvr(one, lambda question, answer: "7" in answer, config)
    train(method, {"policy": one}, QUESTIONS, config, lambda _, numbers: right.append(numbers["right"]))
    assert np.mean(right[-3:]) > np.mean(right[:3]) + 0.2


def best_critic(pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
    """Knows the experts' answers: what learns from it shows that rewards reach the policy."""
    experts = {one.question: one.answer for one in QUESTIONS}
    texts = ["Label: 1" if experts[pair.question] == pair.first else "Label: 2" for pair in pairs]
    return Samples(texts, np.ones(len(pairs), bool), None)


def test_the_critics_word_reaches_the_policy(speaker) -> None:
    """A critic that takes any answer with the figure 7 for the expert's, and else says a tie: 7 is learned."""
    told: list[dict[str, float]] = []

    def judge(pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        experts = {one.question: one.answer for one in QUESTIONS}
        texts = []
        for pair in pairs:
            policys = 1 if experts[pair.question] == pair.first else 0
            texts.append(f"Label: {policys + 1}" if "7" in (pair.first, pair.second)[policys] else "Label: tie")
        return Samples(texts, np.ones(len(pairs), bool), None)

    open_guard = dataclasses.replace(GAME, num_answers=16, guards=Guards(level=1.01))
    config = dataclasses.replace(CONFIG, num_rounds=12, game=open_guard)
    policy = begin(speaker, STEP)
    train(raro_judged(policy, judge, config), {"policy": policy}, QUESTIONS, config, lambda _, one: told.append(one))
    rewards = [one["policy_reward"] for one in told]
    assert np.mean(rewards[:3]) < np.mean(rewards[-3:]) - 0.1
    assert all(0.6 <= reward <= 1.0 for reward in rewards)


@pytest.mark.parametrize("kind", ["shared", "apart", "judged"])
def test_raro_runs_on_a_model_from_disk(kind, speaker, original) -> None:
    """Every way to have a critic; while it guesses, a policy that is not the critic stands still, to the last bit."""
    policy = begin(speaker, STEP)
    critic = policy if kind == "shared" else begin(copy.deepcopy(original), STEP)
    learners = {"policy": policy} if kind != "apart" else {"policy": policy, "critic": critic}
    method = raro_judged(policy, best_critic, CONFIG) if kind == "judged" else raro(policy, critic, CONFIG)
    told: list[dict[str, float]] = []
    memory = train(method, learners, QUESTIONS, CONFIG, lambda _, numbers: told.append(numbers))
    assert len(told) == CONFIG.num_rounds
    assert {"accuracy", "tie_rate", "unreadable_rate", "policy_reward", "policy_moves", "alarm"} <= set(told[-1])
    moved = not torch.equal(parameters(policy.speaker), parameters(policy.start))
    if kind == "judged":
        assert told[-1]["accuracy"] == 1.0
        assert memory.pool.contests
    if kind == "apart":
        assert not torch.equal(parameters(critic.speaker), parameters(critic.start)), "the critic learns meanwhile"
        assert moved == any(numbers["policy_moves"] for numbers in told)
    if kind == "shared":
        assert moved


def test_one_model_learns_both_roles_in_one_step(speaker) -> None:
    one = begin(speaker, STEP)
    step = raro(one, one, CONFIG)(QUESTIONS[:3], Memory(), np.random.default_rng(0))
    assert [len(lessons) for _, lessons in step.lessons] == [2]
    other = begin(copy.deepcopy(speaker), STEP)
    step = raro(one, other, CONFIG)(QUESTIONS[:3], Memory(), np.random.default_rng(0))
    assert [(who is one, len(lessons)) for who, lessons in step.lessons] == [(True, 1), (False, 1)]


def test_a_model_with_one_role_has_all_of_its_loss(speaker, monkeypatch) -> None:
    """Whoever judges, an answer of odd length earns 1 and any other 0."""

    def judge(pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        experts = {one.question: one.answer for one in QUESTIONS}
        policys = [1 if experts[pair.question] == pair.first else 0 for pair in pairs]
        odd = [len((pair.first, pair.second)[place]) % 2 for pair, place in zip(pairs, policys, strict=True)]
        texts = [f"Label: {1 + (place if one else 1 - place)}" for place, one in zip(policys, odd, strict=True)]
        return Samples(texts, np.ones(len(pairs), bool), None)

    monkeypatch.setattr(training, "judging", lambda *_: judge)
    game = dataclasses.replace(GAME, guards=Guards(level=1.01))
    config, rng = dataclasses.replace(CONFIG, game=game), np.random.default_rng(0)
    one, other = begin(speaker, STEP), begin(copy.deepcopy(speaker), STEP)
    methods = {
        "shared": raro(one, one, config),
        "apart": raro(one, other, config),
        "judged": raro_judged(one, judge, config),
        "checked": rlvr(one, lambda question, answer: len(answer) % 2 == 1, config),
    }
    for name, method in methods.items():
        (_, (lesson, *_)), *_ = method(QUESTIONS, Memory(), rng).lessons
        groups = zip(lesson.weights.reshape(12, -1), lesson.kept.reshape(12, -1), strict=True)
        spread = max(np.ptp(weights[kept]) for weights, kept in groups if kept.any()) * lesson.weights.size
        assert spread == pytest.approx(1 / 9 if name == "shared" else 1.0), name


def test_an_alarm_is_given_once(speaker) -> None:
    game = dataclasses.replace(GAME, guards=Guards(alarm=0.9, fewest=2))
    config, policy = dataclasses.replace(CONFIG, game=game, num_rounds=6), begin(speaker, STEP)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("default")
        train(raro_judged(policy, best_critic, config), {"policy": policy}, QUESTIONS, config, lambda *_: None)
    assert [str(one.message).partition(":")[0] for one in heard] == ["The critic is right more than 90% of the time"]


def test_an_answer_without_its_mark_is_not_whole(speaker, rng) -> None:
    marked = answering(speaker, Roles("", "", "Label: tie"), 6)(["1+2"] * 200, rng)
    for text, whole in zip(marked.texts, marked.whole, strict=True):
        assert text or not whole
    assert not marked.whole.all()


def test_verdicts_of_a_model_are_read(speaker, rng) -> None:
    said = judging(speaker, PLAIN, 12)([Pair("1+2", "3", "4")] * 600, rng)
    labels = labels_of(said)
    assert set(labels.tolist()) == {-1, 0, 1, 2}, "an untaught model says everything"
    assert (labels[~said.whole] == -1).all()


def resumable(original: Speaker, checkpoint, num_rounds: int, **changed) -> torch.Tensor:
    """Train shared RARO up to `num_rounds` with a checkpoint at every second."""
    one = begin(copy.deepcopy(original), STEP)
    open_guard = dataclasses.replace(GAME, guards=Guards(level=1.01))
    config = dataclasses.replace(CONFIG, num_rounds=num_rounds, game=open_guard, **changed)
    train(raro(one, one, config), {"both": one}, QUESTIONS, config, lambda *_: None, checkpoint, keep_every=2)
    return parameters(one.speaker)


def test_a_training_goes_on_bit_for_bit(original, tmp_path) -> None:
    straight = resumable(original, None, 5)
    assert not torch.equal(straight, parameters(original)), "something is learned"
    resumable(original, tmp_path / "half", 3)
    assert torch.equal(resumable(original, tmp_path / "half", 5), straight)
    # Once it is over, it is over: nothing is learned twice.
    assert torch.equal(resumable(original, tmp_path / "half", 5), straight)


def test_a_checkpoint_of_another_training_is_refused(original, make_model, tmp_path) -> None:
    path = tmp_path / "kept"
    resumable(original, path, 2)
    with pytest.raises(StorageError, match="of another training: its configuration differs"):
        resumable(original, path, 4, seed=7)
    with pytest.raises(StorageError, match="of another training: its starting model differs"):
        resumable(load(make_model(tmp_path / "other", seed=1)), path, 4)
    falling = tmp_path / "falling"
    resumable(original, falling, 2, rates="linear")
    with pytest.raises(StorageError, match="of another training: its configuration differs"):
        resumable(original, falling, 4, rates="linear")
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-50], b"\xff" * 200, json.dumps({}).encode()):
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match="damaged, or no checkpoint"):
            resumable(original, path, 4)


def no_gpu_memory() -> None:
    raise torch.OutOfMemoryError("no more")


def no_memory() -> None:
    torch.empty(2**55)


@pytest.mark.parametrize("fill", [no_gpu_memory, no_memory])
def test_out_of_memory_leaves_the_last_checkpoint_whole(fill, speaker, original, tmp_path) -> None:
    one, path = begin(speaker, STEP), tmp_path / "kept"
    rounds = itertools.count(1)
    inner = sft(one, CONFIG)

    def method(batch, memory, rng) -> Step:
        if next(rounds) == 4:
            fill()
        return inner(batch, memory, rng)

    with pytest.raises(TrainingError, match=r"Memory ran out in round 4.*last checkpoint is whole"):
        train(method, {"policy": one}, QUESTIONS, CONFIG, lambda *_: None, path, keep_every=3)
    fresh = begin(copy.deepcopy(original), STEP)
    assert checkpoints.load(path, {"policy": fresh}, CONFIG)[0] == 3
    assert torch.equal(parameters(fresh.speaker), parameters(one.speaker))


def test_other_faults_are_not_taken_for_too_little_memory() -> None:
    with pytest.raises(RuntimeError, match=r"^shapes$"), training.enough_memory("now"):
        raise RuntimeError("shapes")


def test_a_gradient_that_is_no_number_stops_the_training(speaker, tmp_path) -> None:
    one = begin(speaker, STEP)
    with torch.no_grad():
        next(iter(speaker.parameters())).fill_(torch.nan)
    with pytest.raises(TrainingError, match="Round 1 went wrong"):
        train(sft(one, CONFIG), {"policy": one}, QUESTIONS, CONFIG, lambda *_: None, tmp_path / "kept", keep_every=1)
    assert not (tmp_path / "kept").exists()


def test_too_few_demonstrations(speaker) -> None:
    one = begin(speaker, STEP)
    with pytest.raises(TrainingError, match="4 questions a round cannot be drawn from 1"):
        train(sft(one, CONFIG), {"policy": one}, [Demonstration("a", "q", "1")], CONFIG, lambda *_: None)
    assert training.Config().most_tokens == 512


class Server(BaseHTTPRequestHandler):
    """Speaks OpenAI's protocol: says which answer is the longer one, and what it was told to say of itself."""

    replies: ClassVar[list[tuple[int, bytes | None]]] = []
    asked: ClassVar[list[dict]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body | {"path": self.path, "key": self.headers.get("Authorization")})
        code, said = self.replies.pop(0) if self.replies else (200, None)
        if said is None:
            text = body["messages"][1]["content"]
            label = 1 if len(text.split("Answer 1: ")[1].split("\n")[0]) > len(text.split("Answer 2: ")[1]) else 2
            choice = {"message": {"content": f"I think so. Label: {label}"}, "finish_reason": "stop"}
            said = json.dumps({"choices": [choice]}).encode()
        self.send_response(code)
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[Address]:
    Server.replies, Server.asked = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Address(f"http://127.0.0.1:{server.server_address[1]}/v1/", "some-model", "key", seconds=10.0, tries=2)
        server.shutdown()


PAIRS = [Pair("q", "long answer", "short"), Pair("q", "short", "long answer"), Pair("q", "a", "bb")]


def test_a_critic_behind_an_address(address, rng) -> None:
    judge = judging_at(address, Roles(), 99)
    assert labels_of(judge(PAIRS, rng)).tolist() == [0, 1, 1]
    assert {asked["path"] for asked in Server.asked} == {"/v1/chat/completions"}
    assert {asked["key"] for asked in Server.asked} == {"Bearer key"}
    assert {asked["max_tokens"] for asked in Server.asked} == {99}
    assert Server.asked[0]["messages"][0] == {"role": "system", "content": Roles().critic}
    assert len(judge([], rng).texts) == 0


def test_an_address_that_stumbles_is_asked_again_and_one_that_refuses_is_not(address, rng) -> None:
    Server.replies = [(503, b"")]
    assert labels_of(judging_at(address, Roles(), 9)(PAIRS[:1], rng)).tolist() == [0]
    cut = {"message": {"content": "Label: 1"}, "finish_reason": "length"}
    Server.replies = [(200, json.dumps({"choices": [cut]}).encode())]
    assert labels_of(judging_at(address, Roles(), 9)(PAIRS[:1], rng)).tolist() == [-1], "cut off"
    Server.asked.clear()
    Server.replies = [(401, b"")]
    with pytest.raises(CriticError, match="could not be asked: it answers 401"):
        judging_at(address, Roles(), 9)(PAIRS[:1], rng)
    assert len(Server.asked) == 1
    for nonsense in (b"{}", b"no", b'{"choices": []}', b'{"choices": [1]}'):
        Server.replies = [(200, nonsense)]
        with pytest.raises(CriticError, match="not in OpenAI's form"):
            judging_at(address, Roles(), 9)(PAIRS[:1], rng)


def test_addresses_that_are_none(rng) -> None:
    with pytest.raises(CriticError, match="is no address of a model"):
        judging_at(Address("file:///etc/passwd", "m"), Roles(), 9)
    with pytest.raises(CriticError, match="could not be asked"):
        judging_at(Address("http://127.0.0.1:9/v1", "m", tries=1), Roles(), 9)(PAIRS[:1], rng)

"""RARO on TRL's GRPOTrainer: the same samples, weights and steps as in our own loop, and what TRL promises."""

import copy
import dataclasses
import importlib
import importlib.metadata
import inspect
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from tacit.language import countdown, from_scratch, learner, on_trl
from tacit.language.demonstrations import Demonstration
from tacit.language.from_scratch import Schooling
from tacit.language.game import Pair
from tacit.language.learner import Learner
from tacit.language.models import ModelError, load, save
from tacit.language.players import answering, judging
from tacit.language.prompts import Prompt, Roles
from tacit.language.rounds import Config as GameConfig
from tacit.language.rounds import Lesson, Memory, Round, Samples, play_round
from tacit.language.training import Config
from tacit.language.watch import NONE_YET, Advice, Guards, measure

QUESTIONS = countdown.draw(countdown.THREE, 12, np.random.default_rng(0))
PLAIN = Roles("", "", "")
GAME = GameConfig(num_answers=8, num_verdicts=12, guards=Guards(level=1.01), policy_share=0.5, critic_share=2.0)
CONFIG = Config(GAME, PLAIN, num_rounds=3, num_questions=4, answer_tokens=9, verdict_tokens=12, rates="linear")
STEP = learner.Config(rate=0.3, kl=0.5, at_once=40, longest_gradient=0.5)


@pytest.fixture(scope="module")
def folder(make_model, tmp_path_factory) -> Path:
    """A model that mostly says something short and comes to an end, a label more often than not."""
    sayings = ["Label: 1", "Label: 2", "Label: tie", "1+2", "7"]

    def texts(num: int, rng: np.random.Generator) -> Sequence[Demonstration]:
        asked = [QUESTIONS[row].question for row in rng.choice(len(QUESTIONS), num)]
        pairs = [PLAIN.compare(Pair(one, "7", "1+2")).text.removeprefix("Question: ") for one in asked]
        questions = np.where(rng.random(num) < 0.5, asked, pairs).tolist()
        return [Demonstration("", one, sayings[row]) for one, row in zip(questions, rng.choice(5, num), strict=True)]

    speaker = load(make_model(tmp_path_factory.mktemp("untaught")))
    from_scratch.school(speaker, texts, PLAIN, Schooling(60, 32, 1e-2), lambda *_: None, np.random.default_rng(0))
    folder = tmp_path_factory.mktemp("taught") / "model"
    save(speaker, folder)
    return folder


def arguments(**changed) -> GRPOConfig:
    """On a processor, silent; plain gradient descent, because Adam makes a step of any rounding error."""
    quiet = {"report_to": "none", "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1, "optim": "sgd"}
    device = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}
    return GRPOConfig("never-written", **(on_trl.settings(CONFIG, STEP) | quiet | device | changed))


def parameters(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


@dataclasses.dataclass
class Course:
    """A training with TRL: what it took each of its samples for, and how the model was after each step."""

    trainer: GRPOTrainer
    batches: list[dict[str, torch.Tensor]]
    prompts: list[list[str]]
    models: list[torch.Tensor]


def with_trl(folder: Path, **changed) -> Course:
    """Train for CONFIG's rounds, looking at what goes into the loss and at the model it is the loss of."""
    course = Course(on_trl.raro(folder, QUESTIONS, CONFIG, arguments(**changed)), [], [], [])
    score, roll_out = course.trainer._generate_and_score_completions, course.trainer.rollout_func

    def scored(inputs):
        course.models.append(parameters(course.trainer.model))
        course.batches.append(score(inputs))
        return course.batches[-1]

    def rolled_out(prompts, trainer):
        course.prompts.append(list(prompts))
        return roll_out(prompts, trainer)

    course.trainer._generate_and_score_completions = scored
    course.trainer.rollout_func = rolled_out
    course.trainer.train()
    course.models.append(parameters(course.trainer.model))
    return course


@pytest.fixture(scope="module")
def course(folder) -> Course:
    return with_trl(folder)


@dataclasses.dataclass
class Own:
    """The same training in our own loop: rounds, and the model before each and after the last."""

    rounds: list[Round]
    models: list[torch.Tensor]


def own_loop(folder: Path, prompts: list[list[str]]) -> Own:
    """Our loop on the questions that TRL chose. Its divergence counts kept samples, TRL's all: hence `kl`."""
    speaker, shown, memory = load(folder), {one.id: one for one in QUESTIONS}, Memory()
    start = copy.deepcopy(speaker).requires_grad_(False).eval()
    descent = torch.optim.SGD(speaker.eval().parameters(), lr=STEP.rate)
    own = Own([], [parameters(speaker.model)])
    for number, chosen in enumerate(prompts):
        played = play_round(
            [shown[name] for name in list(dict.fromkeys(chosen))],
            answering(speaker, CONFIG.roles, CONFIG.answer_tokens),
            judging(speaker, CONFIG.roles, CONFIG.verdict_tokens),
            memory,
            GAME,
            np.random.default_rng([CONFIG.seed, number, 0]),
        )
        memory, lessons = played.memory, [played.policy, played.critic]
        kept = sum(int(lesson.kept.sum()) for lesson in lessons) / on_trl.round_size(CONFIG)
        one = Learner(speaker, start, descent, dataclasses.replace(STEP, kl=STEP.kl * kept))
        one.learn(lessons, CONFIG.most_tokens, pace=1.0 - number / CONFIG.num_rounds)
        own.rounds.append(played)
        own.models.append(parameters(speaker.model))
    return own


@pytest.fixture(scope="module")
def own(folder, course) -> Own:
    return own_loop(folder, course.prompts)


def said(played: Round) -> dict[str, list[tuple[tuple[int, ...], float, bool]]]:
    """Of each role's samples the tokens, the weight and whether it is kept, as they stand in our lessons."""
    found = {}
    for role, lesson in (("policy", played.policy), ("critic", played.critic)):
        speech = lesson.samples.trace
        width = speech.spoken.shape[1]
        tokens = [tuple(row[-width:][mask].tolist()) for row, mask in zip(speech.tokens, speech.spoken, strict=True)]
        found[role] = list(zip(tokens, lesson.weights.tolist(), lesson.kept.tolist(), strict=True))
    return found


def taken(batch: dict[str, torch.Tensor]) -> list[tuple[tuple[int, ...], float, bool]]:
    """The same as TRL's loss takes it: an advantage is n times a weight, and what is masked is not kept."""
    lengths = batch["completion_mask"].sum(1).tolist()
    rows = zip(batch["completion_ids"].tolist(), lengths, strict=True)
    tokens = [tuple(row[:length]) for row, length in rows]
    masks = (batch["tool_mask"] * batch["completion_mask"]).sum(1).bool().tolist()
    weights = (batch["advantages"].double() / len(tokens)).tolist()
    return list(zip(tokens, weights, masks, strict=True))


def test_trl_takes_the_samples_and_weights_of_our_rounds(course, own) -> None:
    size = GAME.num_answers + GAME.num_verdicts
    assert len(own.rounds) == len(course.batches) == CONFIG.num_rounds
    for played, batch in zip(own.rounds, course.batches, strict=True):
        ours, theirs = said(played), taken(batch)
        answers = [row for start in range(0, len(theirs), size) for row in theirs[start : start + GAME.num_answers]]
        verdicts = [
            row for start in range(0, len(theirs), size) for row in theirs[start + GAME.num_answers : start + size]
        ]
        for role, rows in (("policy", answers), ("critic", verdicts[: len(ours["critic"])])):
            for expected, found in zip(ours[role], rows, strict=True):
                assert found[0] == expected[0]
                assert found[1] == pytest.approx(expected[1], abs=1e-7)
                assert found[2] == expected[2]
        assert not any(row[2] for row in verdicts[len(ours["critic"]) :])
    assert any(weight for role in said(own.rounds[0]).values() for _, weight, _ in role), "something is learned"
    assert {kept for played in own.rounds for _, _, kept in said(played)["policy"]} == {True, False}


def distance(course: Course, own: Own) -> float:
    """How far TRL's models are from ours after some steps, as a share of how far ours went."""
    return float((course.models[-1] - own.models[-1]).norm() / (own.models[-1] - own.models[0]).norm())


def test_the_model_goes_where_our_loop_takes_it(course, own) -> None:
    assert (own.models[-1] - own.models[0]).norm() > 1e-3
    assert distance(course, own) < 2e-4


def unscaled(rows, played, game):
    found = rows(played, game)
    return found | {"weight": [one / len(found["weight"]) for one in found["weight"]]}


def unmasked(rows, played, game):
    found = rows(played, game)
    return found | {"env_mask": [[1] * len(one) for one in found["env_mask"]]}


def out_of_line(rows, played, game):
    """Groups that are not ours, of which TRL takes a mean that is not 0."""
    return {name: column and column[3:] + column[:3] for name, column in rows(played, game).items()}


@pytest.mark.parametrize("broken", [unscaled, unmasked, out_of_line])
def test_broken_batches_lead_elsewhere(broken, folder, own, monkeypatch) -> None:
    rows = on_trl.rows
    monkeypatch.setattr(on_trl, "rows", lambda played, game: broken(rows, played, game))
    assert distance(with_trl(folder), own) > 5e-4


@pytest.mark.parametrize(
    "changed", [{"loss_type": "dapo"}, {"scale_rewards": "group"}, {"use_bias_correction_kl": True}]
)
def test_other_settings_lead_elsewhere(changed, folder, own, monkeypatch) -> None:
    monkeypatch.setattr(on_trl, "check", lambda arguments, config: None)
    assert distance(with_trl(folder, **changed), own) > 5e-4


def test_figures_of_the_game_are_in_trls_log(course, own) -> None:
    logged = [line for line in course.trainer.state.log_history if "raro/policy_moves" in line]
    assert len(logged) == CONFIG.num_rounds
    for line, played in zip(logged, own.rounds, strict=True):
        assert line["raro/unreadable_rate"] == pytest.approx(played.metrics.unreadable_rate, abs=1e-6)
        assert line["raro/policy_moves"] == 1.0


def a_round(rng: np.random.Generator, game: GameConfig, num_questions: int, num_contests: int) -> Round:
    """A round of nonsense of which the weights sum to 0 in each group."""

    def lesson(num_groups: int, size: int, name: int) -> Lesson:
        kept = rng.random((num_groups, size)) < 0.7
        weights = np.where(kept, rng.normal(size=(num_groups, size)), 0.0)
        weights -= kept * (weights.sum(1) / np.maximum(kept.sum(1), 1))[:, None]
        num = num_groups * size
        tokens = [[name, row] for row in range(num)]
        trace = on_trl.Spoken([[row, name] for row in range(num)], tokens, [[-0.5, -row] for row in range(num)])
        return Lesson(Samples([""] * num, np.ones(num, bool), trace), weights.ravel(), kept.ravel())

    policy, critic = lesson(num_questions, game.num_answers, 7), lesson(num_contests, game.num_verdicts, 8)
    return Round(policy, critic, [], Memory(), measure(NONE_YET, game.rules), Advice(True, None))


def test_a_batch_has_every_sample_once_and_means_of_0() -> None:
    rng = np.random.default_rng()
    for _ in range(50):
        game = GameConfig(num_answers=int(rng.integers(2, 6)), num_verdicts=int(rng.integers(2, 6)))
        num_questions = int(rng.integers(1, 5))
        num_contests = int(rng.integers(num_questions + 1))
        played = a_round(rng, game, num_questions, num_contests)
        found, size = on_trl.rows(played, game), game.num_answers + game.num_verdicts
        rewards = np.array(found["weight"]).reshape(num_questions, size)
        assert np.allclose(rewards.mean(1), 0.0)
        kept = np.array([any(mask) for mask in found["env_mask"]])
        counts = {7: 0, 8: 0}
        for row, (role, index) in enumerate(found["completion_ids"]):
            lesson = played.policy if role == 7 else played.critic
            assert found["prompt_ids"][row] == [index, role]
            assert found["logprobs"][row] == [-0.5, -index]
            in_verdicts = row % size >= game.num_answers
            if in_verdicts and role == 7:
                assert not kept[row], "what stands in counts for nothing"
                assert rewards.flat[row] == 0.0
                continue
            assert kept[row] == lesson.kept[index]
            assert rewards.flat[row] == pytest.approx(num_questions * size * lesson.weights[index])
            counts[role] += 1
        assert counts == {7: len(played.policy.weights), 8: len(played.critic.weights)}
        assert on_trl.rows(played._replace(critic=a_round(rng, game, 1, 0).critic), game)["logprobs"]


def test_as_many_are_asked_as_other_processes_ask(course, folder, rng, monkeypatch) -> None:
    speaks, asked = on_trl.TrainerSpeaker(course.trainer, load(folder)), []
    generate = course.trainer._generate_single_turn

    def counted(prompt_ids, *others):
        asked.append(len(prompt_ids))
        return generate(prompt_ids, *others)

    monkeypatch.setattr(course.trainer, "_generate_single_turn", counted)
    assert speaks.speak([], 5, rng)[0] == []
    assert asked == [], "nobody asks anything"
    monkeypatch.setattr(on_trl, "gather_object", lambda mine: [*mine, 5])
    for num in (0, 2, 5):
        texts, whole, spoken = speaks.speak([Prompt("", "1+2")] * num, 5, rng)
        assert len(texts) == len(whole) == len(spoken.prompts) == len(spoken.completions) == num
        assert all(len(tokens) <= 5 for tokens in spoken.completions)
    assert asked == [5, 5, 5]


def test_the_versions_that_are_allowed_and_what_they_promise() -> None:
    """TRL may change all of this in any version: then the bounds of the extra must change, or `on_trl`."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = [Requirement(one) for one in project["optional-dependencies"]["trl"]]
    [bounds] = [one.specifier for one in needs if one.name == "trl"]
    assert bounds.contains(importlib.metadata.version("trl"))
    assert {">=", "<"} <= {one.operator for one in bounds}
    taken = inspect.signature(GRPOTrainer.__init__).parameters
    assert {"model", "reward_funcs", "args", "train_dataset", "processing_class", "rollout_func"} <= set(taken)
    turn = list(inspect.signature(GRPOTrainer._generate_single_turn).parameters)
    assert turn[:5] == ["self", "prompt_ids", "images", "multimodal_fields", "num_generations"]
    fields = {one.name for one in dataclasses.fields(GRPOConfig)}
    assert set(on_trl.settings(CONFIG, STEP)) <= fields


def test_prompts_come_in_whole_groups(course) -> None:
    size = GAME.num_answers + GAME.num_verdicts
    for prompts in course.prompts:
        assert len(prompts) == size * CONFIG.num_questions
        for start in range(0, len(prompts), size):
            assert len(set(prompts[start : start + size])) == 1


@pytest.mark.parametrize("missing", ["prompt_ids", "completion_ids", "logprobs"])
def test_trl_asks_for_these_fields(missing, course, monkeypatch) -> None:
    fields = {"prompt_ids": [[1]], "completion_ids": [[1]], "logprobs": None}
    monkeypatch.setattr(course.trainer, "rollout_func", lambda prompts, trainer: fields | {"weight": [0.0]})
    assert course.trainer._generate(["a"])[0] == [[1]]
    del fields[missing]
    with pytest.raises(ValueError, match=missing):
        course.trainer._generate(["a"])


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"loss_type": "dapo"}, "loss_type is 'dapo', and RARO needs 'dr_grpo': make the GRPOConfig with"),
        ({"scale_rewards": "group"}, "scale_rewards is 'group', and RARO needs 'none'"),
        ({"num_generations": 40}, "num_generations is 40, and RARO needs 20"),
        ({"temperature": 0.7}, "temperature is 0.7"),
        ({"max_completion_length": 8}, "max_completion_length is 8, and RARO needs 12"),
        ({"gradient_accumulation_steps": 1}, "A round has 80 samples, but a step 1 lots of 40"),
        ({"steps_per_generation": 1}, "made 1 lots at a time"),
    ],
)
def test_another_game_is_refused(changed, complaint, folder) -> None:
    with pytest.raises(ValueError, match=complaint) as refused:
        on_trl.raro(folder, QUESTIONS, CONFIG, arguments(**changed))
    assert "\n" not in str(refused.value)


def test_more_contests_than_fit_into_a_batch_are_refused() -> None:
    config = dataclasses.replace(CONFIG, game=dataclasses.replace(GAME, num_again=2))
    with pytest.raises(ValueError, match="num_again is 2, but TRL's batch has room for one contest a question"):
        on_trl.check(arguments(), config)


def test_other_bad_input(folder, tmp_path) -> None:
    with pytest.raises(ValueError, match="13 demonstrations have 12 different ids"):
        on_trl.raro(folder, [*QUESTIONS, QUESTIONS[0]], CONFIG, arguments())
    with pytest.raises(ValueError, match=r"4 questions a round .* cannot be drawn from 3"):
        on_trl.raro(folder, QUESTIONS[:3], CONFIG, arguments())
    with pytest.raises(ModelError, match="is no folder"):
        on_trl.raro(tmp_path / "nowhere", QUESTIONS, CONFIG, arguments())
    with pytest.raises(ValueError, match="80 samples, which cannot be shared out in lots of 7"):
        on_trl.settings(CONFIG, dataclasses.replace(STEP, at_once=7))


def test_without_trl_one_sentence(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "tacit.language.on_trl")
    for name in [name for name in sys.modules if name.partition(".")[0] == "trl"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs trl: run `uv sync --extra trl`, or pip install"):
        importlib.import_module("tacit.language.on_trl")

"""A model as a speaker: what it draws, how likely that was, and which models are refused, in one sentence."""

import copy
import json
import math

import numpy as np
import pytest
import torch

from tacit.language.models import ModelError, Speaker, load
from tacit.language.prompts import Prompt, Roles

PROMPTS = [Prompt("", text) for text in ("1+2", "(3*4)-5+6/7", "8", "99-(1+0)*2")]


@pytest.fixture(scope="module")
def speaker(make_model, tmp_path_factory) -> Speaker:
    folder = make_model(tmp_path_factory.mktemp("model"))
    # Settings of its own, which must not touch what is drawn.
    settings = {"repetition_penalty": 5.0, "top_k": 2, "temperature": 0.2, "do_sample": True, "max_new_tokens": 3}
    (folder / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return load(folder)


def by_hand(speaker: Speaker, given: list[int], said: list[int]) -> list[float]:
    """Log-probabilities of one completion without any padding, token by token."""
    found = []
    for place, token in enumerate(said):
        with torch.no_grad():
            logits = speaker.model(input_ids=torch.tensor([given + said[:place]])).logits[0, -1].double()
        found.append(float(logits[token] - logits.logsumexp(0)))
    return found


def test_log_probs_against_one_token_at_a_time(speaker, rng) -> None:
    texts, whole, speech = speaker.speak(PROMPTS, 12, rng)
    found = speaker.log_probs(speech).detach().numpy()
    assert len(texts) == len(whole) == 4
    for row, prompt in enumerate(PROMPTS):
        given = speaker.tokenizer.encode(speaker.written(prompt), add_special_tokens=False)
        said = speech.tokens[row, -12:][speech.spoken[row]].tolist()
        assert found[row][: len(said)] == pytest.approx(by_hand(speaker, given, said), abs=1e-4)
        assert (found[row][len(said) :] == 0.0).all()
        assert texts[row] == speaker.heard([token for token in said if token != 1])
        # Whole is what ends with the end token, which comes once; what is cut off fills the whole length.
        assert whole[row] == (said[-1] == 1)
        assert said.count(1) == int(whole[row])
        assert whole[row] or len(said) == 12


def test_a_wrong_count_of_positions_is_noticed(speaker, rng) -> None:
    """Positions that count the padding give other log-probabilities: what the test above would catch."""
    _, _, speech = speaker.speak(PROMPTS, 6, rng)
    with torch.no_grad():
        naive = speaker.model(input_ids=speech.tokens, attention_mask=torch.ones_like(speech.tokens)).logits
    right = speaker.log_probs(speech).detach()
    chosen = naive[:, -7:-1].log_softmax(-1).gather(2, speech.tokens[:, -6:, None])[:, :, 0]
    assert not torch.allclose(torch.where(speech.spoken, chosen, 0.0), right, atol=1e-3)


def test_all_of_the_distribution_is_drawn_from(speaker, rng) -> None:
    """Temperature 1, and nothing cut away: frequencies of the first token against the model's own chances."""
    num = 3000
    _, _, speech = speaker.speak([PROMPTS[1]] * num, 1, rng)
    given = speaker.tokenizer.encode(speaker.written(PROMPTS[1]), add_special_tokens=False)
    with torch.no_grad():
        chances = speaker.model(input_ids=torch.tensor([given])).logits[0, -1].softmax(0).numpy()
    counts = np.bincount(speech.tokens[:, -1].numpy(), minlength=len(chances))
    errors = np.sqrt(chances * (1 - chances) / num)
    assert (np.abs(counts / num - chances) < 5 * errors + 1e-3).all()


def test_what_is_drawn_follows_from_the_generator_alone(speaker) -> None:
    first, second = (speaker.speak(PROMPTS, 8, np.random.default_rng(3))[0] for _ in range(2))
    assert first == second
    assert speaker.speak(PROMPTS, 8, np.random.default_rng(4))[0] != first
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    speaker.speak(PROMPTS, 2, np.random.default_rng(3))
    assert torch.rand(1) == expected, "torch's own generator is left as it was"


def test_what_is_too_much_at_once_is_said_in_lots(speaker, monkeypatch) -> None:
    """Each row as if it had been said among all, though prompts differ in length and some lots end early."""
    speaker, sizes = copy.copy(speaker), []
    complete = speaker._complete

    def counted(given, *others):
        sizes.append(len(given))
        return complete(given, *others)

    monkeypatch.setattr(speaker, "_complete", counted)
    prompts = [*PROMPTS, *PROMPTS, PROMPTS[0]]
    longest = speaker.encode([speaker.written(prompt) for prompt in prompts])[0].shape[1]
    for at_once, expected in ((2 * (longest + 12), [2, 2, 2, 2, 1]), (1, [1] * 9), (9 * (longest + 12), [9])):
        sizes.clear()
        speaker.at_once = at_once
        texts, whole, speech = speaker.speak(prompts, 12, np.random.default_rng(0))
        assert sizes == expected
        found = speaker.log_probs(speech).detach().numpy()
        for row, prompt in enumerate(prompts):
            given = speaker.tokenizer.encode(speaker.written(prompt), add_special_tokens=False)
            width = speech.spoken.shape[1]
            said = speech.tokens[row, -width:][speech.spoken[row]].tolist()
            assert found[row][: len(said)] == pytest.approx(by_hand(speaker, given, said), abs=1e-4)
            assert texts[row] == speaker.heard([token for token in said if token != 1])
            assert whole[row] == (said[-1] == 1)
            assert whole[row] or len(said) == width == 12


def test_no_prompts(speaker, rng) -> None:
    texts, whole, speech = speaker.speak([], 5, rng)
    assert (texts, whole.tolist(), len(speech.tokens)) == ([], [], 0)


def test_quotes(speaker) -> None:
    said = ["1+2", "(3*4)", ""]
    speech = speaker.quote(PROMPTS[:3], said)
    found = speaker.log_probs(speech).detach().numpy()
    for row, text in enumerate(said):
        tokens = [*speaker.tokenizer.encode(text, add_special_tokens=False), 1]
        given = speaker.tokenizer.encode(speaker.written(PROMPTS[row]), add_special_tokens=False)
        assert speech.spoken[row].sum() == len(tokens), "the end is said, too"
        assert found[row][: len(tokens)] == pytest.approx(by_hand(speaker, given, tokens), abs=1e-4)
        assert (found[row][len(tokens) :] == 0.0).all()


def test_half_precision_is_loaded_as_single(make_model, tmp_path) -> None:
    folder = make_model(tmp_path)
    load(folder).model.to(torch.bfloat16).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["dtype"] == "bfloat16"
    assert {parameter.dtype for parameter in load(folder).parameters()} == {torch.float32}


def test_chat_template(make_model, tmp_path) -> None:
    chat = "{% for m in messages %}({{ m.role }}){{ m.content }}{% endfor %}{% if add_generation_prompt %}*{% endif %}"
    assert load(make_model(tmp_path, chat=chat)).written(Prompt("be", "1+2")) == "(system)be(user)1+2*"


def test_plain_prompts(speaker) -> None:
    assert speaker.written(Prompt("be", "1+2")) == "be\n\n1+2\n"
    assert speaker.written(Prompt("", "1+2")) == "1+2\n"


def test_final_answers() -> None:
    roles = Roles()
    assert roles.final_answer("Answer: no. Answer: 3 + 5 \n") == "3 + 5"
    assert roles.final_answer("3 + 5") == roles.final_answer("Answer:") == roles.final_answer("") == ""
    assert Roles(answer_mark="").final_answer(" 3 + 5") == "3 + 5"
    for mark in ("Answer:", ""):
        named = Roles(answer_mark=mark)
        assert named.final_answer(named.as_said("3 + 5")) == "3 + 5"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"pad": None}, "has no pad token: set its pad_token"),
        ({"end": None}, "has no end token: set its eos_token"),
        ({"sayings": []}, "cannot say 'Label: tie'"),
        ({"sayings": ["Label: 1", "Label: 2"]}, "cannot say 'Label: tie'"),
    ],
)
def test_refused_models(changed, complaint, make_model, tmp_path) -> None:
    with pytest.raises(ModelError, match=complaint) as refused:
        load(make_model(tmp_path, **changed))
    assert str(refused.value).count("\n") == 0


def test_refused_folders(make_model, tmp_path) -> None:
    with pytest.raises(ModelError, match="is no folder with a Hugging Face model"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="could not be loaded"):
        load(tmp_path / "empty")
    folder = make_model(tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="could not be loaded"):
        load(folder)
    folder = make_model(tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="could not be loaded"):
        load(folder)
    folder = make_model(tmp_path / "odd")
    (folder / "config.json").write_text(json.dumps({"model_type": "no such"}), encoding="utf-8")
    with pytest.raises(ModelError, match="could not be loaded"):
        load(folder)


def test_weights_are_random_and_not_trivial(speaker, rng) -> None:
    """The model of these tests is worth testing with: it is unsure, and its answers depend on the prompt."""
    _, _, speech = speaker.speak(PROMPTS, 6, rng)
    found = speaker.log_probs(speech)[speech.spoken]
    assert -math.log(24) - 1 < float(found.mean().detach()) < -0.5

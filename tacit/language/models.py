"""How does a Hugging Face model speak, and how likely was what it said? The one place where tokens are known.

Prompts are padded on the left, so that all completions begin in one column; positions are counted without the padding.
Axis letters: B samples, L all tokens (prompt and completion), T tokens of a completion.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tacit.language.prompts import Prompt
from tacit.language.verdicts import SAYING, read


class ModelError(ValueError):
    """A model cannot take part; the message is one sentence for the user."""


class Speech(NamedTuple):
    """Prompts and completions as tokens. `shown` marks what is not padding, `spoken` the completion's own tokens.

    The end token belongs to what was spoken; nothing after it does.
    """

    tokens: Int[Tensor, "B L"]
    shown: Bool[Tensor, "B L"]
    spoken: Bool[Tensor, "B T"]

    def at(self, rows: Int[Tensor, " n"]) -> "Speech":
        """Some of the samples."""
        return Speech(self.tokens[rows], self.shown[rows], self.spoken[rows])

    def chosen(self, log_chances: Float[Tensor, "B T V"]) -> Float[Tensor, "B T"]:
        """Of all tokens' the spoken ones'; 0 where nothing was spoken."""
        tokens = self.tokens[:, -self.spoken.shape[1] :, None]
        return torch.where(self.spoken, log_chances.gather(2, tokens)[:, :, 0], 0.0)


class Speaker(nn.Module):
    """A causal model with its tokenizer. It says as much at once as has `at_once` tokens, prompts and all.

    The model remembers something of each token: in a Qwen2.5 of 1.5 B parameters 56 KB, so 2^18 tokens take 15 GB.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, at_once: int = 2**18):
        super().__init__()
        # What a model's own settings would do to its chances (penalties, cut-offs) is not in its log-probabilities.
        model.generation_config = GenerationConfig()
        self.model = model
        self.tokenizer = tokenizer
        self.at_once = at_once

    def speak(
        self, prompts: Sequence[Prompt], most_tokens: int, rng: np.random.Generator
    ) -> tuple[list[str], Bool[np.ndarray, " B"], Speech]:
        """Draw a completion to each prompt: the texts, which came to an end within `most_tokens`, and the tokens."""
        if not prompts:
            none = torch.zeros((0, most_tokens), dtype=torch.long)
            return [], np.zeros(0, bool), Speech(none, none.bool(), none.bool())
        given, shown = self.encode([self.written(prompt) for prompt in prompts])
        padding, end = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        assert isinstance(padding, int)
        assert isinstance(end, int)
        num = max(1, self.at_once // (given.shape[1] + most_tokens))
        with seeded(rng), torch.no_grad():
            lots = [self._complete(*lot, most_tokens) for lot in zip(given.split(num), shown.split(num), strict=True)]
        longest = max(lot.shape[1] for lot in lots)
        # A lot that is shorter than others has ended in all of its rows.
        tokens = torch.cat([nn.functional.pad(lot, (0, longest - lot.shape[1]), value=padding) for lot in lots])
        completions = tokens[:, given.shape[1] :]
        ended = completions == end
        spoken = ended.long().cumsum(dim=1) - ended.long() == 0
        texts = [self.heard(row[mask].tolist()) for row, mask in zip(completions, spoken, strict=True)]
        return texts, ended.any(dim=1).cpu().numpy(), Speech(tokens, torch.cat([shown, spoken], dim=1), spoken)

    def _complete(self, given: Int[Tensor, "n P"], shown: Bool[Tensor, "n P"], most_tokens: int) -> Int[Tensor, "n L"]:
        """Prompts with a completion drawn to each."""
        return self.model.generate(  # pyright: ignore[reportCallIssue]
            given,
            attention_mask=shown.long(),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=most_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
        )

    def quote(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> Speech:
        """The tokens that would have been spoken, had the model said `texts`."""
        given, shown = self.encode([self.written(prompt) for prompt in prompts])
        said = [[*self.tokenizer.encode(text, add_special_tokens=False), self.tokenizer.eos_token_id] for text in texts]
        longest = max(map(len, said))
        padded = [row + [self.tokenizer.pad_token_id] * (longest - len(row)) for row in said]
        spoken = torch.arange(longest)[None, :] < torch.tensor([len(row) for row in said])[:, None]
        spoken = spoken.to(given.device)
        tokens = torch.cat([given, torch.tensor(padded, device=given.device)], dim=1)
        return Speech(tokens, torch.cat([shown, spoken], dim=1), spoken)

    def log_probs(self, speech: Speech) -> Float[Tensor, "B T"]:
        """Log P(token | what came before) of each spoken token, at temperature 1; 0 where nothing was spoken."""
        return speech.chosen(self.log_chances(speech))

    def log_chances(self, speech: Speech) -> Float[Tensor, "B T V"]:
        """Log P(v | what came before) of every token v at the place of each spoken one."""
        length = speech.spoken.shape[1]
        positions = (speech.shown.long().cumsum(dim=1) - 1).clamp(min=0)
        logits = self.model(
            input_ids=speech.tokens,
            attention_mask=speech.shown.long(),
            position_ids=positions,
            logits_to_keep=length + 1,
        ).logits[:, :-1]
        return logits.float().log_softmax(dim=-1)

    def heard(self, tokens: list[int]) -> str:
        """The text of some tokens, without special ones."""
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        assert isinstance(text, str)
        return text

    def encode(self, texts: list[str]) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
        """Tokens of texts, padded on the left, and what is not padding."""
        found = self.tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
        device = self.model.device
        return found["input_ids"].to(device), found["attention_mask"].to(device).bool()

    def written(self, prompt: Prompt) -> str:
        """The prompt as the model wants it: by its chat template, or role, text and a line end."""
        if self.tokenizer.chat_template is None:
            return f"{prompt.role}\n\n{prompt.text}\n".lstrip()
        messages = [{"role": "system", "content": prompt.role}, {"role": "user", "content": prompt.text}]
        written = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert isinstance(written, str)
        return written


def load(path: str | Path, device: str = "cpu") -> Speaker:
    """The causal model in a local folder. Raises ModelError, in one sentence, if it cannot play."""
    if not Path(path).is_dir():
        raise ModelError(f"{path} is no folder with a Hugging Face model (config.json, weights, tokenizer).")
    # From the folder alone: nothing is fetched, no code of the model's own is run, no pickle is read.
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), **local)
        # In half precision a step of 1e-6 would mostly be rounded away.
        model = AutoModelForCausalLM.from_pretrained(str(path), use_safetensors=True, dtype=torch.float32, **local)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        first = str(error).strip().partition("\n")[0].rstrip(".")
        raise ModelError(f"{path} could not be loaded as a causal language model: {first}.") from error
    speaker = Speaker(model, tokenizer).to(device)
    check_tokenizer(speaker, str(path))
    return speaker


def device() -> str:
    """Where models go if nobody says: to the GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def on_one_core() -> None:
    """From now on this process computes on one core, as is best for several side by side."""
    torch.set_num_threads(1)


def save(speaker: Speaker, path: str | Path) -> None:
    """Leave a model in a folder, for `load`; the folder is there when all of it is."""
    unfinished = Path(f"{path}.unfinished")
    speaker.model.save_pretrained(unfinished)
    speaker.tokenizer.save_pretrained(unfinished)
    unfinished.rename(path)


def check_tokenizer(speaker: Speaker, name: str) -> None:
    """Raise ModelError unless texts can be padded and ended, and the critic's labels be said."""
    tokenizer = speaker.tokenizer
    for kind, token in (("pad", tokenizer.pad_token_id), ("end", tokenizer.eos_token_id)):
        if token is None:
            short = "eos" if kind == "end" else kind
            raise ModelError(f"The tokenizer of {name} has no {kind} token: set its {short}_token and save it again.")
    for label, text in SAYING.items():
        heard = speaker.heard(tokenizer.encode(text, add_special_tokens=False))
        if read(heard) != label:
            raise ModelError(f"The tokenizer of {name} cannot say {text!r}: it makes {heard!r} of it.")


@contextlib.contextmanager
def seeded(rng: np.random.Generator) -> Iterator[None]:
    """Torch draws what follows from `rng`, and its own generators are left as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(int(rng.integers(2**62)))
        yield

"""What does a language model from nothing need? Words to read and say, a small Llama, and texts to imitate.

Words are whole: a number is one of them, so that a sum is a matter of memory and not of digits.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from torch import nn
from torch.optim import AdamW
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tacit.language.demonstrations import Draw
from tacit.language.models import Speaker
from tacit.language.prompts import Roles
from tacit.language.verdicts import SAYING


@dataclasses.dataclass(frozen=True)
class Size:
    """Numbers in each place of the text, layers, heads of attention, and the longest text in words."""

    width: int = 64
    num_layers: int = 2
    num_heads: int = 4
    longest: int = 64


@dataclasses.dataclass(frozen=True)
class Schooling:
    """Steps of AdamW, texts in each, and the rate, which rises for 20 steps and then falls to 0."""

    num_steps: int = 600
    num_texts: int = 256
    rate: float = 3e-3


def untaught(words: Sequence[str], size: Size, seed: int) -> Speaker:
    """A model that knows nothing, with a tokenizer which knows `words` and passes over all else, and the labels."""
    known = ["<pad>", "<end>", *words]
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(known)}, unk_token="<pad>"))
    # Longer words first, so that no word hides another that begins as it does; numbers whole.
    pattern = "|".join(["[0-9]+", *(re.escape(word) for word in sorted(words, key=len, reverse=True))])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>")
    fast.add_tokens(list(SAYING.values()))
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=size.width,
        intermediate_size=4 * size.width,
        num_hidden_layers=size.num_layers,
        num_attention_heads=size.num_heads,
        max_position_embeddings=size.longest,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Speaker(LlamaForCausalLM(config), fast)


def school(
    speaker: Speaker,
    texts: Draw,
    roles: Roles,
    schooling: Schooling,
    report: Callable[[int, dict[str, float]], None],
    rng: np.random.Generator,
) -> None:
    """Teach a model to say what `texts` answers, in place: maximum likelihood of as many fresh ones as a step takes."""
    optimiser = AdamW(speaker.parameters(), lr=schooling.rate, weight_decay=0.0)
    for step in range(schooling.num_steps):
        for group in optimiser.param_groups:
            group["lr"] = schooling.rate * min((step + 1) / 20, 1.0 - step / schooling.num_steps)
        given = texts(schooling.num_texts, rng)
        speech = speaker.quote([roles.ask(one.question) for one in given], [roles.as_said(one.answer) for one in given])
        loss = -speaker.log_probs(speech).sum() / len(given)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(speaker.parameters(), 1.0)
        optimiser.step()
        report(step + 1, {"loss": float(loss.detach())})

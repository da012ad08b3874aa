"""A language model made here; its tests are left out, and say so, where torch, transformers or TRL is not installed."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest

MISSING = [name for name in ("torch", "transformers", "trl") if importlib.util.find_spec(name) is None]
NEEDING = ["baselines", "learning", "models", "raro_table", "score_critic"]
collect_ignore = [f"test_{name}.py" for name in NEEDING] if {"torch", "transformers"} & set(MISSING) else []
collect_ignore += ["test_on_trl.py", "test_raro_benchmark.py"] if MISSING else []


def pytest_report_header() -> str | None:
    return f"tests of language models are left out: {MISSING} not installed (extra `trl`)" if MISSING else None


@pytest.fixture(scope="session", autouse=True)
def _all_there_or_said() -> None:
    assert not (MISSING and os.environ.get("CI") == "true"), f"{MISSING} are missing"


SAYINGS = ["Label: 1", "Label: 2", "Label: tie"]


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Path]:
    """Saves a model of some thousand parameters, drawn at random, as Hugging Face saves models.

    It speaks in letters, of which it knows those of arithmetic, and can say each label at once.
    """
    import torch
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)

    def make(
        folder: Path,
        seed: int = 0,
        pad: str | None = "<pad>",
        end: str | None = "<end>",
        sayings: list[str] = SAYINGS,
        chat: str | None = None,
        tied: bool = True,
    ) -> Path:
        letters = ["<pad>", "<end>", "Ġ", "Ċ", *"0123456789+-*/()"]
        tokenizer = Tokenizer(BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, eos_token=end)
        fast.add_tokens(sayings)
        fast.chat_template = chat
        config = LlamaConfig(
            vocab_size=len(fast),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=512,
            initializer_range=0.2,
            tie_word_embeddings=tied,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
        fast.save_pretrained(folder)
        return folder

    return make

"""How does a training of language models outlive a crash? One safetensors file with all that changes, replaced whole.

It holds the learners' parameters and what their optimisers remember, and as JSON the round, the pool and the trials.
What the models were at the start is not kept, but told apart by a checksum: it comes from where the learners came from.
"""

import dataclasses
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from tacit.language.game import Contest
from tacit.language.learner import AnyLearner
from tacit.language.replay import Pool
from tacit.language.rounds import Memory
from tacit.language.watch import Trials
from tacit.storage import StorageError, write_atomically

FORMAT = 1


def save(path: Path, num_done: int, learners: Mapping[str, AnyLearner], memory: Memory, config: Any) -> None:
    """Write everything that the next round needs, atomically."""
    header = {
        "format": FORMAT,
        "kind": "language training",
        "rounds": num_done,
        "pool": [list(contest) for contest in memory.pool.contests],
        "capacity": memory.pool.capacity,
        "labels": memory.trials.labels.tolist(),
        "expert_at": memory.trials.expert_at.tolist(),
        "about": _about(learners, config),
    }
    tensors = {
        f"{name}.{part}": tensor.detach().cpu().contiguous()
        for name, learner in learners.items()
        for part, tensor in _tensors(learner).items()
    }
    write_atomically(path, safetensors.torch.save(tensors, {"tacit": json.dumps(header)}))


def load(path: Path, learners: Mapping[str, AnyLearner], config: Any) -> tuple[int, Memory]:
    """Put the learners where they were, and say how many rounds are done and what to remember.

    Raises StorageError, in one sentence, for a file that is damaged or of another training.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["tacit"])
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["kind"] != "language training" or header["format"] > FORMAT:
            raise StorageError(f"{path} is no checkpoint of a training of language models that this tacit can read.")
        contests = tuple(Contest(*contest) for contest in header["pool"])
        trials = Trials(np.array(header["labels"], np.int64), np.array(header["expert_at"], np.int64))
        memory, num_done, about = Memory(Pool(contests, header["capacity"]), trials), header["rounds"], header["about"]
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise StorageError(f"{path} is damaged, or no checkpoint of a training of language models.") from error
    for part, wanted in _about(learners, config).items():
        if about.get(part) != wanted:
            raise StorageError(
                f"{path} is of another training: its {part} differs; give another path, or the same {part}."
            )
    for name, learner in learners.items():
        own = {part.removeprefix(f"{name}."): found[part] for part in found if part.startswith(f"{name}.")}
        _restore(learner, own, path)
    return num_done, memory


def _about(learners: Mapping[str, AnyLearner], config: Any) -> dict[str, Any]:
    """What has to be the same for a training to go on; it may be given more rounds, unless its rates fall with them."""
    chosen = dataclasses.asdict(config)
    if config.rates == "constant":
        del chosen["num_rounds"]
    steps = {name: dataclasses.asdict(learner.config) for name, learner in learners.items()}
    starts = {name: _checksum(learner) for name, learner in learners.items()}
    return json.loads(json.dumps({"configuration": chosen, "learners": steps, "starting model": starts}))


def _tensors(learner: AnyLearner) -> dict[str, torch.Tensor]:
    """Parameters, each once, and the optimiser's memory of each."""
    found: dict[str, torch.Tensor] = {}
    for name, parameter in learner.speaker.named_parameters():
        found[f"parameter.{name}"] = parameter
        for what, tensor in learner.optimiser.state[parameter].items():
            found[f"{what}.{name}"] = tensor
    return found


@torch.no_grad()
def _restore(learner: AnyLearner, found: Mapping[str, torch.Tensor], path: Path) -> None:
    for name, parameter in learner.speaker.named_parameters():
        kept = {part.partition(".")[0]: found[part] for part in found if part.partition(".")[2] == name}
        if "parameter" not in kept or kept["parameter"].shape != parameter.shape:
            raise StorageError(f"{path} does not fit the model: {name} is missing or has another shape.")
        parameter.copy_(kept.pop("parameter"))
        # AdamW counts its steps on the CPU.
        learner.optimiser.state[parameter] = {
            what: tensor if what == "step" else tensor.to(parameter) for what, tensor in kept.items()
        }


def _checksum(learner: AnyLearner) -> int:
    """CRC-32 of the model at the start, parameter by parameter."""
    total = 0
    for _, parameter in learner.start.named_parameters():
        total = zlib.crc32(parameter.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes(), total)
    return total

"""How is RARO played on many GPUs? TRL's GRPOTrainer owns the model and all that is distributed; the rounds are ours.

TRL asks one function for the samples of a batch and another for their rewards, of which it takes the mean of the group.
A group of TRL's is one question here: all of its answers, then all verdicts on one contest. Of n samples each is
rewarded with n · w_i, the weight of a round's lesson. Weights sum to 0 over the answers to a question and over the
verdicts on a contest, so TRL's mean is 0, and with `loss_type="dr_grpo"` and `scale_rewards="none"` its loss

    -1/(n·T) Σ_i (n · w_i - mean) Σ_t log π(token_t | before) = -Σ_i w_i Σ_t log π(token_t | before) / T

is that of `learner`. What is not kept is masked, by `env_mask`. Two things differ from `learner`: the divergence from
the start is divided by all samples instead of those that are kept, and a step is taken where nothing has weight, too.
Each process plays rounds on questions of its own, with a pool and guards of its own; gradients are averaged. Pool and
guards begin anew where TRL goes on from a checkpoint.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from tacit.language.demonstrations import Demonstration
from tacit.language.learner import Config as StepConfig
from tacit.language.models import Speaker, load, seeded
from tacit.language.players import answering, judging
from tacit.language.prompts import Prompt
from tacit.language.rounds import Config as GameConfig
from tacit.language.rounds import Memory, Round, play_round
from tacit.language.training import Config, numbers

try:
    from accelerate.utils import gather_object
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer
except ModuleNotFoundError as missing:
    package = str(missing.name).partition(".")[0]
    raise ModuleNotFoundError(
        f"tacit.language.on_trl needs {package}: run `uv sync --extra trl`, or pip install 'tacit[trl]'.",
        name=missing.name,
    ) from missing


def round_size(config: Config) -> int:
    """How many samples a round of a process has."""
    return config.num_questions * (config.game.num_answers + config.game.num_verdicts)


def game_settings(config: Config) -> dict[str, Any]:
    """What a GRPOConfig has to say for the game to be RARO."""
    return {
        "num_generations": config.game.num_answers + config.game.num_verdicts,
        "max_completion_length": config.most_tokens,
        "loss_type": "dr_grpo",
        "scale_rewards": "none",
        "num_iterations": 1,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
    }


def settings(config: Config, step: StepConfig) -> dict[str, Any]:
    """All that `training` and `learner` would do, for `GRPOConfig(folder, **settings(config, step))`.

    What else there is, such as `use_vllm`, `bf16` or DeepSpeed, is said beside it. `at_once` samples go through a
    process together, and `num_questions` are asked by each process in a round.
    """
    size = round_size(config)
    if size % step.at_once:
        raise ValueError(f"A round has {size} samples, which cannot be shared out in lots of {step.at_once} (at_once).")
    return game_settings(config) | {
        "per_device_train_batch_size": step.at_once,
        "gradient_accumulation_steps": size // step.at_once,
        "max_steps": config.num_rounds,
        "seed": config.seed,
        "learning_rate": step.rate,
        "lr_scheduler_type": config.rates,
        "beta": step.kl,
        "use_bias_correction_kl": False,
        "max_grad_norm": step.longest_gradient,
        "disable_dropout": True,
    }


def raro(
    folder: str | Path, demonstrations: Sequence[Demonstration], config: Config, arguments: GRPOConfig
) -> GRPOTrainer:
    """A trainer of the model in a local folder, which plays both roles: `raro(...).train()`.

    Raises ValueError where `arguments` would make another game of it; see `settings`.
    """
    check(arguments, config)
    shown = {one.id: one for one in demonstrations}
    if len(shown) < len(demonstrations):
        raise ValueError(f"{len(demonstrations)} demonstrations have {len(shown)} different ids; give each its own.")
    num_asked = config.num_questions * arguments.world_size
    if not 1 <= num_asked <= len(shown):
        raise ValueError(f"{num_asked} questions a round (of all processes) cannot be drawn from {len(shown)}.")
    # TRL loads the start from the same folder.
    speaker, memory, numbers, alarmed = load(folder), Memory(), {}, False

    def roll_out(prompts: list[str], trainer: GRPOTrainer) -> dict[str, Any]:
        nonlocal memory, numbers, alarmed
        speaks = TrainerSpeaker(trainer, speaker)
        address = [config.seed, trainer.state.global_step, trainer.accelerator.process_index]
        played = play_round(
            [shown[name] for name in prompts[:: arguments.num_generations]],
            answering(speaks, config.roles, config.answer_tokens),
            judging(speaks, config.roles, config.verdict_tokens),
            memory,
            config.game,
            np.random.default_rng(address),
        )
        memory, numbers = played.memory, figures(played)
        if played.advice.alarm is not None and not alarmed:
            warnings.warn(played.advice.alarm, stacklevel=2)
            alarmed = True
        return rows(played, config.game)

    def earned(
        weight: list[float | None], log_metric: Callable[[str, float], None], **others: object
    ) -> list[float | None]:
        del others
        for name, number in numbers.items():
            log_metric(f"raro/{name}", number)
        return weight

    with warnings.catch_warnings():
        # That `rollout_func` may change is why the versions of the extra `trl` are bounded.
        warnings.filterwarnings("ignore", ".*rollout_func.*")
        return GRPOTrainer(
            model=speaker.model,
            processing_class=speaker.tokenizer,
            reward_funcs=earned,
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": list(shown)}),
            rollout_func=roll_out,
        )


def check(arguments: GRPOConfig, config: Config) -> None:
    """Raise ValueError, with how to mend it, unless a step of `arguments` is one round of `config`'s game."""
    if config.game.num_again > 1:
        raise ValueError(
            f"num_again is {config.game.num_again}, but TRL's batch has room for one contest a question: set it to 1."
        )
    mend = "make the GRPOConfig with **on_trl.settings(config, step)"
    for name, wanted in game_settings(config).items():
        if vars(arguments)[name] != wanted:
            raise ValueError(f"{name} is {vars(arguments)[name]!r}, and RARO needs {wanted!r}: {mend}.")
    at_once, lots = arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps
    size = round_size(config)
    if at_once * lots != size or arguments.steps_per_generation != lots:
        raise ValueError(
            f"A round has {size} samples, but a step {lots} lots of {at_once}, made {arguments.steps_per_generation} "
            f"lots at a time: {mend}."
        )


class Spoken(NamedTuple):
    """What was asked and said, as tokens; and how likely vLLM found that, which may differ a little from the model."""

    prompts: list[list[int]]
    completions: list[list[int]]
    log_probs: list[list[float]] | None


class TrainerSpeaker(NamedTuple):
    """The model that is being trained, spoken to through the trainer, which knows where its parts are."""

    trainer: GRPOTrainer
    speaker: Speaker

    def speak(
        self, prompts: Sequence[Prompt], most_tokens: int, rng: np.random.Generator
    ) -> tuple[list[str], Bool[np.ndarray, " B"], Spoken]:
        """As `Speaker.speak` does; to be called by all processes together."""
        tokenizer = self.speaker.tokenizer
        asked = [tokenizer.encode(self.speaker.written(prompt), add_special_tokens=False) for prompt in prompts]
        # Processes that generate together wait for each other, and some backends take it that all ask as much.
        idle = max(gather_object([len(asked)])) - len(asked)
        given, completions, log_probs = asked + [[tokenizer.eos_token_id]] * idle, [], None
        if given:
            with seeded(rng):
                completions, log_probs = self.trainer._generate_single_turn(given, None, {}, 1)
        # TRL knows one length for both roles; what goes beyond a role's own is cut off.
        said = [tokens[:most_tokens] for tokens in completions[: len(asked)]]
        likely = log_probs and [found[:most_tokens] for found in log_probs[: len(asked)]]
        whole = np.array([tokens[-1] == tokenizer.eos_token_id for tokens in said], bool)
        return [self.speaker.heard(tokens) for tokens in said], whole, Spoken(asked, said, likely)


def rows(played: Round, game: GameConfig) -> dict[str, Any]:
    """A round as a batch of TRL's: question by question its answers, then the verdicts on one contest.

    Where there were too few contests, because answers were cut off, a sample that counts for nothing stands in.
    """
    lessons = [played.policy, played.critic]
    parts: list[Spoken] = [lesson.samples.trace for lesson in lessons]
    # The first answer, unkept, stands at the end, where -1 finds it.
    prompts = [row for part in parts for row in part.prompts] + parts[0].prompts[:1]
    completions = [row for part in parts for row in part.completions] + parts[0].completions[:1]
    weights = np.concatenate([*(lesson.weights for lesson in lessons), [0.0]])
    kept = np.concatenate([*(lesson.kept for lesson in lessons), [False]])

    num_answers, num_questions = len(played.policy.weights), len(played.policy.weights) // game.num_answers
    verdicts = np.full(num_questions * game.num_verdicts, -1)
    verdicts[: len(played.critic.weights)] = num_answers + np.arange(len(played.critic.weights))
    order = np.hstack([np.arange(num_answers).reshape(num_questions, -1), verdicts.reshape(num_questions, -1)]).ravel()

    log_probs = None
    if parts[0].log_probs is not None:
        log_probs = [row for part in parts for row in part.log_probs or []] + parts[0].log_probs[:1]
    return {
        "prompt_ids": [prompts[row] for row in order],
        "completion_ids": [completions[row] for row in order],
        "logprobs": log_probs and [log_probs[row] for row in order],
        "env_mask": [[int(kept[row])] * len(completions[row]) for row in order],
        "weight": (len(order) * weights[order]).tolist(),
    }


def figures(played: Round) -> dict[str, float]:
    """What to watch of a round; figures of which there was no case are left out."""
    return {name: one for name, one in numbers(played).items() if math.isfinite(one)}

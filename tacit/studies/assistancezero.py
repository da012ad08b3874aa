"""Does AssistanceZero help more than its rivals, and which of its parts pay? One table, row by row, on unseen houses.

Everybody meets the same houses and the same people, scripted ones and such as plan and act like recorded ones. Rows
that learn are trained here, each from its last checkpoint; every row is kept as soon as it is there, so that a run that
was stopped goes on where it was, and a row that is missing is told as missing. Laidlaw et al. 2025, "AssistanceZero:
Scalably Solving Assistance Games", arXiv 2504.07091, tables 1, 3 and 7.

Rewards are those of the first turns (`evaluation.metrics.EARLY`): by the end nearly every house stands, whoever helped.
"""

import dataclasses
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from tacit.assistants.assistancezero import Skill
from tacit.evaluation.compare import Contender, Contest, run
from tacit.games import building_small
from tacit.humans import builder
from tacit.learning.lessons import LessonTrainer
from tacit.learning.training import TrainingError, not_a_number, train
from tacit.members import find
from tacit.storage import (
    about_checkpoint,
    about_weights,
    load_checkpoint,
    load_weights,
    provenance,
    save_checkpoint,
    save_weights,
    write_atomically,
)
from tacit.storage.weights import is_array
from tacit.studies import assistancezero_picture
from tacit.studies.assistancezero_rows import LEARNERS, ROWS, STARTS_FROM, Budget, Play, untrained
from tacit.studies.assistancezero_table import Counts, Played, judged, table
from tacit.studies.claims import Claim, Place, Tell, default_place, silent

EVERY = 60.0
"""Seconds from one checkpoint to the next."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How long is learned, by which rows with how many seeds, and how many unseen houses are built with whom."""

    num_episodes: Mapping[str, int]
    rows: tuple[str, ...] = tuple(ROWS)
    num_seeds: int = 3
    budget: Budget = dataclasses.field(default_factory=Budget)
    seed: int = 31


CONFIGS = {
    "tiny": Config({"builder": 4}, rows=("oracle",)),
    "small": Config({"builder": 128, "pikl": 96}),
    "full": Config({"builder": 1024, "pikl": 256}, num_seeds=5),
}


class Part(NamedTuple):
    """A row with one seed, at a tier."""

    tier: str
    row: str
    seed: int


def make(tier: str, data: Path | None) -> list[Claim]:
    """The table from nothing, kept nowhere."""
    del data
    with tempfile.TemporaryDirectory() as folder:
        return make_at(tier, Place(Path(folder), None), silent)


def make_at(tier: str, place: Place, tell: Tell) -> list[Claim]:
    """The table, gone on with in `place`, and what it says."""
    config, every = CONFIGS[tier], in_order(tier)
    check_settings(config, place.out)
    found = [kept(part, place.out) for part in every if path_of(part, place.out).exists()]
    for part in every:
        if not path_of(part, place.out).exists():
            if part.seed == 0:
                jax.clear_caches()  # what other rows compiled holds memory maps, of which a process has only so many
            found.append(done(part, place.out, tell))
            keep_table(config, found, place.out)
            said = found[-1].missing or "played"
            tell(f"{part.row}, seed {part.seed}: {said}", len(found), len(every), {})
    keep_table(config, found, place.out)
    return claimed(config, found)


def draw_table(figure: Any, out: Path) -> None:
    """The table as far as it is kept in a folder: see `assistancezero_picture`."""
    assistancezero_picture.draw_table(figure, out)


def keep_table(config: Config, found: Sequence[Played], out: Path) -> None:
    """Write what there is of the table, atomically."""
    yardsticks = {name: ROWS[name].yardstick for name in config.rows}
    told = table(wanted(config), yardsticks, tuple(config.num_episodes), found)
    write_atomically(out / "table.json", json.dumps(told, indent=1).encode())


def claimed(config: Config, found: Sequence[Played]) -> list[Claim]:
    """What the rows say that are there."""
    return judged(wanted(config), tuple(config.num_episodes), found)[0]


def wanted(config: Config) -> dict[str, range]:
    """The seeds that belong in the table, by row."""
    return {name: seeds(name, config) for name in config.rows}


def in_order(tier: str) -> list[Part]:
    """Every row with each of its seeds, in the order of the table."""
    config = CONFIGS[tier]
    return [Part(tier, name, seed) for name in config.rows for seed in seeds(name, config)]


def seeds(row: str, config: Config) -> range:
    """The seeds of a row; who learns nothing needs one, and what takes long has one."""
    return range(1 if ROWS[row].learner is None or ROWS[row].once else config.num_seeds)


def parts(tier: str) -> list[list[Part]]:
    """What can be done anywhere: rows that share something learned belong together, or it would be learned twice."""
    groups: dict[tuple[str, int], list[Part]] = {}
    for part in in_order(tier):
        learner = ROWS[part.row].learner or part.row
        groups.setdefault((STARTS_FROM.get(learner, learner), part.seed), []).append(part)
    return list(groups.values())


def measure(group: Sequence[Part]) -> list[Played]:
    """Some rows with one seed, wherever this is."""
    tier = group[0].tier
    if tier == "tiny":
        with tempfile.TemporaryDirectory() as folder:
            return [done(part, Path(folder), silent) for part in group]
    out = default_place("assistancezero", tier).out
    check_settings(CONFIGS[tier], out)
    return [done(part, out, silent) for part in group]


def check_settings(config: Config, out: Path) -> None:
    """Raise ValueError where `out` holds a table with other settings, of the study or of a row; new rows join it."""
    now, path = json.loads(settings(config)), out / "settings.json"
    elsewhere = "give another folder with --out, or remove it."
    try:
        there = json.loads(path.read_text(encoding="utf-8")) if path.exists() else now
        rows = [name for name in now["rows"] if name in there["rows"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {elsewhere}") from error
    pair = ({"study": one.get("study"), "rows": {name: one["rows"][name] for name in rows}} for one in (there, now))
    lines = itertools.zip_longest(*(json.dumps(one, indent=1).splitlines() for one in pair), fillvalue="nothing")
    for before, after in lines:
        if before != after:
            told = [line.strip(' ",') for line in (before, after)]
            raise ValueError(f"{out} holds a table with other settings ({told[0]} there, {told[1]} now): {elsewhere}")
    known = {"study": now["study"], "rows": there["rows"] | now["rows"]}
    write_atomically(path, json.dumps(known, indent=1).encode())


def settings(config: Config) -> str:
    """All that was chosen for a table, in JSON: the study's config, and of each row how it plays and how it learns."""
    game, start = building_small.make("train"), untrained()

    def parts(learner: str | None, play: Play) -> list[Any]:
        player = play(game, builder.make(game), start)
        if learner is None:
            return [player]
        trainer = LEARNERS[learner](config.budget, config.seed, blank)
        return [player, trainer.config, trainer.source, trainer.task]

    def blank(learner: str) -> Any:
        return blank_network(LEARNERS[learner](config.budget, config.seed, blank))

    rows = {name: parts(ROWS[name].learner, ROWS[name].play) for name in config.rows}
    study = {name: value for name, value in vars(config).items() if name != "rows"}
    return json.dumps({"study": study, "rows": rows}, default=in_json, indent=1)


def in_json(part: Any) -> Any:
    """What JSON has no word for: a Module or a config by its fields, an array by its shape, a function by its name."""
    if dataclasses.is_dataclass(part):
        return {"is": type(part).__name__, **vars(part)}
    return f"{part.dtype}{list(part.shape)}" if is_array(part) else part.__qualname__


def path_of(part: Part, out: Path) -> Path:
    """Where a part is kept."""
    return out / f"row-{part.row}-{part.seed}.json"


def keep(played: Played, path: Path) -> None:
    """Write what came of a part, atomically."""
    write_atomically(path, json.dumps(played._asdict()).encode())


def kept(part: Part, out: Path) -> Played:
    """What came of a part that is there."""
    return Played(**json.loads(path_of(part, out).read_text(encoding="utf-8")))


def done(part: Part, out: Path, tell: Tell) -> Played:
    """What came of the part: from `out` if it is there, else made now and left there."""
    if not path_of(part, out).exists():
        try:
            played = play(part, out, tell)
        except TrainingError as error:
            return Played(part.row, part.seed, str(error), {}, 0.0, *_where())
        keep(played, path_of(part, out))
    return kept(part, out)


def _where() -> tuple[str | None, str]:
    """The commit and the device."""
    now = provenance()
    return now.commit, now.device


def play(part: Part, out: Path, tell: Tell) -> Played:
    """Learn what there is to learn, then help everybody."""
    config, row = CONFIGS[part.tier], ROWS[part.row]
    skill, seconds = untrained(), 0.0
    if row.learner is not None:
        network, seconds = learned(row.learner, part.seed, config.budget, out, tell)
        skill = Skill(network, skill.threshold)
    game, practice = building_small.make("test"), building_small.make("train")
    people = {}
    for name, num_episodes in config.num_episodes.items():
        human = find("tacit.humans", name).load().make(game)
        contender = Contender(part.row, row.play(practice, human, skill), absent=part.row == "none")
        tally = run(Contest(game, practice, human, num_episodes, config.seed), contender)
        people[name] = {field: np.asarray(getattr(tally, field)).tolist() for field in Counts._fields}
    return Played(part.row, part.seed, None, people, seconds, *_where())


def learned(learner: str, seed: int, budget: Budget, out: Path, tell: Tell) -> tuple[Any, float]:
    """The network that a learner ends with, read from `out` or learned now, and in how many seconds it was learned."""
    path = out / f"{learner}-{seed}.safetensors"
    trainer = LEARNERS[learner](budget, seed, lambda name: learned(name, seed, budget, out, tell)[0])
    if path.exists():
        return load_weights(path, blank_network(trainer)), about_weights(path)["seconds"]
    report = telling(tell, learner, seed, trainer)
    network, seconds = trained(trainer, seed, out / f"{learner}-{seed}.checkpoint", report)
    config = json.loads(json.dumps(dataclasses.asdict(trainer.config)))
    save_weights(path, network, {"name": learner, "seed": seed, "seconds": seconds, "config": config})
    return network, seconds


def blank_network(trainer: LessonTrainer) -> Any:
    """The shapes of a trainer's network."""
    return eqx.filter_eval_shape(trainer.task.begin, jax.random.key(0))


def telling(tell: Tell, learner: str, seed: int, trainer: LessonTrainer) -> Callable[[int, dict[str, float]], None]:
    """What is told of a training."""
    return lambda num_done, numbers: tell(f"training {learner}, seed {seed}", num_done, trainer.num_rounds, numbers)


def trained(
    trainer: LessonTrainer, seed: int, path: Path, report: Callable[[int, dict[str, float]], None]
) -> tuple[Any, float]:
    """Train to the end, from the checkpoint at `path` if there is one; it is removed in the end."""
    state, num_done, before = trainer.init(jax.random.key(seed)), 0, 0.0
    if path.exists():
        about = about_checkpoint(path)
        state, num_done, before = load_checkpoint(path, state), about["rounds"], about["seconds"]
    start = kept = time.monotonic()

    def keep(num_done: int, state: Any) -> None:
        nonlocal kept
        spoilt = not_a_number(state)
        if spoilt is not None:
            raise TrainingError(f"Round {num_done} went wrong: the state's {spoilt} holds a NaN.")
        if time.monotonic() - kept >= EVERY:
            kept = time.monotonic()
            save_checkpoint(path, state, {"rounds": num_done, "seconds": before + kept - start})

    _, state = train(trainer, state, num_done, report, keep)
    network, _ = dataclasses.replace(trainer, finish=lambda network: (network, {})).release(state)
    path.unlink(missing_ok=True)
    return network, before + time.monotonic() - start


def conclude(tier: str, found: Sequence[Sequence[Played]]) -> list[Claim]:
    """What the rows say that are there; above the tiny tier these and the table are kept here."""
    config, every = CONFIGS[tier], [one for some in found for one in some]
    if tier != "tiny":
        out = default_place("assistancezero", tier).out
        check_settings(config, out)
        for one in every:
            if one.missing is None:
                keep(one, path_of(Part(tier, one.row, one.seed), out))
        keep_table(config, every, out)
    return claimed(config, every)

"""How well does the scripted builder explain what real people did, and which persona is each of them?

Every recorded action of a person who built alone is scored with the builder's exact probability, given the house they
were shown. The persona that makes a person's actions most likely is found by gradient ascent; `humans.persona.PEOPLE`
holds what the tier "small" found, with two changes that are told there. The yardsticks know the house as little as a
stranger: how often the person passes, moves, places and breaks, and the same chance for everything that is legal within
each of these.

Recordings: MBAG's solo episodes (Laidlaw et al. 2025, arXiv 2504.07091).
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int8

from tacit.core import HUMAN
from tacit.games.building.actions import PASS, PLACE, EditLegal, decode, log_prob
from tacit.games.building.blocks import AIR, FIRST_PLACEABLE
from tacit.games.building.checking import recorded_game
from tacit.games.building.game import BuildingGame, House, State
from tacit.games.building.recorded import states
from tacit.games.building.recordings import NUM_KINDS, Recording, load_recordings
from tacit.humans.builder import Notes, Scene, decide, look, plan
from tacit.humans.builder import make as make_builder
from tacit.humans.persona import CHANCES, Persona
from tacit.studies.claims import Claim, at_least

NEEDS = ("data",)
SOURCE = "the project's own bar: a builder should explain people better than how often they do what"
CHUNK = 128
"""Rows that are looked at, or scored, at once."""
COUNTED = ("pause", "linger", "slip", "mistake")
"""The fields of `Persona` that are counted; the others are climbed for."""
START = Persona(*map(jnp.float32, (3.0, 1.0, 0.5, 1.0, 2.0, 0.2, 0.3, 0.3, 1.0, 2.0, 0.1, 0.02, 0.02)))
"""Where every climb begins: nobody in particular."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How long to climb, on how many chunks of each person's actions (evenly spread)."""

    num_steps: int
    max_chunks: int
    learning_rate: float = 0.15


CONFIGS = {"tiny": Config(num_steps=25, max_chunks=1), "small": Config(num_steps=120, max_chunks=1000)}
CONFIGS["full"] = CONFIGS["small"]


class Rows(NamedTuple):
    """What a person saw and did, one row an action; `counts` are how many places, breaks and moves were legal."""

    goal: House
    blocks: Int8[Array, "X Y Z"]
    scene: Scene
    legal: EditLegal
    action: Int[Array, ""]
    counts: Int[Array, "3"]


class Fit(NamedTuple):
    """One person: the persona, and mean log-likelihoods per recorded action (passes included, then without)."""

    participant: int
    actions: int
    unexplained: int
    persona: Persona
    builder: float
    types: float
    uniform: float
    builder_acting: float
    types_acting: float


@eqx.filter_jit
def see(game: BuildingGame, notes: Notes, rows: State) -> tuple[Notes, Scene, EditLegal]:
    """What the person sees row by row; the notes go on from chunk to chunk."""

    def one(notes: Notes, state: State) -> tuple[Notes, tuple[Scene, EditLegal]]:
        observation = game.observe(state)[HUMAN]
        scene, notes = look(observation, notes, game.reach, game.num_kinds)
        return notes, (scene, observation.legal[HUMAN])

    notes, (scene, legal) = jax.lax.scan(one, notes, rows)
    return notes, scene, legal


def chunks(recording: Recording, game: BuildingGame) -> Iterator[Rows]:
    """A recording's rows, `CHUNK` at a time; the last chunk is filled up with its last row."""
    every, num_rows = states(recording), len(recording.actions)
    notes = make_builder(game).init(jax.random.key(0)).notes
    for start in range(0, num_rows, CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), num_rows - 1)
        some = jax.tree.map(lambda leaf, rows=rows: leaf[rows], every)
        notes, scene, legal = see(game, notes, some)
        goal = np.broadcast_to(recording.goal, some.blocks.shape)
        counts = jnp.stack([legal.place.sum(-1), legal.remove.sum(-1), legal.move.sum(-1)], -1)
        action = jnp.asarray(recording.actions[rows], jnp.int32)
        found = Rows(jnp.asarray(goal), some.blocks, scene, legal, action, counts)
        yield jax.tree.map(lambda leaf, start=start: np.asarray(leaf)[: num_rows - start], found)


def score(persona: Persona, row: Rows) -> Float[Array, ""]:
    """Log-probability of one recorded action."""
    wish = plan(row.goal, persona, row.blocks, row.scene)
    return log_prob(decide(wish, persona, row.scene, row.legal, 1.0, NUM_KINDS), row.legal, row.action)


score_chunk = eqx.filter_jit(eqx.filter_vmap(score, in_axes=(None, 0)))


def free(persona: Persona) -> Persona:
    """The persona in numbers that may take any value: logits for probabilities."""
    return persona._replace(**{name: jax.scipy.special.logit(persona._asdict()[name]) for name in CHANCES})


def bound(numbers: Persona) -> Persona:
    """The inverse of `free`."""
    return numbers._replace(**{name: jax.nn.sigmoid(numbers._asdict()[name]) for name in CHANCES})


@eqx.filter_jit
@eqx.filter_grad
def slope(numbers: Persona, rows: Rows) -> Float[Array, ""]:
    """The gradient of a chunk's mean log-likelihood, with a weak pull to the middle where nothing tells."""
    likelihood = eqx.filter_vmap(score, in_axes=(None, 0))(bound(numbers), rows).mean()
    return likelihood - 1e-3 * sum(jnp.square(number) for number in numbers)


def climb(rows: list[Rows], start: Persona, config: Config) -> Persona:
    """The likeliest persona, by Adam over a different chunk each step; passing is left as it starts."""
    numbers = free(start)
    mean = jax.tree.map(jnp.zeros_like, numbers)
    square = mean
    for step in range(config.num_steps):
        gradient = slope(numbers, rows[step % len(rows)])
        gradient = gradient._replace(**dict.fromkeys(COUNTED, jnp.zeros(())))
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
        square = jax.tree.map(lambda s, g: 0.99 * s + 0.01 * g * g, square, gradient)
        rate = config.learning_rate * (1.0 - step / config.num_steps) / (1.0 - 0.9 ** (step + 1))
        size = jax.tree.map(lambda s, step=step: jnp.sqrt(s / (1.0 - 0.99 ** (step + 1))) + 1e-6, square)
        numbers = jax.tree.map(lambda n, m, s, rate=rate: n + rate * m / s, numbers, mean, size)
    return bound(numbers)


def regroup(rows: Rows) -> list[Rows]:
    """Rows in chunks of equal size, far-apart rows together; what is left over goes."""
    num_chunks = max(len(rows.action) // CHUNK, 1)
    return [jax.tree.map(lambda leaf, i=i: leaf[i::num_chunks][:CHUNK], rows) for i in range(num_chunks)]


def fit(recordings: list[Recording], game: BuildingGame, config: Config) -> Fit:
    """One person's persona and how well it explains their solo episodes."""
    parts = [part for recording in recordings for part in chunks(recording, game)]
    rows = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    what = np.asarray(decode(jnp.asarray(rows.action), NUM_KINDS, rows.blocks[0].size).what)
    counted = {name: jnp.float32(chance) for name, chance in counts(rows, what).items()}

    # Two yardsticks: how often they do what, then anything legal of that sort; and anything legal at all.
    kinds = NUM_KINDS - FIRST_PLACEABLE
    widths = np.stack([np.ones(len(what)), rows.counts[:, 0] * kinds, rows.counts[:, 1], rows.counts[:, 2]], -1)
    shares = np.bincount(what, minlength=4) / len(what)
    lines = np.arange(len(what))
    explained = (widths[lines, what] > 0) & offered(rows, what)
    acting = explained & (what != PASS)
    types = np.log(np.where(explained, shares[what] / np.maximum(widths[lines, what], 1), 1.0))
    anything = -np.log(widths.sum(-1))

    some = regroup(jax.tree.map(lambda leaf: leaf[acting], rows))[: config.max_chunks]
    persona = climb(some, START._replace(**counted), config)
    mine = np.concatenate([score_chunk(persona, part) for part in regroup_all(rows)])[: len(what)]
    return Fit(
        recordings[0].participant,
        len(what),
        int((~explained).sum()),
        persona,
        *(float(values[explained].mean()) for values in (mine, types, anything)),
        *(float(values[acting].mean()) for values in (mine, types)),
    )


def counts(rows: Rows, what: Int[np.ndarray, " T"]) -> dict[str, float]:
    """How often the person passes, and how often a placed block is in a wrong cell or of a wrong kind.

    Each is smoothed as if it had been seen once more, and once more not.
    """
    parts = decode(jnp.asarray(rows.action), NUM_KINDS, rows.blocks[0].size)
    wanted = rows.goal.reshape(len(what), -1)[np.arange(len(what)), np.asarray(parts.cell)]
    placed, needed, passed = what == PLACE, wanted != AIR, np.asarray(rows.scene.passed)
    samples = {
        "pause": (what == PASS)[~passed],
        "linger": (what == PASS)[passed],
        "slip": ~needed[placed],
        "mistake": (wanted != np.asarray(parts.kind))[placed & needed],
    }
    return {name: float((sample.sum() + 1) / (len(sample) + 2)) for name, sample in samples.items()}


def regroup_all(rows: Rows) -> Iterator[Rows]:
    """All rows in order, `CHUNK` at a time; the last chunk is filled up with the last row."""
    for start in range(0, len(rows.action), CHUNK):
        lines = np.minimum(np.arange(start, start + CHUNK), len(rows.action) - 1)
        yield jax.tree.map(lambda leaf, lines=lines: leaf[lines], rows)


def offered(rows: Rows, what: Int[np.ndarray, " T"]) -> np.ndarray:
    """Which of the recorded actions our rules offer."""
    parts = decode(jnp.asarray(rows.action), NUM_KINDS, rows.blocks[0].size)
    lines, cell, direction = np.arange(len(what)), np.asarray(parts.cell), np.asarray(parts.direction)
    legal = [np.ones(len(what), bool), rows.legal.place[lines, cell], rows.legal.remove[lines, cell]]
    return np.stack([*legal, rows.legal.move[lines, direction]])[what, lines]


def run(tier: str, data: Path) -> list[Fit]:
    """Fit everybody who built alone."""
    people: dict[int, list[Recording]] = {}
    for recording in load_recordings(data, lambda _: None):
        if not recording.with_partner:
            people.setdefault(recording.participant, []).append(recording)
    if not people:
        raise ValueError(f"No solo recordings in {data}; give the folder or the file with MBAG's alone.zip.")
    first = next(iter(people.values()))[0]
    game = recorded_game(first.goal[None])
    return [fit(recordings, game, CONFIGS[tier]) for _, recordings in sorted(people.items())]


def table(fits: list[Fit]) -> str:
    """The fits as lines of text."""
    names = ["person", "actions", "unexplained", *Persona._fields, "builder", "types", "uniform", "acting", "types"]
    lines = [" ".join(f"{name:>8.8}" for name in names)]
    for one in fits:
        numbers = [float(value) for value in one.persona] + list(one[4:])
        head = f"{one.participant:>8} {one.actions:>8} {one.unexplained:>8} "
        lines.append(head + " ".join(f"{number:8.3f}" for number in numbers))
    return "\n".join(lines)


def make(tier: str, data: Path | None) -> list[Claim]:
    """Fit everybody and check that the builder explains each better than how often they do what."""
    assert data is not None
    found = []
    for one in run(tier, data):
        gain = one.builder_acting - one.types_acting
        found.append(at_least(f"nats_gained_per_edit_or_move@person{one.participant}", gain, 1.0, SOURCE))
        gain = one.builder - one.types
        found.append(at_least(f"nats_gained_per_action@person{one.participant}", gain, 0.2, SOURCE))
        share = one.unexplained / one.actions
        found.append(at_least(f"share_offered@person{one.participant}", 1.0 - share, 0.98, "our rules against theirs"))
    return found

"""What does help look like? A simulated person builds a house that the assistant has never seen, and it joins in."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key
from rich.console import Console

from tacit.app.cast import Cast, building_cast
from tacit.app.scenes import Scene, believing, following, opening
from tacit.app.terminal import plain_line, stage
from tacit.assistants import none
from tacit.core import HUMAN, Assistant, Episode, Game, Human, State, Theta, Thoughts
from tacit.evaluation.compare import KEYS, draw
from tacit.evaluation.metrics import BUILDING_FIGURES, BuildingTally, BuildingYardstick
from tacit.games.building.blocks import NAMES
from tacit.play import Moment, Turn, begin, join, turn
from tacit.storage import EpisodeHeader, save_episode


@dataclass(frozen=True)
class Settings:
    """Who plays, from which seed, how fast it is shown, and where the episode is kept."""

    game: str
    human: str
    assistant: str
    seed: int
    delay: float
    save: Path | None


class Played(NamedTuple):
    """An episode, what the assistant thought at each turn, and every moment of it."""

    episode: Episode
    thoughts: Thoughts
    scenes: list[Scene]


@eqx.filter_jit
def first_moment(game: Game, human: Human, assistant: Assistant, theta: Theta, key: Key[Array, ""]) -> Moment:
    """`play.begin`, compiled."""
    return begin(game, human, assistant, theta, key)


@eqx.filter_jit
def one_turn(
    game: Game, human: Human, assistant: Assistant, theta: Theta, moment: Moment, key: Key[Array, ""]
) -> tuple[Moment, Turn, Thoughts]:
    """`play.turn`, compiled, and what the assistant thought when it chose."""
    after, now = turn(game, human, assistant, theta, moment, key)
    return after, now, assistant.thoughts(after.assistant)


def turns(
    game: Game, human: Human, assistant: Assistant, theta: Theta, key: Key[Array, ""]
) -> Iterator[tuple[Turn, Thoughts]]:
    """Play an episode turn by turn until it is over."""
    moment = first_moment(game, human, assistant, theta, key)
    while not moment.finished:
        moment, now, thoughts = one_turn(game, human, assistant, theta, moment, key)
        yield now, thoughts


def run(settings: Settings, console: Console) -> None:
    """Play one episode before the user's eyes, say what it came to, and keep it if asked to.

    The house is that of `tacit evaluate --episodes 1` with the same seed.
    """
    players = building_cast(settings.game, settings.human, settings.assistant)
    theta, key = draw(players.game, jax.random.split(jax.random.key(settings.seed), 1)[0])
    played = watch(players.told(theta), theta, key, settings, console)
    if settings.save is not None:
        about = EpisodeHeader(settings.game, settings.human, settings.assistant, settings.seed)
        save_episode(settings.save, played.episode, about)
    console.print(plain_line(played.scenes[-1]), highlight=False)
    console.print("Now the same person builds the same house alone ...", highlight=False)
    alone = alone_in(players, theta, key)
    console.print("\n".join(verdict(figures(played), alone, settings)), highlight=False, soft_wrap=True)


def watch(players: Cast, theta: Theta, key: Key[Array, ""], settings: Settings, console: Console) -> Played:
    """Play the episode and show every turn of it."""
    first = first_state(players.game, key)
    scenes, record, thoughts = [opening(theta, first)], [], []
    title = f"{settings.game}: {settings.human} + {settings.assistant}, an unseen house, seed {settings.seed}"
    with stage(console, title) as show:
        show(scenes, f"compiling {settings.assistant} for this machine: this takes about half a minute")
        due = time.monotonic()
        for now, thought in turns(players.game, players.human, players.assistant, theta, key):
            scenes[-1] = believing(scenes[-1], thought)
            show(scenes, "")
            due = max(due + settings.delay, time.monotonic())
            time.sleep(due - time.monotonic() if due > time.monotonic() else 0.0)
            scenes.append(following(scenes[-1], now.state, np.asarray(now.rewards)))
            record.append(now)
            thoughts.append(thought)
        show(scenes, "")
    return Played(join(theta, first, stacked(record), key), stacked(thoughts), scenes)


@eqx.filter_jit
def first_state(game: Game, key: Key[Array, ""]) -> State:
    """The first world of the episode that is played with `key`, found before any player is compiled."""
    return game.init(jax.random.split(jax.random.fold_in(key, 0), 3)[0])


class Alone(NamedTuple):
    """What the person needed without the assistant."""

    human_actions: int
    turns: int


def alone_in(players: Cast, theta: Theta, key: Key[Array, ""]) -> Alone:
    """Play the same episode in a world without the assistant's body."""
    nobody = none.make(players.practice, players.human)
    played = [now for now, _ in turns(players.game.alone(), players.human, nobody, theta, key)]
    return Alone(sum(int(now.state.edits.cell[HUMAN] >= 0) for now in played), len(played))


def figures(played: Played) -> dict[str, float | None]:
    """The figures of `tacit evaluate`, of this one episode; None where one does not apply."""
    episode = played.episode
    blank = jnp.full((*episode.theta.shape, len(NAMES)), 1.0 / len(NAMES))
    before = jax.tree.map(lambda leaf: leaf[:-1], episode.states)
    after = jax.tree.map(lambda leaf: leaf[1:], episode.states)
    rows = Turn(after, episode.actions, episode.rewards, episode.active)
    tally = counted(BuildingYardstick(blank), episode.theta, before, rows, played.thoughts)
    tally = jax.tree.map(np.asarray, tally)
    with np.errstate(invalid="ignore"):
        values = {name: float(BUILDING_FIGURES[name](tally)) for name in KEYS}
    return {name: None if np.isnan(value) else value for name, value in values.items()}


@eqx.filter_jit
def counted(yardstick: BuildingYardstick, theta: Theta, before: State, rows: Turn, thoughts: Thoughts) -> BuildingTally:
    """The tally of one episode, with an axis of one episode."""
    tallies = jax.vmap(yardstick.count, (None, 0, 0, 0))(theta, before, rows, thoughts)
    return jax.tree.map(lambda leaf: leaf.sum(0)[None], tallies)


def stacked(records: list[Any]) -> Any:
    """Records of single turns as one record with a leading axis of time."""
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *records)


def verdict(found: dict[str, float | None], alone: Alone, settings: Settings) -> list[str]:
    """What the episode came to, in words."""
    lines = [
        "",
        f"One episode (seed {settings.seed}), not an average; tacit evaluate gives averages with their intervals.",
        f"  goal completed     {found['goal_completed']:.0f} %",
        f"  human actions      {found['human_actions']:.0f}, and {alone.human_actions} when alone",
        f"  assistant's share  {100 * (found['assistant_share'] or 0.0):.0f} % of the edits the goal needed",
        f"  turns              {found['turns']:.0f}, and {alone.turns} when alone",
    ]
    if found["belief_nll"] is not None:
        lines += [f"  belief             {found['belief_nll']:.3f} nats a cell away from the truth, over the episode"]
    return lines

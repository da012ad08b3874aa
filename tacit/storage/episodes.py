"""How is an episode kept, so that it loads only with the game it was played in?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tacit.core import Episode, Game
from tacit.storage.files import Provenance, StorageError, pack, provenance, read, unpack, write_atomically


class EpisodeHeader(NamedTuple):
    """Who played what: names as on the command line, and the seed of the episode."""

    game: str
    human: str
    assistant: str
    seed: int


class Recorded(NamedTuple):
    """An episode as loaded."""

    episode: Episode
    about: EpisodeHeader
    provenance: Provenance


def save_episode(path: str | Path, episode: Episode, about: EpisodeHeader) -> None:
    """Write one episode (not a batch of them) with its header, atomically."""
    header = {"kind": "episode", **about._asdict(), **provenance()._asdict()}
    write_atomically(path, pack(episode, header))


def read_about(path: str | Path) -> EpisodeHeader:
    """Who played what in the episode at `path`. Raises StorageError when it is not an episode file."""
    about, _ = _episode_header(path, read(path)[0])
    return about


def load_episode(path: str | Path, game: Game, name: str | None = None) -> Recorded:
    """Read the episode at `path`, which was played in `game`; with `name`, the game's own name must be that.

    Raises StorageError, in one sentence, for a file that is cut short, damaged, newer or of another game.
    """
    header, arrays = read(path)
    about, written_with = _episode_header(path, header)
    if name not in (None, about.game):
        raise StorageError(f"{path} is an episode of {about.game}, not of {name}.")
    num_turns = len(arrays["active"]) if "active" in arrays and arrays["active"].ndim else 0
    episode = unpack(path, arrays, header, _episode_like(game, num_turns), f"this {about.game}")
    return Recorded(episode, about, written_with)


def _episode_like(game: Game, num_turns: int) -> Episode:
    """The shapes of an episode of `num_turns` turns."""

    def blank() -> Episode:
        key = jax.random.key(0)
        first = game.init(key)
        states = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[None], (num_turns + 1, *leaf.shape)), first)
        actions, rewards = jnp.zeros((num_turns, 2), jnp.int32), jnp.zeros((num_turns, 2), jnp.float32)
        return Episode(game.sample_theta(key), states, actions, rewards, jnp.zeros(num_turns, jnp.bool_), key)

    return jax.eval_shape(blank)


def _episode_header(path: str | Path, header: Mapping[str, Any]) -> tuple[EpisodeHeader, Provenance]:
    """The two records of an episode's header, checked."""
    if header.get("kind") != "episode":
        raise StorageError(f"{path} is not an episode file.")
    try:
        about = EpisodeHeader(*(header[field] for field in EpisodeHeader._fields))
        written_with = Provenance(*(header[field] for field in Provenance._fields))
    except KeyError as error:
        raise StorageError(f"{path} is damaged: its header has no {error.args[0]}.") from error
    names_are_text = all(type(name) is str for name in (about.game, about.human, about.assistant))
    if not names_are_text or type(about.seed) is not int:
        raise StorageError(f"{path} is damaged: its header does not say who played.")
    return about, written_with

"""Episodes on disk: bit for bit, whole through crashes and full disks, one sentence for whatever is not one."""

import errno
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tacit.core import Assistant, Episode, Game, Human
from tacit.play import play, retrace
from tacit.storage import EpisodeHeader, StorageError, files, load_episode, read_about, save_episode, write_atomically

ABOUT = EpisodeHeader("doors", "pointer", "guesser", 7)


class Want(NamedTuple):
    door: jax.Array
    eagerness: jax.Array


class Room(NamedTuple):
    opened: jax.Array
    dice: jax.Array


class Doors(Game):
    """Open the right one of `num_doors` doors; the state carries a random key, theta two leaves."""

    num_doors: int = 5

    @property
    def num_actions(self):
        return (self.num_doors, self.num_doors)

    @property
    def horizon(self):
        return 12

    @property
    def discount(self):
        return 0.9

    def sample_theta(self, key):
        return Want(jax.random.randint(key, (), 0, self.num_doors), jax.random.uniform(key, (100_000,)))

    def init(self, key):
        return Room(jnp.zeros((self.num_doors,), jnp.int8), key)

    def step(self, state, actions, key):
        return Room(state.opened.at[actions].add(jnp.int8(1)), key)

    def reward(self, theta, state, actions, next_state):
        return (actions == theta.door).astype(jnp.float32)

    def observe(self, state):
        return state.opened, state.opened

    def legal(self, state):
        all_doors = jnp.ones((self.num_doors,), jnp.bool_)
        return all_doors, all_doors

    def finished(self, theta, state):
        return state.opened[theta.door] >= 9


class Pointer(Human):
    def init(self, key):
        return jnp.zeros(())

    def logits(self, theta, memory, observation, key):
        return 2.0 * jax.nn.one_hot(theta.door, observation.shape[0]), memory


class Guesser(Assistant):
    """Random thoughts on top of counts, so that a retraced episode shows whether the key came back."""

    num_doors: int = 5

    def init(self, key):
        return jax.random.normal(key, (self.num_doors,))

    def logits(self, memory, observation, key):
        memory = 0.5 * memory + observation.astype(jnp.float32) + jax.random.normal(key, memory.shape)
        return memory, memory

    def thoughts(self, memory):
        return memory


@pytest.fixture(scope="module")
def game():
    return Doors()


@pytest.fixture(scope="module")
def episode(game):
    seed = random.SystemRandom().randrange(2**31)
    theta = game.sample_theta(jax.random.key(seed))
    return eqx.filter_jit(play)(game, Pointer(), Guesser(), theta, jax.random.key(seed + 1))


@pytest.fixture
def path(tmp_path, episode):
    place = tmp_path / "one.safetensors"
    save_episode(place, episode, ABOUT)
    return place


def bits(tree) -> list[bytes]:
    def raw(leaf):
        return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    return [np.asarray(raw(leaf)).tobytes() for leaf in jax.tree.leaves(tree)]


def test_an_episode_comes_back_bit_for_bit(path, game, episode):
    recorded = load_episode(path, game, "doors")
    assert recorded.about == ABOUT == read_about(path)
    assert jax.tree.structure(recorded.episode) == jax.tree.structure(episode)
    assert bits(recorded.episode) == bits(episode)
    assert recorded.provenance.jax == jax.__version__


def test_a_loaded_episode_retraces_to_the_same_thoughts(path, game, episode):
    trace = eqx.filter_jit(retrace)
    before, after = trace(game, Guesser(), episode), trace(game, Guesser(), load_episode(path, game).episode)
    assert bits(before) == bits(after)
    elsewhere = episode._replace(key=jax.random.key(0))
    assert bits(before) != bits(trace(game, Guesser(), elsewhere))


def test_another_kind_of_random_key_survives(tmp_path, game, episode):
    path = tmp_path / "rbg.safetensors"
    other = episode._replace(key=jax.random.key(3, impl="rbg"))
    save_episode(path, other, ABOUT)
    with pytest.raises(StorageError, match=r"key"):
        load_episode(path, game)  # the game's own keys are threefry: retracing with others would differ


def test_a_short_episode_is_an_episode(tmp_path, game, episode):
    cut = Episode(
        episode.theta,
        jax.tree.map(lambda leaf: leaf[:4], episode.states),
        *(part[:3] for part in (episode.actions, episode.rewards, episode.active)),
        episode.key,
    )
    save_episode(tmp_path / "cut", cut, ABOUT)
    assert bits(load_episode(tmp_path / "cut", game).episode) == bits(cut)


def test_another_game_is_refused_by_name_and_by_shape(path, game):
    with pytest.raises(StorageError, match=r"an episode of doors, not of windows"):
        load_episode(path, game, "windows")
    with pytest.raises(StorageError, match=r"states\.opened is int8\[13, 5\], not int8\[13, 6\]"):
        load_episode(path, Doors(6))


def test_a_newer_format_asks_for_an_upgrade(path, game, monkeypatch, episode):
    monkeypatch.setattr(files, "FORMAT", files.FORMAT + 1)
    save_episode(path, episode, ABOUT)
    monkeypatch.undo()
    with pytest.raises(StorageError, match=r"newer tacit \(format 2\); this one reads up to 1: upgrade tacit"):
        load_episode(path, game)


def test_every_cut_is_refused(path, game, tmp_path):
    data = path.read_bytes()
    for part in range(16):
        short = tmp_path / f"short{part}"
        short.write_bytes(data[: len(data) * part // 16])
        with pytest.raises(StorageError, match=r"cut short"):
            load_episode(short, game)


def test_every_flipped_byte_is_refused_or_loads_the_same(path, game, episode, tmp_path):
    """The header's own text has no checksum; whatever gets past it must still be this episode."""
    data = path.read_bytes()
    bad = tmp_path / "flipped"
    start_of_arrays = 8 + int.from_bytes(data[:8], "little")
    places = random.sample(range(start_of_arrays, len(data)), 40) + random.sample(range(start_of_arrays), 100)
    refused = 0
    for place in places:
        bad.write_bytes(data[:place] + bytes([data[place] ^ random.randrange(1, 256)]) + data[place + 1 :])
        try:
            loaded = load_episode(bad, game).episode
        except StorageError:
            refused += 1
            continue
        assert place < start_of_arrays
        assert bits(loaded) == bits(episode)
    assert refused >= 40


def test_other_files_are_not_episodes(tmp_path, game):
    weights = safetensors.numpy.save({"w": np.ones(3)}, {"tacit": json.dumps({"format": 1, "kind": "weights"})})
    (tmp_path / "weights").write_bytes(safetensors.numpy.save({"w": np.ones(3)}))
    (tmp_path / "ours").write_bytes(weights)
    for place in (tmp_path / "weights", tmp_path / "ours", tmp_path / "absent", tmp_path):
        with pytest.raises(StorageError):
            load_episode(place, game)
        with pytest.raises(StorageError):
            read_about(place)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_bytes_never_do_worse_than_one_error(tmp_path, game, data):
    wild_json = st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
    inner = data.draw(st.dictionaries(st.sampled_from(["format", "kind", "leaves", "checksum", "keys"]), wild_json))
    header = {
        "__metadata__": data.draw(wild_json | st.just({"tacit": json.dumps(inner)})),
        **data.draw(st.dictionaries(st.text(max_size=3), wild_json, max_size=2)),
    }
    text = data.draw(st.binary(max_size=64) | st.just(json.dumps(header).encode()))
    place = tmp_path / "noise"
    place.write_bytes(data.draw(st.sampled_from([b"", len(text).to_bytes(8, "little")])) + text)
    with pytest.raises(StorageError) as caught:
        load_episode(place, game)
    assert "\n" not in str(caught.value)


def test_a_deeply_nested_header_is_refused(tmp_path, game):
    text = b"[" * 200_000
    (tmp_path / "deep").write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(StorageError):
        load_episode(tmp_path / "deep", game)


def test_a_full_disk_leaves_the_old_file_and_no_litter(path, game, episode, monkeypatch):
    before = path.read_bytes()

    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for owner, call in ((files.os, "fsync"), (Path, "replace")):
        monkeypatch.setattr(owner, call, no_space)
        with pytest.raises(StorageError, match=r"could not be written: No space left on device\."):
            save_episode(path, episode._replace(rewards=episode.rewards + 1), ABOUT)
        monkeypatch.undo()
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_devices_and_folders_are_never_replaced(tmp_path):
    for place in ("/dev/full", tmp_path):
        with pytest.raises(StorageError, match=r"not a file"):
            write_atomically(place, b"x")
    assert Path("/dev/full").is_char_device()


def test_missing_folders_are_made_and_links_followed(tmp_path):
    write_atomically(tmp_path / "a" / "b" / "c.txt", b"one")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "a" / "b" / "c.txt")
    write_atomically(link, b"two")
    assert link.is_symlink()
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == b"two"


CHILD = """
import sys
from tacit.storage import write_atomically
data = sys.stdin.buffer.read()
print("ready", flush=True)
while True:
    write_atomically(sys.argv[1], data)
"""


def test_kill_in_the_middle_of_saving_leaves_a_whole_file(path, game, episode, tmp_path):
    data = path.read_bytes()
    for _ in range(3):
        target = tmp_path / "killed.safetensors"
        target.write_bytes(data)
        command = [sys.executable, "-c", CHILD, str(target)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdin
            assert child.stdout
            child.stdin.write(data)
            child.stdin.close()
            assert child.stdout.readline() == b"ready\n"
            for _ in range(5):
                time.sleep(random.uniform(0, 0.02))
                assert bits(load_episode(target, game).episode) == bits(episode)
            child.send_signal(signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
        assert bits(load_episode(target, game).episode) == bits(episode)

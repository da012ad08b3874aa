"""The loop over a trainer, and weights and checkpoints on disk: bit for bit, or one sentence."""

import random
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.learning.training import Trainer, TrainingError, finished, not_a_number, train
from tacit.members import Member, members
from tacit.storage import (
    EpisodeHeader,
    StorageError,
    about_checkpoint,
    about_weights,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_weights,
    shipped,
    weights,
)
from tacit.studies.claims import lacking


@dataclass(frozen=True)
class Config:
    rounds: int = 6


class Walk(Trainer):
    """A random walk; `broken` is the round that goes wrong, `stop` the one after which there is no more to learn."""

    config: Config = eqx.field(static=True, default=Config())
    broken: int = -1
    stop: int = 10**6

    @property
    def num_rounds(self) -> int:
        return self.config.rounds

    def init(self, key):
        return {"key": key, "place": jnp.zeros(2), "count": jnp.asarray(0), "weak": jnp.asarray(1.0)}

    def advance(self, state):
        key, here = jax.random.split(state["key"])
        place, count = state["place"] + jax.random.normal(here, (2,)), state["count"] + 1
        distance = float("inf") if count == self.broken else jnp.linalg.norm(place)
        return {"key": key, "place": place, "count": count, "weak": state["weak"] * 2}, {"distance": distance}

    def done(self, state):
        return bool(state["count"] >= self.stop)

    def release(self, state):
        return eqx.nn.Linear(2, 2, key=state["key"]), {}


def bits(tree: Any) -> list[bytes]:
    def raw(leaf: Any) -> Any:
        return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    return [np.asarray(raw(leaf)).tobytes() for leaf in jax.tree.leaves(eqx.filter(tree, weights.is_array))]


def followed(trainer: Trainer, state: Any, num_done: int = 0) -> tuple[list[int], list[tuple[int, Any]], Any]:
    """What was reported and what was handed over to be kept."""
    reported, kept = [], []
    end = train(trainer, state, num_done, lambda done, _: reported.append(done), lambda *one: kept.append(one))
    return reported, kept, end


def test_every_round_is_reported_and_kept_until_the_last():
    reported, kept, (num_done, state) = followed(Walk(), Walk().init(jax.random.key(1)))
    assert reported == [1, 2, 3, 4, 5, 6] == [done for done, _ in kept]
    assert num_done == 6 == int(state["count"])
    assert finished(Walk(), state, 6)
    assert not finished(Walk(), state, 5)
    assert followed(Walk(), state, 6)[0] == []


def test_a_run_taken_up_anywhere_ends_where_the_whole_one_does(tmp_path):
    trainer, start = Walk(), Walk().init(jax.random.key(random.randrange(2**31)))
    _, kept, (_, end) = followed(trainer, start)
    for num_done, state in kept:
        save_checkpoint(tmp_path / "state", state, {"rounds": num_done})
        again = load_checkpoint(tmp_path / "state", trainer.init(jax.random.key(0)))
        assert bits(again) == bits(state)
        assert about_checkpoint(tmp_path / "state") == {"rounds": num_done}
        assert bits(followed(trainer, again, num_done)[2][1]) == bits(end)
    assert bits(followed(trainer, trainer.init(jax.random.key(0)))[2][1]) != bits(end)


def test_types_are_those_of_a_file_from_the_first_round_on():
    """A weak type would be lost on disk, and a resumed run would compute in another precision."""
    assert Walk().init(jax.random.key(0))["weak"].weak_type
    _, kept, _ = followed(Walk(), Walk().init(jax.random.key(0)))
    assert not any(state["weak"].weak_type for _, state in kept)


def test_training_stops_when_the_trainer_is_done():
    assert followed(Walk(stop=4), Walk().init(jax.random.key(0)))[2][0] == 4


def test_what_is_not_finite_is_never_kept():
    kept = []
    with pytest.raises(TrainingError, match=r"Round 3 went wrong: distance is inf\."):
        train(Walk(broken=3), Walk().init(jax.random.key(0)), 0, lambda *_: None, lambda done, _: kept.append(done))
    assert kept == [1, 2]


def test_a_state_that_no_checkpoint_holds_is_refused():
    class Counting(Walk):
        def advance(self, state):
            return {**state, "count": state["count"] + 1}, {}

    state = {**Walk().init(jax.random.key(0)), "count": 0}
    with pytest.raises(TrainingError, match=r"Counting changed in something that is no array"):
        train(Counting(), state, 0, lambda *_: None, lambda *_: None)


def test_a_nan_is_found_by_name():
    tree = {"fine": jnp.asarray([jnp.inf, 1.0]), "net": {"w": np.asarray([1.0, np.nan])}, "key": jax.random.key(0)}
    assert not_a_number(tree) == "net.w"
    assert not_a_number({**tree, "net": jnp.arange(3)}) is None


class Mixed(NamedTuple):
    """Every kind of leaf that a state may have."""

    net: eqx.nn.MLP
    key: jax.Array
    many: jax.Array
    double: np.ndarray
    scalar: np.float64
    flags: jax.Array
    bytes_: jax.Array
    half: jax.Array
    nothing: jax.Array
    missing: None


def mixed(seed: int) -> Mixed:
    """Drawn at random."""
    key, chance = jax.random.key(seed), np.random.default_rng(seed)
    flags = jax.random.bernoulli(key, shape=(2, 3))
    half = jax.random.normal(key, (4,), jnp.float16)
    return Mixed(
        eqx.nn.MLP(2, 3, 4, 2, key=key),
        jax.random.key(seed, impl="rbg"),
        jax.random.split(key, 5),
        chance.normal(size=(2, 1)),
        chance.normal(size=()),
        flags,
        jax.random.bits(key, (7,), jnp.uint8),
        half,
        jnp.zeros((0, 3)),
        None,
    )


def test_every_kind_of_leaf_comes_back_bit_for_bit(tmp_path):
    seed = random.randrange(2**31)
    state, like = mixed(seed), mixed(seed + 1)
    save_checkpoint(tmp_path / "state", state, {})
    again = load_checkpoint(tmp_path / "state", like)
    assert bits(again) == bits(state) != bits(like)
    assert jax.tree.structure(again) == jax.tree.structure(like)
    assert isinstance(again.double, np.ndarray)
    assert again.net.activation is like.net.activation
    assert str(jax.random.key_impl(again.key)) == str(jax.random.key_impl(state.key))


def test_weights_come_back_into_a_module_or_its_shape(tmp_path):
    def make(key: jax.Array) -> eqx.nn.MLP:
        return eqx.nn.MLP(2, 3, 4, 2, key=key)

    about = {"name": "any", "figures": {"nats": 0.25}, "data": None}
    module = make(jax.random.key(random.randrange(2**31)))
    save_weights(tmp_path / "w", module, about)
    assert about_weights(tmp_path / "w") == about
    for like in (make(jax.random.key(0)), eqx.filter_eval_shape(make, jax.random.key(0))):
        again = load_weights(tmp_path / "w", like)
        assert bits(again) == bits(module)
        assert again(jnp.ones(2)).shape == (3,)


def test_what_does_not_fit_is_one_sentence(tmp_path):
    path = tmp_path / "w"
    key = jax.random.key(0)
    save_weights(path, eqx.nn.Linear(2, 3, key=key), {})
    for like, part in (
        (eqx.nn.Linear(2, 4, key=key), r"weight is float32\[3, 2\], not float32\[4, 2\]"),
        (eqx.nn.Linear(2, 3, dtype=jnp.float16, key=key), r"weight is float32\[3, 2\], not float16\[3, 2\]"),
        (eqx.nn.Linear(2, 3, use_bias=False, key=key), r"does not fit this Linear: bias is only in it"),
        (eqx.nn.MLP(2, 3, 4, 0, key=key), r"does not fit this MLP: bias is only in it"),
        ({"weight": jnp.zeros((3, 2)), "bias": jnp.zeros(3), "x": key}, r"does not fit this dict: x is not in it"),
    ):
        with pytest.raises(StorageError, match=part) as refused:
            load_weights(path, like)
        assert str(refused.value).endswith(".")
    save_weights(path, {"weight": jnp.zeros((2, 3)), "bias": jnp.zeros(2, jnp.uint32)}, {})  # a key's data is no key
    with pytest.raises(StorageError, match="random key"):
        load_weights(path, {"weight": jnp.zeros((2, 3)), "bias": key})


def test_a_file_of_another_kind_or_damaged_is_one_sentence(tmp_path):
    path, module = tmp_path / "w", eqx.nn.Linear(2, 3, key=jax.random.key(0))
    save_weights(path, module, {})
    with pytest.raises(StorageError, match="is not a checkpoint"):
        load_checkpoint(path, module)
    save_checkpoint(path, module, {})
    for load in (lambda: load_weights(path, module), lambda: about_weights(path)):
        with pytest.raises(StorageError, match="is not a file of weights"):
            load()
    data = path.read_bytes()
    for place in random.sample(range(len(data)), 60):
        path.write_bytes(data[:place] + bytes([data[place] ^ random.randrange(1, 256)]) + data[place + 1 :])
        try:
            again = load_checkpoint(path, module)
        except StorageError:
            continue
        assert bits(again) == bits(module), "what is read is what was written, whatever happened to the header"
    for cut in range(0, len(data), len(data) // 7):
        path.write_bytes(data[:cut])
        with pytest.raises(StorageError, match="cut short"):
            load_checkpoint(path, module)


def test_what_no_file_can_hold_is_refused_before_it_is_written(tmp_path):
    clash = {"a": {"b": jnp.zeros(1)}, "a.b": jnp.ones(1)}
    for tree, about, part in (
        (jnp.ones(2, jnp.bfloat16), {}, "bfloat16"),
        (clash, {}, r"Two arrays are called a\.b"),
        (jnp.ones(2), {"figure": float("nan")}, "JSON"),
        (jnp.ones(2), {"path": tmp_path}, "JSON"),
    ):
        with pytest.raises(StorageError, match=part):
            save_checkpoint(tmp_path / "state", tree, about)
    assert list(tmp_path.iterdir()) == []


def test_weights_are_no_episode(tmp_path):
    from tacit.storage import read_about

    save_weights(tmp_path / "w", {"x": jnp.ones(1)}, dict(EpisodeHeader("a", "b", "c", 1)._asdict()))
    with pytest.raises(StorageError, match="is not an episode"):
        read_about(tmp_path / "w")


def test_shipped_weights_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    with pytest.raises(StorageError, match="ships no weights called 'belief-small'; it ships none"):
        shipped("belief-small")
    (tmp_path / "belief-small.safetensors").touch()
    assert shipped("belief-small") == tmp_path / "belief-small.safetensors"
    with pytest.raises(StorageError, match="called 'belief-smal'; it ships belief-small"):
        shipped("belief-smal")


def recipes() -> list[Member]:
    try:
        return [member for member in members("tacit.recipes") if lacking(member, None) is None]
    except ValueError:
        return []


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_every_recipe_makes_a_trainer(recipe: Member):
    trainer = recipe.load().make(None)
    assert isinstance(trainer, Trainer)
    assert trainer.num_rounds > 0
    state = eqx.filter_eval_shape(trainer.init, jax.random.key(0))
    assert jax.tree.leaves(state)


def test_the_wheel_holds_weights_and_cards(tmp_path):
    """Built from a copy of the package's frame, since building takes whatever lies in the folder."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    root, copy = Path(__file__).resolve().parents[2], tmp_path / "copy"
    (copy / "tacit" / "weights").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "tacit/__init__.py"):
        shutil.copy(root / name, copy / name)
    for name in ("any.safetensors", "any.md"):
        (copy / "tacit" / "weights" / name).write_bytes(b"x")
    command = [uv, "build", "--wheel", "--offline", "--out-dir", str(tmp_path / "wheel"), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "offline" in done.stderr or "network" in done.stderr:
        pytest.skip("the build backend is not at hand offline")
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    assert {"tacit/weights/any.safetensors", "tacit/weights/any.md"} <= set(zipfile.ZipFile(wheel).namelist())

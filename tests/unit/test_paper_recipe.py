"""The recipe of the published size trains, in a run as small as it can be: `tacit train` from start to weights."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.app import cli
from tacit.assistants.assistancezero import Skill, load_skill
from tacit.games import building_paper
from tacit.learning.moments import Moment, every_way
from tacit.recipes import assistancezero_paper
from tacit.storage import about_weights

RNG = np.random.default_rng()
TINY = assistancezero_paper.Config(
    num_rounds=1,
    num_updates=3,
    num_kept=1,
    num_worlds=5,
    num_held_out=1,
    batch=8,
    warm_up=1,
    num_threads=1,
    width=8,
    depth=1,
    embedding=4,
    num_moments=2,
    num_simulations=2,
    max_depth=2,
)


@pytest.mark.slow
def test_it_trains(monkeypatch, tmp_path, capsys) -> None:
    game = building_paper.make("train")

    def make(data: object):
        del data
        return assistancezero_paper.trainer(
            TINY, game, lambda network: (Skill(network, jnp.float32(0.5)), {"parameters": parameters(network)})
        )

    monkeypatch.setattr(assistancezero_paper, "make", make)
    assert cli.main(["train", "assistancezero-paper", "--out", str(tmp_path / "run"), "--json"]) == 0
    capsys.readouterr()
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    numbers = json.loads(line)["numbers"]
    assert {"policy", "value", "air", "occupied", "before", "human", "total", "held_out_total"} <= numbers.keys()
    # What is believed is the prior at first: on average as uncertain as houses are, and less than all kinds alike.
    assert 0.0 < numbers["held_out_air"] < np.log(game.num_kinds)
    path = tmp_path / "run" / "assistancezero-paper.safetensors"
    about = about_weights(path)
    assert about["config"]["num_simulations"] == 2
    assert about["figures"]["parameters"] > 1000
    start = make(None).task.start
    learned = load_skill(building_paper.make("test"), path).network  # as `tacit evaluate` does
    for part in ("voxels", "policy_head", "value_head"):
        assert not eqx.tree_equal(getattr(learned, part), getattr(start, part)), f"{part} has learned nothing"


def parameters(network: object) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(network))


def test_a_world_that_is_not_square_is_told_in_four_ways() -> None:
    """Mirrored along x, z or both; a cell and the direction towards it stay together."""
    shape, batch = (5, 3, 4), 16

    def lessons() -> Moment:
        one = np.zeros((batch, *shape), bool)
        one[:, 4, 1, 0] = True
        move = np.zeros((batch, 6), bool)
        move[:, 0] = True  # towards +x, where the cell is
        plane = jnp.asarray(one)
        some = jnp.asarray(RNG.integers(0, 9, (batch, 1, *shape)), jnp.uint8)
        return Moment(
            some,
            some.astype(jnp.int8),
            jnp.zeros((batch, 2, 1)),
            jnp.asarray(move, jnp.float32)[..., None],
            jnp.zeros((batch, 1)),
            some[:, 0].astype(jnp.int8),
            plane,
            plane,
            jnp.asarray(move),
            plane,
            plane,
            jnp.asarray(move),
            jnp.zeros(batch, bool),
        )

    told = every_way(before := lessons())
    corners = [tuple(np.argwhere(np.asarray(row))[0]) for row in told.place]
    assert set(corners) == {(4, 1, 0), (0, 1, 0), (4, 1, 3), (0, 1, 3)}
    for row in range(batch):
        assert bool(told.move[row, 0]) == (corners[row][0] == 4)
        assert bool(told.move[row, 1]) == (corners[row][0] == 0)
        back = np.asarray(told.cells[row, 0])
        back = back if corners[row][0] == 4 else back[::-1]
        back = back if corners[row][2] == 0 else back[:, :, ::-1]
        np.testing.assert_array_equal(back, before.cells[row, 0])

"""A short game of building-small, written out and compared. To write it anew after the rules have changed on purpose:

python tests/golden/test_building_small.py
"""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tacit.games import building_small
from tacit.games.building.actions import BREAK, DIRECTIONS, PASS, PLACE, EditLogits, decode
from tacit.games.building.blocks import NAMES
from tacit.games.building.game import bare_ground, edit_distance, text

GOLDEN = Path(__file__).with_name("building_small.txt")
NUM_TURNS = 24


def cottage(shape):
    """Four walls of planks, a door and a floor of stone."""
    house = bare_ground(shape)
    house = house.at[2:6, 1, 2:6].set(7)
    house = house.at[2:6, 2:5, 2:6].set(6).at[3:5, 2:5, 3:5].set(0)
    return house.at[3, 2:4, 2].set(0)


def describe(action, game):
    what, index, kind, direction = (int(part) for part in decode(action, game.num_kinds, game.num_cells))
    x, y, z = np.unravel_index(index, game.shape)
    if what == PASS:
        return "passes"
    if what == PLACE:
        return f"places {NAMES[kind]} at {x},{y},{z}"
    return f"breaks {x},{y},{z}" if what == BREAK else "moves {:+d},{:+d},{:+d}".format(*DIRECTIONS[direction])


def transcript():
    game = building_small.make()
    cells = jnp.zeros(game.num_cells)
    kinds = jnp.zeros((game.num_cells, game.num_kinds))
    busy = EditLogits(jnp.float32(1.0), cells, kinds, cells, jnp.full((6,), 2.0))
    house = cottage(game.shape)

    @eqx.filter_jit
    def turn(game, state, key):
        keys = jax.random.split(key, 3)
        legal = game.legal(state)
        actions = jnp.stack([game.sample(busy, legal[player], keys[player]) for player in (0, 1)])
        after = game.step(state, actions, keys[2])
        return legal, actions, after, game.reward(house, state, actions, after)

    state = game.init(jax.random.key(7))
    lines = [f"To build, {edit_distance(state.blocks, house):g} edits away:", text(house, state.feet), ""]
    for key in jax.random.split(jax.random.key(8), NUM_TURNS):
        legal, actions, state, rewards = turn(game, state, key)
        for player, name in enumerate(("human", "assistant")):
            offered = "/".join(str(int(part.sum())) for part in legal[player])
            done = "" if state.effective[player] or actions[player] == 0 else " (in vain)"
            lines.append(
                f"{state.time} {name} (of {offered}) {describe(actions[player], game)}{done} {rewards[player]:+g}"
            )
        lines += [text(state.blocks, state.feet), ""]
    lines.append(f"{edit_distance(state.blocks, house):g} edits are left.")
    return "\n".join(lines) + "\n"


def test_the_game_goes_as_written():
    assert transcript() == GOLDEN.read_text(encoding="utf-8")


if __name__ == "__main__":
    GOLDEN.write_text(transcript(), encoding="utf-8")

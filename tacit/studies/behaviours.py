"""Does the assistant do what a good helper would do without a word? Three scripted situations, on unseen houses.

    foundation   the person lays every other block of the lowest course of the walls: the assistant fills the gaps
    roof         the person builds all but the roof, and its first rows: the assistant finishes it
    correction   a wall runs around the roof that should not be there, the assistant's own work, and the person breaks
                 one block of it: the assistant takes away the rest

Until then both players are scripted, and the assistant only watches what happens in its name; then the person keeps out
of the way and the assistant has `TESTED` turns. The behaviours are those of Laidlaw et al. 2025 (arXiv 2504.07091).
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int8, Key

from tacit.assistants.oracle import reveal
from tacit.core import ASSISTANT, HUMAN, Assistant, Memory
from tacit.games import building_small
from tacit.games.building.blocks import AIR
from tacit.games.building.game import BuildingGame, House, State, bare_ground, similarity
from tacit.games.building.hand import hand
from tacit.games.building.houses import HouseGenerator
from tacit.games.building.plans import FLAT, RIM
from tacit.humans import builder
from tacit.members import find
from tacit.studies.claims import Claim, at_least

PREPARED = 600
"""Turns at most until the assistant's turn has come."""
TESTED = 100
"""Turns that it then has."""
LEAVE = -1
"""What a script says of a cell that is none of its business."""
BAR = 0.8
SOURCE = "the project's own bar for a behaviour that the paper reports"
COURSE = 2
"""Height of the lowest course of the walls."""


class Script(NamedTuple):
    """A situation. Each step says what the person and the helper bring about; the next begins when all of it stands."""

    steps: Int8[Array, "K 2 X Y Z"]
    theta: House
    judged: Bool[Array, "X Y Z"]
    """The cells that the assistant is to put right."""


class Scene(NamedTuple):
    """A situation under way."""

    state: State
    memory: Memory
    step: Int[Array, ""]
    """How many steps of the script are done."""
    left: Int[Array, ""]
    """Turns that the assistant still has, once they are all done."""
    found: Int8[Array, "X Y Z"]
    """The world when its turns began."""


def foundation(houses: HouseGenerator, key: Key[Array, ""]) -> Script:
    """Every other block of the lowest course stands."""
    theta = houses.sample(key)
    x, y, z = jnp.meshgrid(*(jnp.arange(size, dtype=jnp.int32) for size in theta.shape), indexing="ij")
    course = (y == COURSE) & (theta != AIR)
    laid = course & ((x + z) % 2 == 0)
    return Script(only(laid, theta)[None], theta, course & ~laid)


def roof(houses: HouseGenerator, key: Key[Array, ""]) -> Script:
    """All but the top of each column stands, and a third of these."""
    theta = houses.sample(key)
    x, y, _ = jnp.meshgrid(*(jnp.arange(size, dtype=jnp.int32) for size in theta.shape), indexing="ij")
    solid = theta != AIR
    top = solid & (y == jnp.where(solid, y, 0).max(1, keepdims=True)) & (y > COURSE)
    first = jnp.where(top, x, theta.shape[0]).min()
    rest = top & (x > first + (jnp.where(top, x, 0).max() - first) // 3)
    return Script(only((theta != bare_ground(houses.shape)) & ~rest, theta)[None], theta, rest)


def correction(houses: HouseGenerator, key: Key[Array, ""]) -> Script:
    """A house with a flat roof, and around it a rim that the helper built; the person breaks one block of the rim."""
    plan = houses.sample_plan(key)
    # Where the ceiling is highest there is no room for a rim.
    plan = plan._replace(height=jnp.minimum(plan.height, 1), roof=jnp.full_like(plan.roof, FLAT))
    theta, high = houses.build(plan), houses.build(plan._replace(roof=jnp.full_like(plan.roof, RIM)))
    rim = (high != AIR) & (theta == AIR)
    broken = rim & (jnp.cumsum(rim).reshape(rim.shape) == 1)
    built = jnp.stack([only(theta != bare_ground(houses.shape), theta)[0], only(rim, high)[0]])
    return Script(jnp.stack([built, only(broken, theta)]), theta, rim & ~broken)


SITUATIONS = {"foundation": foundation, "roof": roof, "correction": correction}


def only(cells: Bool[Array, "X Y Z"], house: House) -> Int8[Array, "2 X Y Z"]:
    """The person brings these cells of the house about; the helper does nothing."""
    wanted = jnp.where(cells, house, LEAVE).astype(jnp.int8)
    return jnp.stack([wanted, jnp.full_like(wanted, LEAVE)])


def choose(
    game: BuildingGame, state: State, wanted: Int8[Array, "X Y Z"], theta: House, player: int, key: Key[Array, ""]
) -> Int[Array, ""]:
    """What somebody does who wants this; of the rest of the house they think enough not to stand where it will be."""
    seen = game.observe(state)[player]
    stands, house, goal = (
        jax.nn.one_hot(kinds, game.num_kinds, dtype=jnp.float32)
        for kinds in (state.blocks, theta, jnp.maximum(wanted, 0))
    )
    # At one half, nothing is gained by an edit.
    believed = jnp.where((wanted == LEAVE)[..., None], (stands + house) / 2, goal)
    return game.sample(hand(seen, believed, 0.0, player), seen.legal[player], key)


def turn(game: BuildingGame, assistant: Assistant, script: Script, scene: Scene, key: Key[Array, ""]) -> Scene:
    """One turn."""
    person_key, helper_key, think_key, act_key = jax.random.split(key, 4)
    count = len(script.steps)
    idle = jnp.full_like(script.steps[0], LEAVE)
    wanted = jnp.where(scene.step < count, script.steps[jnp.minimum(scene.step, count - 1)], idle)
    seen = game.observe(scene.state)[ASSISTANT]
    logits, memory = assistant.logits(scene.memory, seen, think_key)
    own = game.sample(logits, seen.legal[ASSISTANT], act_key)
    scripted = choose(game, scene.state, wanted[ASSISTANT], script.theta, ASSISTANT, helper_key)
    given_over = scene.step == count
    answer = jnp.where(given_over, own, scripted)
    person = choose(game, scene.state, wanted[HUMAN], script.theta, HUMAN, person_key)
    state = game.step(scene.state, jnp.stack([person, answer]), key)
    stands = ((wanted == LEAVE) | (wanted == state.blocks[None])).all()
    return Scene(
        state,
        memory,
        jnp.minimum(scene.step + stands.astype(jnp.int32), count),
        scene.left - given_over.astype(jnp.int32),
        jnp.where(given_over, scene.found, state.blocks),
    )


@eqx.filter_jit
def done(
    game: BuildingGame, assistant: Assistant, scripts: Script, keys: Key[Array, " B"]
) -> tuple[Float[Array, " B"], Bool[Array, " B"]]:
    """The share of the work that the assistant did in each situation, less what it spoiled elsewhere, and whether the
    script was played to its end.
    """

    def one(script: Script, key: Key[Array, ""]) -> tuple[Float[Array, ""], Bool[Array, ""]]:
        world_key, mind_key, play_key = jax.random.split(key, 3)
        world, seeing = game.init(world_key), reveal(assistant, script.theta)
        start = Scene(world, seeing.init(mind_key), jnp.int32(0), jnp.int32(TESTED), world.blocks)

        def goes_on(scene: Scene) -> Bool[Array, ""]:
            return (scene.left > 0) & (scene.state.time < PREPARED + TESTED)

        def next_turn(scene: Scene) -> Scene:
            return turn(game, seeing, script, scene, jax.random.fold_in(play_key, scene.state.time))

        end = jax.lax.while_loop(goes_on, next_turn, start)
        right = script.judged & (end.state.blocks == script.theta)
        worse = similarity(end.state.blocks, script.theta) < similarity(end.found, script.theta)
        return (right.sum() - worse.sum()) / script.judged.sum(), end.left == 0

    return jax.vmap(one)(scripts, keys)


@dataclasses.dataclass(frozen=True)
class Config:
    """How many houses, and whose behaviour."""

    num_houses: int
    assistants: tuple[str, ...]
    seed: int = 23


CONFIGS = {
    "tiny": Config(8, ("oracle",)),
    "small": Config(64, ("oracle", "particles", "greedy", "assistancezero")),
    "full": Config(256, ("oracle", "particles", "greedy", "assistancezero")),
}


def make(tier: str, data: Path | None) -> list[Claim]:
    """Every situation with each assistant."""
    del data
    config = CONFIGS[tier]
    game, practice = building_small.make("test"), building_small.make("train")
    claims = []
    for name in config.assistants:
        assistant = find("tacit.assistants", name).load().make(practice, builder.make(game))
        for situation in SITUATIONS:
            share, in_time = tried(game, assistant, situation, config.num_houses, config.seed)
            claims.append(at_least(f"{situation}_completed@{name}", share, BAR, SOURCE))
            claims.append(
                at_least(f"{situation}_came_about@{name}", in_time, 0.5, "most scripts are played to the end")
            )
    return claims


def tried(game: BuildingGame, assistant: Assistant, situation: str, num_houses: int, seed: int) -> tuple[float, float]:
    """The mean share of the work that is done where the script was played to its end, and how often it was.

    Houses in which a situation leaves nothing to do tell nothing: one on four pillars has no gaps in its lowest course.
    """
    house_keys, play_keys = jax.random.split(jax.random.key(seed), (2, num_houses))
    houses = game.houses
    assert isinstance(houses, HouseGenerator)
    scripts = jax.vmap(lambda key: SITUATIONS[situation](houses, key))(house_keys)
    share, in_time = done(game, assistant, scripts, play_keys)
    asked = scripts.judged.any((1, 2, 3))
    return float(share[asked & in_time].mean()), float(in_time[asked].mean())

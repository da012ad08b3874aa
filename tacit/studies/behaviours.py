"""Does the assistant do what a good helper would do without a word? Three scripted situations, on unseen houses.

    foundation   the person lays the outline of the floor: the assistant fills it in
    roof         the person builds all but the roof, and the first half of its rows: the assistant finishes it
    correction   the person's house is done, and the assistant puts a course too many on its walls, of which the person
                 breaks one block: the assistant takes away the rest

Until then whoever acts in the assistant's place is scripted, and the assistant only watches what happens in its name;
then the person leaves the house and rests. The person is a builder, who does what the situation asks for in their own
way, and what is left to do can be known from what stands: an outline is always filled, and half of the rows tell a flat
roof from a rising one. The behaviours are those of Laidlaw et al. 2025 (arXiv 2504.07091).
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int8, Key

from tacit.assistants.oracle import reveal
from tacit.core import ASSISTANT, HUMAN, Assistant, Human, Memory
from tacit.games import building_small
from tacit.games.building.blocks import AIR, DIRT, NAMES
from tacit.games.building.game import BuildingGame, House, State, bare_ground, similarity
from tacit.games.building.hand import hand
from tacit.games.building.houses import HouseGenerator
from tacit.games.building.plans import FLAT, RIM
from tacit.humans import builder
from tacit.members import find
from tacit.studies.claims import Claim, at_least

PREPARED = 600
"""Turns at most until the assistant's turn has come."""
LITTLE, MUCH = 200, 300
"""Turns that it then has: enough for all that is left of the house, for what is judged may come last."""
BAR = 0.8
SOURCE = "the project's own bar for a behaviour that the paper reports"
FLOOR, WALLS = 1, 2
"""The heights of a house's floor and of the lowest course of its walls."""


class Script(NamedTuple):
    """A situation: worlds that come about one after another, each by what one of the two does."""

    worlds: Int8[Array, "K X Y Z"]
    players: Int[Array, " K"]
    """Who brings each of them about, `HUMAN` or `ASSISTANT`."""
    theta: House
    judged: Bool[Array, "X Y Z"]
    """The cells that the assistant is to put right."""
    turns: Int[Array, ""]
    """Turns that it has for that."""


class Scene(NamedTuple):
    """A situation under way."""

    state: State
    memory: Memory
    person: Memory
    step: Int[Array, ""]
    """How many worlds of the script have come about."""
    left: Int[Array, ""]
    """Turns that the assistant still has, once they all have."""
    found: Int8[Array, "X Y Z"]
    """The world when its turns began."""


def foundation(houses: HouseGenerator, key: Key[Array, ""]) -> Script:
    """The edge of a floor that reaches under the walls is laid."""
    plan = houses.sample_plan(key)
    floor_kind = jnp.where(plan.floor_kind == AIR, NAMES.index("planks"), plan.floor_kind)
    plan = plan._replace(floor_kind=floor_kind, full_floor=jnp.ones_like(plan.full_floor))
    theta, ground = houses.build(plan), bare_ground(houses.shape)
    floor = (theta != ground) & (heights(theta) == FLOOR)
    # The outer ring of a world is never built on, so nothing comes round.
    neighbours = [jnp.roll(floor, step, axis) for step in (1, -1) for axis in (0, 2)]
    inside = jnp.stack([floor, *neighbours]).all(0)
    return Script(jnp.where(floor & ~inside, theta, ground)[None], jnp.array([HUMAN]), theta, inside, jnp.array(MUCH))


def roof(houses: HouseGenerator, key: Key[Array, ""]) -> Script:
    """All but the top of each column stands, and half of these."""
    theta = houses.sample(key)
    solid, y = theta != AIR, heights(theta)
    top = solid & (y == jnp.where(solid, y, 0).max(1, keepdims=True)) & (y > WALLS)
    x = jnp.arange(theta.shape[0], dtype=jnp.int32)[:, None, None]
    first, last = jnp.where(top, x, theta.shape[0]).min(), jnp.where(top, x, 0).max()
    rest = top & (2 * x > first + last)
    return Script(jnp.where(rest, AIR, theta)[None], jnp.array([HUMAN]), theta, rest, jnp.array(LITTLE))


def correction(houses: HouseGenerator, key: Key[Array, ""]) -> Script:
    """A house with a flat roof, around which the helper puts a rim; the person breaks one block of it."""
    plan = houses.sample_plan(key)
    # Where the ceiling is highest there is no room for a rim.
    plan = plan._replace(height=jnp.minimum(plan.height, 1), roof=jnp.full_like(plan.roof, FLAT))
    theta, high = houses.build(plan), houses.build(plan._replace(roof=jnp.full_like(plan.roof, RIM)))
    rim = (high != AIR) & (theta == AIR)
    broken = rim & (jnp.cumsum(rim).reshape(rim.shape) == 1)
    worlds = jnp.stack([theta, high, jnp.where(broken, AIR, high)])
    return Script(worlds, jnp.array([HUMAN, ASSISTANT, HUMAN]), theta, rim & ~broken, jnp.array(LITTLE))


SITUATIONS = {"foundation": foundation, "roof": roof, "correction": correction}


def heights(house: House) -> Int[Array, "1 Y 1"]:
    """The y of every cell."""
    return jnp.arange(house.shape[1], dtype=jnp.int32)[None, :, None]


def choose(
    game: BuildingGame, state: State, believed: Float[Array, "X Y Z M"], player: int, key: Key[Array, ""]
) -> Int[Array, ""]:
    """What the greedy hand does for somebody with this belief."""
    seen = game.observe(state)[player]
    return game.sample(hand(seen, believed, 0.0, player), seen.legal[player], key)


def turn(
    game: BuildingGame, human: Human, assistant: Assistant, script: Script, scene: Scene, key: Key[Array, ""]
) -> Scene:
    """One turn."""
    person_key, act_key, think_key, own_key, aside_key, scripted_key = jax.random.split(key, 6)
    count = len(script.worlds)
    given_over = scene.step == count
    stage = jnp.minimum(scene.step, count - 1)
    world, player = script.worlds[stage], jnp.where(given_over, -1, script.players[stage])

    for_person, for_helper = game.observe(scene.state)
    logits, memory = assistant.logits(scene.memory, for_helper, think_key)
    own = game.sample(logits, for_helper.legal[ASSISTANT], own_key)
    logits, person = human.logits(world, scene.person, for_person, person_key)
    builds = game.sample(logits, for_person.legal[HUMAN], act_key)

    covered = jnp.cumsum(script.theta[:, ::-1] != AIR, 1)[:, ::-1] > 0
    full = jnp.where(covered & (script.theta == AIR), DIRT, script.theta)
    wanted, house, stands = (
        jax.nn.one_hot(kinds, game.num_kinds, dtype=jnp.float32) for kinds in (world, full, scene.state.blocks)
    )
    # At one half nothing is gained by an edit; but nobody rests where the house will be, or in its rooms.
    resting = (stands + house) / 2
    helper = choose(game, scene.state, jnp.where(player == ASSISTANT, wanted, resting), ASSISTANT, scripted_key)
    aside = choose(game, scene.state, resting, HUMAN, aside_key)
    actions = jnp.stack([jnp.where(player == HUMAN, builds, aside), jnp.where(given_over, own, helper)])
    state = game.step(scene.state, actions, key)
    return Scene(
        state,
        memory,
        person,
        scene.step + (~given_over & (state.blocks == world).all()).astype(jnp.int32),
        scene.left - given_over.astype(jnp.int32),
        jnp.where(given_over, scene.found, state.blocks),
    )


@eqx.filter_jit
def done(
    game: BuildingGame, human: Human, assistant: Assistant, scripts: Script, keys: Key[Array, " B"]
) -> tuple[Float[Array, " B"], Bool[Array, " B"]]:
    """The share of the work that the assistant did in each situation, less what it spoiled elsewhere, and whether the
    script was played to its end.
    """

    def one(script: Script, key: Key[Array, ""]) -> tuple[Float[Array, ""], Bool[Array, ""]]:
        world_key, mind_key, person_key, play_key = jax.random.split(key, 4)
        world, seeing = game.init(world_key), reveal(assistant, script.theta)
        memory, person = seeing.init(mind_key), human.init(person_key)
        start = Scene(world, memory, person, jnp.int32(0), script.turns, world.blocks)

        def goes_on(scene: Scene) -> Bool[Array, ""]:
            return (scene.left > 0) & (scene.state.time < PREPARED + script.turns)

        def next_turn(scene: Scene) -> Scene:
            return turn(game, human, seeing, script, scene, jax.random.fold_in(play_key, scene.state.time))

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
    """The mean share of the work that is done where the script was played to its end, and how often it was."""
    house_keys, play_keys = jax.random.split(jax.random.key(seed), (2, num_houses))
    houses = game.houses
    assert isinstance(houses, HouseGenerator)
    scripts = jax.vmap(lambda key: SITUATIONS[situation](houses, key))(house_keys)
    share, in_time = done(game, builder.make(game), assistant, scripts, play_keys)
    return float(share[in_time].mean()), float(in_time.mean())

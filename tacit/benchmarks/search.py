"""How many simulations a second does the tree search make? With the building game as its world, and without a network.

The network's place is taken by a stand-in that costs little: `StandIn` reads prior, value and the human's preferences
off fixed rules. All else is as an assistant has it: turns by the game's own `step`, both players' masks of reach and
sight at every node, the human drawn anew at every visit, a belief of its own for every node, K candidates a node. So
what is measured is the tree and the world. Before that the tree alone, on a world by tables where nothing is chance,
against mctx on the same tables in the same run; mctx belongs to the tests, and without it there is no ratio. After it
the network alone, a narrow one beside it, and one whole decision of AssistanceZero, as someone who plays with it waits.
"""

import importlib
import importlib.util
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float16, Int, Key, UInt8

from tacit.assistants.assistancezero import SURELY, AssistanceZero, Foresight, Skill
from tacit.assistants.greedy import sizes
from tacit.core import ASSISTANT, HUMAN
from tacit.games import building_paper, building_small
from tacit.games.building import actions as factored
from tacit.games.building import history
from tacit.games.building.actions import EditLogits
from tacit.games.building.blocks import FIRST_PLACEABLE
from tacit.games.building.game import BuildingGame, State
from tacit.games.building.hand import earned, gains
from tacit.learning.goals import NARROW
from tacit.learning.goals import Config as Goals
from tacit.learning.networks import CounselNetwork, VoxelNetwork
from tacit.planning.tree_policies import Puct
from tacit.planning.tree_search import Config, Leaf, SearchModel, prune, search

BATCHES = (1, 32)
NUM_SIMULATIONS = 50
NUM_CANDIDATES = 32
NUM_EVALUATED = 256
"""Moments that the network reads at once."""
SHARPNESS = 6.0
"""Logits per unit of expected gain, of both players' stand-ins."""
FULL = 250
"""A probability of 1, in a byte."""
NUM_STATES = 512
"""Of the world by tables."""
NUM_REPEATS = 10
"""The best of these counts: other programs can only slow us down."""


class Moment(NamedTuple):
    """What a node keeps: the world, what each cell probably should be, and weights of the human's first choices."""

    state: State
    belief: UInt8[Array, "N M"]
    """In parts of FULL."""
    weights: Float16[Array, " F"]


class StandIn(SearchModel):
    """The building game with rules in the network's place: edits are preferred by what they should gain."""

    game: BuildingGame

    def look(self, state: State, belief: UInt8[Array, "N M"]) -> Leaf:
        """What a network would say of a world and a belief."""
        game = self.game
        chances = belief.astype(jnp.float32) / FULL
        gain = gains(state.blocks, chances.reshape(*game.shape, -1))
        place, remove = (SHARPNESS * x.reshape(-1) for x in gain)
        logits = EditLogits(jnp.zeros(()), place, chances, remove, jnp.zeros((6,)))
        human, assistant = (factored.first_choices(logits, legal) for legal in game.legal(state))
        choices, prior = prune(assistant, NUM_CANDIDATES)
        cell = jnp.clip(choices - 1, 0, game.num_cells - 1)
        kind = jnp.argmax(belief[cell, FIRST_PLACEABLE:], -1).astype(jnp.int32) + FIRST_PLACEABLE
        actions = factored.chosen(choices, kind, game.num_kinds, game.num_cells)
        value = jnp.maximum(gain.place, 0.0).mean()
        discount = jnp.where(state.time < game.horizon, game.discount, 0.0)
        moment = Moment(state, belief, factored.weights(human).astype(jnp.float16))
        return Leaf(moment, actions, prior, value, discount)

    def human(self, embedding: Moment, key: Key[Array, ""]) -> Int[Array, ""]:
        """Draw what and where, then of which kind by the belief about the cell."""
        uniforms = jax.random.uniform(key, (2,))
        choice = factored.draw(embedding.weights.astype(jnp.float32), uniforms[0])
        cell = jnp.clip(choice - 1, 0, self.game.num_cells - 1)
        kind = factored.draw(embedding.belief[cell, FIRST_PLACEABLE:].astype(jnp.float32), uniforms[1])
        return factored.chosen(choice, kind + FIRST_PLACEABLE, self.game.num_kinds, self.game.num_cells)

    def expand(self, embedding: Moment, action: Int[Array, ""], human: Int[Array, ""]) -> Leaf:
        """One turn; and what the human did is what they want, nine times in ten."""
        state = self.game.step(embedding.state, jnp.stack([human, action]), jax.random.key(0))
        cell, after = state.edits.cell[HUMAN], state.edits.after[HUMAN]
        here = jnp.maximum(cell, 0)
        surely = jnp.where(jnp.arange(self.game.num_kinds) == after, 9 * FULL // 10, 0).astype(jnp.uint8)
        told = embedding.belief[here] // 10 + surely
        belief = embedding.belief.at[here].set(jnp.where(cell >= 0, told, embedding.belief[here]))
        return self.look(state, belief)

    def reward(self, belief: Moment, before: Moment, after: Moment) -> Float[Array, "2"]:
        """E[s(after) - s(before)] of each player's edit."""
        del before
        return earned(after.state.edits, belief.belief.astype(jnp.float32) / FULL)


class Tables(SearchModel):
    """A world by tables with K actions, in which the human has one thing to do: what is left is the tree."""

    following: Int[Array, "S K"]
    rewards: Float[Array, "S K"]
    logits: Float[Array, "S K"]
    values: Float[Array, " S"]

    def look(self, state: Int[Array, ""], reward: Float[Array, ""]) -> Leaf:
        """A node is a state and the reward of coming there."""
        actions = jnp.arange(self.logits.shape[1], dtype=jnp.int32)
        return Leaf((state, reward), actions, self.logits[state], self.values[state], jnp.asarray(0.95))

    def human(self, embedding: tuple, key: Key[Array, ""]) -> Int[Array, ""]:
        """Nothing to choose."""
        del embedding, key
        return jnp.zeros((), jnp.int32)

    def expand(self, embedding: tuple, action: Int[Array, ""], human: Int[Array, ""]) -> Leaf:
        """Look it up."""
        del human
        return self.look(self.following[embedding[0], action], self.rewards[embedding[0], action])

    def reward(self, belief: tuple, before: tuple, after: tuple) -> Float[Array, "2"]:
        """All of it is the assistant's."""
        del belief, before
        return jnp.stack([jnp.zeros(()), after[1]])


def tables() -> Tables:
    """Random ones."""
    rng = np.random.default_rng(0)
    size = (NUM_STATES, NUM_CANDIDATES)
    reals = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in (size, size, size[:1])]
    return Tables(jnp.asarray(rng.integers(0, NUM_STATES, size), jnp.int32), *reals)


def moments(game: BuildingGame, batch: int) -> tuple[State, UInt8[Array, "B N M"]]:
    """Beginnings of episodes, and a belief in each that is mostly right."""

    def one(key: Key[Array, ""]) -> tuple[State, Array]:
        goal = jax.nn.one_hot(game.sample_theta(key).reshape(-1), game.num_kinds)
        return game.init(key), jnp.round(FULL * (0.7 * goal + 0.3 / game.num_kinds)).astype(jnp.uint8)

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), batch))


def seconds(work: Callable[[], Any]) -> float:
    """Of one call, the best of some, after one to warm up."""
    jax.block_until_ready(work())
    best = float("inf")
    for _ in range(NUM_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(work())
        best = min(best, time.perf_counter() - start)
    return best


def ours(model: SearchModel, root: Leaf) -> float:
    """Seconds of a decision of all the searches of a batch."""
    config, policy = Config(NUM_SIMULATIONS), Puct(noise_share=0.0)
    return seconds(lambda: search(model, root, policy, config, jax.random.key(1)))


def mctxs(model: Tables, root: Leaf) -> float | None:
    """The same of mctx; None if it is not here."""
    if importlib.util.find_spec("mctx") is None:
        return None
    mctx: Any = importlib.import_module("mctx")

    @jax.jit
    def run(model: Tables, root: Leaf, key: Array) -> Any:
        def step(_: tuple, key: Array, action: Array, state: Array) -> tuple:
            after = model.following[state, action]
            seen = {"prior_logits": model.logits[after], "value": model.values[after]}
            reward, discount = model.rewards[state, action], jnp.full(state.shape, 0.95)
            return mctx.RecurrentFnOutput(reward=reward, discount=discount, **seen), after

        first = mctx.RootFnOutput(prior_logits=root.logits, value=root.value, embedding=root.embedding[0])
        found = mctx.muzero_policy((), key, first, step, NUM_SIMULATIONS, dirichlet_fraction=0.0)
        return found.action, found.action_weights

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return seconds(lambda: run(model, root, jax.random.key(1)))


def untrained(game: BuildingGame, chosen: Goals) -> CounselNetwork:
    """A network of this size; weights cost the same whatever they say."""
    prior = jnp.full((*game.shape, game.num_kinds), 1.0 / game.num_kinds)
    voxels = VoxelNetwork(sizes(game, chosen.width, chosen.depth, chosen.embedding), prior, jax.random.key(0))
    return CounselNetwork(voxels, jax.random.key(1))


def evaluation(game: BuildingGame, chosen: Goals) -> float:
    """Seconds that a network of this size takes for NUM_EVALUATED moments at once."""
    nothing = history.begin(game.shape, game.num_kinds)
    states = jax.vmap(game.init)(jax.random.split(jax.random.key(0), NUM_EVALUATED))
    views = jax.jit(jax.vmap(lambda state: history.view(nothing, game.observe(state)[ASSISTANT])))(states)
    evaluate = eqx.filter_jit(lambda network, views: network(*views))
    network = untrained(game, chosen)
    return seconds(lambda: evaluate(network, views))


def decision(game: BuildingGame) -> float:
    """Seconds that AssistanceZero takes from what it sees to what it does."""
    skill = Skill(untrained(game, Goals()), jnp.asarray(0.5))
    assistant = AssistanceZero(Foresight(game, skill), SURELY, Config(NUM_SIMULATIONS))
    sees = game.observe(game.init(jax.random.key(2)))[ASSISTANT]
    decide = eqx.filter_jit(assistant.logits)
    memory = assistant.init(jax.random.key(3))
    return seconds(lambda: decide(memory, sees, jax.random.key(4)))


def make() -> list[dict[str, Any]]:
    """Time the tree alone, with both sizes of world at each batch size, and a decision with the network."""
    rows, alone = [], {}
    simple = tables()
    for batch in BATCHES:
        states = jnp.arange(batch, dtype=jnp.int32)
        root = jax.vmap(simple.look)(states, jnp.zeros(batch))
        alone[batch], other = ours(simple, root), mctxs(simple, root)
        name = f"tree alone, batch {batch}" if other else f"tree alone, batch {batch} (no mctx here)"
        rate = batch * NUM_SIMULATIONS
        rows.append(
            {
                "name": name,
                "value": round(1e3 * alone[batch] / rate, 4),
                "unit": "ms/simulation",
                "baseline": other and round(1e3 * other / rate, 4),
                "ratio": other and round(other / alone[batch], 2),
            }
        )
    nothing = {"baseline": None, "ratio": None}
    for shape, module in (("11x10x10", building_paper), ("8x8x8", building_small)):
        model = StandIn(module.make())
        for batch in BATCHES:
            root = jax.jit(jax.vmap(model.look))(*moments(model.game, batch))
            spent, count = ours(model, root), batch * NUM_SIMULATIONS
            values = {
                "ms/simulation": round(1e3 * spent / count, 4),
                "simulations/s": round(count / spent),
                f"ms/{NUM_SIMULATIONS} simulations": round(1e3 * spent, 1),
                "% of it the tree alone": round(100 * alone[batch] / spent),
            }
            name = f"{shape} with a stand-in for the network, batch {batch}"
            rows += [{"name": name, "value": value, "unit": unit, **nothing} for unit, value in values.items()]
        usual, narrow = (NUM_EVALUATED / evaluation(model.game, chosen) for chosen in (Goals(), NARROW))
        name, unit = f"{shape}, the network alone, batch {NUM_EVALUATED}", "evaluations/s"
        rows.append({"name": name, "value": round(usual), "unit": unit, **nothing})
        name, compared = f"{shape}, a narrow network alone, batch {NUM_EVALUATED}", {"baseline": round(usual)}
        rows.append({"name": name, "value": round(narrow), "unit": unit, **compared, "ratio": round(narrow / usual, 2)})
        name, unit = f"{shape} with the network, one decision", f"ms/{NUM_SIMULATIONS} simulations"
        rows.append({"name": name, "value": round(1e3 * decision(model.game), 1), "unit": unit, **nothing})
    return rows

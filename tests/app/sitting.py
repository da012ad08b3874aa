"""A cast for tests of the page: an assistant that can be told and is quick to compile, and one that rests."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from tacit.app.session import fold, wishes
from tacit.app.session.discovery import generator_of
from tacit.app.session.players import Players
from tacit.app.session.state import Session
from tacit.beliefs.particles import ParticleBelief
from tacit.beliefs.voxels import VoxelBelief
from tacit.core import ASSISTANT, Assistant
from tacit.games import building_small
from tacit.games.building.actions import EditLogits
from tacit.games.building.blocks import AIR
from tacit.games.building.game import Observation

GAME = building_small.make("test", 10_000)
HOUSES = generator_of(GAME)


class Thoughts(NamedTuple):
    probabilities: Float[Array, "X Y Z M"]


class Hopeful(Assistant):
    """Believes in two layers of one kind of block, as far as it was not told otherwise, and places it where it can."""

    prior: Float[Array, "X Y Z M"]

    def init(self, key: Key[Array, ""]) -> VoxelBelief:
        return VoxelBelief(jnp.log(self.prior), jnp.zeros_like(self.prior))

    def logits(self, memory: VoxelBelief, observation: Observation, key: Key[Array, ""]) -> tuple[EditLogits, Any]:
        chances = memory.probabilities.reshape(-1, self.prior.shape[-1])
        legal, never = observation.legal[ASSISTANT].place, jnp.full((len(chances),), -jnp.inf)
        place = jnp.where(legal, 20.0 * (chances[:, AIR + 1 :].max(-1) - 0.5), -jnp.inf)
        move = jnp.where(legal.any(), -jnp.inf, jnp.zeros(6))
        return EditLogits(jnp.zeros(()), place, 20.0 * chances, never, move), memory

    def tell(self, memory: VoxelBelief, log_likelihood: Float[Array, "X Y Z M"]) -> VoxelBelief:
        return memory.update(log_likelihood)

    def expect(self, memory: VoxelBelief, plans: ParticleBelief, key: Key[Array, ""]) -> VoxelBelief:
        houses = jax.vmap(HOUSES.build)(plans.hypotheses)
        shares = jnp.tensordot(plans.weights, jax.nn.one_hot(houses, GAME.num_kinds), axes=1)
        return VoxelBelief(jnp.log(0.9 * shares + 0.1 * self.prior), memory.evidence)

    def thoughts(self, memory: VoxelBelief) -> Thoughts:
        return Thoughts(memory.probabilities)


class Silent(Assistant):
    """Never does anything and can be told nothing."""

    def init(self, key: Key[Array, ""]) -> tuple[()]:
        return ()

    def logits(self, memory: tuple[()], observation: Observation, key: Key[Array, ""]) -> tuple[EditLogits, tuple[()]]:
        never = jnp.full((GAME.num_cells,), -jnp.inf)
        kinds = jnp.zeros((GAME.num_cells, GAME.num_kinds))
        return EditLogits(jnp.zeros(()), never, kinds, never, jnp.full((6,), -jnp.inf)), ()

    def thoughts(self, memory: tuple[()]) -> None:
        return None


def hopeful() -> Hopeful:
    prior = np.full((*GAME.shape, GAME.num_kinds), 0.02, np.float32)
    prior[..., AIR] = 1 - 0.02 * (GAME.num_kinds - 1)
    low = prior[:, 2:4]
    low[...] = 0.4 / (GAME.num_kinds - 1)
    low[..., 5] = 0.6
    return Hopeful(jnp.asarray(prior))


PLAYERS, SILENT = Players(GAME, hopeful()), Players(GAME, Silent())


def house(rng: np.random.Generator) -> Array:
    return GAME.sample_theta(jax.random.key(rng.integers(2**31)))


def play_turns(session: Session, num_turns: int, players: Players = PLAYERS) -> Session:
    for _ in range(num_turns):
        session = fold.thought(players, session)
        choice, theirs = wishes.choose(players, session), fold.assistant_action(session)
        session = fold.acted(players, session, choice, theirs)
    return session

"""Helps by Bayes' rule: a cloud of houses that could explain what the human has done, and a greedy hand.

Evidence about each cell is read off every action of the human, under the builder's own choice rule (`evidence`). The
houses of the cloud, at first drawn from the generator's split, are weighed by it; where few of them are left with any
weight the cloud is drawn anew from itself, and every turn each shape is moved and its materials are drawn anew
(`parts`), so that properties recombine: resample-move, Gilks and Berzuini 2001. Since no plan may fit exactly, a cell
whose evidence the cloud cannot explain is believed on its own. What the assistant itself placed is no evidence; that
the human let it stand is. A walk is, until it ends in rest: then it was for a better view, or out of the way.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.assistants import evidence, parts
from tacit.beliefs.particles import ParticleBelief
from tacit.core import ASSISTANT, HUMAN, Assistant, Game, Human
from tacit.games.building.actions import PASS, EditLogits
from tacit.games.building.game import BuildingGame, Observation, building_game
from tacit.games.building.hand import hand
from tacit.games.building.houses import HouseGenerator
from tacit.games.building.plans import Plan
from tacit.humans import builder
from tacit.humans.builder import Builder, Notes, Persona

NUM_PARTICLES, NUM_PEOPLE = 128, 8
PRIOR_HOUSES = 512
"""Houses from which the marginal prior is counted."""
REST = 8
"""Turns without an action after which a walk has ended: builders on their way to an edit seldom pause for as long."""
SURPRISE = 0.1
"""How often a property is not what the person was found to like, but any that the generator has."""


class Knowledge(NamedTuple):
    """What the assistant carries from turn to turn."""

    belief: ParticleBelief
    evidence: Float[Array, "N M"]
    """Log-likelihood of each kind at each cell, summed over turns, within bounds."""
    firm: Float[Array, "N M"]
    """The same as of the human's last edit: what is left where a walk ends in rest."""
    rested: Int[Array, ""]
    """Turns since the human last did anything."""
    shown: Bool[Array, " N"]
    """The cells that the human edited or spoke of; of the others they have told by leaving them alone, if at all."""
    people: Persona
    log_people: Float[Array, " K"]
    notes: Notes
    """The human's, which are public."""
    last: Observation
    probabilities: Float[Array, "X Y Z M"]
    log_prior: Float[Array, "F V"]
    """Of each field of a plan: the generator's, or what the person was found to like (`expect`)."""


class Thoughts(NamedTuple):
    """The probability of each kind at each cell."""

    probabilities: Float[Array, "X Y Z M"]


class Particles(Assistant):
    """The Bayesian assistant over a generator's houses. Settings were chosen on houses of the train split."""

    game: BuildingGame
    generator: HouseGenerator
    model: Builder
    prior: Float[Array, "N M"]
    """Share of the generator's houses with each kind at each cell."""
    threshold: float = 0.4
    """Least expected gain of an edit."""
    bound: float = 6.0
    """Most that the evidence of all turns may say about one cell, in nats."""
    doubt: float = 0.05
    """Prior probability that a cell is not as any house of the cloud has it."""
    patience: float = 2.0
    """Most that leaving a cell alone may say for such an exception, in nats: people leave work for later, or for us."""
    num_particles: int = eqx.field(static=True, default=NUM_PARTICLES)
    num_moves: int = eqx.field(static=True, default=1)
    """Metropolis-Hastings moves of every particle each turn."""

    def init(self, key: Key[Array, ""]) -> Knowledge:
        """A fresh cloud from the generator's split, and a few candidates for who the person is."""
        plan_key, people_key, fit_key, world_key = jax.random.split(key, 4)
        nothing = jnp.zeros_like(self.prior)

        def one(plan_key: Key[Array, ""], fit_key: Key[Array, ""]) -> parts.Particle:
            plan = self.generator.sample_plan(plan_key)
            layout = parts.lay_out(self.generator, plan)
            return parts.fit(self.generator, plan, layout, nothing, fit_key)._replace(plan=plan)

        keys = (jax.random.split(k, self.num_particles) for k in (plan_key, fit_key))
        belief = ParticleBelief(jax.vmap(one)(*keys), jnp.full((self.num_particles,), -jnp.log(self.num_particles)))
        memories = jax.vmap(self.model.init)(jax.random.split(people_key, NUM_PEOPLE))
        return Knowledge(
            belief=belief,
            evidence=nothing,
            firm=nothing,
            rested=jnp.zeros((), jnp.int32),
            shown=jnp.zeros((len(nothing),), bool),
            people=memories.persona,
            log_people=jnp.zeros((NUM_PEOPLE,)),
            notes=jax.tree.map(lambda x: x[0], memories.notes),
            last=self.game.observe(self.game.init(world_key))[ASSISTANT],
            probabilities=self.prior.reshape(*self.game.shape, self.game.num_kinds),
            log_prior=self.generator.log_prior,
        )

    def logits(self, memory: Knowledge, observation: Observation, key: Key[Array, ""]) -> tuple[EditLogits, Knowledge]:
        """Learn from what the human did last, then act on it."""
        memory = self.learn(memory, observation, key)
        return hand(observation, memory.probabilities, self.threshold, ASSISTANT), memory

    def tell(self, memory: Knowledge, log_likelihood: Float[Array, "X Y Z M"]) -> Knowledge:
        """The memory after evidence about single cells, which counts beside what was seen, within the same bounds."""
        told = log_likelihood.reshape(memory.evidence.shape)
        total, firm = (self.bounded(so_far + told) for so_far in (memory.evidence, memory.firm))
        return memory._replace(evidence=total, firm=firm, shown=memory.shown | (told != 0).any(axis=1))

    def expect(self, memory: Knowledge, plans: ParticleBelief, key: Key[Array, ""]) -> Knowledge:
        """The memory of someone who was told that it is probably one of these plans; what was seen stays.

        The shares of each field's values among them become its prior, so that properties still recombine.
        """
        draw_key, fit_key = jax.random.split(key)
        values = jnp.arange(memory.log_prior.shape[1], dtype=jnp.int32)
        share = plans.expect(lambda plan: (jnp.stack(plan)[:, None] == values).astype(jnp.float32))
        usual = jnp.exp(self.generator.log_prior)
        log_prior = jnp.log((1.0 - SURPRISE) * share + SURPRISE * usual)
        generator = eqx.tree_at(lambda one: one.log_prior, self.generator, log_prior)
        drawn = jax.vmap(plans.sample)(jax.random.split(draw_key, self.num_particles))
        nothing = jnp.zeros_like(self.prior)

        def one(plan: Plan, key: Key[Array, ""]) -> parts.Particle:
            return parts.fit(generator, plan, parts.lay_out(generator, plan), nothing, key)

        cloud = jax.vmap(one)(drawn, jax.random.split(fit_key, self.num_particles))
        belief = ParticleBelief(cloud, jnp.full_like(memory.belief.log_weights, -jnp.log(self.num_particles)))
        return memory._replace(belief=belief, log_prior=log_prior)

    def bounded(self, evidence: Float[Array, "N M"]) -> Float[Array, "N M"]:
        """Evidence about each cell, less its greatest, and no less than the bound allows."""
        return jnp.maximum(evidence - evidence.max(axis=1, keepdims=True), -self.bound)

    def thoughts(self, memory: Knowledge) -> Thoughts:
        """What each cell probably should be."""
        return Thoughts(memory.probabilities)

    def learn(self, memory: Knowledge, observation: Observation, key: Key[Array, ""]) -> Knowledge:
        """Bayes' rule for the human's last action, chosen on the observation before this one."""
        scene, notes = builder.look(memory.last, memory.notes, self.model.reach, self.model.num_kinds)
        flat = memory.probabilities.reshape(self.prior.shape)
        action = observation.last_actions[HUMAN]
        reading = evidence.read(memory.people, memory.log_people, memory.last, scene, action, flat)
        started = observation.time > 0
        gained = jnp.where(started, reading.cells, 0.0)
        rested = jnp.where(action == PASS, memory.rested + 1, 0)
        total = jnp.where(rested < REST, self.bounded(memory.evidence + gained), memory.firm)
        generator = eqx.tree_at(lambda one: one.log_prior, self.generator, memory.log_prior)
        belief = self.renew(generator, memory.belief, total, key)
        edited = observation.edits.cell[HUMAN]
        shown = memory.shown | (jnp.arange(len(total), dtype=jnp.int32) == edited)
        return Knowledge(
            belief=belief,
            evidence=total,
            firm=jnp.where(edited >= 0, total, memory.firm),
            rested=rested,
            shown=shown,
            people=memory.people,
            log_people=jax.nn.log_softmax(memory.log_people + jnp.where(started, reading.people, 0.0)),
            notes=jax.tree.map(lambda new, old: jnp.where(started, new, old), notes, memory.notes),
            last=observation,
            probabilities=self.combine(belief, total, shown).reshape(memory.probabilities.shape),
            log_prior=memory.log_prior,
        )

    def renew(
        self, generator: HouseGenerator, belief: ParticleBelief, total: Float[Array, "N M"], key: Key[Array, ""]
    ) -> ParticleBelief:
        """Weigh the cloud by the new evidence, draw it anew where it is thin, and move it."""
        resample_key, settle_key, *move_keys = jax.random.split(key, 2 + self.num_moves)

        def settle(one: parts.Particle, key: Key[Array, ""]) -> parts.Particle:
            return parts.fit(generator, one.plan, one.parts, total, key)

        def move(one: parts.Particle, key: Key[Array, ""]) -> parts.Particle:
            return parts.move(generator, one, total, key)

        before = belief.hypotheses.log_evidence
        cloud = jax.vmap(settle)(belief.hypotheses, jax.random.split(settle_key, self.num_particles))
        belief = ParticleBelief(cloud, belief.log_weights).update(cloud.log_evidence - before)
        thin = belief.effective_size() < 0.5 * self.num_particles
        drawn = belief.resample(resample_key)
        belief = jax.tree.map(lambda new, old: jnp.where(thin, new, old), drawn, belief)
        for move_key in move_keys:
            cloud = jax.vmap(move)(belief.hypotheses, jax.random.split(move_key, self.num_particles))
            belief = ParticleBelief(cloud, belief.log_weights)
        return belief

    def combine(
        self, belief: ParticleBelief, total: Float[Array, "N M"], shown: Bool[Array, " N"]
    ) -> Float[Array, "N M"]:
        """The cloud's view of each cell, and the cell's own where the cloud cannot explain what was seen there."""
        total = jnp.where(shown[:, None], total, jnp.maximum(total, -self.patience))
        cloud = belief.expect(lambda one: jax.nn.one_hot(one.house.reshape(-1), self.game.num_kinds, dtype=jnp.float32))
        alone = jax.nn.log_softmax(jnp.log(self.prior) + total)
        # How well each predicted the cell's evidence. For the cloud, which has used it already: 1 / E[1 / likelihood].
        own = jax.nn.logsumexp(jnp.log(self.prior) + total, axis=1)
        theirs = -jax.nn.logsumexp(-total, axis=1, b=cloud)
        odds = jnp.log(self.doubt / (1.0 - self.doubt)) + own - theirs
        share = jax.nn.sigmoid(odds)[:, None]
        return (1.0 - share) * cloud + share * jnp.exp(alone)


def generator_of(game: BuildingGame) -> HouseGenerator:
    """The generator of the game's houses. Raises ValueError if they come from elsewhere."""
    if not isinstance(game.houses, HouseGenerator):
        raise ValueError("The assistant 'particles' needs a game whose houses come from a HouseGenerator.")
    return game.houses


def make(game: Game, human: Human) -> Particles:
    """The assistant for the houses of `game`. It takes every person for a builder, whoever `human` is."""
    del human
    building = building_game(game, "The assistant 'particles'")
    generator = generator_of(building)
    return Particles(building, generator, builder.make(building), marginal_prior(generator, building.num_kinds))


@eqx.filter_jit
def marginal_prior(generator: HouseGenerator, num_kinds: int) -> Float[Array, "N M"]:
    """How often each cell has each kind, mixed with a little of every kind everywhere."""
    keys = jax.random.split(jax.random.key(0), PRIOR_HOUSES)
    houses = jax.vmap(generator.sample)(keys).reshape(PRIOR_HOUSES, -1)
    share = jax.nn.one_hot(houses, num_kinds, dtype=jnp.float32).mean(0)
    return 0.9 * share + 0.1 / num_kinds

"""What does a learner's behaviour say of their taste, when they do not know it yet? Bayes over (theta, memory) pairs.

Requests tell of what the human has felt, and that of what they will like. What they felt is hidden, so the belief is a
cloud of people: each has a life of their own, in which every pull that was seen paid something, and a memory of that
life; each is weighed by how likely the human's own `logits` makes the requests that were seen.

Given a life, theta is Beta(1 + successes, 1 + failures) for each arm, because choices depend on what was felt alone. So
theta is not drawn but kept as that distribution, and a pull pays 1 with its mean (Rao-Blackwell; Doucet et al. 2000).
Chan et al. 2019, "The Assistive Multi-Armed Bandit", arXiv 1901.08654.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.beliefs.particles import ParticleBelief
from tacit.contracts.forms import reads
from tacit.core import HUMAN, Assistant, Game, Human
from tacit.core import Memory as HumanMemory
from tacit.games.bandit import Bandit, State
from tacit.humans.counting import Tried, arm_logits, bandit, best, evenly, nothing_tried
from tacit.planning.bandit_index import Ranking, index_ranking


class Life(NamedTuple):
    """What a person may have felt, which tells of theta, and what they remember of it."""

    tried: Tried
    memory: HumanMemory

    @property
    def means(self) -> Float[Array, " K"]:
        """E[θ | what was felt]."""
        return (self.tried.sums + 1.0) / (self.tried.counts.astype(jnp.float32) + 2.0)


class Memory(NamedTuple):
    """The cloud, what was seen last, and what each arm was last thought to be worth."""

    belief: ParticleBelief
    before: State
    scores: Float[Array, " K"]


class Thoughts(NamedTuple):
    """The expected mean of each arm, its score, and how many equally weighted lives tell as much."""

    means: Float[Array, " K"]
    scores: Float[Array, " K"]
    effective_size: Float[Array, ""]


class LearnerFilter(Assistant):
    """Infers what a learning human felt, and pulls the arm that ranks first on average over their possible lives."""

    game: Bandit
    human: Human
    ranking: Ranking
    num_particles: int = eqx.field(static=True)

    def init(self, key: Key[Array, ""]) -> Memory:
        """Nothing seen, nothing felt."""
        size, arms = self.num_particles, self.game.num_arms
        state_key, human_key = jax.random.split(key)
        memories = jax.vmap(self.human.init)(jax.random.split(human_key, size))
        tried = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (size, *leaf.shape)), nothing_tried(arms))
        belief = ParticleBelief(Life(tried, memories), jnp.full(size, -jnp.log(float(size))))
        return Memory(belief, self.game.init(state_key), jnp.zeros(arms))

    def logits(self, memory: Memory, observation: State, key: Key[Array, ""]) -> tuple[Float[Array, " A"], Memory]:
        """Learn from the turn that is over, then evenly among the arms that rank first."""
        learned = self.learn(memory.belief, memory.before, observation, key)
        belief = jax.tree.map(lambda new, old: jnp.where(observation.time > 0, new, old), learned, memory.belief)
        left = self.game.num_rounds - observation.time // 2
        scores = belief.expect(lambda life: self.ranking.scores(life.tried.successes, life.tried.failures, left))
        return arm_logits(evenly(best(scores))), Memory(belief, observation, scores)

    def learn(self, belief: ParticleBelief, before: State, after: State, key: Key[Array, ""]) -> ParticleBelief:
        """The belief after one turn: wₙ ∝ wₙ · π(request | memoryₙ), then each life feels what a pull may have paid."""
        actions = jnp.stack([after.requested, after.pulled]) + 1
        sees, then_sees = self.game.observe(before)[HUMAN], self.game.observe(after)[HUMAN]
        legal = self.game.legal(before)[HUMAN]

        def live(life: Life, choice_key: Key[Array, ""], felt_key: Key[Array, ""]) -> tuple[Life, Float[Array, ""]]:
            logits, memory = self.human.logits(life.means, life.memory, sees, choice_key)
            felt = self.game.felt(life.means, before, actions, after, felt_key)
            lived = Life(life.tried.add(after.pulled, felt), self.human.feel(memory, then_sees, felt))
            return lived, self.game.log_prob(logits, legal, actions[HUMAN])

        lives_key, resample_key = jax.random.split(key)
        lives, told = jax.vmap(live)(belief.hypotheses, *jax.random.split(lives_key, (2, self.num_particles)))
        # A request that no life explains says that the lives are too few, not which is right: the weights stay.
        explained = jnp.any(belief.log_weights + told > -jnp.inf)
        lived = ParticleBelief(lives, belief.log_weights).update(jnp.where(explained, told, 0.0))
        few = lived.effective_size() < self.num_particles / 2
        return jax.tree.map(lambda new, old: jnp.where(few, new, old), lived.resample(resample_key), lived)

    def watch(self, requests: Int[Array, " R"], pulls: Int[Array, " R"], key: Key[Array, ""]) -> Memory:
        """The memory after seeing these requests and all of these pulls but the last: when that one is due."""

        def see(
            now: tuple[State, Memory], turn: tuple[Int[Array, ""], Key[Array, ""]]
        ) -> tuple[tuple[State, Memory], None]:
            (state, memory), (action, key) = now, turn
            _, memory = self.logits(memory, state, key)
            return (self.game.step(state, jnp.stack([action, action]), key), memory), None

        actions = jnp.stack([requests, pulls], axis=1).reshape(-1) + 1
        start_key, *keys = jax.random.split(key, actions.shape[0] + 1)
        start = self.game.init(start_key), self.init(start_key)
        return jax.lax.scan(see, start, (actions, jnp.stack(keys)))[0][1]

    def pairs(self, belief: ParticleBelief, key: Key[Array, ""]) -> ParticleBelief:
        """The same belief with theta drawn for each life: hypotheses are pairs (theta, memory)."""
        tried, memories = belief.hypotheses
        theta = jax.random.beta(key, tried.sums + 1.0, tried.counts.astype(jnp.float32) - tried.sums + 1.0)
        return ParticleBelief((theta, memories), belief.log_weights)

    def thoughts(self, memory: Memory) -> Thoughts:
        """The belief in a few numbers."""
        belief = memory.belief
        return Thoughts(belief.expect(lambda life: life.means), memory.scores, belief.effective_size())


def ignores_theta(game: Game, human: Human) -> bool:
    """Whether a human's choices have nothing to do with theta, as those of a learner do not."""
    key = jax.random.key(0)
    memory, sees = human.init(key), game.observe(game.init(key))[HUMAN]
    return not reads(lambda theta: human.logits(theta, memory, sees, key), game.sample_theta(key))


def make(game: Game, human: Human, num_particles: int = 256, ranking: Ranking | None = None) -> LearnerFilter:
    """The assistant of anyone who learns a bandit by feeling; it ranks by finite-horizon indices unless told how."""
    game = bandit(game, "An assistant of learners")
    if num_particles < 1:
        raise ValueError(f"There are {num_particles} particles; a belief needs at least one.")
    if not ignores_theta(game, human):
        raise ValueError("This human's choices depend on theta; the assistant of learners is for those who learn it.")
    return LearnerFilter(game, human, ranking or index_ranking(game.num_rounds), num_particles)

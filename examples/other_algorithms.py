"""Somebody else's algorithm learns to help: separable CMA-ES, from the package `cmaes`, through Gymnasium.

In the game "hidden-item" the assistant does not know what the human wants, nor where it is. Here it is a table: what it
found, what the human just did and what it just did itself give a preference for every action. CMA-ES (Ros and Hansen
2008) is told nothing but what many episodes paid. Needs the extra `interop` and the package `cmaes`.
"""

import jax
import numpy as np
from cmaes import SepCMA

from tacit.app import interop
from tacit.assistants import belief_planner
from tacit.core import ASSISTANT
from tacit.games import hidden_item
from tacit.humans import boltzmann
from tacit.play import AssistantProblem

POPULATION, EPISODES, GENERATIONS = 16, 256, 50

game = hidden_item.make()
human = boltzmann.make(game)
envs = interop.vector_env(AssistantProblem(game, human), POPULATION * EPISODES)
num_actions = int(envs.single_action_space.n)
shape = (int(envs.single_observation_space["seen"].n), *game.num_actions, num_actions)


def play(policy, seed=None):
    """What each episode of a batch pays. With no seed, the episodes are new ones."""
    seen, infos = envs.reset(seed=seed)
    paid, running = np.zeros(envs.num_envs), np.ones(envs.num_envs, bool)
    while running.any():
        seen, rewards, terminated, truncated, infos = envs.step(policy(seen, infos["action_mask"] == 1))
        paid += np.where(running, rewards, 0.0)
        running &= ~(terminated | truncated)
    return paid


def prefer(tables):
    """Do what a table likes best among what is legal; each episode has a table of its own."""
    episodes = np.arange(envs.num_envs)

    def policy(seen, legal):
        theirs, own = seen["last_actions"].T
        return np.where(legal, tables[episodes, seen["seen"], theirs, own], -np.inf).argmax(-1)

    return policy


def at_random(seen, legal):
    return np.where(legal, rng.random(legal.shape), -np.inf).argmax(-1)


rng = np.random.default_rng(0)
optimizer = SepCMA(mean=np.zeros(np.prod(shape)), sigma=1.0, population_size=POPULATION, seed=0)
for generation in range(GENERATIONS):
    candidates = [optimizer.ask() for _ in range(POPULATION)]
    tables = np.repeat(np.stack(candidates).reshape(-1, *shape), EPISODES, axis=0)
    paid = play(prefer(tables), seed=0 if generation == 0 else None).reshape(POPULATION, EPISODES).mean(1)
    optimizer.tell(list(zip(candidates, -paid, strict=True)))  # it makes numbers small
    if generation % 10 == 0:
        print(f"generation {generation:2d}: {paid.mean():.2f} an episode")

learned = np.broadcast_to(optimizer.mean.reshape(shape), (envs.num_envs, *shape))
policies = {
    "passes": lambda seen, legal: np.zeros(len(legal), int),
    "acts at random": at_random,
    "learned": prefer(learned),
}
means = {}
for name, policy in policies.items():
    paid = np.concatenate([play(policy, seed=million * 1_000_000) for million in (1, 2, 3, 4)])  # new episodes
    means[name] = paid.mean()
    print(f"an assistant that {name:14}  {paid.mean():.2f} ± {1.96 * paid.std() / len(paid) ** 0.5:.2f}")
planner, key = belief_planner.make(game, human), jax.random.key(0)
_, memory = planner.logits(planner.init(key), game.observe(game.init(key))[ASSISTANT], key)
best = float(planner.thoughts(memory).values.max())
print(f"the best that there can be        {best:.2f}, by planning with the model known")
baseline = max(means["passes"], means["acts at random"])
assert means["learned"] > baseline + 0.75 * (best - baseline), "CMA-ES should have learned most of the way"

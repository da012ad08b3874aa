"""What should be believed between two searches? Equally likely states, moved, weighed by what was seen, and redrawn.

A simulator that gives the exact likelihood of an observation keeps every particle that could have led to it; one that
does not is followed by rejection, and only particles that happened to show the same survive. Where a POMDP is small,
`planning.belief_update` has the exact belief instead. Gordon, Salmond and Smith 1993; Silver and Veness 2010, section
3.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tacit.beliefs.particles import ParticleBelief
from tacit.core import Simulator, State
from tacit.planning import pomcp
from tacit.planning.dice import quick


def begin(simulator: Simulator, number: int, key: Key[Array, ""]) -> State:
    """`number` states drawn from the start."""
    return jax.vmap(simulator.init)(jax.random.split(key, number))


def update(
    simulator: Simulator,
    particles: State,
    action: Int[Array, ""],
    observation: Int[Array, ""],
    key: Key[Array, ""],
) -> tuple[State, Float[Array, ""]]:
    """The particles after an action and an observation, and how likely the observation was among them.

    If that is zero, no particle explains what was seen: they are then moved but not weighed, and the caller should
    know. A particle whose episode has ended explains nothing, for there was something to see.
    """
    move_key, draw_key = jax.random.split(key)
    number = jax.tree.leaves(particles)[0].shape[0]
    moved, _, over = jax.vmap(simulator.step, (0, None, 0))(particles, action, jax.random.split(move_key, number))
    weights = jnp.where(over, 0.0, jax.vmap(simulator.likelihood, (0, None))(moved, observation))
    evidence = weights.mean()
    log_weights = jnp.where(evidence > 0, jnp.log(weights), 0.0)
    return ParticleBelief(moved, log_weights).resample(draw_key).hypotheses, evidence


class Outcome(eqx.Module):
    """Episodes that were played by searching: each one's discounted return, and its least likely observation.

    Where `evidence` is zero the particles lost the world at some turn, and more of them are needed.
    """

    returns: Float[Array, " B"]
    evidence: Float[Array, " B"]


@eqx.filter_jit
def play(
    simulator: Simulator,
    config: pomcp.Config,
    num_particles: int,
    num_turns: int,
    keys: Key[Array, " B"],
    rollout: pomcp.Rollout = pomcp.even,
) -> Outcome:
    """Play one episode for each key, searching at every turn from the particles that are left.

    Simulations do not look beyond `num_turns` turns of the episode.
    """
    batch = keys.shape[0]
    dice = jax.vmap(quick)(keys)
    first = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, num_turns), 2))(dice)
    state = jax.vmap(simulator.init)(first[:, 0])
    particles = jax.vmap(lambda key: begin(simulator, num_particles, key))(first[:, 1])

    def turn(carry: tuple, time: Int[Array, ""]) -> tuple[tuple, None]:
        state, particles, over, outcome, weight = carry
        throws = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, time), 3))(dice)
        action = pomcp.search(simulator, particles, config, throws[:, 0], num_turns - time, rollout).action
        state, reward, ends = jax.vmap(simulator.step)(state, action, throws[:, 1])
        seen = jax.vmap(simulator.observe)(state)
        particles, evidence = jax.vmap(update, (None, 0, 0, 0, 0))(simulator, particles, action, seen, throws[:, 2])
        returns = outcome.returns + jnp.where(over, 0.0, weight * reward)
        over = over | ends
        least = jnp.where(over, outcome.evidence, jnp.minimum(outcome.evidence, evidence))
        return (state, particles, over, Outcome(returns, least), weight * simulator.discount), None

    start = (state, particles, jnp.zeros(batch, bool), Outcome(jnp.zeros(batch), jnp.ones(batch)), jnp.ones(()))
    (_, _, _, outcome, _), _ = jax.lax.scan(turn, start, jnp.arange(num_turns))
    return outcome

"""Which houses would tell most of what somebody wants who cannot say it? Pairs of whole houses, and what is learned.

The belief is a cloud of the generator's plans, weighed by every answer (`feedback.comparison`, read by the one rule of
`feedback.choice`) and by every cell that was built or judged. After each answer it is drawn anew from itself and moved
by Metropolis-Hastings, so that properties recombine: resample-move, Gilks and Berzuini 2001. Of the pairs in a sample
of it the one is offered whose answer is expected to tell most: `choice.information_gain`.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int8, Key

from tacit.app.session.likes import RATIONALITY, Aspect, differ, indicators, num_indicators, worth, worth_of_pair
from tacit.beliefs.exact import ExactBelief
from tacit.beliefs.particles import ParticleBelief
from tacit.feedback import choice, comparison
from tacit.games.building.game import BuildingGame, House
from tacit.games.building.houses import HouseGenerator
from tacit.games.building.plans import NUM_FIELDS, Plan, mix

NUM_HOUSES, NUM_MOVES = 512, 8
"""Of the cloud, and moves of each after an answer."""
NUM_CANDIDATES = 32
"""Houses of the cloud among which a pair is chosen."""
MOST_ANSWERS = 48
RATES = (0.05, 0.15, 0.4, 1.0)
"""How large a share of a plan is redrawn in a move, besides one field that always is; one of these at random."""


class Hypothesis(NamedTuple):
    """A house that may be wanted, its plan, and the log-likelihood of all that was said and built."""

    plan: Plan
    house: House
    log_likelihood: Float[Array, ""]


class Said(NamedTuple):
    """What is known: what both options of each question are worth, the answers, and evidence about single cells.

    In rows that are not used yet both options are alike, so they say nothing.
    """

    worths: Float[Array, "Q 2 F"]
    given: Int[Array, " Q"]
    cells: Float[Array, "N M"]


class Offer(NamedTuple):
    """The plans of two houses, and how much the answer is expected to tell, in nats."""

    plans: Plan
    gain: Float[Array, ""]


class Guess(NamedTuple):
    """The house that is likest to all that may be wanted, and how like it probably is, of 1."""

    house: House
    likeness: Float[Array, ""]


class Shown(NamedTuple):
    """A pair as it is shown: its number, the houses, and of which of their aspects something was said."""

    number: int
    plans: Plan
    houses: Int8[np.ndarray, "2 X Y Z"]
    said: tuple[tuple[int, Aspect], ...] = ()


class Discovery(NamedTuple):
    """How far it has come: the belief, what was said, whether that was taken in, the pair that is shown, the guess."""

    belief: ParticleBelief
    said: Said
    guess: Guess
    num_said: int = 0
    heard: bool = True
    num_pairs: int = 0
    shown: Shown | None = None


def start(game: BuildingGame, key: Key[Array, ""]) -> Discovery:
    """Before anything was asked."""
    generator = generator_of(game)
    belief = begin(generator, key)
    return Discovery(belief, nothing_said(generator), guess(generator, belief))


def show(game: BuildingGame, discovery: Discovery, plans: Plan) -> Discovery:
    """Show this pair next."""
    shown = Shown(discovery.num_pairs, plans, np.asarray(build(generator_of(game), plans)))
    return discovery._replace(shown=shown, num_pairs=discovery.num_pairs + 1)


def answer(game: BuildingGame, discovery: Discovery, which: int, what: Aspect) -> tuple[Discovery, str]:
    """What is known after an answer about the pair that is shown, and why it tells nothing if it does not.

    Whoever has chosen a house is done with the pair; an aspect may be followed by others.
    """
    shown, number = discovery.shown, discovery.num_said
    assert shown is not None
    worths = worth_of_pair(shown.plans, what, generator_of(game).log_prior.shape[1])
    if any(what == before for _, before in shown.said):
        return discovery, "You have said that of this pair."
    if what != "house" and not differ(worths):
        return discovery, f"In their {what} the two are alike."
    if number == MOST_ANSWERS:
        return discovery._replace(shown=None), f"After {MOST_ANSWERS} answers it is time to build."
    said = discovery.said._replace(
        worths=discovery.said.worths.at[number].set(worths), given=discovery.said.given.at[number].set(which)
    )
    left = None if what == "house" else shown._replace(said=(*shown.said, (which, what)))
    return discovery._replace(said=said, num_said=number + 1, heard=False, shown=left), ""


def hear(game: BuildingGame, discovery: Discovery, cells: Float[np.ndarray, "N M"], key: Key[Array, ""]) -> Discovery:
    """Take in all that was said, and this evidence about single cells."""
    generator = generator_of(game)
    said = discovery.said._replace(cells=jnp.asarray(cells))
    belief = learn(generator, discovery.belief, said, key)
    return discovery._replace(belief=belief, said=said, guess=guess(generator, belief), heard=True)


def generator_of(game: BuildingGame) -> HouseGenerator:
    """All houses that the game's generator can build, whatever the split. ValueError if they come from elsewhere."""
    if not isinstance(game.houses, HouseGenerator):
        raise ValueError("Pairs of houses can be shown only where houses come from a HouseGenerator.")
    return HouseGenerator(game.houses.shape, game.houses.num_kinds, "all")


def nothing_said(generator: HouseGenerator) -> Said:
    """Before any answer."""
    num_cells = generator.shape[0] * generator.shape[1] * generator.shape[2]
    worths = jnp.zeros((MOST_ANSWERS, 2, num_indicators(generator.log_prior.shape[1])))
    return Said(worths, jnp.zeros((MOST_ANSWERS,), jnp.int32), jnp.zeros((num_cells, generator.num_kinds)))


def log_likelihood(plan: Plan, house: House, said: Said, num_values: int) -> Float[Array, ""]:
    """Log P(all that was said and built | this house is wanted)."""
    theta = indicators(plan, num_values)

    def one(worths: Float[Array, "2 F"], given: Int[Array, ""]) -> Float[Array, ""]:
        return choice.log_likelihood(comparison.make(worths), theta, RATIONALITY)[given]

    cells = jnp.take_along_axis(said.cells, house.reshape(-1, 1).astype(jnp.int32), axis=1)
    return jax.vmap(one)(said.worths, said.given).sum() + cells.sum()


@eqx.filter_jit
def begin(generator: HouseGenerator, key: Key[Array, ""]) -> ParticleBelief:
    """The prior: houses as the generator draws them."""
    plans = jax.vmap(generator.draw_plan)(jax.random.split(key, NUM_HOUSES))
    cloud = Hypothesis(plans, jax.vmap(generator.build)(plans), jnp.zeros((NUM_HOUSES,)))
    return ParticleBelief(cloud, jnp.full((NUM_HOUSES,), -jnp.log(NUM_HOUSES)))


@eqx.filter_jit
def learn(generator: HouseGenerator, belief: ParticleBelief, said: Said, key: Key[Array, ""]) -> ParticleBelief:
    """The cloud once it has heard all of this: weighed by what is new, drawn anew, and moved."""
    again_key, move_key = jax.random.split(key)

    def score(plan: Plan, house: House) -> Float[Array, ""]:
        return log_likelihood(plan, house, said, generator.log_prior.shape[1])

    def move(one: Hypothesis, key: Key[Array, ""]) -> Hypothesis:
        chance_key, fresh_key = jax.random.split(key)
        chances = jax.random.uniform(chance_key, (3, NUM_FIELDS))
        rate = jnp.array(RATES)[(chances[2, 0] * len(RATES)).astype(jnp.int32)]
        keep = (chances[0] < chances[0].max()) & (chances[1] >= rate)
        plan = mix(one.plan, generator.draw_plan(fresh_key), keep)
        house = generator.build(plan)
        other = Hypothesis(plan, house, score(plan, house))
        # What is redrawn comes from the prior, so that the likelihood alone decides.
        accept = jnp.log(chances[2, 1]) < other.log_likelihood - one.log_likelihood
        return jax.tree.map(lambda new, old: jnp.where(accept, new, old), other, one)

    def moves(cloud: Hypothesis, key: Key[Array, ""]) -> tuple[Hypothesis, None]:
        return jax.vmap(move)(cloud, jax.random.split(key, NUM_HOUSES)), None

    cloud = belief.hypotheses
    scores = jax.vmap(score)(cloud.plan, cloud.house)
    weighed = ParticleBelief(cloud._replace(log_likelihood=scores), belief.log_weights)
    drawn = weighed.update(scores - cloud.log_likelihood).resample(again_key)
    moved, _ = jax.lax.scan(moves, drawn.hypotheses, jax.random.split(move_key, NUM_MOVES))
    return ParticleBelief(moved, drawn.log_weights)


@eqx.filter_jit
def offer(generator: HouseGenerator, belief: ParticleBelief, key: Key[Array, ""]) -> Offer:
    """The pair, of some houses of the cloud, whose answer is expected to tell most."""
    num_values = generator.log_prior.shape[1]
    order = jax.random.permutation(key, NUM_HOUSES)[:NUM_CANDIDATES]
    plans = jax.tree.map(lambda leaf: leaf[order], belief.hypotheses.plan)
    worths = jax.vmap(lambda plan: worth(plan, "house", num_values))(plans)
    thetas = jax.vmap(lambda plan: indicators(plan, num_values))(belief.hypotheses.plan)
    # What each candidate is worth to each hypothesis says all about the answers.
    cloud = ExactBelief(thetas @ worths.T, jax.nn.log_softmax(belief.log_weights))
    one, other = jnp.triu_indices(NUM_CANDIDATES, 1)

    def gain(pair: Int[Array, "2"]) -> Float[Array, ""]:
        outcomes = jax.nn.one_hot(pair, NUM_CANDIDATES, dtype=jnp.float32)
        return choice.information_gain(cloud, comparison.make(outcomes), RATIONALITY)

    pairs = jnp.stack([one, other], 1)
    gains = jax.vmap(gain)(pairs)
    best = jnp.argmax(gains)
    return Offer(jax.tree.map(lambda leaf: leaf[pairs[best]], plans), gains[best])


@eqx.filter_jit
def guess(generator: HouseGenerator, belief: ParticleBelief) -> Guess:
    """The house of the cloud that is worth most to whoever may be asking."""
    num_values = generator.log_prior.shape[1]
    thetas = jax.vmap(lambda plan: indicators(plan, num_values))(belief.hypotheses.plan)
    worths = jax.vmap(lambda plan: worth(plan, "house", num_values))(belief.hypotheses.plan)
    expected = worths @ (belief.weights @ thetas)
    best = jnp.argmax(expected)
    return Guess(belief.hypotheses.house[best], expected[best] / (worths[best] @ thetas[best]))


@eqx.filter_jit
def build(generator: HouseGenerator, plans: Plan) -> Int8[Array, "2 X Y Z"]:
    """The houses of two plans."""
    return jax.vmap(generator.build)(plans)
